"""Split files of any size into lines, or into the elements of a JSON array."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate

import msgspec

from filial.contracts.errors import UsageError
from filial.formats.base import Fault
from filial.formats.jsontext import DECODE_ERRORS
from filial.formats.opening import CHUNK

LONGEST_LINE = 64 << 20
BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\n\r]*+")
_TEXT = rb'"(?:[^"\\]++|\\.)*+"'
_TOKEN = re.compile(_TEXT + rb'|["\[\]{}]', re.DOTALL)
_SCALAR = re.compile(_TEXT + rb'|[^\s,\[\]{}"]++', re.DOTALL)
_BETWEEN = re.compile(rb'\}\s*+,\s*+\{\s*+"[^"\\]*+"')
_NO_VALUE = (b"", b",", b"]", b"}")
_cut_array = msgspec.json.Decoder(list[msgspec.Raw]).decode

FaultHandler = Callable[[int, Fault, bytes], None]
Item = tuple[int, bytes]


def lines(stream: io.BufferedReader, report: FaultHandler, longest: int = LONGEST_LINE) -> Iterator[Item]:
    r"""Yield the lines with their numbers, split at ``\n`` only; blank lines and a byte order mark are skipped.

    A line longer than ``longest`` bytes is reported and skipped; memory stays below twice that size.
    """
    if stream.peek(len(BOM)).startswith(BOM):
        stream.read(len(BOM))
    for number, line in enumerate(iter(partial(stream.readline, longest + 1), b""), 1):
        text = line.removesuffix(b"\n")
        if len(text) > longest:
            report(number, Fault("", f"the line is longer than {longest} bytes; is this one record per line?"), text)
            while line and not line.endswith(b"\n"):
                line = stream.readline(CHUNK)
        elif text and not text.isspace():
            yield number, text


def elements(stream: io.BufferedReader, file: str, *, array: bool = True) -> Iterator[Item]:
    """Yield the elements of a JSON array, or values one after another, each with its first line, in bounded memory.

    Faults inside an element are found when it is parsed.

    Raises:
        UsageError: the file is not an array (with line and column), or an element is longer than 64 MiB.
    """
    window = _Window(stream, file)
    window.move(window.at + array)  # the opening bracket
    between, more = b"", window.skip_space() != b"]"
    while more:
        yield from window.cut_many(between)
        end = window.find_end()
        yield window.line, window.data[window.at : end]
        if found := _BETWEEN.match(window.data, end - 1):
            between = found[0]
        window.move(end)
        mark = window.skip_space()
        if array and mark not in (b",", b"]"):
            raise window.error("expected ',' or ']'")
        if more := mark == b"," if array else mark != b"":
            window.move(window.at + array)
            window.skip_space()
    window.move(window.at + array)
    if window.skip_space():
        raise window.error("text after the end of the array")


class _Window:
    """The current part of the file of an array: ``data`` from ``at`` on, with the line and the column of ``at``."""

    TRIES = 8

    def __init__(self, stream: io.BufferedReader, file: str) -> None:
        self._stream, self._file = stream, file
        self.data, self.at = b"", 0
        self.line = self._column = 1
        self._fresh = False  # whether `cut_many` has not yet seen the data
        if stream.peek(len(BOM)).startswith(BOM):
            stream.read(len(BOM))
        self.skip_space()

    def _more(self) -> bool:
        """Read more, twice as much as is left. Return False at the end of the file."""
        found = self._stream.read(max(CHUNK, len(self.data) - self.at))
        self.data, self.at, self._fresh = self.data[self.at :] + found, 0, True
        return bool(found)

    def move(self, end: int) -> None:
        passed, self.at = self.data[self.at : end], end
        if lines_passed := passed.count(b"\n"):
            self.line, self._column = self.line + lines_passed, 1
            passed = passed[passed.rfind(b"\n") + 1 :]
        self._column += len(passed.decode("utf-8", "replace"))

    def skip_space(self) -> bytes:
        """Move to the next byte that is not white space, and return it; empty at the end of the file."""
        while True:
            self.move(_SPACE.match(self.data, self.at).end())  # type: ignore[union-attr]  # it always matches
            if self.at < len(self.data):
                return self.data[self.at : self.at + 1]
            if not self._more():
                return b""

    def find_end(self) -> int:
        """Return the end of the element that begins here, reading more if necessary.

        Raises:
            UsageError: there is no element, or it has no end.
        """
        while not (end := _find_end(self.data, self.at)):
            if self.data[self.at : self.at + 1] in _NO_VALUE:
                raise self.error("expecting value")
            if len(self.data) - self.at > LONGEST_LINE:
                raise self.error(f"an element is longer than {LONGEST_LINE} bytes, or a bracket or a quote is missing")
            if not self._more():
                raise self.error("the file ends within the element that begins here")
        return end

    def cut_many(self, between: bytes) -> list[Item]:
        """Return the elements up to the last separator in the data; empty if it is not one.

        All elements must have the same bytes between them, and the part up to the last separator, closed by a bracket,
        must be a JSON array: then that separator is a real one. This is ten times as fast as finding the end of each
        element.
        """
        if not between or not self._fresh:
            return []
        self._fresh, gap, end = False, between[1 : between.index(b"{")], len(self.data)
        for _ in range(self.TRIES):
            if (end := self.data.rfind(between, self.at, end)) < 0:
                break
            text, line = self.data[self.at : end + 1], self.line
            try:
                found = [*map(bytes, _cut_array(b"[" + text + b"]"))]
            except DECODE_ERRORS:  # what looked like the end of an element is not one; try the one before
                continue
            if gap.join(found) != text:
                break
            self.move(end + 1 + len(gap))
            if self.line == line:
                return [(line, raw) for raw in found]
            lines_between = gap.count(b"\n")
            steps = (raw.count(b"\n") + lines_between for raw in found)
            return [*zip(accumulate(steps, initial=line), found)]  # noqa: B905  # there is a line behind the last
        return []

    def error(self, what: str) -> UsageError:
        return UsageError(f"{self._file}:{self.line}:{self._column}: not JSON: {what}")


def _find_end(data: bytes, start: int) -> int:
    """Return the end of the JSON value that begins at ``start``, found by brackets and quotes alone; 0 if its end is
    not in the data, or no value begins there."""
    if data[start : start + 1] not in (b"{", b"["):
        found = _SCALAR.match(data, start)
        return found.end() if found and found.end() < len(data) else 0
    depth = 0
    for token in _TOKEN.finditer(data, start):
        text = token[0]
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
            if not depth:
                return token.end()
        elif text == b'"':  # of a text whose end is not in the data
            return 0
    return 0


def items(stream: io.BufferedReader, file: str, report: FaultHandler, *, by_line: bool = False) -> Iterator[Item]:
    """The elements of a JSON array, or the lines of anything else. With ``by_line``, an array is one of objects that is
    not alone in the first of several lines.

    Raises:
        UsageError: an array that is no JSON, or objects over several lines that are none.
    """
    begin = stream.peek(4096)[:4096].removeprefix(BOM).lstrip()
    line, _, rest = begin.partition(b"\n")
    alone = line.rstrip().endswith(b"]") and rest.strip()
    if begin.startswith(b"[") and not (by_line and (alone or begin[1:].lstrip()[:1] != b"{")):
        return elements(stream, file)
    if line[:1] == b"{" and line.rstrip()[-1:] in (b"{", b",") and rest.lstrip()[:1] == b'"':
        return elements(stream, file, array=False)
    return lines(stream, report)
