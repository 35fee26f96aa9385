"""Rows on disk while a command works: as many as there are, in the memory of some."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from filial import Record
from filial.storage import write_errors

if TYPE_CHECKING:
    from filial.commands import DropRow

CHUNK = 1 << 18
"""Bytes written or read at a time."""
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Record).decode


class LineSpool:
    """Lines in a file without a name, which the system removes when it is closed, however the process ends.

    It lies in ``folder``, or where temporary files do. ``len()`` is the number of lines.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._place = folder or Path(tempfile.gettempdir())
        with write_errors(self._place):
            self._file = tempfile.TemporaryFile(buffering=0, dir=self._place)  # noqa: SIM115 - closed by `close`
        self._waiting, self._count = bytearray(), 0

    def write(self, line: bytes) -> None:
        """Add a line, given without its newline."""
        self._waiting += line
        self._waiting += b"\n"
        self._count += 1
        if len(self._waiting) >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        with write_errors(self._place):
            while self._waiting:
                del self._waiting[: os.write(self._file.fileno(), self._waiting)]

    def lines(self) -> Iterator[bytes]:
        """Yield the lines, without their newlines; several iterators may be at work."""
        self._flush()
        at, begun = 0, list[bytes]()  # the chunks of a line are joined once, at its end
        while chunk := os.pread(self._file.fileno(), CHUNK, at):
            at += len(chunk)
            first, *others = chunk.split(b"\n")
            begun.append(first)
            if others:
                yield b"".join(begun)
                yield from others[:-1]
                begun = others[-1:]

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


class RecordSpool(LineSpool):
    """Records, written one by one and decoded as they are read: what a stage takes for its `Records`."""

    def append(self, record: Record) -> None:
        """Add a record."""
        self.write(_encode(record))

    def __iter__(self) -> Iterator[Record]:
        return map(_decode, self.lines())


class SpooledRows:
    """What goes through a stage, on disk in ``folder``: the records that enter it, those that go on, and the drops."""

    def __init__(self, folder: Path | None = None) -> None:
        self.entering, self.records, self.drops = RecordSpool(folder), RecordSpool(folder), LineSpool(folder)
        self.keep = self.records.append

    def drop(self, row: DropRow) -> None:
        """Add a drop."""
        self.drops.write(row.encode())

    def __enter__(self) -> SpooledRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        for spool in (self.entering, self.records, self.drops):
            spool.close()
