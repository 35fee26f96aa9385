"""JSON text: one strict parser for all formats, with plain words for what is wrong and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn

import msgspec

Row = dict[str, Any]

_KINDS: dict[type, str] = {
    dict: "an object", list: "an array", str: "a string",
    bool: "a boolean", int: "a number", float: "a number",
}  # fmt: skip
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_BYTE = re.compile(r"(.*) \(byte (\d+)\)$")


class Fault(ValueError):
    """Something wrong with one line: a JSON pointer (empty for the whole line) and a message."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer}: {message}" if pointer else message)
        self.pointer, self.message = pointer, message


def kind(value: object) -> str:
    """The JSON type of a value in words, with its article."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def pointer(path: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def parse_object(line: bytes) -> Row:
    """The object in one line of JSON (RFC 8259: no NaN, no lone surrogates). Of equal keys the last one
    counts.

    Raises:
        Fault: not JSON, with the column in characters, or not an object.
    """
    try:
        value: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _refuse(line, error)
    if not isinstance(value, dict):
        raise Fault("", f"the line is {kind(value)}, not an object in braces")
    return value


def _refuse(line: bytes, error: Exception) -> NoReturn:
    """Say what is wrong, looking at the text again: the parser's own place can be off for these."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as wrong:
        found = f"byte 0x{line[wrong.start]:02x} at column {_column(line, wrong.start)}"
        raise Fault("", f"{found} is not UTF-8; save the file as UTF-8") from None
    if isinstance(error, RecursionError):
        raise Fault("", "arrays or objects are nested too deeply") from None
    if lone := _lone_surrogate(line):
        raise Fault(
            "", f"{lone} is half a character (a lone surrogate); write the whole pair or leave it out"
        ) from None
    if isinstance(error, msgspec.ValidationError):
        raise Fault("", "a number is out of range") from None
    raise Fault("", _syntax(line, str(error))) from None


def _syntax(line: bytes, error: str) -> str:
    if not (match := _BYTE.match(error)):
        return "not JSON: the line ends in the middle"
    what, at = match[1].removeprefix("JSON is malformed: "), int(match[2])
    if what.startswith("trailing char"):
        return "not JSON: text after the object; every record has a line of its own"
    column = _column(line, at)
    rest = line[max(at - 1, 0) : at + 9]
    for word in (b"NaN", b"Infinity"):
        if word in rest:
            return f"not JSON: {word.decode()} at column {column} is no JSON number"
    if at < len(line) and line[at] < 0x20:
        return f"not JSON: control character 0x{line[at]:02x} at column {column}; write it as \\u{line[at]:04x}"
    return f"not JSON: {what} at column {column}"


def _lone_surrogate(line: bytes) -> str:
    """The first half of a surrogate pair that stands alone, or ""."""
    high, end = "", -1
    for match in _ESCAPE.finditer(line):
        code = int(match[1], 16) if match[1] else 0
        low = 0xDC00 <= code <= 0xDFFF
        if high and not (low and match.start() == end):
            return high
        if low and not high:
            return _written(line, match)
        high, end = (_written(line, match) if 0xD800 <= code <= 0xDBFF else ""), match.end()
    return high


def _written(line: bytes, match: re.Match[bytes]) -> str:
    return f"{match[0].decode()} at column {_column(line, match.start())}"


def _column(line: bytes, at: int) -> int:
    return len(line[:at].decode("utf-8", "replace")) + 1
