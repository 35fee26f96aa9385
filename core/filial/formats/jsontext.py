"""JSON text: one strict parser for all formats, and what is wrong with a line, with its place."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec

Row = dict[str, Any]

_KINDS: dict[type, str] = {
    dict: "an object", list: "an array", str: "a string",
    bool: "a boolean", int: "a number", float: "a number",
}  # fmt: skip
_PLACE = re.compile(r" - at (?:key in )?`\$(.*)`$")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a line that it cannot take."""


class Fault(ValueError):
    """Something wrong with one line: a JSON pointer (empty for the whole line) and a message."""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(f"{pointer}: {message}" if pointer else message)
        self.pointer, self.message = pointer, message


def kind(value: object) -> str:
    """Return the JSON type of a value in words, with its article."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def parse_object(line: bytes) -> Row:
    """Return the object in one line of JSON (RFC 8259: no NaN, no lone surrogates). Of equal keys the last one counts.

    Raises:
        Fault: not JSON, with the column in characters, or not an object.
    """
    try:
        value: Any = msgspec.json.decode(line)
    except BROKEN as error:
        refuse(line, error)
    if not isinstance(value, dict):
        raise Fault("", f"the line is {kind(value)}, not an object in braces")
    return value


def fault_of(error: msgspec.ValidationError) -> Fault:
    """Return msgspec's finding about a value, its path as a JSON pointer.

    The pointer ends at a mapping whose keys are free: msgspec does not tell which one it was.
    """
    text = str(error)
    found = _PLACE.search(text)
    if found is None:
        return Fault("", text)
    steps = ("".join(step) for step in _STEP.findall(found[1].partition("[...]")[0]))
    return Fault("".join(f"/{step}" for step in steps), text[: found.start()])


def refuse(line: bytes, error: Exception) -> NoReturn:
    """Say what is wrong with a line. The text is parsed again by Python's json, which counts columns in characters.

    Raises:
        Fault: always.
    """
    if isinstance(error, msgspec.ValidationError):
        raise fault_of(error) from None
    try:
        json.loads(line.decode("utf-8").rstrip(), parse_constant=_no_number)
    except UnicodeDecodeError as wrong:
        column = len(line[: wrong.start].decode("utf-8")) + 1
        found = f"byte 0x{line[wrong.start]:02x} at column {column}"
        raise Fault("", f"{found} is not UTF-8; save the file as UTF-8") from None
    except RecursionError:
        raise Fault("", "arrays or objects are nested too deeply") from None
    except json.JSONDecodeError as wrong:
        what = wrong.msg[:1].lower() + wrong.msg[1:].removesuffix(" at")
        raise Fault("", f"not JSON: {what} at column {wrong.colno}") from None
    except ValueError as wrong:
        raise Fault("", f"not JSON: {wrong}") from None
    if isinstance(error, RecursionError):
        raise Fault("", "arrays or objects are nested too deeply") from None
    # The one thing that Python's json takes and msgspec does not.
    raise Fault("", "a string holds half a character (a lone surrogate); write the whole pair or leave it out")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
