"""Write records: each is checked, and a file is written completely or not at all."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from filial.contracts.errors import FilialError, UsageError
from filial.contracts.plugin_errors import blame_plugin, failure
from filial.contracts.records import Record, meaning
from filial.formats.base import Fault, Unfit, describe_record
from filial.formats.catalogue import AUTO, LINES, OWN, Catalogue, Spec, holds_rows, suffix
from filial.formats.jsontext import Row
from filial.formats.opening import CHUNK, compress
from filial.formats.records import encode_checked
from filial.storage import replace_file

if TYPE_CHECKING:
    from filial.contracts.kinds import Format
    from filial.plugins.manager import Manager


COLUMNS = frozenset(
    (
        "chosen", "completion", "conversation", "conversations", "history", "instances", "items", "prompt", "query",
        "question", "response", "text", *Record.__struct_fields__,
    )
)  # fmt: skip
"""Columns with a meaning for readers; an extra column with one of these names cannot be written."""
_NAMES = {
    "input": "where the instruction ends and the input begins", "train": "marks of what is trained anyway",
    "name": "names of turns", "call ids": "ids of calls",
}  # fmt: skip


def write(
    path: str | Path, records: Iterable[Record], *, format: Spec = AUTO, manager: Manager | None = None,
    note: Callable[[str], None] | None = None,
) -> int:  # fmt: skip
    """Write records and return their number. ``path`` is replaced at the end; after an error it is unchanged.

    Every record is checked as a reader would check it. A record is refused if the format has no place for a part that
    changes its meaning (`Format.holds`); other parts without a place are left out and counted.

    Args:
        path: a file, packed if it ends in ``.gz``, ``.zst``, ``.bz2`` or ``.xz``, or ``-`` for stdout. With ``.json``
            the records are one JSON array, one element per line.
        format: the name of a format that can be written, or ``{"use": NAME}`` with its options; ``auto`` is
            ``filial`` for ``.jsonl`` and stdout, and ``parquet`` for ``.parquet``.
        manager: the manager of the plugins; None: all that are installed.
        note: gets one sentence about what the format leaves out, if anything.

    Raises:
        UsageError: unknown format, a record that is invalid or that the format cannot hold (`Unfit`), or a file that
            cannot be written.
        FilialError: the disk is full, or the format's plugin fails.
    """
    form = resolve_format(path, format, manager)
    plugin = Catalogue(manager).manager.provenance(form) if form is not None else ""
    out = _CheckedRecords(records, form, plugin)
    if str(path) == "-":
        _write(sys.stdout.buffer, form, out, plugin)
        sys.stdout.buffer.flush()
    else:
        with replace_file(path) as sink, compress(sink, Path(path).suffix.lower()) as file:
            _write(file, form, out, plugin, array=suffix(path) == ".json")
    if note is not None and out.losses:
        note(f"{path}: not written: {describe_losses(out.losses)}")
    return out.count


def check_fits(form: Format, record: Record) -> None:
    """Check that a format has a place for every part of a record that changes its meaning.

    Raises:
        Unfit: it has not; names the record and the part.
    """
    held = form.held()
    if lost := [name for name in meaning(record) if name not in held]:
        raise Unfit(record, f"the format has no place for its {', '.join(lost)}; write filial or parquet")


def describe_losses(counts: Counter[str]) -> str:
    """Format losses as ``id (812), scores (640)``, the most frequent first."""
    parts = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{_NAMES.get(name, name)} ({n:,})" for name, n in parts)


def add_extra(record: Record, row: Row, reserved: Collection[str] = ()) -> Row:
    """Return a row with the record's extra columns after its own.

    Args:
        reserved: further columns that the format reads.

    Raises:
        Unfit: with an extra column of this name, the row would be read as something else.
    """
    if taken := [name for name in record.extra if name in row or name in COLUMNS or name in reserved]:
        has = (
            f"columns {','.join(taken)} have names that mean"
            if taken[1:]
            else f"column {taken[0]!r} has a name that means"
        )
        raise Unfit(record, f"its extra {has} something else in this format")
    return {**row, **record.extra}


def resolve_format(path: str | Path, format: Spec, manager: Manager | None = None) -> Format | None:
    """Find the format to write before any work is done; None: filial's own.

    Raises:
        UsageError: the file's name does not tell the format, the format can only be read, or it cannot go to stdout.
        MissingExtra: the format needs a package that is not installed.
    """
    catalogue, stdout = Catalogue(manager), str(path) == "-"
    if format == OWN or (format == AUTO and (stdout or suffix(path) in LINES)):
        return None
    form = catalogue.for_file(path) if format == AUTO else catalogue.get(format)
    if form is None:
        raise UsageError(f"{path}: name the format to write; there are {catalogue.names()}")
    if not form.writes():
        name = catalogue.manager.name_of(type(form)) or format
        raise UsageError(f"{path}: the format {name} is only read; write filial or parquet")
    if stdout and form.binary:
        raise UsageError(f"{type(form).__name__} cannot be written to stdout; give a file")
    return form


class _CheckedRecords:
    """Iterates over records to write; counts them, and checks that readers accept them and the format can hold them.

    Attributes:
        losses: what the format leaves out, with counts.
        error: the error of the iteration, if any; it is not a fault of the format.
    """

    def __init__(self, records: Iterable[Record], form: Format | None, plugin: str) -> None:
        self._records, self._form, self._plugin = records, form, plugin
        self.count = 0
        self.losses: Counter[str] = Counter()
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[tuple[Record, bytes]]:
        try:
            for record in self._records:
                try:
                    line = encode_checked(record)[0]
                except Fault as fault:
                    raise UsageError(f"{describe_record(record)}: {fault}") from None
                yield record if self._form is None else self._fit(record, self._form), line
                self.count += 1
        except BaseException as error:
            self.error = error
            raise

    def _fit(self, record: Record, form: Format) -> Record:
        """Return the record as the format gets it.

        Raises:
            Unfit: the format has no place for a part of it.
        """
        with blame_plugin(self._plugin, "the writing of records"):
            if not self.count:
                form = self._form = form.settle(record)
            if "messages" not in form.held():
                record = record.single()
            check_fits(form, record)
            self.losses.update(form.losses(record))
        return record


def _write(file: IO[bytes], form: Format | None, out: _CheckedRecords, plugin: str, *, array: bool = False) -> None:
    """Write all records in one format; an error in it is attributed to its plugin."""
    try:
        if form is None:
            _write_objects(file, (line for _, line in out), array)
        elif holds_rows(form):
            _write_objects(file, map(msgspec.json.encode, form.to_rows(record for record, _ in out)), array)
        else:
            form.write((record for record, _ in out), file)
    except (FilialError, OSError):
        raise
    except Exception as error:
        if error is out.error:
            raise
        raise failure(f"{plugin} fails when it writes", error) from error


def _write_objects(file: IO[bytes], objects: Iterator[bytes], array: bool) -> None:
    between, after = (b",\n", b"") if array else (b"", b"\n")
    buffer = bytearray(b"[\n" if array else b"")
    for i, line in enumerate(objects):
        buffer += between if i else b""
        buffer += line
        buffer += after
        if len(buffer) >= CHUNK:
            file.write(buffer)
            buffer = bytearray()
    file.write(buffer + (b"\n]\n" if array else b""))
