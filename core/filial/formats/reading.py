"""Records in and out: `read` any format, `write` any format that can hold the records.

Formats: ``filial`` (its own JSON lines), ``alpaca``, ``sharegpt``, ``openai``, ``seeds`` (self-instruct),
``pairs`` (prompt/completion and its likes; only read), ``parquet``, and whatever ``datasets`` opens (``hf``;
only read).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import msgspec

from filial.contracts.errors import UsageError
from filial.contracts.paths import resolve
from filial.contracts.records import Record
from filial.formats import alpaca, hub, openai_chat, pairs, parquet, seeds, sharegpt
from filial.formats import records as filial_jsonl
from filial.formats.base import Bad, Format, Report, identified
from filial.formats.jsontext import Fault, Row, parse_object
from filial.formats.lines import Item, elements, is_array, is_spread, lines, opened
from filial.formats.records import FIELDS, decode
from filial.formats.records import FORMAT as FILIAL

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
