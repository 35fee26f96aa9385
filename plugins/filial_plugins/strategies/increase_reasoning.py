"""Evolve by steps of reasoning."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import Strategy, hookimpl
from filial_plugins.strategies.rewriting import Rewriting


class IncreaseReasoning(Rewriting):
    """Make the task need several steps of thought (Evol-Instruct, in depth: increase reasoning steps)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    method: ClassVar[str] = (
        "Do it this way: if a few simple thoughts are enough to solve it, rewrite it to explicitly ask for "
        "multiple-step reasoning."
    )


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("increase-reasoning", IncreaseReasoning)
