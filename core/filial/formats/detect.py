"""Which format a source has, from the keys of its first objects."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from filial.errors import UsageError
from filial.formats import alpaca, filial_jsonl, openai_chat, pairs, seeds, sharegpt
from filial.formats.base import Format
from filial.formats.lines import Item
from filial.record_schema import FIELDS

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT for module in (filial_jsonl, alpaca, sharegpt, openai_chat, seeds, pairs)
}
LOOKED_AT = 100
_ALPACA = {"instruction", "input", "output"}


def named(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}; there are auto, {', '.join(FORMATS)}, parquet, hf")
    return FORMATS[name]


def by_keys(keys: frozenset[str]) -> Format | None:
    """The format whose objects have such keys."""
    if "origin" in keys or (keys <= FIELDS and keys & {"instruction", "messages"} and keys != {"messages"}):
        return filial_jsonl.FORMAT
    if {"instruction", "instances"} <= keys:
        return seeds.FORMAT
    if "conversations" in keys:
        return sharegpt.FORMAT
    if "messages" in keys:
        return openai_chat.FORMAT
    if {"instruction", "output"} <= keys:
        return alpaca.FORMAT
    return pairs.FORMAT if pairs.recognises(keys) else None


def by_content(source: Iterator[Item], file: str, array: bool) -> tuple[Format, Iterator[Item]]:
    """The format of the first object that tells, and all items again.

    Where nothing tells, lines are taken for filial's own, whose schema then explains each of them.

    Raises:
        UsageError: objects that nothing is known about.
    """
    seen: list[Item] = []
    strange: frozenset[str] | None = None
    for item in source:
        seen.append(item)
        if (keys := _keys(item[1])) is not None:
            if form := by_keys(keys):
                return (alpaca.FORMAT if array and keys == _ALPACA else form), chain(seen, source)
            strange = strange or keys
        if len(seen) >= LOOKED_AT:
            break
    if strange and not strange & FIELDS:
        raise unrecognised(f"{file}:{seen[0][0]}", strange)
    return filial_jsonl.FORMAT, chain(seen, source)


def unrecognised(place: str, keys: frozenset[str]) -> UsageError:
    """The error for objects or columns that no format knows."""
    listed = ", ".join(sorted(key[:40] for key in keys)[:20])
    return UsageError(
        f"{place}: no known format has the fields {listed}; rename them (instruction, input, output) or name "
        f"one of the formats {', '.join(FORMATS)}"
    )


def _keys(raw: bytes) -> frozenset[str] | None:
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return frozenset(value) if isinstance(value, dict) else None
