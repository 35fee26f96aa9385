"""What makes two records copies of one another."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from filial import Message, Record
from filial_plugins.texts import normalize_text


def digest_record(record: Record) -> int:
    """Return 128 bits of all that a record says: equal for copies.

    Copies say the same in the same turns, in either form of a record, however the text is encoded (`normalize_text`):
    system text, question, answer, reasoning, tools, the rejected answer, and whether the answer is wanted. ``id``,
    ``origin``, ``scores``, ``tags``, ``extra`` and marks for training say nothing.
    """
    return _digest(record, [*_list_texts(record.turns()), "rejected", *_list_texts(record.rejected), str(record.label)])


def digest_question(record: Record) -> int:
    """Return 128 bits of what a record asks: equal for records that differ in their last answer alone."""
    return _digest(record, list(_list_texts(record.prompt())))


def _list_texts(turns: Iterable[Message]) -> Iterator[str]:
    for turn in turns:
        text = f"{turn.role}\x1f{normalize_text(turn.content)}"
        if turn.reasoning or turn.name or turn.tool_calls:
            calls = (part for call in turn.tool_calls for part in (call.name, call.arguments))  # their ids are made up
            text = "\x1f".join((text, *map(normalize_text, (turn.reasoning, turn.name, *calls))))
        yield text


def _digest(record: Record, parts: list[str]) -> int:
    if record.tools:
        parts.append(normalize_text(json.dumps(record.tools, sort_keys=True)))
    said = "\n".join(parts).encode("utf-8", "surrogatepass")  # a normalized text holds neither separator
    return int.from_bytes(blake2b(said, digest_size=16).digest(), "little")
