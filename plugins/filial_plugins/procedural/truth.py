"""What is true in the closed world: the exact answer to any of its tasks."""

from __future__ import annotations

from .inputs import compute_answer
from .operations import InputError
from .parser import parse


def truth(instruction: str, input: str = "") -> str | None:
    """Return the right answer, or None if the task lies outside the world or the input does not fit it."""
    task = parse(instruction)
    if task is None:
        return None
    try:
        return compute_answer(task, input)
    except InputError:
        return None


def is_right(instruction: str, input: str, output: str) -> bool | None:
    """Return whether an output is the right answer; None if the world knows no answer."""
    right = truth(instruction, input)
    return None if right is None else output.strip() == right
