"""Numbered lists of tasks: how they are shown to a teacher, and how what it adds to one is read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from filial import Record
from filial_plugins.texts import collapse_whitespace

_NUMBER = re.compile(r"^[ \t]*(\d{1,6})[ \t]?[.)](?:[ \t]+|$)", re.MULTILINE)
_ANY_NUMBER = re.compile(r"\n\d+\s?\. ")
_BLANK_LINE = re.compile(r"\n[ \t]*\n")


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


def split_at_next(text: str, first: int) -> list[str]:
    """Return the tasks of a reply that goes on with a list at number ``first``, each on one line.

    Only the next number of the list cuts (or the one after, if that is missing), so that a numbered list inside a
    task stays whole. A chat model may start again from 1 or repeat ``first``; what it says before its list is no
    task. The last task ends at a blank line.
    """
    numbers = list(_NUMBER.finditer(text))
    starts = _restarts(text, numbers, first)
    expected = int(numbers[0][1]) if starts else first + 1
    cuts = []
    for number in numbers:
        if expected <= int(number[1]) <= expected + 1:
            cuts.append(number)
            expected = int(number[1]) + 1
    begins = [cut.end() for cut in cuts] if starts else [0, *(cut.end() for cut in cuts)]
    ends = [cut.start() for cut in (cuts[1:] if starts else cuts)] + [len(text)]
    pieces = [text[begin:end].strip() for begin, end in zip(begins, ends, strict=True)]
    pieces[-1] = _BLANK_LINE.split(pieces[-1], maxsplit=1)[0]
    return [collapse_whitespace(piece) for piece in pieces]


def _restarts(text: str, numbers: list[re.Match[str]], first: int) -> bool:
    """Return whether the first number opens the list, and is not inside a task that goes on from the prompt."""
    if not numbers or int(numbers[0][1]) not in (1, first):
        return False
    goes_on = any(int(number[1]) == first + 1 for number in numbers)
    return int(numbers[0][1]) == first or not text[: numbers[0].start()].strip() or not goes_on
