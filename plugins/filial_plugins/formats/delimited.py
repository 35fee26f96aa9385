"""Tables in text: CSV."""

from __future__ import annotations

import csv
import io
import re
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from tempfile import SpooledTemporaryFile
from typing import IO, Any, ClassVar, cast

from msgspec import DecodeError, json, to_builtins

from filial import Field, Format, Record, UsageError, hookimpl
from filial.formats import Fault, Row
from filial_plugins.formats.dialect import DELIMITERS, find_dialect, read_cells
from filial_plugins.formats.fields import EVERYTHING

LOOKED_AT, LOOKED_AT_SIZE = 1000, 1 << 18
LONGEST_LINE = 64 << 20
MEMORY = 1 << 20
EXTRA = "extra."
TEXT = ("instruction", "input", "output")
FIELDS = ("id", *TEXT, *(name for name in Record.__struct_fields__ if name not in ("id", *TEXT)))
# Cells of these columns may hold arrays and objects, as JSON or as Python writes them.
NESTED = frozenset(
    ("messages", "conversations", "conversation", "history", "items", "instances", "tools", "functions", "scores",
     "tags", "constraints", "extra", "origin")
)  # fmt: skip
TURNS = frozenset(("prompt", "completion", "chosen", "rejected"))
BOOLEANS = {"true": True, "false": False}


class Csv(Format):
    """Tables in text, with the names of the columns in the first row; the format of the rows is found by these names.

    The delimiter (comma, tab, semicolon, bar) and the quotes are detected from the content, or from Excel's line
    ``sep=;``. Conversations and other nested columns may contain JSON.

    Written are the fields of the records that hold something, as RFC 4180 says; nested ones are JSON, texts in
    ``extra`` are columns ``extra.NAME``. So filial reads back what it wrote.
    """

    delimiter: str = Field("", max_length=1, description="What stands between two cells; found if it is not given.")
    header: bool = Field(
        True, description="The first row names the columns; otherwise they are called `column 1`, `column 2`, …"
    )

    likely: ClassVar[tuple[str, ...]] = DELIMITERS
    holds: ClassVar = EVERYTHING

    def read(self, stream: IO[bytes]) -> Iterator[tuple[int, Row | Fault]]:
        """Yield the rows, each with its line.

        Raises:
            UsageError: two columns are of one name.
        """
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
        text = io.TextIOWrapper(cast(Any, stream), "utf-8-sig", errors="surrogateescape", newline="")
        try:
            yield from self._read_lines(iter(partial(text.readline, LONGEST_LINE), ""))
        finally:
            if not stream.closed:
                text.detach()  # else the stream would be closed with it

    def _read_lines(self, lines: Iterator[str]) -> Iterator[tuple[int, Row | Fault]]:
        seen = list(_take_sample(lines))
        skipped, delimiters = 0, (self.delimiter,) if self.delimiter else self.likely
        if seen and (said := re.fullmatch(r"sep=(.)\r?\n?", seen[0])):
            skipped, delimiters = 1, (said[1],)
        rest = next(lines, "")
        dialect = find_dialect(seen[skipped:], delimiters, whole=not rest)
        rows = read_cells(chain(seen[skipped:], [rest] if rest else [], lines), dialect)
        first = next(rows, None)
        if first is None:
            return
        line, cells = first
        if isinstance(cells, csv.Error):
            raise UsageError(f"the names of the columns cannot be read: {cells}")
        names = _name_columns(cells if self.header else [""] * len(cells))
        make = _RowMaker(names)
        for line, cells in rows if self.header else chain([first], rows):
            if isinstance(cells, csv.Error) or any(cells):  # a row of empty cells is a blank line of a spreadsheet
                yield line + skipped, make(cells)

    def write(self, records: Iterable[Record], stream: IO[bytes]) -> None:
        """Write the fields that hold something in any record."""
        used: dict[str, None] = {}
        text = io.TextIOWrapper(cast(Any, stream), "utf-8", newline="", write_through=True)
        with SpooledTemporaryFile(MEMORY) as spool:  # which columns there are is known at the end
            for record in records:
                row = _to_cells(record)
                used |= dict.fromkeys(row)
                spool.write(json.encode(row) + b"\n")
            single = not used or not used.keys().isdisjoint(TEXT)
            names = [name for name in FIELDS if name in used or (single and name in TEXT)]
            names += [name for name in used if name not in FIELDS]
            writer = csv.writer(text, delimiter=self.delimiter or self.likely[0], lineterminator="\r\n")
            writer.writerow(names)
            spool.seek(0)
            for row in map(json.decode, spool):
                writer.writerow([row.get(name, "") for name in names])
        text.detach()


class _RowMaker:
    """Makes rows of cells, under the names of their columns."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._nested = [name for name in names if name in NESTED or name in TURNS]
        self._extra = [name for name in names if name.startswith(EXTRA)]
        self._label = "label" in names

    def __call__(self, cells: list[str] | csv.Error) -> Row | Fault:
        names = self._names
        if isinstance(cells, csv.Error):
            return Fault("", f"the quotes are not in order: {cells}")
        if len(cells) != len(names):
            if len(cells) < len(names) or any(cells[len(names) :]):
                what = f"has {len(cells)} cells, and there are {len(names)} columns"
                return Fault("", what, repr(cells)[1:-1])
            del cells[len(names) :]
        row: Row = dict(zip(names, cells))  # noqa: B905  # they are as many
        if not "".join(cells).isascii() and (fault := _find_invalid(row)):
            return fault
        for name in self._nested:
            row[name] = _parse_nested(name, row[name])
        if self._label:
            row["label"] = BOOLEANS.get(row["label"].lower(), row["label"])
        if self._extra:
            _gather_extra(row, self._extra)
        return row


def _take_sample(lines: Iterator[str]) -> Iterator[str]:
    size = 0
    for line in islice(lines, LOOKED_AT):
        yield line
        size += len(line)
        if size > LOOKED_AT_SIZE:
            return


def _name_columns(names: list[str]) -> list[str]:
    """The names of the columns; one without a name, such as the index of a data frame, is called after its place.

    Raises:
        UsageError: two are of one name, or they are in another encoding.
    """
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        cure = "name the encoding of the file, such as gb18030, cp1252 or shift_jis"
        raise UsageError(f"the names of its columns are not text in UTF-8; {cure} (encoding; --encoding)") from None
    named = [name.strip() or f"column {place}" for place, name in enumerate(names, 1)]
    if twice := [name for place, name in enumerate(named) if name in named[:place]]:
        raise UsageError(f"two columns are called {twice[0][:40]!r}; rename one of them")
    return named


def _find_invalid(row: Row) -> Fault | None:
    """A fault if a cell holds bytes that are no text."""
    for name, cell in row.items():
        try:
            cell.encode()
        except UnicodeEncodeError as error:
            what = (
                f"byte 0x{ord(cell[error.start]) & 0xFF:02x} at character {error.start + 1} is not text in the file's"
            )
            return Fault(
                f"/{name}", f"{what} encoding (UTF-8 unless its mark says another): name the encoding",
                ",".join(row.values()).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
            )  # fmt: skip
    return None


def _parse_nested(name: str, cell: str) -> Any:
    """The array or object in a cell; a cell that holds none as it is."""
    if not cell or cell[0] not in "[{" or cell[-1] not in "]}":
        return cell
    try:
        value = json.decode(cell)
    except DecodeError:
        try:
            value = literal_eval(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return cell
    if name in TURNS and not (value and isinstance(value, list) and all(isinstance(turn, dict) for turn in value)):
        return cell
    return value


def _gather_extra(row: Row, columns: list[str]) -> None:
    """Put the columns ``extra.NAME`` into ``extra``; those of a row that hold nothing are not there."""
    found = {name.removeprefix(EXTRA): cell for name in columns if (cell := row.pop(name))}
    others = row.get("extra") or {}
    if found and isinstance(others, dict):
        row["extra"] = {**found, **others}
    elif found:
        row.update({EXTRA + name: cell for name, cell in found.items()})


def _to_cells(record: Record) -> dict[str, str]:
    """The fields of a record that hold something."""
    row: dict[str, str] = {}
    for name, value in to_builtins(record).items():
        if name == "extra":
            texts = {key: cell for key, cell in value.items() if isinstance(cell, str) and cell and key.strip() == key}
            row |= {f"{EXTRA}{key}": cell for key, cell in texts.items()}
            value = {key: cell for key, cell in value.items() if key not in texts}
        if value != {}:
            row[name] = value if isinstance(value, str) else json.encode(value).decode()
    return row


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("csv", Csv)
