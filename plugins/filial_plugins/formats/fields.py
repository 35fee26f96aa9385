"""Reading fields of foreign rows: what is there, of which type, under which pointer."""

from __future__ import annotations

from typing import Any

from filial.formats import Fault, Row, json_type


def text(row: Row, key: str, *, default: str | None = None, at: str = "") -> str:
    """A string field. With a ``default``, missing and null mean the default.

    Raises:
        Fault: missing, or no string.
    """
    value = row.get(key)
    if isinstance(value, str):
        return value
    if value is None and default is not None:
        return default
    if key not in row:
        raise Fault(at, f"lacks {key}")
    raise Fault(f"{at}/{key}", f"must be a string, not {json_type(value)}")


def filled(row: Row, key: str) -> str:
    """A string field that says something.

    Raises:
        Fault: missing, no string, or empty.
    """
    if not (value := text(row, key)):
        raise Fault(f"/{key}", "is empty")
    return value


def items(row: Row, key: str, *, at: str = "") -> list[Any]:
    """An array field with something in it.

    Raises:
        Fault: missing, no array, or empty.
    """
    value = row.get(key)
    if key not in row:
        raise Fault(at, f"lacks {key}")
    if not isinstance(value, list):
        raise Fault(f"{at}/{key}", f"must be an array, not {json_type(value)}")
    if not value:
        raise Fault(f"{at}/{key}", "is empty")
    return value


def ident(row: Row) -> str:
    """The row's own ``id``; whole numbers are written out, anything else counts as none."""
    value = row.get("id")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def task(row: Row) -> str:
    """The row's own ``task``, where it is text."""
    value = row.get("task")
    return value if isinstance(value, str) else ""
