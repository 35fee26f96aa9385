"""Records in: `read` any format that is installed.

filial's own JSON lines are read here; every other format is a plugin (kind ``formats``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filial.contracts.errors import UsageError
from filial.contracts.paths import resolve
from filial.contracts.plugin_errors import blamed
from filial.contracts.records import Record
from filial.formats import records as own
from filial.formats.base import Bad, Report, checked, identified
from filial.formats.catalogue import AUTO, LINES, OURS, OWN, TEXT, Catalogue, Spec, holds_rows, suffix
from filial.formats.jsontext import BROKEN, Fault, Row, parse_object
from filial.formats.streams import CHUNK, Item, items, opened

if TYPE_CHECKING:
    from filial.contracts.kinds import Format
    from filial.contracts.kinds import Item as Found
    from filial.formats.rows import RowFormat
    from filial.plugins.manager import Manager

LOOKED_AT = 100
"""Rows by which the format of data is found: so many at most, and no more than `CHUNK` bytes."""
FOLDERS = "hf"
"""The format that loads folders."""


def read(
    source: str | Path,
    *,
    format: Spec = AUTO,
    split: str = "train",
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
            ``.gz`` or ``.zst``), ``-`` for stdin, ``pkg:…``, a name such as ``hf:NAME`` that begins with that of a
            format, or a folder that ``datasets`` can load.
        format: the name of a format, or ``{"use": NAME}`` with its options; ``auto`` goes by the suffix and the first
            rows.
        split: which split of a data set.
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
    report = Report("<stdin>" if name == "-" else name, bad, strict)
    records = _Reading(Catalogue(manager), format, split, report).records(name)
    return islice(identified(records) if ids else records, limit)


class _Reading:
    """One source being read.

    Two formats may be at work: that of the file (none for JSON text), and that of its rows.
    """

    def __init__(self, catalogue: Catalogue, format: Spec, split: str, report: Report) -> None:
        self._catalogue, self._split, self._report = catalogue, split, report
        form = None if format in (AUTO, OWN) else catalogue.named(format)
        self._rows: RowFormat | None = form if form is not None and holds_rows(form) else None
        self._file = form if self._rows is None else None
        self._auto = format == AUTO or self._file is not None

    def records(self, name: str) -> Iterator[Record]:
        """The records as they come, by what kind of source it is."""
        if loader := self._loader(name):
            return self._found(loader.load(name, self._split), loader)
        path = resolve(name) if name.startswith("pkg:") else Path(name)
        if name != "-" and not path.exists():
            hub = f"; for a data set of the hub write hf:{name}" if name.count("/") == 1 and not path.suffix else ""
            raise UsageError(f"{name}: no such file{hub}")
        if path.is_dir():
            loader = self._catalogue.named(FOLDERS)
            return self._found(loader.load(str(path), self._split), loader)
        self._name_tells(name, path)
        return self._from_text(path) if self._file is None else self._from_file(path, self._file)

    def _loader(self, name: str) -> Format | None:
        """The format that loads a source which is no file."""
        form, scheme = self._file, name.partition(":")[0]
        if form is not None and form.loads() and not Path(name).is_file():
            return form
        if scheme == name or scheme == "pkg" or Path(name).exists():
            return None
        return self._catalogue.called(scheme)

    def _name_tells(self, name: str, path: Path) -> None:
        """See that the format of a file is named, or told by its name."""
        ending = suffix(path)
        if name == "-" or ending in TEXT or self._file is not None:
            return
        if form := self._catalogue.of_file(path):
            if not holds_rows(form):
                self._file = form
            elif self._auto:
                self._rows, self._auto = form, False
        elif self._auto:
            raise UsageError(
                f"{name}: the format is not clear from the name; it should end in {', '.join(TEXT)} or the name of a "
                f"format, with .gz or .zst behind it where packed; or name one of the formats "
                f"{', '.join(self._catalogue.names())}"
            )

    def _from_text(self, path: Path) -> Iterator[Record]:
        """JSON objects, one per line or in an array."""
        with opened(path) as stream:
            source = items(stream, self._report.file, self._report, by_line=suffix(path) in LINES)
            form = self._rows
            if self._auto:
                seen = list(_beginning(source))
                form, source = self._format_of(seen), chain(seen, source)
            if form is None:
                yield from self._own_lines(source)
                return
            with blamed(self._catalogue.manager.provenance(form), "read"):
                yield from self._parsed(source, form)

    def _format_of(self, seen: list[Item]) -> RowFormat | None:
        """The format of the first objects among lines; None where it is filial's own, or nothing tells."""
        fits = [_attempt(own.decode_fast, raw) is not None for _, raw in seen]
        if all(fits):
            return None
        parsed = [(number, _attempt(parse_object, raw), fit) for (number, raw), fit in zip(seen, fits, strict=True)]
        rows = [one for one in parsed if one[1]]
        if not rows:
            return None
        place = f"{self._report.file}:{rows[0][0]}"
        told = [(row, fit or _is_marked(row)) for _, row, fit in rows]
        return self._catalogue.of_rows([row for row, _ in told], [fit for _, fit in told], place)

    def _own_lines(self, source: Iterator[Item]) -> Iterator[Record]:
        for number, raw in source:
            try:
                record = own.decode(raw)
            except Fault as fault:
                self._report(number, fault, raw)
            else:
                yield record

    def _parsed(self, source: Iterator[Item], form: RowFormat) -> Iterator[Record]:
        from filial.formats.rows import records_of

        for number, raw in source:
            try:
                records = records_of(form, parse_object(raw))
            except Fault as fault:
                self._report(number, fault, raw)
            else:
                yield from records

    def _from_file(self, path: Path, form: Format) -> Iterator[Record]:
        """A file that a format of its own reads."""
        with opened(path) as stream:
            yield from self._found(form.read(stream), form)

    def _found(self, source: Iterator[Found], form: Format) -> Iterator[Record]:
        """The records among what a format finds in its file; rows are read by the format they are in."""
        with blamed(self._catalogue.manager.provenance(form), "read"):
            try:
                yield from self._laid_out(map(_present, source))
            except UsageError as err:
                if type(err) is not UsageError or str(err).startswith(f"{self._report.file}:"):
                    raise
                raise UsageError(f"{self._report.file}: {err}") from err

    def _laid_out(self, source: Iterator[Found]) -> Iterator[Record]:
        rows, seen = self._rows, []
        if self._auto:
            seen = list(islice(source, LOOKED_AT))
            told = [item for item in seen if isinstance(item, dict)]
            fits = [(row.keys() <= own.FIELDS and bool(_attempt(own.from_row, row))) or _is_marked(row) for row in told]
            rows = self._catalogue.of_rows(told, fits, self._report.file)
        for number, item in enumerate(chain(seen, source), 1):
            try:
                records = self._records_in(item, rows)
            except Fault as fault:
                self._report(number, fault, str(item))
            else:
                yield from records

    def _records_in(self, item: Found, form: RowFormat | None) -> Iterable[Record]:
        from filial.formats.rows import records_of

        if isinstance(item, dict):
            return own.from_row(item) if form is None else records_of(form, item)
        if isinstance(item, Record):
            return (checked(item)[1],)
        if isinstance(item, Fault):
            raise item
        raise TypeError(f"read gave {item!r:.60}, not a record, a row or a Fault")


def _beginning(source: Iterator[Item]) -> Iterator[Item]:
    """The first items, by which a format is found."""
    size = 0
    for item in islice(source, LOOKED_AT):
        yield item
        size += len(item[1])
        if size > CHUNK:
            return


def _attempt(parse: Callable[[Any], Any], text: bytes | Row) -> Any:
    """What a parser makes of a text or row; None where it finds a fault."""
    try:
        return parse(text)
    except (Fault, *BROKEN):
        return None


def _is_marked(row: Row) -> bool:
    """Whether a row has a field that only filial writes, and is valid with its other columns in ``extra``."""
    return any(name in row for name in OURS) and _attempt(own.from_row, row) is not None


def _present(item: Any) -> Any:
    """A table's row without its empty cells: tables have every column in every row."""
    return {key: value for key, value in item.items() if value is not None} if isinstance(item, dict) else item
