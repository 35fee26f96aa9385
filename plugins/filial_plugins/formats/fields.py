"""Reading fields of foreign rows: what is there, of which type, under which pointer."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from filial.formats import BESIDE, MEANING, Fault, Row, json_type

Result = TypeVar("Result")
EVERYTHING = MEANING + BESIDE
"""What formats hold that lose nothing of a record."""
ANSWERING = ("assistant", "tool_call")
"""Roles whose turns are trained where nothing is said of it."""
EMPTY: tuple[Any, ...] = (None, "", [], {})
"""What a cell holds that says nothing."""


@lru_cache(4096)
def fold(name: str) -> str:
    """Return the name of a column as the tables of names have it: ``System Prompt`` and ``systemPrompt`` are one."""
    return _WORD.sub("_", name.replace("CoT", "Cot")).strip().lower().replace(" ", "_").replace("-", "_")


_WORD = re.compile("(?<=[a-z0-9])(?=[A-Z])")


def read_text(row: Row, key: str, *, default: str | None = None) -> str:
    """Return a text field; a number, true or false as JSON spells it. With a ``default``, missing and null mean that.

    Raises:
        Fault: missing, or neither of these.
    """
    value = row.get(key)
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return to_json_text(value)
    if value is None and default is not None:
        return default
    if key not in row:
        raise Fault("", f"lacks {key}")
    raise Fault(f"/{key}", f"must be a string, not {json_type(value)}")


def read_nonempty(row: Row, key: str) -> str:
    """Return a string field that says something.

    Raises:
        Fault: missing, no string, or empty.
    """
    if not (value := read_text(row, key)):
        raise Fault(f"/{key}", "is empty")
    return value


def read_items(row: Row, key: str) -> list[Any]:
    """Return an array field with something in it.

    Raises:
        Fault: missing, no array, or empty.
    """
    value = row.get(key)
    if key not in row:
        raise Fault("", f"lacks {key}")
    if not isinstance(value, list):
        raise Fault(f"/{key}", f"must be an array, not {json_type(value)}")
    if not value:
        raise Fault(f"/{key}", "is empty")
    return value


def each(values: list[Any], key: str, read: Callable[[Any], Result]) -> list[Result]:
    """Return what ``read`` makes of every item of the array field ``key``.

    Raises:
        Fault: what is wrong with one of them, with its place in the row.
    """
    found: list[Result] = []
    try:
        for value in values:
            found.append(read(value))
    except Fault as fault:
        raise Fault(f"/{key}/{len(found)}{fault.pointer}", fault.message) from None
    return found


def parse_json(text: str) -> Any:
    """Return the value of a JSON text that stands in a cell.

    Raises:
        Fault: it is none.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise Fault("", "must be JSON") from None


def to_json_text(value: object) -> str:
    """Return a value as JSON text."""
    return msgspec.json.encode(value).decode()


def to_json(value: Any) -> Any:
    """Return a value as JSON holds it: of a date its text, of NaN null."""
    return msgspec.json.decode(msgspec.json.encode(value))
