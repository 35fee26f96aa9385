"""Reads the examples of a task that a teacher wrote, and says what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

Example = tuple[str, str]
"""An input (may be empty) and an output."""

# Anywhere in the text, as prepare_for_finetuning.py has them. Possessive: the same matches, in linear time.
_ANY_EXAMPLE = re.compile(r"Example\s?\d*\.?")
_ANY_INPUT = re.compile(r"Input\s*+(?:\d++\s*+)?+:")
_ANY_OUTPUT = re.compile(r"Output\s*+(?:\d++\s*+)?+:")
_ANY_LABEL = "Class label:"

# At the start of a line.
_LABEL = r"^[ \t]*+\**+(?:{})[ \t]*+\d*+[ \t]*+\**+:\**+"
_HEADER = re.compile(r"^[ \t]*+[#*]*+[ \t]*+Example[ \t]*+\d++[ \t]*+[.:]?[ \t]*+\**+[ \t]*+$", re.MULTILINE)
_INPUT = re.compile(_LABEL.format("Input"), re.MULTILINE)
_OUTPUT = re.compile(_LABEL.format("Output"), re.MULTILINE)
_FIELD = re.compile(_LABEL.format("Input|Output"), re.MULTILINE)
_CLASS = re.compile(_LABEL.format("Class [Ll]abel"), re.MULTILINE)


def parse_examples_anywhere(text: str) -> list[Example]:
    """Return the examples of a reply as parse_instances_for_generation_task of prepare_for_finetuning.py reads them.

    Cut at every ``Example 1`` in the text; without any, an ``Output:`` makes the reply one example. What has no
    ``Output:`` is all output; what follows a second one, or an ``Input:`` after it, is lost.
    """
    text = text.strip()
    if _ANY_EXAMPLE.search(text):
        pieces = _ANY_EXAMPLE.split(text)
    else:
        pieces = [text] if _ANY_OUTPUT.search(text) else []
    return [parse_input_output(piece) for piece in pieces if piece.strip()]


def parse_input_output(piece: str) -> Example:
    """Return one example, as parse_input_output of prepare_for_finetuning.py reads it."""
    given, *after = _ANY_OUTPUT.split(piece, maxsplit=2)
    if not after:
        given, after = "", [piece]
    given = given.strip()
    label = _ANY_INPUT.match(given)
    return given[label.end() :].strip() if label else given, _ANY_INPUT.split(after[0], maxsplit=1)[0].strip()


def parse_labelled_anywhere(text: str) -> list[Example]:
    """Return the examples of a reply that gives class labels first: the label is the output, what follows it the input.

    As parse_instances_for_classification_task of prepare_for_finetuning.py. Where nothing follows ``Class label:`` on
    its line, the next line is the label.
    """
    pieces = (piece.strip().partition("\n") for piece in text.split(_ANY_LABEL)[1:])
    return [(rest.strip(), label.strip()) for label, _, rest in pieces]


def parse_examples(text: str, no_input: Collection[str]) -> list[Example]:
    """Parse the examples of a reply in the form ``Example 1 / Input: … / Output: …``, labels at the start of a line.

    Inputs and outputs may have many lines; one without an ``Input:`` line has an empty input, and other labels
    before ``Output:`` belong to the input. ``Example 2`` counts only on a line of its own, so that answers which
    contain these words stay whole; without such headers each ``Input:`` line begins an example.
    """
    headers = list(_HEADER.finditer(text))
    marks = headers or list(_INPUT.finditer(text))
    begins = [mark.end() if headers else mark.start() for mark in marks] or [0]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    pieces = (text[begin:end] for begin, end in zip(begins, ends, strict=True))
    return [pair for pair in (_parse_example(piece, no_input) for piece in pieces) if pair is not None]


def _parse_example(piece: str, no_input: Collection[str]) -> Example | None:
    label = _OUTPUT.search(piece)
    if label is None:
        return None
    given = _INPUT.sub("", piece[: label.start()], count=1).strip()
    output = _FIELD.split(piece[label.end() :], maxsplit=1)[0].strip()
    return ("" if given.lower() in no_input else given), output


def parse_labelled(text: str, no_input: Collection[str]) -> list[Example]:
    """Parse the examples of a reply that gives class labels first: the label is the output, the rest the input.

    Labels count at the start of a line. ``Example 2`` on a line of its own belongs to neither, nor does ``Input:`` at
    the beginning of the input.
    """
    pairs = []
    for piece in _CLASS.split(text)[1:]:
        label, _, rest = _HEADER.split(piece, maxsplit=1)[0].strip().partition("\n")
        given = rest.strip()
        mark = _INPUT.match(given)
        given = given[mark.end() :].strip() if mark else given
        pairs.append(("" if given.lower() in no_input else given, label.strip()))
    return pairs


def find_faults(found: Iterable[Example], placeholders: tuple[str, ...] = ()) -> list[str]:
    """Return the fault of each example as a drop reason, "" for a good one: the instance filters of Self-Instruct.

    From prepare_for_finetuning.py: no output; output equal to the input; input or output that ends with a colon
    (unfinished); then, among the rest, all of them if one input has two different outputs, and repeats. Examples
    without input may differ in output. ``placeholders``: texts of the prompt that stand for an input or an output, in
    lower case; small models copy them.
    """
    pairs = list(found)
    faults = [_find_fault(*pair, placeholders) for pair in pairs]
    outputs: dict[str, set[str]] = {}
    for (given, output), fault in zip(pairs, faults, strict=True):
        if not fault and given:
            outputs.setdefault(given, set()).add(output)
    contradictory = any(len(some) > 1 for some in outputs.values())
    seen: set[Example] = set()
    for i, pair in enumerate(pairs):
        if faults[i]:
            continue
        faults[i] = "contradictory-examples" if contradictory else "repeated-example" if pair in seen else ""
        seen.add(pair)
    return faults


def find_placeholders(prompt: str) -> tuple[str, ...]:
    """Return the texts of a prompt that stand for what is asked for: ``(the output)``."""
    return tuple(dict.fromkeys(found.lower() for found in re.findall(r"\(the [A-Za-z ]+\)", prompt)))


def _find_fault(given: str, output: str, placeholders: tuple[str, ...]) -> str:
    if not output.strip():
        return "empty-output"
    if placeholders and (
        given.strip().lower().startswith(placeholders) or output.strip().lower().startswith(placeholders)
    ):
        return "copied-placeholder"
    if given == output:
        return "output-is-input"
    return "unfinished-example" if given.strip().endswith(":") or output.strip().endswith(":") else ""
