"""Change to a related topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from filial import PromptStrategy, Strategy, hookimpl
from filial_plugins.prompt_files import read_prompt


class ExtendTopic(PromptStrategy):
    """Make a task of the same kind about another topic (in breadth: wider coverage of topics)."""

    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-breadth"
    wording: ClassVar[str] = read_prompt(__file__, "extend_topic.txt")


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("extend-topic", ExtendTopic)
