"""Evolve by structured input."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import Strategy, hookimpl
from filial_plugins.strategies.rewriting import Rewriting


class ComplicateInput(Rewriting):
    """Give the task structured data to work on (Evol-Instruct, in depth: complicate input)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    method: ClassVar[str] = (
        "Do it this way: put structured input data into it, such as a table, JSON, XML, code, SQL, a shell "
        "command or a formula, and let the question be about that data."
    )


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("complicate-input", ComplicateInput)
