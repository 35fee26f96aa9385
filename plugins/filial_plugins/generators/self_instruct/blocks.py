"""Tasks with input and output in one list, in the form of Stanford Alpaca: shown to a teacher, and read from it.

A block is ``4. Instruction: …``, ``4. Input:`` and ``4. Output:`` with what belongs to each, after a line ``###``; an
empty input is ``<noinput>`` (generate_instruction.py, encode_prompt).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from filial import Record
from filial_plugins.generators.self_instruct.lists import format_instruction

_ANY_FIELD = re.compile(r"\.\s+(?:Instruction|Input|Output):")
_FIELD = re.compile(
    r"^[ \t]*+[#*]*+[ \t]*+(\d{1,6})\.[ \t]*+\**+(Instruction|Input|Output)\**+:\**+", re.MULTILINE | re.IGNORECASE
)
_ORDER = ("instruction", "input", "output")


@dataclass(frozen=True, slots=True)
class Block:
    """A task with its input and output; ``whole`` is whether all of its parts were there."""

    instruction: str
    input: str = ""
    output: str = ""
    complete: bool = True


def format_blocks(tasks: Iterable[Record]) -> str:
    """Return tasks as blocks that begin at 1."""
    return "\n".join(
        f"###\n{i}. Instruction: {format_instruction(task.instruction)}\n"
        f"{i}. Input:\n{task.input or '<noinput>'}\n{i}. Output:\n{task.output}"
        for i, task in enumerate(tasks, 1)
    )


def split_at_any(text: str, first: int, cut_off: bool, no_input: Collection[str]) -> list[Block]:
    """Return the tasks of a reply, cut at every ``###``, as post_process_gpt3_response of generate_instruction.py cuts.

    The place of a piece says what its number must be, so a ``###`` inside an output costs this task and all after it.
    A piece is a task if its number stands before exactly three labels, in whatever order. ``cut_off``: the reply
    ended at the token limit, and the last piece does not count.
    """
    pieces = f"{first}. Instruction:{text}".split("###")
    if cut_off:
        del pieces[-1]
    return [_parse_by_position(piece, str(i), no_input) for i, piece in enumerate(pieces, first) if piece.strip()]


def _parse_by_position(piece: str, number: str, no_input: Collection[str]) -> Block:
    marks = [mark for mark in _ANY_FIELD.finditer(piece) if piece.endswith(number, 0, mark.start())]
    if len(marks) != 3:
        return Block(piece.strip(), complete=False)
    ends = [mark.start() - len(number) for mark in marks[1:]] + [len(piece)]
    instruction, given, output = (piece[mark.end() : end] for mark, end in zip(marks, ends, strict=True))
    return _make_block(instruction, given, output, no_input)


def _make_block(instruction: str, given: str, output: str, no_input: Collection[str]) -> Block:
    given = given.strip()
    return Block(instruction.strip(), "" if given.lower() in no_input else given, output.strip())


def split_at_next(text: str, first: int, cut_off: bool, no_input: Collection[str]) -> list[Block]:
    """Return the tasks of a reply, cut where the next number of the list stands before ``Instruction:`` on a line.

    Labels count at the start of a line, with the number of their block and in their order; everything else, ``###``
    included, is text. The number after the next one cuts, too, if that is missing; a task may have no input. A chat
    model may start again from 1 or repeat ``first``; what it says before its list is no task.
    """
    marks = list(_FIELD.finditer(text))
    anew = bool(marks) and marks[0][2].lower() == "instruction" and int(marks[0][1]) in (1, first)
    number = int(marks[0][1]) if anew else first
    blocks: list[dict[str, tuple[int, int]]] = [{"instruction": marks[0].span() if anew else (0, 0)}]
    for mark in marks[1:] if anew else marks:
        name, found = mark[2].lower(), blocks[-1]
        if name == "instruction" and number < int(mark[1]) <= number + 2:
            number = int(mark[1])
            blocks.append({name: mark.span()})
        elif int(mark[1]) == number and all(_ORDER.index(name) > _ORDER.index(other) for other in found):
            found[name] = mark.span()
    ends = [block["instruction"][0] for block in blocks[1:]] + [len(text)]
    read = [_parse_by_labels(text, block, end, no_input) for block, end in zip(blocks, ends, strict=True)]
    if cut_off and _strip_separator(text) == text.rstrip():
        del read[-1]
    return [block for block in read if block.complete or block.instruction]


def _parse_by_labels(text: str, labels: dict[str, tuple[int, int]], end: int, no_input: Collection[str]) -> Block:
    """Return the block whose labels stand at these places of the text; ``end`` is where it ends."""
    spans = list(labels.items())
    ends = [place for _, (place, _) in spans[1:]] + [end]
    parts = {name: text[begin:until] for (name, (_, begin)), until in zip(spans, ends, strict=True)}
    last = spans[-1][0]
    parts[last] = _strip_separator(parts[last])
    if last != "output":
        return Block(parts["instruction"].strip(), complete=False)
    return _make_block(parts["instruction"], parts.get("input", ""), parts["output"], no_input)


def _strip_separator(text: str) -> str:
    """Return the text without a line of three or more hash signs, and blanks, at its end."""
    text = text.rstrip()
    rest = text.rstrip("#")
    return rest.rstrip() if len(text) - len(rest) >= 3 and (not rest or rest.endswith("\n")) else text
