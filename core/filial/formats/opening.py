"""Open and compress files: packed files as plain bytes, text of any encoding as UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from filial.contracts.errors import MissingExtra, UsageError

CHUNK = 1 << 20
PACKED = {".gz": b"\x1f\x8b\x08", ".zst": b"\x28\xb5\x2f\xfd", ".bz2": b"BZh91AY&SY", ".xz": b"\xfd7zXZ\0"}
"""The suffixes of packed files, and the bytes that such a file begins with."""
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", b"\x84\x31\x95\x33": "gb18030",
}  # fmt: skip
"""The byte order mark in each encoding; that of UTF-32 begins with that of UTF-16."""
_ZEROS = {b"\1\0\1\0": "utf-16-le", b"\0\1\0\1": "utf-16-be", b"\1\0\0\0": "utf-32-le", b"\0\0\0\1": "utf-32-be"}
"""Where the zeros are in the first four bytes of a text without a mark that begins with ASCII."""


@contextmanager
def open_file(path: str | Path, encoding: str | None = None, *, binary: bool = False) -> Iterator[io.BufferedReader]:
    """Open a file (``-``: stdin) as plain bytes: unpacked if it is packed, text as UTF-8.

    A file is packed if its name ends in ``.gz``, ``.zst``, ``.bz2`` or ``.xz``, or if its first bytes say so. A byte
    that is not text in the file's encoding becomes 0xFF, which UTF-8 never contains, so that only its line is bad.

    Args:
        encoding: of the text; None: as the byte order mark says, else UTF-8.
        binary: the file is not text, so only its name can say that it is packed.

    Raises:
        UsageError: the file cannot be opened or read, its packing is damaged, there is no such encoding, or its byte
            order mark names another one.
        MissingExtra: a package is needed that is not installed.
    """
    if encoding is not None:
        check_encoding(encoding)
    try:
        if str(path) == "-":
            yield _as_utf8(_unpack(cast(io.BufferedReader, sys.stdin.buffer), "", binary), "<stdin>", encoding, binary)
        else:
            with io.BufferedReader(io.FileIO(path), CHUNK) as raw:
                plain = _unpack(cast(io.BufferedReader, raw), Path(path).suffix.lower(), binary)
                yield _as_utf8(plain, str(path), encoding, binary)
    except EOFError as error:
        raise UsageError(f"{path}: the packed data is damaged ({error}); fetch or make the file again") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UsageError(f"{path}: cannot be read: {why}") from None


def compress(sink: io.FileIO, suffix: str) -> AbstractContextManager[IO[bytes]]:
    """Return a file that packs what is written. The same records give the same bytes: no time or name is stored."""
    packers: dict[str, Callable[[], Any]] = {
        ".gz": lambda: gzip.GzipFile(filename="", mode="wb", fileobj=sink, mtime=0),
        ".zst": lambda: zstandard_module().ZstdCompressor().stream_writer(sink, closefd=False),
        ".bz2": lambda: import_module("bz2").BZ2File(sink, "wb"),
        ".xz": lambda: import_module("lzma").LZMAFile(sink, "wb"),
    }
    return cast(AbstractContextManager[IO[bytes]], packers.get(suffix, lambda: nullcontext(sink))())


def check_encoding(name: str) -> None:
    """Check that a text encoding has this name.
    Raises:
        UsageError: there is no such encoding.
    """
    try:
        b"a".decode(name, "replace")
    except (LookupError, ValueError, TypeError):
        known = "utf-8, utf-16, utf-32, gb18030, latin-1, cp1252, shift_jis"
        raise UsageError(
            f"no encoding of text is called {name!r}; there are {known} and those that Python knows"
        ) from None


def _unpack(raw: io.BufferedReader, suffix: str, binary: bool) -> io.BufferedReader:
    begin = b"" if binary else raw.peek(10)
    if suffix not in PACKED:
        suffix = next((name for name, magic in PACKED.items() if begin.startswith(magic)), "")
    if not suffix:
        return raw
    return io.BufferedReader(_Unpacker(raw, *_choose_unpacker(suffix)), CHUNK)


def _choose_unpacker(suffix: str) -> tuple[Callable[[], Any], type[Exception]]:
    """Return a function that makes an unpacker for one frame, and the error that it raises for damaged data."""
    if suffix == ".zst":
        zstandard = zstandard_module()
        return lambda: zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError
    if suffix == ".gz":
        return partial(zlib.decompressobj, 16 + zlib.MAX_WBITS), zlib.error
    module = import_module({".bz2": "bz2", ".xz": "lzma"}[suffix])
    if suffix == ".bz2":
        return module.BZ2Decompressor, OSError
    return partial(module.LZMADecompressor, module.FORMAT_XZ), module.LZMAError


class _Reader(io.RawIOBase):
    """Bytes that are made of others as they are read: `_fill` makes some ready, and none at the end."""

    _ready = b""
    _fill: Callable[[], None]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._ready:
            self._fill()
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


class _Unpacker(_Reader):
    """Unpacks data of one or more frames. Data that ends within a frame is an error, and so are other data behind a
    frame; zeros behind it are not, because some programs fill a block with them."""

    # A packed byte of Zstandard can stand for 32 KiB (4 bytes for a block of 128 KiB), so little is fed at a time.
    INPUT_SIZE = 1024

    def __init__(self, raw: IO[bytes], unpacker: Callable[[], Any], error: type[Exception]) -> None:
        self._raw, self._unpacker, self._error = raw, unpacker, error
        self._frame: Any = None
        self._ended = False  # whether the last byte fed ended a frame
        self._left = b""

    def _fill(self) -> None:
        while not self._ready and (found := self._left or self._raw.read(self.INPUT_SIZE)):
            fed, self._left = found.lstrip(b"\0") if self._ended else found, b""
            if fed:
                self._unpack(fed)
        if not self._ready and self._frame:
            raise EOFError("it ends in the middle")

    def _unpack(self, fed: bytes) -> None:
        self._frame = self._frame or self._unpacker()
        try:
            self._ready = self._frame.decompress(fed)
        except self._error as error:
            raise EOFError(str(error)) from None
        self._ended = self._frame.eof
        if self._ended:
            self._frame, self._left = None, self._frame.unused_data


def zstandard_module() -> Any:
    """Return the package for ``.zst`` files.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import zstandard
    except ImportError:
        raise MissingExtra("a .zst file needs a package that is not installed: pip install 'filial[data]'") from None
    return zstandard


def _as_utf8(plain: io.BufferedReader, name: str, encoding: str | None, binary: bool) -> io.BufferedReader:
    begin = b"" if binary else plain.peek(4)
    mark = next((mark for mark in _MARKS if begin.startswith(mark)), b"")
    found = _ZEROS.get(bytes(map(bool, begin[:4])), "")
    if encoding is None:
        encoding = _MARKS.get(mark) or found or "utf-8"
    elif not mark and (plain_name := codecs.lookup(encoding).name) in ("utf-16", "utf-32"):
        if not found.startswith(plain_name):
            raise UsageError(f"{name}: it has no byte order mark; name {plain_name}-le or {plain_name}-be")
        encoding = found
    elif mark and mark.decode(encoding, "replace") not in ("", "\ufeff"):
        raise UsageError(f"{name}: its mark says {_MARKS[mark]}, not {encoding}; leave the encoding out")
    if binary or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return plain
    return io.BufferedReader(_Utf8Reader(plain, encoding), CHUNK)


def _mark_invalid(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace a byte that is not text by one that UTF-8 never contains; while decoding, by its surrogate."""
    return b"\xff" if isinstance(error, UnicodeEncodeError) else "\udcff", cast(Any, error).end


codecs.register_error("filial-mark-invalid", _mark_invalid)


class _Utf8Reader(_Reader):
    """Reads text of another encoding as UTF-8."""

    def __init__(self, raw: IO[bytes], encoding: str) -> None:
        self._raw, self._decoder = raw, codecs.getincrementaldecoder(encoding)("filial-mark-invalid")
        self.encoding = encoding

    def _fill(self) -> None:
        ended = False
        while not self._ready and not ended:
            fed = self._raw.read(CHUNK >> 2)
            ended = not fed
            self._ready = self._decoder.decode(fed, ended).encode("utf-8", "filial-mark-invalid")
