"""A stage on disk: rows are written to temporary files, and writing the manifest commits them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from filial.contracts.errors import UsageError
from filial.contracts.records import Record, to_json
from filial.engine.keys import StepKey
from filial.engine.stage import DropRow, StageContext, StageFile
from filial.storage import find_finished, read_manifest, sync_folder, write_errors, write_manifest

RECORDS, DROPS, ANSWERS = FILES = ("records.jsonl", "drops.jsonl", "answers.txt")
MANIFEST = "manifest.json"


class LineWriter:
    """A file of lines that is being written, with its checksum and row count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self.partial = path.with_suffix(f".partial{path.suffix}")
        self.partial.unlink(missing_ok=True)
        self._file: BinaryIO = open(self.temporary, "wb", buffering=1 << 18)  # noqa: SIM115 - closed by commit or discard
        self._sha = hashlib.sha256()
        self.rows = 0

    def write(self, line: bytes) -> None:
        line += b"\n"
        self._file.write(line)
        self._sha.update(line)
        self.rows += 1

    def commit(self) -> dict[str, Any]:
        """Move the file to its place; return what a manifest says about it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        os.replace(self.temporary, self.path)
        return {"sha256": self._sha.hexdigest(), "rows": self.rows, "bytes": size}

    def discard(self, keep: bool = False) -> None:
        """Remove the file; with ``keep``, leave its rows in a file ``….partial…``, which the next run removes."""
        with contextlib.suppress(OSError):  # the disk may be full; the file is removed all the same
            self._file.close()
            if keep and self.rows:
                os.replace(self.temporary, self.partial)
        self.temporary.unlink(missing_ok=True)


class StageWriter:
    """The files of a stage: its records, its drops, and the ledger keys of its answers."""

    def __init__(self, folder: Path) -> None:
        self.files = [LineWriter(folder / name) for name in FILES]
        self.records, self.drops, self.answers = self.files

    def keep(self, record: Record) -> None:
        self.records.write(to_json(record))

    def drop(self, row: DropRow) -> None:
        self.drops.write(row.encode())


@contextlib.contextmanager
def open_writer(folder: Path) -> Iterator[StageWriter]:
    """Write a stage's files together: they replace the old ones when they are committed. Otherwise the records and
    drops so far are kept as ``….partial.jsonl``, unless the input is at fault.

    Raises:
        FilialError: the disk is full.
        UsageError: the folder cannot be written.
    """
    with write_errors(folder / RECORDS):
        folder.mkdir(parents=True, exist_ok=True)
        writer = StageWriter(folder)
        try:
            yield writer
        except BaseException as err:
            for lines in writer.files:
                lines.discard(keep=lines is not writer.answers and not isinstance(err, UsageError))
            raise


def commit(
    folder: Path, writer: StageWriter, key: str, env: StageContext, entered: str, facts: dict[str, Any]
) -> dict[str, Any]:
    """Commit a stage: its files, then the manifest with their checksums.

    ``entered`` is the checksum of the records it worked on. ``facts`` are what the manifest says besides counts:
    plugins, options, seed, report.
    """
    for answer in env.answers.lines():
        writer.answers.write(answer)
    files = {lines.path.name: lines.commit() for lines in writer.files}
    sync_folder(folder)
    count = env.counters
    manifest = {
        "format": 1, "key": key, "input": entered, **facts,
        "counts": {"entered": count.entered, "made": count.made, "out": count.out, "dropped": count.dropped.total()},
        "reasons": dict(sorted(count.dropped.items())), "files": files,
    }  # fmt: skip
    write_manifest(folder / MANIFEST, manifest)
    return manifest


def find_commit(folder: Path, key: str, entered: str) -> dict[str, Any] | None:
    """Return the manifest of a complete stage for this key and these input records, or None."""
    manifest = find_finished(folder / MANIFEST, key)
    return manifest if manifest and manifest.get("input") == entered else None


def explain_rerun(folder: Path, key: StepKey) -> str:
    """Say why a stage has to run again, as the end of a sentence; empty if it never finished."""
    if not (folder / MANIFEST).exists():
        return ""
    manifest = read_manifest(folder / MANIFEST)
    if manifest is None:
        return "its files were changed or damaged"
    if manifest["key"] == key.key:
        return "its input records changed"
    parts = manifest.get("depends")
    if not isinstance(parts, dict):  # filial 0.1 did not write them
        return "filial changed"
    return key.describe_changes(parts)


def stage_records(folder: Path, manifest: dict[str, Any]) -> StageFile:
    """Return the records of a committed stage."""
    facts = manifest["files"][RECORDS]
    return StageFile(folder / RECORDS, facts["rows"], facts["sha256"])
