"""Evolve into a rarer task."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import Strategy, hookimpl
from filial_plugins.strategies.rewriting import Rewriting


class Mutate(Rewriting):
    """Make a rarer task of the same domain (Evol-Instruct, in breadth: mutation)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-breadth"
    method: ClassVar[str] = (
        "It must be a rarer task of the same domain: one that people in this field ask for seldom, and that "
        "training data therefore lack."
    )


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("mutate", Mutate)
