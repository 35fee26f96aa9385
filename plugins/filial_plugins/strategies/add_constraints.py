"""Evolve by a constraint."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import Strategy, hookimpl
from filial_plugins.strategies.rewriting import Rewriting


class AddConstraints(Rewriting):
    """Add a constraint or requirement to the task (Evol-Instruct, in depth: add constraints)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"
    method: ClassVar[str] = (
        "Do it this way: add one more constraint or requirement that the answer must meet, one that a reader of "
        "the answer can check."
    )


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("add-constraints", AddConstraints)
