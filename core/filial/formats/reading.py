"""Read records of any installed format.

    file ── open_file ──▶ bytes ── items ──▶ lines or elements ── parse_object ──▶ rows ── records_in ──▶ records

A line in filial's own format becomes a record at once (`decode`). The formats of all other rows are plugins (kind
``formats``), and so are those of files that are not JSON text, which give rows as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import force_setattr

from filial.contracts.errors import FilialError, UsageError, near
from filial.contracts.paths import resolve
from filial.contracts.plugin_errors import blame_plugin, failure
from filial.contracts.records import IdSet, Record, record_id
from filial.formats import records as own
from filial.formats.base import Bad, BadLineReport, Fault, try_parse
from filial.formats.catalogue import AUTO, LINES, OURS, OWN, TEXT, Catalogue, Spec, holds_rows, suffix
from filial.formats.columns import Columns, list_columns
from filial.formats.jsontext import Row, find_doubled, parse_object, unfold_turns
from filial.formats.opening import CHUNK, PACKED, open_file
from filial.formats.streams import BOM, items

if TYPE_CHECKING:
    from filial.contracts.kinds import Format, Item
    from filial.formats.rows import RowFormat
    from filial.plugins.manager import Manager

LOOKED_AT = 100
"""Maximum number of rows by which a format is found; they are `CHUNK` bytes at most."""
FOLDERS = "hf"
"""The format that loads folders."""
STAGE = "read"
Note = Callable[[str], None]
Line = TypeVar("Line", bytes, "Item")
"""One item of a source: the JSON text of an object, or what the format of the file returns."""


def read(
    source: str | Path, *, format: Spec = AUTO, columns: Mapping[str, str] | None = None,
    keep: Collection[str] | None = None, ignore: Collection[str] = (), split: str | None = None,
    revision: str | None = None, encoding: str | None = None, limit: int | None = None, strict: bool = False,
    bad: Bad | None = None, ids: bool = True, manager: Manager | None = None, note: Note | None = None, name: str = "",
) -> Iterator[Record]:  # fmt: skip
    """Yield the records of a source, each valid and with an id.

    A record keeps the id it has. A record without one gets `record_id` of its content; the number of equal records
    before it (also without id) is its ordinal. Blank lines are skipped, and an empty file gives no records. Columns
    that the format does not read go into ``extra``; a column that changes the meaning of a row (a system text, a
    history, a weight, …) and is not read must be named in ``columns``, ``keep`` or ``ignore``.

    Args:
        source: a file (``.jsonl .json``, or a suffix that is the name of a format, such as ``.parquet``; packed as
            ``.gz``, ``.zst``, ``.bz2`` or ``.xz``), ``-`` for stdin, ``pkg:…``, a name with the prefix of a format such
            as ``hf:NAME``, or a folder that ``datasets`` can load.
        format: the name of a format, or ``{"use": NAME}`` with its options; ``auto``: by suffix and first rows.
        columns: field -> column, if the columns have other names; a dot leads into an object (``answer.value``).
        keep: columns to keep in ``extra``; None: all others.
        ignore: columns to leave out.
        split: the split of a data set; None: ``train``, or the only one.
        revision: the revision of a data set on the hub.
        encoding: of a text file; None: as its byte order mark says, else UTF-8.
        limit: maximum number of records.
        strict: a bad line is an error.
        bad: a list or a function for bad lines; None: the first one is an error.
        ids: if False, records without an id get none, and memory does not grow with their number.
        manager: the manager of the plugins; None: all that are installed.
        note: gets one sentence about the columns, unless all are filial's own.
        name: the name in errors, if it is not ``source``.

    Raises:
        UsageError: at once: no such file or format. While reading: a bad line if bad lines are errors, a broken JSON
            array, damaged data, rows that no format recognizes, missing columns.
        MissingExtra: the source needs a package that is not installed.
    """
    report = BadLineReport(name or ("<stdin>" if str(source) == "-" else str(source)), bad, strict)
    reader = _SourceReader(str(source), format, Catalogue(manager), report, Columns(columns, keep, ignore), note)
    records = reader.records(split, revision, encoding)
    return islice(add_ids(records) if ids else records, limit)


def read_rows(
    rows: Iterable[Item], *, format: Spec = AUTO, columns: Mapping[str, str] | None = None,
    keep: Collection[str] | None = None, ignore: Collection[str] = (), bad: Bad | None = None, ids: bool = True,
    manager: Manager | None = None, note: Note | None = None, name: str = "records",
) -> Iterator[Record]:  # fmt: skip
    """Yield the records of rows in memory, such as those of a table, as `read` does for a file.

    ``name`` is their name in errors.

    Raises:
        UsageError: no such format. While reading: a bad row without ``bad``; rows that no format recognizes.
    """
    catalogue = Catalogue(manager)
    form = None if format in (AUTO, OWN) else catalogue.get(format)
    if form is not None and not holds_rows(form):
        raise UsageError(f"{format!r} is a format of files; name a format of rows")
    report, said = BadLineReport(name, bad, strict=False), Columns(columns, keep, ignore)
    records = _RowReader(catalogue, report, form, format == AUTO, said, note).items(rows)
    return add_ids(records) if ids else records


class _RowReader:
    """Reads rows in their format.

    ``form`` is the format if it is named; None: filial's own or, with ``find``, the one that recognizes them.
    """

    def __init__(
        self, catalogue: Catalogue, report: BadLineReport, form: RowFormat | None, find: bool, columns: Columns,
        note: Note | None,
    ) -> None:  # fmt: skip
        self._catalogue, self._report, self._rows, self._find = catalogue, report, form, find
        self._columns, self._note = columns, note
        self._plugin = self._source = OWN
        """The plugins that read the rows and the file."""
        self._rows_are_named = False
        self._hints: dict[tuple[str, ...], str] = {}
        self._plain: Sequence[Row] = ()
        self._named: Collection[str] = ()  # the columns of the first rows
        self._second: Callable[[Row], Sequence[Record]] | None = None

    def items(self, source: Iterable[Item | tuple[int, Item]]) -> Iterator[Record]:
        """Yield the records of rows and records, which may come with line numbers."""
        places = (item if isinstance(item, tuple) else (place, item) for place, item in enumerate(source, 1))
        rename = self._choose_renaming(_tidy)
        form, numbered = self._examine(places, lambda row: row if isinstance(row, dict) else {}, rename, own.from_row)
        row_records = self._choose_reader(form)

        def records_in(item: Item) -> Iterable[Record]:
            if isinstance(item, dict):
                return row_records(rename(item))
            if isinstance(item, Record):
                if self._rows_are_named:
                    why = f"its suffix names a format that gives records, so {self._report.form} has no rows to read"
                    raise UsageError(f"{self._report.file}: {why}; leave that out, or rename the file")
                return (own.decode_checked(item),)
            if isinstance(item, Fault):
                raise item
            raise TypeError(f"read gave {item!r:.60}, not a record, a row or a Fault")

        yield from self._convert_lines(numbered, records_in)

    def _choose_renaming(self, tidy: Callable[[Row], Row]) -> Callable[[Row], Row]:
        """Return a function that renames the columns of a row and then tidies it."""
        rename = self._columns.rename
        return (lambda row: tidy(rename(row))) if self._columns else tidy

    def _choose_reader(self, form: RowFormat | None) -> Callable[[Row], Sequence[Record]]:
        """Return a function that gives the records of a row, whose columns are renamed, in this format."""
        if form is None:
            return self._convert_own
        select, columns, records_in, name = self._columns.select, form.columns, form.records_in, self._report.form
        return lambda row: records_in(*select(row, columns(row), name))

    def _convert_own(self, row: Row) -> Sequence[Record]:
        row, others = self._columns.select(row, own.FIELDS, OWN)
        if others and self._columns.keep is not None:
            kept = {name: row.pop(name) for name in others}
            row = {**row, "extra": {**row.get("extra", {}), **kept}}
        return (own.from_row(row),)

    def _examine(
        self, source: Iterator[tuple[int, Line]], parse: Callable[[Line], Row], rename: Callable[[Row], Row],
        own_record: Callable[[Row], Record],
    ) -> tuple[RowFormat | None, Iterator[tuple[int, Line]]]:  # fmt: skip
        """Find the format by the first rows if none is named, and report the columns.

        ``parse`` returns the row of a line, ``own_record`` the record of a row in filial's own format.

        Returns:
            The format (None: filial's own), and the source from its beginning.

        Raises:
            UsageError: no format recognizes the rows; a column is missing, or must be mapped, kept or ignored.
        """
        seen, file, columns = list(self._take_sample(source)), self._report.file, self._columns
        numbered = [(number, row) for number, line in seen if (row := try_parse(parse, line))]
        columns.check([row for _, row in numbered], file)
        renamed = [(number, named) for number, row in numbered if (named := try_parse(rename, row)) is not None]
        places, rows = [f"{file}:{number}" for number, _ in renamed], [row for _, row in renamed]
        form = self._rows
        if self._find:
            fits = [
                bool(row.keys() <= own.FIELDS and not _holds_bare_tools(row) and try_parse(own_record, row))
                or not (OURS.isdisjoint(row) or try_parse(own.from_row, row) is None)
                for row in rows
            ]
            form = self._catalogue.for_rows(rows, fits, places[0] if places else "", columns.targets)
        if form is not None:
            self._name_form(form)
            self._plugin = self._catalogue.manager.provenance(form)
        elif rows:
            self._report.form = OWN
            self._plain = rows if self._find and all(map(OURS.isdisjoint, rows)) else ()
        self._named = {name for row in rows for name in row}
        reads = form.columns if form is not None else lambda row: own.FIELDS
        read_row = self._choose_reader(form)

        def make(place: str, row: Row) -> Sequence[Record]:
            with blame_plugin(self._plugin, f"the reading of {place}"):
                return try_parse(read_row, row) or ()

        with blame_plugin(self._plugin, f"the reading of {places[0] if places else file}"):
            sentence = columns.describe(dict(zip(places, rows, strict=True)), reads, self._report.form, make)
        if self._note is not None and sentence:
            self._note(f"{file}: {sentence}")
        return form, chain(seen, source)

    def _take_sample(self, source: Iterator[tuple[int, Line]]) -> Iterator[tuple[int, Line]]:
        """Yield the first lines, by which the format is found; a line with a doubled key is reported."""
        size = 0
        for number, line in islice(source, LOOKED_AT):
            size += len(line) if isinstance(line, bytes) else 0
            if twice := find_doubled(line) if isinstance(line, bytes) else "":
                why = f"the key {twice[:60]!r} stands twice in one object; leave one of the two out"
                self._report(number, Fault("", why), line)
                continue
            yield number, line
            if size > CHUNK:
                return

    def _name_form(self, form: Format) -> None:
        self._report.form = self._catalogue.manager.name_of(type(form)) or type(form).__name__

    def _convert_lines(
        self, source: Iterator[tuple[int, Line]], records_in: Callable[[Line], Iterable[Record]]
    ) -> Iterator[Record]:
        """Yield the records of each line; a bad line is reported."""
        for number, line in source:
            try:
                records = records_in(line)
            except Fault as fault:
                if found := self._read_otherwise(line):
                    yield from found
                else:
                    self._report(number, self._add_hint(fault, line), line)
            except FilialError:
                raise
            except Exception as error:
                plugin = self._plugin if isinstance(line, bytes | dict) else ""
                raise failure(
                    f"{plugin or self._source} fails in the reading of {self._report.file}:{number}", error
                ) from error
            else:
                yield from records
        late = [name for name in self._columns.left_out if name not in self._named]
        if late and self._note is not None:
            self._note(f"{self._report.file}: ignored as well, in later rows: {list_columns(late)}")

    def _read_otherwise(self, line: bytes | Item) -> Sequence[Record]:
        """Return the records of a line that is not filial's own, in a file whose first rows another format reads too:
        a call of a tool or a mark may come late. Empty if that format does not read it either."""
        if self._plain:
            with suppress(FilialError):  # two formats, or one that fails
                form = self._catalogue.detect(self._plain, self._report.file)
                self._second = self._choose_reader(form) if form else None
            self._plain = ()
        if self._second is None:
            return ()
        row = try_parse(parse_object, line) if isinstance(line, bytes) else line
        row = try_parse(self._columns.rename, row) if isinstance(row, dict) else None
        if row is None or any(near(key[:100], own.FIELDS) for key in row.keys() - own.FIELDS):  # a misspelled field
            return ()
        return try_parse(self._second, row) or ()

    def _add_hint(self, fault: Fault, line: bytes | Item) -> Fault:
        """Add to a fault the name of another format that reads the row, if there is one."""
        row = try_parse(parse_object, line) if isinstance(line, bytes) else line
        row = try_parse(self._columns.rename, row) if isinstance(row, dict) and self._find else None
        if row and (key := tuple(row)) not in self._hints and len(self._hints) < LOOKED_AT:
            name = self._catalogue.find_reader(row)
            self._hints[key] = "" if name == self._report.form else name
        name = self._hints.get(tuple(row or ()), "")
        return (
            Fault(fault.pointer, f"{fault.message}; {name} reads such rows, in a file of their own") if name else fault
        )


class _SourceReader(_RowReader):
    """Reads one source.

    Two formats can be involved, each given by the caller or by the file's name: that of the file (None: JSON text) and
    that of its rows (None: filial's own, or the one that recognizes them).
    """

    def __init__(
        self, name: str, format: Spec, catalogue: Catalogue, report: BadLineReport, columns: Columns, note: Note | None
    ) -> None:
        self._name = name
        self._path = resolve(name) if name.startswith("pkg:") else Path(name)
        self._is_file = name == "-" or (self._path.exists() and not self._path.is_dir())
        named = None if format in (AUTO, OWN) else catalogue.get(format)
        by_file = self._is_file and (named is None or holds_rows(named))
        by_name = catalogue.for_file(self._path) if by_file else None
        forms = [form for form in (named, by_name) if form is not None]
        self._file = next((form for form in forms if not holds_rows(form)), None)
        rows = next((form for form in forms if holds_rows(form) and format != OWN), None)
        super().__init__(catalogue, report, rows, format != OWN and rows is None, columns, note)
        self._rows_are_named = self._file is not None and rows is not None and isinstance(format, str | Mapping)

    def records(self, split: str | None, revision: str | None, encoding: str | None) -> Iterator[Record]:
        """Return the records of the source, whatever kind it is.

        Raises:
            UsageError: at once: there is no such file, and no format loads it; or a setting does not apply to this kind
                of source.
        """
        name, path, loader, called = self._name, self._path, self._file, self._report.file
        binary = not self._is_file or (loader is not None and loader.binary)
        if self._is_file and (split or revision):
            raise UsageError(f"{called}: a file has no {'split' if split else 'revision'}; leave that out")
        if encoding and binary:
            raise UsageError(f"{called}: only text files have an encoding; leave that out")
        if self._is_file:
            if self._find and loader is None and name != "-" and suffix(path) not in TEXT:
                self._look_for_json(encoding)
            return self._read_file(encoding)
        scheme, colon, _ = name.partition(":")
        if loader is None or not loader.loads():
            loader = self._catalogue.get(FOLDERS) if path.is_dir() else self._catalogue.find(colon and scheme)
        if loader is None:
            hub = f"; for a data set of the hub write hf:{called}" if called.count("/") == 1 and not path.suffix else ""
            raise UsageError(f"{called}: no such file{hub}")
        return self._convert_items(loader.load(str(path) if path.is_dir() else name, split, revision), loader)

    def _look_for_json(self, encoding: str | None) -> None:
        """Check that a file begins as JSON if its name does not tell the format.

        Raises:
            UsageError: it does not.
        """
        with open_file(self._path, encoding) as stream:
            begin = stream.peek(CHUNK).removeprefix(BOM).lstrip()[:1] if self._path.is_file() else b""
        if begin not in (b"{", b"["):
            raise UsageError(
                f"{self._report.file}: the format is not clear from the name, nor from how it begins; it should end in "
                f"{', '.join(TEXT)} or the name of a format, with {', '.join(PACKED)} behind it where packed; or name "
                f"one of the formats {self._catalogue.names()}"
            )

    def _read_file(self, encoding: str | None) -> Iterator[Record]:
        """Yield the records of a file in its own format, or of JSON objects, one per line or in an array."""
        binary = self._file is not None and self._file.binary
        with open_file(self._path, encoding, binary=binary) as stream:
            self._report.encoding = "" if binary else str(encoding or getattr(stream.raw, "encoding", "UTF-8"))
            if self._file is not None:
                yield from self._convert_items(self._file.read(stream), self._file)
                return
            source = items(stream, self._report.file, self._report, by_line=suffix(self._path) in LINES)
            rename = self._choose_renaming(unfold_turns)
            form, source = self._examine(source, parse_object, rename, own.convert)
            if form is None and not self._columns:
                yield from self._convert_lines(source, lambda line: (own.decode(line),))
                return
            row_records = self._choose_reader(form)
            with blame_plugin(self._plugin, f"the reading of {self._report.file}"):
                yield from self._convert_lines(source, lambda line: row_records(rename(parse_object(line))))

    def _convert_items(self, source: Iterator[Item | tuple[int, Item]], file: Format) -> Iterator[Record]:
        """Yield the records of what a format of files returns; its rows are read in their own format."""
        self._source = self._catalogue.manager.provenance(file)
        self._name_form(file)
        with blame_plugin(self._source, f"the reading of {self._report.file}"):
            try:
                yield from self.items(source)
            except UsageError as err:
                if type(err) is not UsageError or str(err).startswith(f"{self._report.file}:"):
                    raise
                raise UsageError(f"{self._report.file}: {err}") from err


def _tidy(row: Row) -> Row:
    """Return a row of a table without its empty cells, because a table has every column in every row."""
    for value in row.values():
        if value is None or type(value) is dict:
            return unfold_turns({name: value for name, value in row.items() if value is not None})
    return row


def add_ids(records: Iterable[Record], *, compact: bool = False) -> Iterator[Record]:
    """Yield the records with ids: given ids are kept, others are a hash of the content.

    Equal records get the ordinals 0, 1, …, so that a line inserted anywhere changes no other record's id. An id that
    an earlier record has is skipped. The records must be new objects, because the id is set in place. ``compact`` needs
    ten bytes per id instead of 130, and more time.
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


def _holds_bare_tools(row: Row) -> bool:
    """Return whether a definition of a tool lacks the wrapping that records have (``type`` and ``function``)."""
    tools = row.get("tools")
    return isinstance(tools, list) and any(isinstance(tool, dict) and "function" not in tool for tool in tools)
