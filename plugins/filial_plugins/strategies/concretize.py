"""Evolve from the general to the specific."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import Strategy, hookimpl
from filial_plugins.strategies.rewriting import Rewriting


class Concretize(Rewriting):
    """Put something specific where the task is general (Evol-Instruct, in depth: concretizing)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    method: ClassVar[str] = (
        "Do it this way: replace general concepts with more specific ones, such as a certain case, place, number "
        "or kind."
    )


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("concretize", Concretize)
