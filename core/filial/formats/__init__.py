"""Records in and out: `read` any format, `write` any format that can hold the records.

Formats: ``filial`` (its own JSON lines), ``alpaca``, ``sharegpt``, ``openai``, ``seeds`` (self-instruct),
``pairs`` (prompt/completion and its likes; only read), ``parquet``, and whatever ``datasets`` opens (``hf``;
only read).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from filial.errors import UsageError
from filial.formats import hub, parquet
from filial.formats.base import Bad, BadLine, Format, Report, Unfit
from filial.formats.detect import FORMATS, by_content, by_keys, named, unrecognised
from filial.formats.filial_jsonl import FORMAT as FILIAL
from filial.formats.ids import identified
from filial.formats.lines import Item, elements, is_array, is_spread, lines, opened
from filial.formats.writing import write
from filial.jsontext import Fault, Row, parse_object
from filial.record_schema import decode
from filial.records import Record
from filial.resources import resolve

__all__ = ["FORMATS", "Bad", "BadLine", "Unfit", "read", "write"]

LINES = (".jsonl", ".ndjson")
_TABLES = ("parquet", "hf")


def read(
    source: str | Path,
    *,
    format: str = "auto",
    split: str = "train",
    limit: int | None = None,
    strict: bool = False,
    bad: Bad | None = None,
    ids: bool = True,
) -> Iterator[Record]:
    """Records of a source, streamed, each valid and with an id.

    Ids given are kept; a record without one gets `record_id` of its content, with the number of earlier equal
    records (that brought none either) as its ordinal. An empty file gives no records. Blank lines do not
    count.

    Args:
        source: a file (``.jsonl .json .parquet``, packed as ``.gz`` or ``.zst``), ``-`` for stdin, ``pkg:…``,
            ``hf:NAME`` or ``hf:NAME:CONFIG``, or a folder that ``datasets`` can load.
        format: one of `FORMATS`; ``auto`` goes by the suffix and the keys of the first objects.
        split: which split of a data set.
        limit: so many records at most.
        strict: a bad line is an error.
        bad: a list or a function for bad lines; without it the first one is an error.
        ids: without it records come with the ids they have, or none, and memory does not grow with their number.

    Raises:
        UsageError: at once: no such file or format. While reading: a bad line and ``strict``, or no ``bad``;
            a JSON array that is no JSON; damaged packing; objects or columns that no format knows.
        MissingExtra: the source needs a package that is not installed.
    """
    name = str(source)
    if format not in ("auto", *_TABLES):
        named(format)
    report = Report("<stdin>" if name == "-" else name, bad, strict)
    records = _opened(name, format, split, report)
    return islice(identified(records) if ids else records, limit)


def _opened(name: str, format: str, split: str, report: Report) -> Iterator[Record]:
    """The records as they come, by what kind of source it is."""
    if name.startswith(hub.PREFIX) or format == "hf":
        return _from_table(name, format, split, report)
    path = resolve(name) if name.startswith("pkg:") else Path(name)
    _check(name, path, format)
    if path.is_dir():
        return _from_table(str(path), format, split, report)
    if format == "parquet" or path.suffix == ".parquet":
        return _from_table(path, format, split, report)
    return _from_text(path, format, report)


def _check(name: str, path: Path, format: str) -> None:
    if name == "-":
        return
    if not path.exists():
        hub_hint = f"; for a data set of the hub write hf:{name}" if name.count("/") == 1 and not path.suffix else ""
        raise UsageError(f"{name}: no such file{hub_hint}")
    suffixes = [suffix for suffix in path.suffixes if suffix not in (".gz", ".zst")]
    known = (*LINES, ".json", ".parquet")
    if format == "auto" and path.is_file() and (not suffixes or suffixes[-1] not in known):
        raise UsageError(
            f"{name}: the format is not clear from the name; it should end in {', '.join(known)}, with .gz "
            f"or .zst behind it where packed; or name one of the formats {', '.join((*FORMATS, 'parquet'))}"
        )


def _from_text(path: Path, format: str, report: Report) -> Iterator[Record]:
    by_line = bool(set(path.suffixes) & set(LINES))
    with opened(path) as stream:
        array = not by_line and is_array(stream)
        if not by_line and not array and is_spread(stream):
            raise UsageError(f"{report.file}:1: one JSON object over several lines; give an array or one per line")
        source = elements(stream, report.file, report) if array else lines(stream, report)
        if format == "auto":
            form, source = by_content(source, report.file, array)
        else:
            form = named(format)
        yield from _own(source, report) if form is FILIAL else _foreign(source, form, report)


def _own(source: Iterator[Item], report: Report) -> Iterator[Record]:
    for number, raw in source:
        try:
            record = decode(raw)
        except Fault as fault:
            report(number, fault, raw)
        else:
            yield record


def _foreign(source: Iterator[Item], form: Format, report: Report) -> Iterator[Record]:
    for number, raw in source:
        try:
            records = form.from_row(parse_object(raw))
        except Fault as fault:
            report(number, fault, raw)
        else:
            yield from records


def _from_table(source: str | Path, format: str, split: str, report: Report) -> Iterator[Record]:
    columns, rows = parquet.rows(source) if isinstance(source, Path) else hub.rows(source, split)
    form = by_keys(columns) if format in ("auto", *_TABLES) else named(format)
    if form is None:
        if not columns:
            return
        raise unrecognised(str(source), columns)
    for number, row in enumerate(rows, 1):
        try:
            records = form.from_row(_present(row))
        except Fault as fault:
            report(number, fault, str(row))
        else:
            yield from records


def _present(row: Row) -> Row:
    """A table's row without its empty cells: tables have every column in every row."""
    return {key: value for key, value in row.items() if value is not None}
