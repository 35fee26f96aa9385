"""What a source was found to be, and why: for ``filial convert --explain``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from filial import Record, UsageError, formats
from filial.commands import printable
from filial.formats import Row, RowFormat

if TYPE_CHECKING:
    from filial.commands import Manager
    from filial.formats import SourceSpec

LOOKED_AT, SHOWN = 100, 20
FIELDS = frozenset(Record.__struct_fields__)
OWN_ONLY = FIELDS - {"id", "instruction", "input", "output", "system", "messages", "task"}


class _RowsAsTheyAre(RowFormat):
    """Any rows, kept as they are; only read."""

    _seen: list[Row] = PrivateAttr(default_factory=list)

    def columns(self, row: Row) -> Collection[str]:
        """Return all, so that none is kept beside."""
        return row

    def from_row(self, row: Row) -> list[Record]:
        """Keep the row; the record only stands for it."""
        self._seen.append(row)
        return [Record(instruction="a row")]


def read_rows_as_they_are(
    source: SourceSpec | str, plugins: Manager, limit: int | None, bad: list[formats.BadLine] | None = None
) -> Iterator[Row]:
    """Yield the rows of a source before any format reads them.

    Raises:
        UsageError: it cannot be read.
    """
    from filial.commands import read_source

    form = _RowsAsTheyAre()
    for _ in read_source(source, Path.cwd(), plugins, format=form, limit=limit, ids=False, bad=bad):
        if form._seen:  # a format whose files hold records gives no rows
            yield form._seen.pop()


def explain_source(source: SourceSpec, plugins: Manager) -> Iterator[str]:
    """Yield lines: what the first rows of a source are, which formats know them, and which one reads them.

    Raises:
        UsageError: it cannot be read, which is known after the other lines, or is standard input, which can be read
            once.
    """
    if source.file == "-":
        raise UsageError("--explain looks at an input and reads it again, which standard input does not allow")
    bad: list[formats.BadLine] = []
    rows = list(read_rows_as_they_are(source, plugins, LOOKED_AT, bad))
    if not rows and (form := _find_file_format(source, plugins)):
        yield f"{source}: read as {form}, whose files hold records, not rows"
        if bad:
            yield f"  no records: {_count(len(bad), 'line')}; the first: {bad[0]}"
        return
    yield f"{source}: {_count(len(rows), 'row')} looked at"
    if bad:
        yield f"  no rows: {_count(len(bad), 'line')}; the first: {bad[0]}"
    columns = Counter(name for row in rows for name in row)
    named = ", ".join(f"{printable(name)[:40]} ({n:,})" for name, n in columns.most_common(SHOWN))
    yield f"  columns: {named}{f' and {len(columns) - SHOWN:,} more' if len(columns) > SHOWN else ''}"
    for line in chain(_explain_own(rows, plugins), _explain_formats(rows, plugins)):
        yield f"  {line}"
    yield f"  {_explain_choice(source, plugins)}"


def _find_file_format(source: SourceSpec, plugins: Manager) -> str:
    """Return the format of a file that gives records; empty where the file has rows."""
    said = source.format["use"] if isinstance(source.format, dict) else source.format
    suffixes = [suffix[1:] for suffix in Path(source.file).suffixes]
    for name in (said, *reversed(suffixes)):
        if name in plugins.index["formats"] and not isinstance(plugins.build("formats", name), RowFormat):
            return str(name)
    return ""


def _explain_choice(source: SourceSpec, plugins: Manager) -> str:
    """Return the sentence of which format reads the source."""
    from filial.commands import read_source

    said: list[str] = []
    for _ in read_source(source, Path.cwd(), plugins, limit=1, ids=False, bad=[], note=said.append):
        pass
    why = (
        f", since --format names {source.format['use'] if isinstance(source.format, dict) else source.format}"
        if source.format != "auto"
        else ""
    )
    return f"{said[0] if said else f'{source}: read as filial'}{why}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _explain_own(rows: list[Row], plugins: Manager) -> Iterator[str]:
    """Yield whether the rows are filial's own."""
    plain = [row for row in rows if row.keys() <= FIELDS]
    valid, fault = _try_rows(plain, "filial", plugins)
    faults = f"; the first fault of the others: {fault}" if fault else ""
    yield f"filial: {valid:,} of {len(rows):,} rows have none but its columns and are valid{faults}"
    if marks := sorted({name for row in rows for name in row if name in OWN_ONLY}):
        yield f"filial: rows with {', '.join(marks)}, which it alone has, are its own where they are valid"


def _explain_formats(rows: list[Row], plugins: Manager) -> Iterator[str]:
    """Yield what each format makes of the rows, the one that finds most first."""
    found: list[tuple[tuple[int, int], str]] = []
    for name in plugins.index["formats"]:
        form: Any = plugins.build("formats", name)
        if not isinstance(form, RowFormat) or not (known := form.detect(rows)):
            continue
        read, fault = _try_rows(rows, name, plugins)
        keys = f" by the columns {', '.join(form.keys)}" if form.keys else ""
        faults = f", and reads {read:,}; the first fault: {fault}" if fault else ""
        text = f"{name}: knows {known:,} of {len(rows):,} rows{keys} (priority {form.priority}){faults}"
        found.append(((known, form.priority), text))
    for _, text in sorted(found, key=lambda pair: pair[0], reverse=True):
        yield text


def _try_rows(rows: list[Row], format: str, plugins: Manager) -> tuple[int, str]:
    """Return how many rows a format reads, and what is wrong with the first that it does not."""
    bad: list[formats.BadLine] = []
    try:
        for _ in formats.read_rows(rows, format=format, bad=bad, manager=plugins, name="row"):
            pass
    except UsageError as err:  # a column that needs a word from the user before this format reads anything
        return 0, str(err).partition("; ")[0]
    return len(rows) - len(bad), str(bad[0]) if bad else ""
