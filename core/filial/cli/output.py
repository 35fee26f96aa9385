"""Where a command's rows go: records to OUT in its format, drops to a file beside it; both are whole or not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filial import formats
from filial.errors import UsageError
from filial.formats.writing import checked_format
from filial.records import Record
from filial.stages.commit import Lines
from filial.stages.stage import DropRow
from filial.store import write_errors

SUFFIXES = (".gz", ".zst", ".jsonl", ".ndjson", ".json", ".parquet")


def drops_beside(out: str) -> Path | None:
    """``data.jsonl.gz`` gives ``data.drops.jsonl``; nothing lies beside standard output or a device."""
    path = Path(out)
    if out == "-" or (path.exists() and not path.is_file()):
        return None
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return path.with_name(f"{name}.drops.jsonl")


class Output:
    """The writer of one command. Records are held until all are there, since a format writes them as a whole."""

    def __init__(self, out: str, drops: Path | None) -> None:
        self.out, self.drops = out, drops
        self._records: list[Record] = []
        self._lines = Lines(drops) if drops else None

    def keep(self, record: Record) -> None:
        self._records.append(record)

    def drop(self, row: DropRow) -> None:
        if self._lines:
            self._lines.write(row.encoded())

    def finish(self, format: str) -> None:
        """Put both files in their places. Without drops, those of an earlier command are removed."""
        formats.write(self.out, self._records, format=format)
        if self._lines and self.drops and self._lines.rows:
            self._lines.commit()
        elif self._lines and self.drops:
            self._lines.discard()
            self.drops.unlink(missing_ok=True)

    def discard(self) -> None:
        if self._lines:
            self._lines.discard()


@contextmanager
def writing(out: str, format: str, drops: str | None) -> Iterator[Output]:
    """An `Output` that is finished when the block ends well; otherwise nothing changes.

    What can be known to fail is found before the block: the format, the folder.

    Raises:
        UsageError: the format cannot be written, or the folder cannot.
        FilialError: the disk is full.
    """
    try:
        checked_format(out, format)
    except UsageError as err:
        raise UsageError(f"{err} (--to NAME)") from err
    beside = Path(drops) if drops else drops_beside(out)
    if beside is not None and out != "-" and beside.resolve() == Path(out).resolve():
        raise UsageError(f"--drops {drops}: that is OUT itself; give drops a file of their own")
    if out != "-" and Path(out).is_dir():
        raise UsageError(f"{out}: is a folder; give a file in it")
    with write_errors(Path(out)):
        for path in (Path(out), beside):
            if path is not None and str(path) != "-":
                path.parent.mkdir(parents=True, exist_ok=True)
        output = Output(out, beside)
        try:
            yield output
            output.finish(format)
        except BaseException:
            output.discard()
            raise
