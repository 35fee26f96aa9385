"""Evolve to a related topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import Strategy, hookimpl
from filial_plugins.strategies.rewriting import Rewriting


class ExtendTopic(Rewriting):
    """Make a task of the same kind about another topic (in breadth: wider coverage of topics)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-breadth"
    method: ClassVar[str] = "Keep the kind of task, but move to a related topic that the prompt does not touch."


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("extend-topic", ExtendTopic)
