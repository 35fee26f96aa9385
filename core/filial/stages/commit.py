"""A stage on disk: rows stream to temporary files, and one manifest write makes them count."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from filial.records import Record, to_json
from filial.stages.stage import Books, DropRow
from filial.store import read_manifest, sync_folder, write_errors, write_manifest

RECORDS, DROPS, MANIFEST = "records.jsonl", "drops.jsonl", "manifest.json"


class Lines:
    """One JSONL file being written, with its checksum and row count kept along the way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._file: BinaryIO = open(self.temporary, "wb", buffering=1 << 18)  # noqa: SIM115 - closed by commit or discard
        self._sha = hashlib.sha256()
        self.rows = 0

    def write(self, line: bytes) -> None:
        self._file.write(line)
        self._file.write(b"\n")
        self._sha.update(line)
        self._sha.update(b"\n")
        self.rows += 1

    def commit(self) -> dict[str, Any]:
        """Put the file in its place; the facts a manifest keeps about it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        os.replace(self.temporary, self.path)
        return {"sha256": self._sha.hexdigest(), "rows": self.rows, "bytes": size}

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # the disk may be full; the file is removed all the same
            self._file.close()
        self.temporary.unlink(missing_ok=True)


class StageWriter:
    """Both files of a stage."""

    def __init__(self, records: Path, drops: Path) -> None:
        self.records, self.drops = Lines(records), Lines(drops)

    def keep(self, record: Record) -> None:
        self.records.write(to_json(record))

    def drop(self, row: DropRow) -> None:
        self.drops.write(row.encoded())


@contextlib.contextmanager
def writing(records: Path, drops: Path) -> Iterator[StageWriter]:
    """Write two files together: both replace what was there when the block ends well, else nothing changes.

    Raises:
        FilialError: the disk is full.
        UsageError: the folder cannot be written.
    """
    with write_errors(records):
        records.parent.mkdir(parents=True, exist_ok=True)
        writer = StageWriter(records, drops)
        try:
            yield writer
        except BaseException:
            writer.records.discard()
            writer.drops.discard()
            raise


def commit(folder: Path, writer: StageWriter, key: str, books: Books, facts: dict[str, Any]) -> dict[str, Any]:
    """Make a stage count: its files, then the manifest that names their checksums.

    ``facts`` are what the manifest says beside counts: plugins, options, seed, report.
    """
    files = {RECORDS: writer.records.commit(), DROPS: writer.drops.commit()}
    sync_folder(folder)
    manifest = {
        "format": 1,
        "key": key,
        **facts,
        "counts": {
            "entered": books.entered, "made": books.made, "out": books.out, "dropped": books.dropped.total(),
        },
        "reasons": dict(sorted(books.dropped.items())),
        "files": files,
    }  # fmt: skip
    write_manifest(folder / MANIFEST, manifest)
    return manifest


def committed(folder: Path, key: str) -> dict[str, Any] | None:
    """The manifest of a stage that is done and whole for this key, or None."""
    manifest = read_manifest(folder / MANIFEST)
    return manifest if manifest is not None and manifest.get("key") == key else None


def load_records(folder: Path) -> list[Record]:
    """The records of a committed stage."""
    decoder = msgspec.json.Decoder(Record)
    with open(folder / RECORDS, "rb") as f:
        return [decoder.decode(line) for line in f]
