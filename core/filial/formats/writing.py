"""Writing records: checked, canonical, all or nothing."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, cast

import msgspec

from filial.contracts.errors import UsageError
from filial.contracts.records import Record, to_json
from filial.formats import parquet
from filial.formats import records as filial_jsonl
from filial.formats.base import named as name_of
from filial.formats.lines import zstandard_module
from filial.formats.reading import FORMATS, named
from filial.formats.records import decode_fast, explain
from filial.storage import replacing

CHUNK = 1 << 20


def write(path: str | Path, records: Iterable[Record], *, format: str = "auto") -> int:
    """Write records and return how many. ``path`` is replaced at the end, or left as it was on any error.

    Every record is checked as a reader would. Foreign formats keep the text of a record, not its lineage.

    Args:
        path: a file, packed when it ends in ``.gz`` or ``.zst``, or ``-`` for stdout. With ``.json`` the
            records are one JSON array, one element per line.
        format: one of `FORMATS` that is not only read, or ``parquet``; ``auto`` is ``filial`` for ``.jsonl``
            and stdout, and ``parquet`` for ``.parquet``.

    Raises:
        UsageError: unknown format, a record that is not valid or that the format cannot hold (`Unfit`), or a
            place that cannot be written.
        FilialError: the disk is full.
    """
    name = checked_format(path, format)
    counter = _Counter(records)
    if str(path) == "-":
        if name == "parquet":
            raise UsageError("Parquet cannot be written to stdout; give a file")
        _write_text(cast(IO[bytes], sys.stdout.buffer), name, counter, array=False)
        sys.stdout.buffer.flush()
        return counter.count
    suffixes = Path(path).suffixes
    with replacing(path) as sink:
        if name == "parquet":
            parquet.write_rows(sink, filial_jsonl.to_rows(record for record, _ in counter.checked()))
        else:
            with packed(sink, suffixes[-1] if suffixes else "") as file:
                _write_text(file, name, counter, array=".json" in suffixes)
    return counter.count


def checked_format(path: str | Path, format: str) -> str:
    """The name of the format to write, known before any work.

    Raises:
        UsageError: the place's name does not say which, or the format is only read.
        MissingExtra: the format needs a package that is not installed.
    """
    suffixes = Path(path).suffixes
    if format == "parquet" or (format == "auto" and ".parquet" in suffixes):
        parquet.check_installed()
        return "parquet"
    if format == "auto":
        if str(path) == "-" or ".jsonl" in suffixes or ".ndjson" in suffixes:
            return "filial"
        writable = ", ".join(form.name for form in FORMATS.values() if form.to_rows)
        raise UsageError(f"{path}: name the format to write: {writable}, parquet")
    if format == "hf" or named(format).to_rows is None:
        raise UsageError(f"{path}: the format {format} is only read; write filial or parquet")
    return format


class _Counter:
    """Records on their way out, counted, each checked to be one that a reader accepts."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = records
        self.count = 0

    def checked(self) -> Iterator[tuple[Record, bytes]]:
        for record in self._records:
            yield record, encoded(record)
            self.count += 1


def encoded(record: Record) -> bytes:
    """The canonical line of a record (without newline), known to be readable.

    Raises:
        UsageError: a field of the wrong type, a score that is no number, or half a character.
    """
    try:
        line = to_json(record)
        decode_fast(line)
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        raise UsageError(
            f"{name_of(record)}: holds U+{code:04X}, half a character (a lone surrogate), which UTF-8 cannot "
            "hold; mend the text or drop the record"
        ) from None
    except TypeError as error:
        raise UsageError(f"{name_of(record)}: cannot be written as JSON: {error}") from None
    except msgspec.DecodeError:
        pointer, message = explain(msgspec.json.decode(line))[0]
        raise UsageError(f"{name_of(record)}: {pointer}: {message}") from None
    return line


def _write_text(file: IO[bytes], name: str, counter: _Counter, *, array: bool) -> None:
    to_rows = FORMATS[name].to_rows
    objects: Iterator[bytes]
    if to_rows is None or name == filial_jsonl.FORMAT.name:
        objects = (line for _, line in counter.checked())
    else:
        objects = map(msgspec.json.encode, to_rows(record for record, _ in counter.checked()))
    if array:
        pieces = chain([b"[\n"], _separated(objects), [b"\n]\n"])
    else:
        pieces = chain.from_iterable((line, b"\n") for line in objects)
    _write_pieces(file, pieces)


def _separated(objects: Iterator[bytes]) -> Iterator[bytes]:
    for i, line in enumerate(objects):
        if i:
            yield b",\n"
        yield line


def _write_pieces(file: IO[bytes], pieces: Iterator[bytes]) -> None:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= CHUNK:
            file.write(buffer)
            buffer = bytearray()
    file.write(buffer)


@contextmanager
def packed(sink: io.FileIO, suffix: str) -> Iterator[IO[bytes]]:
    """The file, packed on the way out. The same records give the same bytes: no time or name is stored."""
    if suffix == ".gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0) as out:
            yield cast(IO[bytes], out)
    elif suffix == ".zst":
        with zstandard_module().ZstdCompressor().stream_writer(sink, closefd=False) as out:
            yield out
    else:
        yield cast(IO[bytes], sink)
