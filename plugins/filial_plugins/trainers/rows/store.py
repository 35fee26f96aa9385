"""Rows of tokens on disk, memory-mapped, so that a training can read more than fits into memory.

A store is a folder:

* ``ids.bin``: all token ids end to end, uint16 if the vocabulary fits, else int32;
* ``lengths.bin``: tokens per row, int32;
* ``trained.bin``: the trained ranges, int32 (row, first trained token, token after the last trained one), sorted;
* ``header.json``: counts, what was dropped or cut and why, and the SHA-256 of the three files.

All numbers are little-endian. The folder appears by one rename, so it is complete. `TokenStore.open` compares every
byte with the checksums, so that later damage is noticed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self, overload

import msgspec
import numpy as np

from filial import FilialError

FORMAT = 1
FILES = ("ids.bin", "lengths.bin", "trained.bin")
HEADER = "header.json"
BUFFER_SIZE = 1 << 20


@dataclass(slots=True)
class Row:
    """Token ids of one record (int32) and the positions of those that carry loss; never the first, 0."""

    ids: np.ndarray
    trained_positions: np.ndarray


@dataclass(slots=True)
class PreparationReport:
    """What happened to the records: counts by reason, each reason with its first example.

    Attributes:
        dropped: records that became no row.
        changed: rows that were cut to fit, by policy.
        noticed: rows that are trained on unchanged, but should be checked.
        examples: the first record per reason, for all three.
    """

    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    noticed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def drop(self, reason: str, detail: str) -> None:
        """Count a record that is not trained on."""
        self._count(self.dropped, reason, detail)

    def change(self, how: str, detail: str) -> None:
        """Count a row that was cut to fit."""
        self._count(self.changed, how, detail)

    def notice(self, what: str, detail: str) -> None:
        """Count a row that should be checked."""
        self._count(self.noticed, what, detail)

    def _count(self, counter: Counter[str], reason: str, detail: str) -> None:
        counter[reason] += 1
        self.examples.setdefault(reason, detail)


class TokenStore(Sequence[Row]):
    """Training rows, read-only. ``store[i]`` is a `Row`; a slice is a list of rows.

    Attributes:
        lengths: (rows,) tokens per row.
        tokens: number of tokens of all rows.
        trained_tokens: how many of them carry loss.
        largest: the largest token id.
        ends: special tokens that end the last trained range of a row.
        engine: what made the ids, in words for people.
        fresh: whether it was made now and not found in a cache.
    """

    def __init__(self, folder: Path, header: dict[str, Any], *, fresh: bool) -> None:
        self.folder, self.fresh = folder, fresh
        self.report = PreparationReport(
            Counter(header["dropped"]), Counter(header["changed"]), Counter(header["noticed"]), header["examples"]
        )
        self.tokens: int = header["tokens"]
        self.trained_tokens: int = header["trained_tokens"]
        self.largest: int = header["largest"]
        self.ends: set[int] = set(header["ends"])
        self.engine: str = header["engine"]
        self._ids = _map_file(folder / "ids.bin", header["dtype"])
        self.lengths = _map_file(folder / "lengths.bin", "<i4")
        self._trained_ranges = _map_file(folder / "trained.bin", "<i4").reshape(-1, 3)
        rows = np.arange(len(self.lengths) + 1, dtype=np.int32)
        self._bounds = np.searchsorted(np.ascontiguousarray(self._trained_ranges[:, 0]), rows)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """Open the store in a folder and check every byte; None if there is none or it is damaged."""
        try:
            written = (folder / HEADER).read_bytes()
            header = msgspec.json.decode(written)
            body = {k: v for k, v in header.items() if k != "checksum"}
            if header["format"] != FORMAT or written != _encode_header(body):
                return None
            for name in FILES:
                with open(folder / name, "rb") as f:
                    if hashlib.file_digest(f, "sha256").hexdigest() != header["files"][name]:
                        return None
        except (OSError, msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return None
        return cls(folder, header, fresh=False)

    @property
    def dropped(self) -> Counter[str]:
        """Number of records that became no row, by reason."""
        return self.report.dropped

    @property
    def examples(self) -> dict[str, str]:
        """The first record per reason."""
        return self.report.examples

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        ids = np.asarray(self._ids[self._starts[at] : self._starts[at + 1]]).astype(np.int32, copy=False)
        ranges = self._trained_ranges[self._bounds[at] : self._bounds[at + 1], 1:]
        return Row(ids, np.concatenate([np.arange(start, end) for start, end in ranges]))

    def __iter__(self) -> Iterator[Row]:
        return (self[i] for i in range(len(self)))


class StoreWriter:
    """Writes a store to a temporary folder and moves it to its path when the block ends without error.

    Args:
        folder: path of the store; what is there is replaced.
        largest: the largest id of the vocabulary.

    Raises:
        FilialError: the disk is full or the path cannot be written. What was there before stays.
    """

    def __init__(self, folder: Path, largest: int) -> None:
        self._folder = folder
        self._part = folder.with_name(f".{folder.name}.tmp")
        self._dtype = "<u2" if largest < 1 << 16 else "<i4"
        self._hashes = {name: hashlib.sha256() for name in FILES}
        self._files: dict[str, BinaryIO] = {}
        self._rows = self._tokens = self._trained_tokens = self._largest = 0
        self.ends: set[int] = set()

    def __enter__(self) -> Self:
        with explain_write_errors(self._folder):
            shutil.rmtree(self._part, ignore_errors=True)
            self._part.mkdir(parents=True)
            self._files = {name: open(self._part / name, "wb", buffering=BUFFER_SIZE) for name in FILES}  # noqa: SIM115
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()
        shutil.rmtree(self._part, ignore_errors=True)

    def add(self, ids: np.ndarray, lengths: np.ndarray, trained_ranges: np.ndarray) -> None:
        """Add rows: ids end to end, tokens per row, and trained ranges (row, start, end) with rows counted from 0."""
        if not len(lengths):
            return
        self._put("ids.bin", ids.astype(self._dtype))
        self._put("lengths.bin", lengths.astype("<i4"))
        self._put("trained.bin", (trained_ranges + np.array([self._rows, 0, 0])).astype("<i4"))
        self._rows += len(lengths)
        self._tokens += len(ids)
        self._trained_tokens += int((trained_ranges[:, 2] - trained_ranges[:, 1]).sum())
        self._largest = max(self._largest, int(ids.max()))

    def finish(self, report: PreparationReport, engine: str) -> TokenStore:
        """Move the store to its path and open it."""
        body = {
            "format": FORMAT, "rows": self._rows, "tokens": self._tokens, "trained_tokens": self._trained_tokens,
            "dtype": self._dtype, "largest": self._largest, "ends": sorted(self.ends), "engine": engine,
            "dropped": report.dropped, "changed": report.changed, "noticed": report.noticed,
            "examples": report.examples, "files": {name: h.hexdigest() for name, h in self._hashes.items()},
        }  # fmt: skip
        header = _encode_header(body)
        with explain_write_errors(self._folder):
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
                file.close()
            (self._part / HEADER).write_bytes(header)
            shutil.rmtree(self._folder, ignore_errors=True)
            os.replace(self._part, self._folder)
        return TokenStore(self._folder, body, fresh=True)

    def _put(self, name: str, array: np.ndarray) -> None:
        data = np.ascontiguousarray(array).data.cast("B")
        self._hashes[name].update(data)
        with explain_write_errors(self._folder):
            self._files[name].write(data)


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Raise an error of the operating system as a `FilialError` in one sentence."""
    try:
        yield
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise FilialError(
            f"{folder}: the prepared rows cannot be written: {what}; free some space or fix the permissions"
        ) from error


def _encode_header(body: dict[str, Any]) -> bytes:
    """Return the bytes of the header, with a checksum over everything else in it."""
    checksum = hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()
    return msgspec.json.format(msgspec.json.encode(body | {"checksum": checksum}), indent=1) + b"\n"


def _map_file(path: Path, dtype: str) -> np.ndarray:
    """Map a file as an array; an empty file cannot be mapped."""
    if not path.stat().st_size:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")
