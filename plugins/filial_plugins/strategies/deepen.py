"""Evolve by depth."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import Strategy, hookimpl
from filial_plugins.strategies.rewriting import Rewriting


class Deepen(Rewriting):
    """Ask for more about the same matter (Evol-Instruct, in depth: deepening)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    method: ClassVar[str] = (
        "Do it this way: if the prompt asks about a matter, increase the depth and breadth of the inquiry."
    )


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("deepen", Deepen)
