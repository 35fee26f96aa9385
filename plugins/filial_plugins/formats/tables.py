"""Rows of tables, whose cells are of more types than JSON has."""

from __future__ import annotations

from typing import Any

from msgspec import json

from filial.formats import Fault, Row


def to_json_row(row: Row) -> Row | Fault:
    """Return a row as JSON holds it: dates and decimals as text, bytes as Base64, numbers that are none as null.

    A cell that JSON cannot hold makes the row a fault.
    """
    try:
        value: Any = json.decode(json.encode(row))
    except (TypeError, ValueError, RecursionError) as error:
        return Fault("", f"a cell holds what JSON does not: {error}")
    return value if isinstance(value, dict) else Fault("", "no row of named columns")
