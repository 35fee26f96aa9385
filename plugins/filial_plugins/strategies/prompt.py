"""Evolve by a text of your own."""

from __future__ import annotations

from collections.abc import Callable

from filial import PromptStrategy, Strategy, hookimpl


class Prompt(PromptStrategy):
    """Evolve by a text in the recipe or in a file; no Python needed.

    In the text, ``{prompt}`` stands for the task with its input, ``{instruction}``, ``{input}`` and ``{output}`` for
    its parts, ``{max_words}`` for that option; a brace is written twice. The teacher's reply is the new task, with its
    input under a line ``Input:``. In a recipe, ``name`` and ``family`` say what the survival table calls it.
    """


@hookimpl
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    register("prompt", Prompt)
