"""Lines of a file, or the elements of its array, at any size."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from functools import partial

from filial.contracts.errors import UsageError
from filial.formats.base import Fault
from filial.formats.opening import CHUNK

LONGEST_LINE = 64 << 20
LARGEST_ARRAY = 512 << 20
BOM = b"\xef\xbb\xbf"

FaultHandler = Callable[[int, Fault, bytes], None]
Item = tuple[int, bytes]


def lines(stream: io.BufferedReader, report: FaultHandler, longest: int = LONGEST_LINE) -> Iterator[Item]:
    r"""Lines with their numbers, split on ``\n`` only, blank ones left out; a byte order mark is skipped.

    A line of more than ``longest`` bytes is reported and passed over; memory stays below twice as much.
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


def elements(stream: io.BufferedReader, file: str) -> Iterator[Item]:
    """The elements of one JSON array, each with the line it begins on.

    The array is held in memory. What is wrong inside an element is left to whoever parses it.

    Raises:
        UsageError: the file is not an array, with line and column, or is larger than 512 MiB.
    """
    data = stream.read(LARGEST_ARRAY + 1)
    if len(data) > LARGEST_ARRAY:
        raise UsageError(f"{file}: a JSON array of more than {LARGEST_ARRAY >> 20} MiB; write it as JSON lines instead")
    # Bytes that are not UTF-8 travel through, so that they cost only the element they are in.
    text = data.removeprefix(BOM).decode("utf-8", "surrogateescape")
    scan = json.JSONDecoder(strict=False, parse_int=str, parse_float=str).raw_decode
    at, number, counted = _skip_space(text, text.index("[") + 1), 1, 0
    more = not text.startswith("]", at)
    while more:
        number, counted = number + text.count("\n", counted, at), at
        try:
            _, end = scan(text, at)
        except json.JSONDecodeError as error:
            raise _syntax_error(file, text, error.pos, error.msg) from None
        except RecursionError:
            raise _syntax_error(file, text, at, "arrays or objects are nested too deeply") from None
        yield number, text[at:end].encode("utf-8", "surrogateescape")
        at = _skip_space(text, end)
        if more := text.startswith(",", at):
            at = _skip_space(text, at + 1)
        elif not text.startswith("]", at):
            raise _syntax_error(file, text, at, "expected ',' or ']'")
    if (rest := _skip_space(text, at + 1)) < len(text):
        raise _syntax_error(file, text, rest, "text after the end of the array")


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in {" ", "\t", "\n", "\r"}:
        at += 1
    return at


def _syntax_error(file: str, text: str, at: int, what: str) -> UsageError:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return UsageError(f"{file}:{line}:{column}: not JSON: {what[:1].lower()}{what[1:]}")


def items(stream: io.BufferedReader, file: str, report: FaultHandler, *, by_line: bool = False) -> Iterator[Item]:
    """The elements of a JSON array, or the lines of anything else and where ``by_line`` says so.

    Raises:
        UsageError: an array that is no JSON, or one object over several lines.
    """
    begin = b"" if by_line else stream.peek(4096)[:4096].removeprefix(BOM).lstrip()
    if begin.startswith(b"["):
        return elements(stream, file)
    if begin.partition(b"\n")[0].strip() == b"{":  # the opening brace has a line to itself
        raise UsageError(f"{file}:1: one JSON object over several lines; give an array or one per line")
    return lines(stream, report)
