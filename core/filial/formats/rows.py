"""Formats of rows: JSON objects, one per line or in one array, or the rows of any table."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import IO, Any, ClassVar, cast

import msgspec
from msgspec.structs import force_setattr

from filial.contracts.errors import UsageError
from filial.contracts.kinds import Format, Item
from filial.contracts.records import Record
from filial.formats.base import Fault
from filial.formats.columns import EMPTY, list_unread
from filial.formats.jsontext import Row, parse_object
from filial.formats.records import decode_checked
from filial.formats.streams import items


class RowFormat(Format):
    """A format whose records are rows.

    Attributes:
        keys: the columns that each of its rows has, by which it is recognized.
        optional: other columns that it reads.
        priority: of the formats that recognize at least half as many rows as the best, the highest wins. If two are
            equal, the user must name one.
    """

    keys: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[tuple[str, ...]] = ()
    priority: ClassVar[int] = 0

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many of these rows, the first of a file, are of this format, judged by their keys."""
        return sum(bool(self.keys) and all(key in row for key in self.keys) for row in sample)

    def columns(self, row: Row) -> Collection[str]:
        """Return the columns that `from_row` reads of this row. All others go into ``extra`` of its records."""
        return self.keys + self.optional

    def propose(self, sample: Sequence[Row]) -> dict[str, str]:
        """Propose a mapping, field -> column, for rows that no format recognizes. It is shown in the error message."""
        return {}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if type(cls.priority) is not int:
            raise TypeError(f"{cls.__name__}.priority is {cls.priority!r}, not a whole number")

    @abstractmethod
    def from_row(self, row: Row) -> list[Record]:
        """Return the records in a row, usually one; a row without any is a bad line.

        The caller leaves out empty cells of a table, and keeps the columns that are not read (`columns`) in ``extra``;
        entries of the record's own ``extra`` take precedence. A KeyError or ValueError here, and a record with a field
        of the wrong type, are faults of the row.

        Raises:
            Fault: the row is bad; names the place and what is wrong.
        """

    def records_in(self, row: Row, others: Sequence[str] | None = None) -> list[Record]:
        """Return the records in a row, each valid, with the other columns in ``extra``. Readers call this method.

        ``others`` are the columns that `columns` does not name, if they are known.

        Raises:
            Fault: the row is bad.
            TypeError: the format returns something else.
        """
        try:
            found = self.from_row(row.copy())
            others = list_unread(tuple(row), frozenset(self.columns(row)))[0] if others is None else others
        except Fault:
            raise
        except KeyError as error:
            if error.args and error.args[0] in row:
                raise
            raise Fault("", f"the format looks for {error} and does not find it") from None
        except ValueError as error:  # an empty record's, or that of a conversion
            raise Fault("", str(error)) from None
        if not isinstance(found, list):
            one = "; put it in a list, as [Record(…)]" if isinstance(found, Record | dict) else ""
            raise TypeError(f"from_row gave {found!r:.60}, not a list of records{one}")
        extra = {}
        for name in others:
            if (value := row[name]) not in EMPTY:
                extra[name] = value if type(value) is str and value.isascii() else _to_json_value(name, value)
        records = []
        for record in found:
            if type(record) is not Record:
                raise TypeError(f"from_row gave {found!r:.60}, not a list of records")
            try:
                checked = decode_checked(record)
            except Fault as fault:
                raise _name_column(fault, record, row) from None
            if extra:
                force_setattr(checked, "extra", {**extra, **checked.extra})
            records.append(checked)
        if not records:
            raise Fault("", "the format finds no record in it")
        return records

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield the rows of records; JSON must be able to represent them.
        Raises:
            Unfit: the format cannot hold a record.
        """
        raise UsageError("this format is only read")

    def writes(self) -> bool:
        return type(self).to_rows is not RowFormat.to_rows

    def read(self, stream: IO[bytes]) -> Iterator[Item]:
        faults: list[Fault] = []
        buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream))
        for _, raw in items(buffered, "stream", lambda _, fault, raw: faults.append(fault)):
            yield from faults
            faults.clear()
            try:
                yield from self.records_in(parse_object(raw))
            except Fault as fault:
                yield fault
        yield from faults

    def write(self, records: Iterable[Record], stream: IO[bytes]) -> None:
        for row in self.to_rows(records):
            stream.write(msgspec.json.encode(row) + b"\n")


def _name_column(fault: Fault, record: Record, row: Row) -> Fault:
    """Return the fault of a field with the name of the column that its value comes from, if there is exactly one."""
    _, name, *inner = [*fault.pointer.split("/"), ""]
    columns = [column for column, value in row.items() if value is getattr(record, name, row)]
    return Fault("/".join(["", columns[0], *inner[:-1]]), fault.message) if len(columns) == 1 else fault


def _to_json_value(column: str, value: Any) -> Any:
    """Return a cell as a JSON value: a date as text, NaN as null, bytes as base64.

    Raises:
        Fault: JSON cannot represent it.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise Fault(f"/{column}", f"cannot be kept, as JSON cannot represent it: {error}; ignore the column") from None
