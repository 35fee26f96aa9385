"""Reads what a teacher writes when it is asked for new tasks or for examples of one."""

from __future__ import annotations

import re

from filial_plugins.texts import collapse

Example = tuple[str, str]
"""An input (may be empty) and an output."""

_NUMBER = re.compile(r"^[ \t]*(\d{1,6})[ \t]?[.)](?:[ \t]+|$)", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_HEADER = re.compile(r"^[ \t]*[#*]*[ \t]*Example[ \t]*\d+[ \t]*[.:]?[ \t]*\**[ \t]*$", re.MULTILINE)
_LABEL = r"^[ \t]*\**(?:{})[ \t]*\d*[ \t]*\**:\**"
_INPUT = re.compile(_LABEL.format("Input"), re.MULTILINE)
_OUTPUT = re.compile(_LABEL.format("Output"), re.MULTILINE)
_FIELD = re.compile(_LABEL.format("Input|Output"), re.MULTILINE)
_NO_INPUT = frozenset({"<noinput>", "none", "(none)", "n/a", "no input"})


def numbered_tasks(text: str, first: int) -> list[str]:
    """The tasks of a reply that goes on with a list at number ``first``, each on one line.

    Mended against Self-Instruct's parser (post_process_gpt3_response), which cuts at every number at the start
    of a line: here only the next number of the list cuts (or the one after, if that is missing), so that a
    numbered list inside a task stays whole. A chat model may start again from 1 or repeat ``first``; what it
    says before its list is no task. The last task ends at a blank line.
    """
    numbers = list(_NUMBER.finditer(text))
    starts = _starts_anew(text, numbers, first)
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
    return [collapse(piece) for piece in pieces]


def _starts_anew(text: str, numbers: list[re.Match[str]], first: int) -> bool:
    """Whether the first number opens the list, and is not inside a task that goes on from the prompt."""
    if not numbers or int(numbers[0][1]) not in (1, first):
        return False
    goes_on = any(int(number[1]) == first + 1 for number in numbers)
    return int(numbers[0][1]) == first or not text[: numbers[0].start()].strip() or not goes_on


def examples(text: str) -> list[Example]:
    """The examples of a reply in the form ``Example 1 / Input: … / Output: …``.

    Inputs and outputs may have many lines; one without an ``Input:`` line has an empty input, and other labels
    before ``Output:`` belong to the input, as in Self-Instruct (prepare_for_finetuning.py). Mended: labels count
    at the start of a line only, and ``Example 2`` only on a line of its own, so that answers which hold these
    words stay whole; without such headers each ``Input:`` line begins an example.
    """
    headers = list(_HEADER.finditer(text))
    marks = headers or list(_INPUT.finditer(text))
    begins = [mark.end() if headers else mark.start() for mark in marks] or [0]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    pieces = (text[begin:end] for begin, end in zip(begins, ends, strict=True))
    return [pair for pair in map(_example, pieces) if pair is not None]


def _example(piece: str) -> Example | None:
    label = _OUTPUT.search(piece)
    if label is None:
        return None
    given = _INPUT.sub("", piece[: label.start()], count=1).strip()
    output = _FIELD.split(piece[label.end() :], maxsplit=1)[0].strip()
    return ("" if given.lower() in _NO_INPUT else given), output
