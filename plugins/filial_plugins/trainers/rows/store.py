"""Rows of tokens on disk, memory-mapped: what a training reads, whatever its size.

A store is a folder:

* ``ids.bin``: all token ids end to end, uint16 where the vocabulary fits, else int32;
* ``lengths.bin``: tokens per row, int32;
* ``trained.bin``: int32 triples (row, first token that carries loss, the one after the last such), in order;
* ``header.json``: counts, what was dropped or cut and why, and the SHA-256 of the three files.

All numbers are little-endian. The folder appears by one rename, so it is whole or not there; `TokenStore.open` reads
every byte against the checksums, so that one which was damaged later is noticed.
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
CHUNK = 1 << 20


@dataclass(slots=True)
class Row:
    """Token ids of one record (int32) and the positions after the first whose tokens carry loss."""

    ids: np.ndarray
    targets: np.ndarray


@dataclass(slots=True)
class Account:
    """What became of the records: counts by reason, each reason with its first example.

    Attributes:
        dropped: records that became no row.
        changed: rows that were made to fit, by how.
        noticed: rows that are as they should be, but hold something worth a look.
        examples: the first record per reason of all three.
    """

    dropped: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    noticed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def drop(self, reason: str, detail: str) -> None:
        """Count a record that is not trained on."""
        self._count(self.dropped, reason, detail)

    def change(self, how: str, detail: str) -> None:
        """Count a row that was made to fit."""
        self._count(self.changed, how, detail)

    def notice(self, what: str, detail: str) -> None:
        """Count a row worth a look."""
        self._count(self.noticed, what, detail)

    def _count(self, counter: Counter[str], reason: str, detail: str) -> None:
        counter[reason] += 1
        self.examples.setdefault(reason, detail)


class TokenStore(Sequence[Row]):
    """Training rows, read-only. ``store[i]`` is a `Row`; a slice is a list of them.

    Attributes:
        lengths: tokens per row.
        tokens: of all rows together.
        trained_tokens: how many of them carry loss.
        largest: the largest token id.
        ends: special tokens that end a row's last trained range.
        engine: what made the ids, for people.
        fresh: whether it was made just now rather than found.
    """

    def __init__(self, folder: Path, header: dict[str, Any], *, fresh: bool) -> None:
        self.folder, self.fresh = folder, fresh
        self.account = Account(
            Counter(header["dropped"]), Counter(header["changed"]), Counter(header["noticed"]), header["examples"]
        )
        self.tokens: int = header["tokens"]
        self.trained_tokens: int = header["trained_tokens"]
        self.largest: int = header["largest"]
        self.ends: set[int] = set(header["ends"])
        self.engine: str = header["engine"]
        self._ids = _mapped(folder / "ids.bin", header["dtype"])
        self.lengths = _mapped(folder / "lengths.bin", "<i4")
        self._trained = _mapped(folder / "trained.bin", "<i4").reshape(-1, 3)
        rows = np.arange(len(self.lengths) + 1, dtype=np.int32)
        self._bounds = np.searchsorted(np.ascontiguousarray(self._trained[:, 0]), rows)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """The store in a folder, every byte checked; None if there is none or it is damaged."""
        try:
            written = (folder / HEADER).read_bytes()
            header = msgspec.json.decode(written)
            body = {k: v for k, v in header.items() if k != "checksum"}
            if header["format"] != FORMAT or written != _sealed(body):
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
        """Records that became no row, by reason."""
        return self.account.dropped

    @property
    def examples(self) -> dict[str, str]:
        """The first record per reason."""
        return self.account.examples

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
        ranges = self._trained[self._bounds[at] : self._bounds[at + 1], 1:]
        return Row(ids, np.concatenate([np.arange(start, end) for start, end in ranges]))

    def __iter__(self) -> Iterator[Row]:
        return (self[i] for i in range(len(self)))


class Writer:
    """Writes a store beside its place and moves it there when the block ends well.

    Args:
        folder: the store's place; what is there is replaced.
        largest: the largest id there can be.

    Raises:
        FilialError: the disk is full or the place cannot be written. What was there before stays.
    """

    def __init__(self, folder: Path, largest: int) -> None:
        self._folder = folder
        self._part = folder.with_name(f".{folder.name}.tmp")
        self._dtype = "<u2" if largest < 1 << 16 else "<i4"
        self._hashes = {name: hashlib.sha256() for name in FILES}
        self._files: dict[str, BinaryIO] = {}
        self._rows = self._tokens = self._trained = self._largest = 0
        self.ends: set[int] = set()

    def __enter__(self) -> Self:
        with told(self._folder):
            shutil.rmtree(self._part, ignore_errors=True)
            self._part.mkdir(parents=True)
            self._files = {name: open(self._part / name, "wb", buffering=CHUNK) for name in FILES}  # noqa: SIM115
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()
        shutil.rmtree(self._part, ignore_errors=True)

    def add(self, ids: np.ndarray, lengths: np.ndarray, trained: np.ndarray) -> None:
        """Add rows: ids end to end, tokens per row, and (row, start, end) with rows counted from 0."""
        if not len(lengths):
            return
        self._put("ids.bin", ids.astype(self._dtype))
        self._put("lengths.bin", lengths.astype("<i4"))
        self._put("trained.bin", (trained + np.array([self._rows, 0, 0])).astype("<i4"))
        self._rows += len(lengths)
        self._tokens += len(ids)
        self._trained += int((trained[:, 2] - trained[:, 1]).sum())
        self._largest = max(self._largest, int(ids.max()))

    def finish(self, account: Account, engine: str) -> TokenStore:
        """Put the store in its place and open it."""
        body = {
            "format": FORMAT, "rows": self._rows, "tokens": self._tokens, "trained_tokens": self._trained,
            "dtype": self._dtype, "largest": self._largest, "ends": sorted(self.ends), "engine": engine,
            "dropped": account.dropped, "changed": account.changed, "noticed": account.noticed,
            "examples": account.examples, "files": {name: h.hexdigest() for name, h in self._hashes.items()},
        }  # fmt: skip
        header = _sealed(body)
        with told(self._folder):
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
        with told(self._folder):
            self._files[name].write(data)


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Turn a refusal to write into one sentence."""
    try:
        yield
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise FilialError(
            f"{folder}: the prepared rows cannot be written: {what}; free space or mend its permissions"
        ) from error


def _sealed(body: dict[str, Any]) -> bytes:
    """The header's text, with a checksum over all else in it."""
    checksum = hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()
    return msgspec.json.format(msgspec.json.encode(body | {"checksum": checksum}), indent=1) + b"\n"


def _mapped(path: Path, dtype: str) -> np.ndarray:
    """A file as an array; an empty one cannot be mapped."""
    if not path.stat().st_size:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")
