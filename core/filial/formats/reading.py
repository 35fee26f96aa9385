"""Records in: `read` any format that is installed.

    a file ── opened ──▶ bytes ── items ──▶ lines or elements ── parse_object ──▶ rows ── records_in ──▶ records

A line of filial's own becomes a record at once (`decode`). The format of foreign rows is a plugin (kind ``formats``),
and so is that of a file which is no JSON text; it gives rows, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import force_setattr

from filial.contracts.errors import UsageError
from filial.contracts.paths import resolve
from filial.contracts.plugin_errors import blame_plugin
from filial.contracts.records import IdSet, Record, record_id
from filial.formats import records as own
from filial.formats.base import Bad, BadLineReport, Fault
from filial.formats.catalogue import AUTO, LINES, OURS, OWN, TEXT, Catalogue, Spec, holds_rows, suffix
from filial.formats.jsontext import Row, parse_object, unfold_turns
from filial.formats.opening import CHUNK, PACKED, open_file
from filial.formats.streams import items

if TYPE_CHECKING:
    from filial.contracts.kinds import Format, Item
    from filial.formats.rows import RowFormat
    from filial.plugins.manager import Manager

LOOKED_AT = 100
"""Rows by which the format of data is found: so many at most, and no more than `CHUNK` bytes."""
FOLDERS = "hf"
"""The format that loads folders."""
STAGE = "read"
Line = TypeVar("Line", bytes, "Item")
"""What a source holds in one place: the text of an object, or what the format of the file has made of it."""


def read(
    source: str | Path,
    *,
    format: Spec = AUTO,
    split: str | None = None,
    revision: str | None = None,
    encoding: str | None = None,
    limit: int | None = None,
    strict: bool = False,
    bad: Bad | None = None,
    ids: bool = True,
    manager: Manager | None = None,
) -> Iterator[Record]:
    """Records of a source, streamed, each valid and with an id.

    Ids given are kept; a record without one gets `record_id` of its content, with the number of earlier equal
    records (that brought none either) as its ordinal. An empty file gives no records. Blank lines do not
    count.

    Args:
        source: a file (``.jsonl .json``, or a suffix that is the name of a format, such as ``.parquet``; packed as
            ``.gz``, ``.zst``, ``.bz2`` or ``.xz``), ``-`` for stdin, ``pkg:…``, a name such as ``hf:NAME`` that
            begins with that of a format, or a folder that ``datasets`` can load.
        format: the name of a format, or ``{"use": NAME}`` with its options; ``auto`` goes by the suffix and the first
            rows.
        split: which split of a data set; without it ``train``, or the only one there is.
        revision: which revision of a data set of the hub.
        encoding: of a text file; without it what its mark says, else UTF-8.
        limit: so many records at most.
        strict: a bad line is an error.
        bad: a list or a function for bad lines; without it the first one is an error.
        ids: without it records come with the ids they have, or none, and memory does not grow with their number.
        manager: whose plugins there are; without it, all that are installed.

    Raises:
        UsageError: at once: no such file or format. While reading: a bad line and ``strict``, or no ``bad``;
            a JSON array that is no JSON; damaged data; rows that no format knows.
        MissingExtra: the source needs a package that is not installed.
    """
    name = str(source)
    report = BadLineReport("<stdin>" if name == "-" else name, bad, strict)
    records = _SourceReader(name, format, Catalogue(manager), report).records(split, revision, encoding)
    return islice(add_ids(records) if ids else records, limit)


def read_rows(
    rows: Iterable[Item], *, format: Spec = AUTO, bad: Bad | None = None, ids: bool = True,
    manager: Manager | None = None, name: str = "records",
) -> Iterator[Record]:  # fmt: skip
    """Return records and rows in memory, such as those of a table, as `read` returns those of a file.

    ``name`` is what errors call them.

    Raises:
        UsageError: no such format. While reading: a bad row and no ``bad``; rows that no format knows.
    """
    catalogue = Catalogue(manager)
    form = None if format in (AUTO, OWN) else catalogue.get(format)
    if form is not None and not holds_rows(form):
        raise UsageError(f"{format!r} is a format of files; rows have one of those of rows")
    reading = _RowReader(catalogue, BadLineReport(name, bad, strict=False), form, format == AUTO)
    return add_ids(reading.items(rows)) if ids else reading.items(rows)


class _RowReader:
    """Rows being read by the format they are in.

    ``form`` is that where it is named; None: they are filial's own, or, with ``find``, it is to be found.
    """

    def __init__(self, catalogue: Catalogue, report: BadLineReport, form: RowFormat | None, find: bool) -> None:
        self._catalogue, self._report, self._rows, self._find = catalogue, report, form, find

    def items(self, source: Iterable[Item | tuple[int, Item]]) -> Iterator[Record]:
        """The records among rows and records, which may come with their lines."""
        places = (item if isinstance(item, tuple) else (place, item) for place, item in enumerate(source, 1))
        form, numbered = self._format_of(places, _row, lambda item: own.from_row(_row(item)))
        yield from self._each(numbered, lambda item: _records_in(item, form))

    def _format_of(
        self, source: Iterator[tuple[int, Line]], parse: Callable[[Line], Row], own_record: Callable[[Line], Record]
    ) -> tuple[RowFormat | None, Iterator[tuple[int, Line]]]:
        """The format of the rows, found by the first of them where none is named (None: filial's own), and the source
        from its beginning. ``parse`` gives the row of a line, ``own_record`` its record if it is one of filial's."""
        if not self._find:
            return self._rows, source
        seen = list(_take_sample(source))
        rows = [(number, line, row) for number, line in seen if (row := _try_parse(parse, line))]
        fits = [
            (row.keys() <= own.FIELDS and _try_parse(own_record, line) is not None) or _is_marked(row)
            for _, line, row in rows
        ]
        place = f"{self._report.file}:{rows[0][0]}" if rows else ""
        return self._catalogue.for_rows([row for _, _, row in rows], fits, place), chain(seen, source)

    def _each(
        self, source: Iterator[tuple[int, Line]], records_in: Callable[[Line], Iterable[Record]]
    ) -> Iterator[Record]:
        """The records in each line; a bad one is reported."""
        for number, line in source:
            try:
                records = records_in(line)
            except Fault as fault:
                self._report(number, fault, line)
            else:
                yield from records


class _SourceReader(_RowReader):
    """One source being read.

    Two formats may be at work, each named by the caller or by the file's name: that of the file (None: it is JSON text)
    and that of its rows (None: they are filial's own, or to be found).
    """

    def __init__(self, name: str, format: Spec, catalogue: Catalogue, report: BadLineReport) -> None:
        self._name = name
        self._path = resolve(name) if name.startswith("pkg:") else Path(name)
        self._is_file = name == "-" or (self._path.exists() and not self._path.is_dir())
        named = None if format in (AUTO, OWN) else catalogue.get(format)
        by_name = None
        if self._is_file and (named is None or holds_rows(named)):
            by_name = catalogue.for_file(self._path)
        if format == AUTO and self._is_file and by_name is None and name != "-" and suffix(self._path) not in TEXT:
            raise UsageError(
                f"{name}: the format is not clear from the name; it should end in {', '.join(TEXT)} or the name of a "
                f"format, with {', '.join(PACKED)} behind it where packed; or name one of the formats "
                f"{catalogue.names()}"
            )
        forms = [form for form in (named, by_name) if form is not None]
        self._file = next((form for form in forms if not holds_rows(form)), None)
        rows = next((form for form in forms if holds_rows(form) and format != OWN), None)
        super().__init__(catalogue, report, rows, format != OWN and rows is None)

    def records(self, split: str | None, revision: str | None, encoding: str | None) -> Iterator[Record]:
        """The records as they come, by what kind of source it is.

        Raises:
            UsageError: at once: there is no such file, and no format loads it.
        """
        if self._is_file:
            return self._from_file(encoding)
        name, path, loader = self._name, self._path, self._file
        scheme, colon, _ = name.partition(":")
        if loader is None or not loader.loads():
            loader = self._catalogue.get(FOLDERS) if path.is_dir() else self._catalogue.find(colon and scheme)
        if loader is None:
            hub = f"; for a data set of the hub write hf:{name}" if name.count("/") == 1 and not path.suffix else ""
            raise UsageError(f"{name}: no such file{hub}")
        return self._found(loader.load(str(path) if path.is_dir() else name, split, revision), loader)

    def _from_file(self, encoding: str | None) -> Iterator[Record]:
        """The records of a file of its own format, or of JSON objects, one per line or in an array."""
        with open_file(self._path, encoding, binary=self._file is not None and self._file.binary) as stream:
            if self._file is not None:
                yield from self._found(self._file.read(stream), self._file)
                return
            source = items(stream, self._report.file, self._report, by_line=suffix(self._path) in LINES)
            form, source = self._format_of(source, _parse_row, own.decode)
            if form is None:
                yield from self._own_lines(source)
                return
            with blame_plugin(self._catalogue.manager.provenance(form), "read"):
                yield from self._each(source, lambda line: form.records_in(_parse_row(line)))

    def _found(self, source: Iterator[Item | tuple[int, Item]], file: Format) -> Iterator[Record]:
        """The records among what a format finds in its file; rows are read by the format they are in."""
        with blame_plugin(self._catalogue.manager.provenance(file), "read"):
            try:
                yield from self.items(source)
            except UsageError as err:
                if type(err) is not UsageError or str(err).startswith(f"{self._report.file}:"):
                    raise
                raise UsageError(f"{self._report.file}: {err}") from err

    def _own_lines(self, source: Iterator[tuple[int, bytes]]) -> Iterator[Record]:
        """As `_each` of `decode`; most of what is read comes this way, and a record by itself is quicker."""
        for number, line in source:
            try:
                record = own.decode(line)
            except Fault as fault:
                self._report(number, fault, line)
            else:
                yield record


def _records_in(item: Item, form: RowFormat | None) -> Iterable[Record]:
    """The records in what a file's format finds in one place."""
    if isinstance(item, Record):
        return (own.encode_checked(item)[1],)
    if not isinstance(item, dict | Fault):
        raise TypeError(f"read gave {item!r:.60}, not a record, a row or a Fault")
    return (own.from_row(_row(item)),) if form is None else form.records_in(_row(item))


def _row(item: Item) -> Row:
    """A table's row without its empty cells: tables have every column in every row. Empty for what is no row."""
    if isinstance(item, Fault):
        raise item
    if not isinstance(item, dict):
        return {}
    return unfold_turns({key: value for key, value in item.items() if value is not None})


def _parse_row(line: bytes) -> Row:
    """The row in a line."""
    return unfold_turns(parse_object(line))


def _take_sample(source: Iterator[tuple[int, Line]]) -> Iterator[tuple[int, Line]]:
    """The first lines, by which a format is found."""
    size = 0
    for number, line in islice(source, LOOKED_AT):
        yield number, line
        size += len(line) if isinstance(line, bytes) else 0
        if size > CHUNK:
            return


def _try_parse(parse: Callable[[Any], Any], line: Any) -> Any:
    """What a parser makes of a line; None where it finds a fault."""
    try:
        return parse(line)
    except Fault:
        return None


def _is_marked(row: Row) -> bool:
    """Whether a row has a field that only filial writes, and is valid with its other columns in ``extra``."""
    return not OURS.isdisjoint(row) and _try_parse(own.from_row, row) is not None


def add_ids(records: Iterable[Record], *, compact: bool = False) -> Iterator[Record]:
    """Records with ids: those given are kept; others are hashed from the content.

    Equal records get ordinals 0, 1, … in order, so a line inserted anywhere changes no other record's id. An
    id that an earlier record already bears is passed over. The records must be fresh: the id is set in place.
    ``compact`` takes ten bytes for each id where a set takes 130, and some more time.
    """
    borne: set[str] = set()
    again: Counter[str] = Counter()
    add: Callable[[str], bool | None] = IdSet().add if compact else borne.add
    for record in records:
        name = record.id
        if name:
            add(name)
        else:
            content = record.content()
            name = first = record_id(content, stage=STAGE)
            while name in borne or add(name) is False:  # a set's `add` says nothing
                again[first] += 1
                name = record_id(content, stage=STAGE, ordinal=again[first])
            force_setattr(record, "id", name)
        yield record
