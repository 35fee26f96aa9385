"""Numbered lists of tasks: how they are shown to a teacher, and how the original program reads what it adds to one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from filial import Record
from filial_plugins.texts import collapse_whitespace

_ANY_NUMBER = re.compile(r"\n\d+\s?\. ")


def format_instruction(instruction: str) -> str:
    """Return an instruction as it stands in a prompt: on one line and without colons at its end.

    So it is in bootstrap_instructions.py (encode_prompt) and generate_instruction.py; what the colons leave at the
    end, a blank say, stays there too.
    """
    return collapse_whitespace(instruction).rstrip(":")


def format_list(tasks: Iterable[Record]) -> str:
    """Return tasks as a list that begins at 1."""
    return "\n".join(f"{i}. {format_instruction(task.instruction)}" for i, task in enumerate(tasks, 1))


def split_at_any(text: str) -> list[str]:
    """Return the tasks of a reply, cut at every number at the start of a line, each on one line.

    As post_process_gpt3_response of bootstrap_instructions.py: a dot and a blank must follow the number, and what
    stands before the first number goes on from the prompt. A numbered list inside a task is cut as well.
    """
    return [collapse_whitespace(piece) for piece in _ANY_NUMBER.split(text)]
