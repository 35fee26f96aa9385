"""The fields of a row: found by name or path, as text."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from filial import Drop, Record, UsageError
from filial_plugins.formats.columns import TAG

OWN = ("instruction", "input", "output", "system", "reasoning", "task")
"""Fields of a record that count as columns of it, beside those in ``extra``."""
_MISSING = object()


def columns_of(record: Record) -> Mapping[str, Any]:
    """Return what a record has by name: its own fields, and the columns of the file that it was read from."""
    if TAG in record.tags:
        return record.extra
    return {**{name: value for name in OWN if (value := getattr(record, name))}, **record.extra}


def find_value(row: Mapping[str, Any], path: str) -> Any:
    """Return the value of a column; a dot leads into an object or, before a number, a list. None: it has none."""
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part, _MISSING)
        elif isinstance(value, list | tuple) and part.isdecimal():
            value = value[int(part)] if int(part) < len(value) else _MISSING
        else:
            value = _MISSING
        if value is _MISSING:
            return None
    return value


def to_text(value: Any) -> str | None:
    """Return a cell as text: a text, a number, or a list of texts as lines. None: it is something else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    if isinstance(value, list | tuple):
        return "\n".join(value) if all(isinstance(item, str) for item in value) else None
    return value if isinstance(value, str) else None


def to_options(value: Any) -> tuple[str, ...] | None:
    """Return a cell as answer options: a list, a JSON list as text, or a text with an option a line, or between bars.

    An object with a list ``text``, as multiple choice is often stored, counts as that list. None: it is something else.
    """
    if isinstance(value, Mapping):
        value = value.get("text")
    if isinstance(value, str):
        value = _split_options(value)
    if not isinstance(value, list | tuple):
        return None
    texts = [to_text(item) for item in value]
    return tuple(text for text in texts if text is not None) if all(texts) and len(texts) > 1 else None


def _split_options(text: str) -> Sequence[Any]:
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, list):
            return found
    return [part.strip() for part in text.strip().split("\n" if "\n" in text.strip() else "|")]


def choose_answer(value: Any, options: Sequence[str], fixed: bool) -> str | Drop:
    """Return an answer, which must be one of the options; of ``fixed`` ones, a whole number counts from 0."""
    if fixed and isinstance(value, int | float) and not isinstance(value, bool) and to_text(value) not in options:
        if isinstance(value, float) and not value.is_integer():
            return Drop("answer-not-an-option", f"{value} is no place in a list")
        if not 0 <= value < len(options):
            return Drop("answer-not-an-option", f"{value} is not a place from 0 to {len(options) - 1}")
        return options[int(value)]
    text = to_text(value)
    if text is None or text.strip() not in options:
        return Drop("answer-not-an-option", f"{str(text)[:60]!r} is none of {', '.join(map(repr, options))}"[:300])
    return text.strip()


def check_columns(rows: Iterable[Mapping[str, Any]], wanted: Mapping[str, str], mapped: Collection[str]) -> None:
    """Refuse columns that no row has.

    Args:
        wanted: the column of each field.
        mapped: the fields whose column the user has named.

    Raises:
        UsageError: with the columns there are.
    """
    left, there = dict(wanted), dict[str, None]()
    for row in rows:
        there |= dict.fromkeys(row)
        left = {field: path for field, path in left.items() if find_value(row, path) is None}
        if not left:
            return
    for field, path in left.items():
        listed = ", ".join(list(there)[:20]) or "none"
        way = "" if field in mapped else f"; name it with map, such as {field}=COLUMN"
        raise UsageError(f"no row has a column {path!r} for the field {field!r}; the columns are {listed}{way}")
