"""JSON text: one strict parser for all formats, which names the fault of a line and its place."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, NoReturn

import msgspec

from filial.formats.base import Fault

Row = dict[str, Any]

_KINDS: dict[type, str] = {
    dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number",
}  # fmt: skip
_PLACE = re.compile(r" - at (?:key in )?`\$(.*)`$")
_WHO, _WHAT = {"role", "from"}, {"content", "value"}
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_CURES = {
    r".('|(True|False|None|nan|inf)\b)": "this is Python's notation: write the rows with json.dumps",
    r",[}\]]": "take out the comma in front of it",
    r"\},?\s*\{": "write each object on a line of its own", r"\},$": "take out the comma at the end of the line",
    r"version https://git-lfs": "this is a pointer of Git LFS: fetch the file that it stands for",
}  # fmt: skip
"""What to do, by what stands where text is no JSON: the character in front of it, and what follows."""
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Errors that msgspec raises for a bad line."""


def json_type(value: object) -> str:
    """Return the JSON type of a value in words, with its article."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def parse_object(line: bytes) -> Row:
    """Return the object in one line of JSON (RFC 8259: no NaN, no lone surrogates). Of equal keys the last one counts.

    Raises:
        Fault: not JSON, with the column in characters, or not an object.
    """
    try:
        value: Any = msgspec.json.decode(line)
    except msgspec.ValidationError as error:
        raise fault_of(error) from None
    except DECODE_ERRORS as error:
        raise explain_bad_json(line, error) from None
    if not isinstance(value, dict):
        raise Fault("", f"the line is {json_type(value)}, not an object in braces")
    return value


def find_doubled(line: bytes) -> str:
    """Return a key that an object in a line has twice; of them the parser takes the last without a word."""
    found: list[str] = []

    def join(pairs: list[tuple[str, Any]]) -> Row:
        if len(row := dict(pairs)) < len(pairs):
            found.append(max((name for name, _ in pairs), key=[name for name, _ in pairs].count))
        return row

    with suppress(ValueError, RecursionError):  # the parser says what is wrong
        json.loads(line, object_pairs_hook=join, parse_int=str)
    return found[0] if found else ""


def unfold_turns(row: Row) -> Row:
    """Return a row with turns as a list of objects, also where they are an object of lists, as a ``Sequence`` of
    `datasets` has them: ``{"role": […], "content": […]}``."""
    for value in row.values():
        if type(value) is dict:
            return {name: _unfold(value) if type(value) is dict else value for name, value in row.items()}
    return row


def _unfold(value: dict[str, Any]) -> Any:
    columns = value.values()
    named = not (_WHO.isdisjoint(value) or _WHAT.isdisjoint(value))
    if not named or not all(isinstance(column, list) for column in columns) or len(set(map(len, columns))) != 1:
        return value
    return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]


def fault_of(error: msgspec.ValidationError) -> Fault:
    """Return msgspec's error about a value as a fault, with its path as a JSON pointer.

    The pointer ends at a mapping with free keys, because msgspec does not name the key.
    """
    text = str(error)
    found = _PLACE.search(text)
    if found is None:
        return Fault("", text)
    steps = ("".join(step) for step in _STEP.findall(found[1].partition("[...]")[0]))
    return Fault("".join(f"/{step}" for step in steps), text[: found.start()])


def explain_bad_json(line: bytes, error: Exception) -> Fault:
    """Return the fault of a line. Python's json parses it again, because it counts columns in characters."""
    try:
        json.loads(line.decode("utf-8").rstrip(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as wrong:
        column = len(line[: wrong.start].decode("utf-8")) + 1
        what = f"byte 0x{line[wrong.start]:02x} at column {column} is not text in the file's encoding"
        return Fault("", f"{what} (UTF-8 unless its mark says another): name the encoding, or save the file as UTF-8")
    except json.JSONDecodeError as wrong:
        what = wrong.msg[:1].lower() + wrong.msg[1:].removesuffix(" at")
        there = wrong.doc[: wrong.pos].rstrip()[-1:] + wrong.doc[wrong.pos :].rstrip()
        cure = next((f"; {cure}" for found, cure in _CURES.items() if re.match(found, there)), "")
        return Fault("", f"not JSON: {what} at column {wrong.colno}{cure}")
    except ValueError as wrong:
        return Fault("", f"not JSON: {wrong}")
    except RecursionError as wrong:
        error = wrong
    if isinstance(error, RecursionError):
        return Fault("", "arrays or objects are nested too deeply")
    # The one thing that Python's json takes and msgspec does not.
    return Fault("", "a string holds half a character (a lone surrogate); write the whole pair or leave it out")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number; write null in its place")
