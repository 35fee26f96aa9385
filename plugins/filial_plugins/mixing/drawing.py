"""Which records a mix takes, and in which order, with few of them in memory.

Each record has a draw key, a hash of the seed, the task and the record. A task's draw is the records of its smallest
keys, so it does not depend on other tasks or on the order of the sources, and a larger draw holds the smaller one. The
order of the mix is that of another hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from tempfile import TemporaryFile, gettempdir
from typing import IO

import msgspec
import numpy as np

from filial import FilialError, Record

Group = tuple[str, bool]
"""A task, and whether its records hold a chain of thought."""
Wanted = Mapping[Group, int]

_HEAD = struct.Struct("<IQI")
"""In front of each record in the file: number of its group, its draw key, bytes of its line."""
_ORDER = struct.Struct("<QI")
"""In front of each record in a bucket: its order key, bytes of its line."""
BUCKET = 16 << 20
"""Bytes of records, about, that are sorted at once in memory."""
MOST_BUCKETS = 128
TURN = 64
"""Records after which the event loop gets a turn, so that an interrupt is seen."""
_ALL = 2**64 - 1
BUFFER = 1 << 20

_encoder, _decoder = msgspec.json.Encoder(order="deterministic"), msgspec.json.Decoder(Record)


class Pool:
    """The records of all groups, in a temporary file until it is known how many of each are drawn.

    The file lies where temporary files lie (``TMPDIR``); eight bytes of each record stay in memory. Close it.
    """

    def __init__(self, seed: int, stage: str) -> None:
        self._seed = hashlib.blake2b(f"{seed}\x1f{stage}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self._file = _temporary(BUFFER)
        self._numbers: dict[Group, int] = {}
        self.tasks: set[str] = set()
        """The tasks of all records, whatever the groups are."""
        self._keys: list[array[int]] = []

    def add(self, group: Group, record: Record) -> None:
        """Put a record to the others of its group."""
        self.tasks.add(record.task)
        number = self._numbers.setdefault(group, len(self._keys))
        if number == len(self._keys):
            self._keys.append(array("Q"))
        key = _hash(self._seed, record, group[0])
        self._keys[number].append(key)
        line = _encoder.encode(record)
        _write(self._file, _HEAD.pack(number, key, len(line)) + line)

    def sizes(self) -> dict[Group, int]:
        """Return how many records each group has."""
        return {group: len(self._keys[number]) for group, number in self._numbers.items()}

    async def draw(self, wanted: Wanted, leave: Callable[[Group, Record], None]) -> AsyncIterator[Record]:
        """Return what is drawn, in the order of the mix, once each record that is not drawn was given to ``leave``.

        Where more records of a group are wanted than there are, each comes as often as any other, or once more.
        """
        groups = list(self._numbers)
        draws = [_Draw(wanted.get(group, 0), keys) for group, keys in zip(groups, self._keys, strict=True)]
        most = max((draw.times + bool(draw.rest) for draw in draws), default=1)
        _rewind(self._file)
        buckets = _Buckets(min(MOST_BUCKETS, 1 + os.fstat(self._file.fileno()).st_size * most // BUCKET))
        try:
            for place, (number, key, line) in enumerate(self._lines()):
                if place % TURN == 0:
                    await asyncio.sleep(0)
                times = draws[number].take(key)
                if not times:
                    leave(groups[number], _decoder.decode(line))
                for copy in range(times):
                    buckets.put(_scatter(key, copy), line)
            for place, line in enumerate(buckets.lines()):
                if place % TURN == 0:
                    await asyncio.sleep(0)
                yield _decoder.decode(line)
        finally:
            buckets.close()

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        _rewind(self._file)
        while head := self._file.read(_HEAD.size):
            number, key, length = _HEAD.unpack(head)
            yield number, key, self._file.read(length)


class _Draw:
    """How often records of one group are drawn: each ``times``, and those with the ``rest`` smallest keys once more."""

    def __init__(self, wanted: int, keys: array[int]) -> None:
        self.times, self.rest = divmod(wanted, len(keys))
        self._limit, self._ties = 0, 0
        if self.rest:
            values = np.frombuffer(keys, dtype=np.uint64)
            self._limit = int(np.partition(values, self.rest - 1)[self.rest - 1])
            self._ties = self.rest - int(np.count_nonzero(values < self._limit))

    def take(self, key: int) -> int:
        """Return how often a record is drawn. Ask once for each record, in their order."""
        if not self.rest or key > self._limit:
            return self.times
        if key == self._limit:  # records of one content, or, hardly ever, two that share their hash
            if not self._ties:
                return self.times
            self._ties -= 1
        return self.times + 1


class _Buckets:
    """Lines sorted by their order keys: spread over temporary files by the first bits, each sorted in memory."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._files = [_temporary(BUFFER // count) for _ in range(count)]

    def put(self, key: int, line: bytes) -> None:
        """Add a line."""
        _write(self._files[key * self._count >> 64], _ORDER.pack(key, len(line)) + line)

    def lines(self) -> Iterator[bytes]:
        """Return all lines in the order of their keys, then of their bytes."""
        for file in self._files:
            _rewind(file)
            data, found, at = file.read(), list[tuple[int, bytes]](), 0
            while at < len(data):
                key, length = _ORDER.unpack_from(data, at)
                at += _ORDER.size + length
                found.append((key, data[at - length : at]))
            file.close()
            yield from (line for _, line in sorted(found))

    def close(self) -> None:
        """Remove the files."""
        for file in self._files:
            file.close()


def _hash(seed: bytes, record: Record, task: str) -> int:
    """Return 64 bits of BLAKE2b over what the draw depends on."""
    texts = "\x1f".join((task, record.id, *record.content()))
    return int.from_bytes(hashlib.blake2b(texts.encode("utf-8", "surrogatepass"), digest_size=8, key=seed).digest())


def _scatter(key: int, copy: int) -> int:
    """Return the order key of a copy: 64 bits that show nothing of the draw key, although small ones are drawn.

    This is the ``copy + 1``-th number of SplitMix64 (Steele, Lea, Flood 2014) with the draw key as its seed.
    """
    value = key + (copy + 1) * 0x9E3779B97F4A7C15 & _ALL
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _ALL
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _ALL
    return value ^ value >> 31


def _temporary(buffering: int) -> IO[bytes]:
    try:
        return TemporaryFile(buffering=buffering)
    except OSError as err:
        raise _full(err) from err


def _write(file: IO[bytes], data: bytes) -> None:
    try:
        file.write(data)
    except OSError as err:
        raise _full(err) from err


def _rewind(file: IO[bytes]) -> None:
    """Write what is held back, and go to the beginning."""
    try:
        file.seek(0)
    except OSError as err:
        raise _full(err) from err


def _full(err: OSError) -> FilialError:
    """Return the error of a temporary file, which names its folder."""
    what = (err.strerror or str(err)).lower()
    return FilialError(f"{gettempdir()}: temporary files cannot be written: {what}; set TMPDIR to a folder with space")
