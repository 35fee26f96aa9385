"""Rows with any columns, for what makes records of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from msgspec import convert, json

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row, RowFormat

TAG = "columns"


class Columns(RowFormat):
    """Rows with any columns, all of which are kept in ``extra``; for the generator `from-fields`.

    Never found by content: name it, or let the generator that reads it do so. Such a record is tagged ``columns`` and
    stands for its row, with the columns as its instruction; it is no example to train on. A row that filial wrote
    (with an ``origin``) is the record that it was. Only read.
    """

    def detect(self, sample: Sequence[Row]) -> int:
        """Return 0: any row would do."""
        return 0

    def columns(self, row: Row) -> Collection[str]:
        """Return every column."""
        return row.keys()

    def from_row(self, row: Row) -> list[Record]:
        """Return one record with the row in ``extra``.

        Raises:
            Fault: it has no column with something in it, or one that JSON cannot hold.
        """
        try:
            cells: dict[str, Any] = json.decode(json.encode(row))
        except (TypeError, ValueError, RecursionError) as error:
            raise Fault("", f"a cell holds what JSON cannot: {error}") from None
        if isinstance(cells.get("origin"), dict) and cells.keys() <= set(Record.__struct_fields__):
            return [convert(cells, Record)]
        said = "\n".join(f"{name}: {value}" for name, value in cells.items() if value not in (None, ""))
        if not said:
            raise Fault("", "no column has something in it")
        return [Record(instruction=said, extra=cells, tags=(TAG,))]


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("columns", Columns)
