"""The records that go from stage to stage: counted and read as often as need be, not held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from filial.record_schema import decode_fast
from filial.records import Record


class Records(Protocol):
    """Records whose number is known and that can be gone through again: a list, or `Rows`."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Record]: ...


class Rows:
    """The records of a JSON lines file that a stage wrote, decoded as they are read.

    ``sha256`` is the checksum of the file, by which the next stage knows what it worked on.
    """

    def __init__(self, path: Path, count: int, sha256: str) -> None:
        self.path, self.sha256, self._count = path, sha256, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        with open(self.path, "rb") as file:
            yield from map(decode_fast, file)
