"""Strict YAML that remembers where everything stands.

The scalars are those of the YAML 1.2 core schema: ``no`` is text, ``12:30:00`` is text, ``1e-5`` is a number.
Tags, anchors, aliases and repeated keys are faults, so a file can neither run code, nor grow when it is read,
nor hold a value that silently loses to another. PyYAML delivers the events; its constructors are not used.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import yaml

from filial.yamlwords import syntax_words

Address = tuple[str | int, ...]
"""The keys and list positions that lead from the root to a value."""

OLD_BREAKS = "\x85\u2028\u2029"
"""Line breaks in YAML 1.1, which PyYAML reads; ordinary characters in YAML 1.2."""

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
_MAX_DIGITS = 100

_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL, _HEX = re.compile(r"0o[0-7]+"), re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, order=True, slots=True)
class Fault:
    """One thing that is wrong. Lines and columns count from 1, in characters."""

    line: int
    column: int
    message: str


@dataclass(slots=True)
class Document:
    """What a YAML text holds, and where.

    Attributes:
        data: mappings, lists and scalars; ``None`` where the text cannot be read at all.
        keys: line and column of each key, by the address of its value.
        values: line and column of each value.
        faults: what is wrong with the YAML itself.
        silenced: addresses of values that are stand-ins for something faulty.
        readable: False when the syntax broke, so that ``data`` says nothing.
    """

    data: Any = None
    keys: dict[Address, tuple[int, int]] = field(default_factory=dict)
    values: dict[Address, tuple[int, int]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    silenced: set[Address] = field(default_factory=set)
    readable: bool = True


def read(raw: bytes) -> Document:
    """Parse the bytes of a file: UTF-8, with or without a byte order mark, at most `MAX_BYTES`."""
    if len(raw) > MAX_BYTES:
        return _unreadable(1, 1, f"the file is larger than {MAX_BYTES >> 20} MiB, which no recipe needs")
    try:
        return parse(raw.decode("utf-8"))
    except UnicodeDecodeError as err:
        line, column = _Lines(raw[: err.start].decode("utf-8")).place(err.start)
        byte = f"0x{raw[err.start]:02x}"
        return _unreadable(line, column, f"byte {byte} is not UTF-8 text; save the file as UTF-8")


def parse(text: str) -> Document:
    """Parse a YAML text. Never raises: whatever is wrong stands in the document's faults."""
    text = text.removeprefix("\ufeff")
    lines = _Lines(text)
    if len(text) > MAX_BYTES:
        return _unreadable(1, 1, f"the text is longer than {MAX_BYTES} characters, which no recipe needs")
    if bad := _FORBIDDEN.search(text):
        what = f"the character U+{ord(bad.group()):04X} cannot stand in YAML; remove it"
        return _unreadable(*lines.place(bad.start()), what)
    return _Builder(text, lines).build()


def scalar(text: str) -> Any:
    """The value of a plain (unquoted) scalar, by the YAML 1.2 core schema.

    Raises:
        ValueError: a number without a finite value, or one of absurd length.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) or _HEX.fullmatch(text) or _OCTAL.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits is too long")
        return int(text, 0) if text[1:2] in ("x", "o") else int(text)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is not a finite number; put it in quotes if it is meant as text")
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("this number is too large")
        return number
    return text


class _Lines:
    """Character index to line and column, both from 1, as editors count."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(m.end() for m in re.finditer(r"\r\n|\r|\n", text))]
        self._end = len(text)

    def place(self, index: int) -> tuple[int, int]:
        line = bisect_right(self._starts, min(index, self._end))
        return line, min(index, self._end) - self._starts[line - 1] + 1


class _TooDeep(Exception):
    """Nesting beyond `MAX_DEPTH`; reading stops there."""


class _Builder:
    """Turns PyYAML's events into data, marks and faults."""

    def __init__(self, text: str, lines: _Lines) -> None:
        stand_ins = _unused(text, len(OLD_BREAKS))
        self._restore = str.maketrans(stand_ins, OLD_BREAKS)
        self._loader = yaml.SafeLoader(text.translate(str.maketrans(OLD_BREAKS, stand_ins)))
        self._next: Callable[[], Any] = self._loader.get_event
        self._peek: Callable[[], Any] = self._loader.peek_event
        self._lines = lines
        self._out = Document()

    def build(self) -> Document:
        try:
            self._stream()
        except yaml.MarkedYAMLError as err:
            mark = err.problem_mark or err.context_mark
            self._broken(mark.index if mark else 0, syntax_words(err, self._lines.place))
        except (ValueError, OverflowError):  # PyYAML hands any escape to chr() and any version to int()
            self._broken(self._loader.index, "this escape or number has no meaning in YAML")
        except _TooDeep:
            pass
        return self._out

    def _stream(self) -> None:
        self._next()
        if self._loader.check_event(yaml.StreamEndEvent):
            self._broken(0, "the file is empty")
            return
        self._next()
        self._out.data = self._value((), 0)
        self._next()
        if not self._loader.check_event(yaml.StreamEndEvent):
            index = self._next().start_mark.index
            self._fault(index, "a second YAML document starts here; a file may hold only one")

    def _value(self, address: Address, depth: int) -> Any:
        event = self._next()
        start = event.start_mark.index
        self._out.values[address] = self._lines.place(start)
        if isinstance(event, yaml.AliasEvent):
            self._refuse(address, start, f"the alias '*{event.anchor}' is not allowed; write the value out")
            return None
        if event.anchor is not None:
            self._fault(start, f"the anchor '&{event.anchor}' is not allowed; remove it")
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(address, start, f"the tag {tag!r} is not allowed; remove it")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, address, start)
        if depth >= MAX_DEPTH:
            self._broken(start, f"more than {MAX_DEPTH} levels of nesting")
            raise _TooDeep
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(address, depth)
        return self._mapping(address, depth)

    def _scalar(self, event: yaml.ScalarEvent, address: Address, start: int) -> Any:
        if event.style is None and event.tag is None:
            try:
                value = scalar(event.value)
            except ValueError as err:
                self._refuse(address, start, str(err))
                return None
            if not isinstance(value, str):
                return value
        return self._text(event.value, address, start)

    def _text(self, text: str, address: Address, start: int) -> str:
        """Text as it was meant; a pair of surrogate escapes, as JSON writes them, is one character."""
        text = text.translate(self._restore)
        if not _SURROGATE.search(text):
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._refuse(address, start, "half a surrogate pair is no character; write the character itself")
            return ""

    def _sequence(self, address: Address, depth: int) -> list[Any]:
        items: list[Any] = []
        while not self._loader.check_event(yaml.SequenceEndEvent):
            items.append(self._value((*address, len(items)), depth + 1))
        self._next()
        return items

    def _mapping(self, address: Address, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            event = self._peek()
            start = event.start_mark.index
            if not isinstance(event, yaml.ScalarEvent):
                self._fault(start, "a key must be a word or quoted text")
                self._value((*address, "?"), depth + 1)
                self._value((*address, "?"), depth + 1)
                continue
            key = self._key(address, start)
            if key in pairs:
                line, column = self._out.keys[(*address, key)]
                first = f"line {line}, column {column}"
                self._fault(start, f"the key {key!r} stands here again (first at {first}); keep one of them")
                self._value((*address, f"{key} again"), depth + 1)
            else:
                self._out.keys[(*address, key)] = self._lines.place(start)
                pairs[key] = self._value((*address, key), depth + 1)
        self._next()
        return pairs

    def _key(self, address: Address, start: int) -> str:
        event = self._next()
        if event.anchor is not None or event.tag is not None:
            self._fault(start, "anchors and tags are not allowed; remove this one")
        return self._text(event.value, (*address, event.value), start)

    def _fault(self, index: int, message: str) -> None:
        self._out.faults.append(Fault(*self._lines.place(index), message))

    def _refuse(self, address: Address, index: int, message: str) -> None:
        self._fault(index, message)
        self._out.silenced.add(address)

    def _broken(self, index: int, message: str) -> None:
        self._fault(index, message)
        self._out.readable = False


def _unused(text: str, count: int) -> str:
    """Private-use characters that the text does not hold."""
    have = set(text)
    free = (char for char in map(chr, range(0xE000, 0xF900)) if char not in have)
    return "".join(islice(free, count))


def _unreadable(line: int, column: int, message: str) -> Document:
    return Document(faults=[Fault(line, column, message)], readable=False)
