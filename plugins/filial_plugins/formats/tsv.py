"""Tables in text: TSV."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from filial import Format, hookimpl
from filial_plugins.formats.delimited import Csv


class Tsv(Csv):
    """As ``csv``, with tabs between the cells."""

    likely: ClassVar = ("\t", ",", ";", "|")


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("tsv", Tsv)
