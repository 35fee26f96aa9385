"""Read YAML 1.2 with line and column of every key and value, and write plain data so that reading gives it back.

PyYAML parses the text. The meaning of a plain scalar is decided here, by the core schema of YAML 1.2: ``no`` and
``12:30:00`` are text, ``1e-5`` is a number. Tags, anchors, aliases and repeated keys are errors, so a file cannot run
code, grow when it is read, or silently replace one value by another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

Address = tuple[str | int, ...]
"""The keys and list positions that lead from the root to a value."""

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
_MAX_DIGITS = 100

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# What YAML forbids, and U+0085, U+2028, U+2029: ordinary characters in YAML 1.2, but line breaks for PyYAML (YAML 1.1).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class YamlFault:
    """An error in a YAML text. Lines and columns count from 1, in characters."""

    line: int
    column: int
    message: str


@dataclass(slots=True)
class Document:
    """The data of a YAML text, with (line, column) of every value and of its key, by address.

    ``silenced`` are the addresses of values that were replaced by None because of an error. If the syntax is invalid,
    ``readable`` is False and ``data`` is meaningless.
    """

    data: Any = None
    keys: dict[Address, tuple[int, int]] = field(default_factory=dict)
    values: dict[Address, tuple[int, int]] = field(default_factory=dict)
    faults: list[YamlFault] = field(default_factory=list)
    silenced: set[Address] = field(default_factory=set)
    readable: bool = True


def parse_bytes(raw: bytes) -> Document:
    """Parse the bytes of a file: UTF-8, with or without a byte order mark, at most `MAX_BYTES`."""
    if len(raw) > MAX_BYTES:
        return _unreadable_document("", f"the file is larger than {MAX_BYTES >> 20} MiB, which no recipe needs")
    return parse(raw.decode("utf-8", "surrogateescape"))


def parse(text: str) -> Document:
    """Parse a YAML text. Does not raise: errors are in the document's ``faults``."""
    text = text.removeprefix("\ufeff")
    if bad := _FORBIDDEN.search(text):
        code = ord(bad.group())
        what = f"the character U+{code:04X} is not allowed here; remove it, or write \\u{code:04x} in double quotes"
        if 0xDC80 <= code <= 0xDCFF:  # how surrogateescape decodes a byte that is not UTF-8
            what = f"byte 0x{code - 0xDC00:02x} is not UTF-8 text; save the file as UTF-8"
        return _unreadable_document(text[: bad.start()], what)
    reader = _Reader(text)
    try:
        reader.read()
    except yaml.MarkedYAMLError as err:
        reader.document.readable = False
        reader.refuse(err.problem_mark or err.context_mark, _explain_syntax_error(err))
    except (ValueError, OverflowError):  # PyYAML passes any escape to chr() and any version to int()
        reader.document.readable = False
        reader.refuse(reader.events.get_mark(), "this escape or number has no meaning in YAML")
    return reader.document


def parse_value(text: str) -> Any:
    """Parse one value of a command line.

    Raises:
        ValueError: it is not YAML.
    """
    document = parse(text)
    if document.faults:
        raise ValueError("; ".join(fault.message for fault in document.faults))
    return document.data


def dump(data: dict[str, Any]) -> str:
    """Write plain data as YAML; mappings keep their order, text is escaped only if necessary."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _scalar(text: str, plain: bool) -> Any:
    """Return the value of a scalar. Quoted scalars are text; a number of more than 100 digits is infinite."""
    if not plain:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, 0 if text[1:2] in ("x", "o") else 10) if len(text) <= _MAX_DIGITS else math.inf
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


class _Reader:
    """Builds a `Document` from PyYAML's events; invalid parts become its ``faults``."""

    def __init__(self, text: str) -> None:
        self.events: Any = yaml.SafeLoader(text)  # typed as Any: PyYAML's stubs leave its methods untyped
        self.document = Document()

    def refuse(self, mark: Any, message: str) -> None:
        """Add a fault at a mark."""
        self.document.faults.append(YamlFault(*_place(mark), message))

    def read(self) -> None:
        """Read the one document that the text should hold.

        Raises:
            MarkedYAMLError: invalid syntax.
        """
        self.events.get_event()  # the stream begins
        first = self.events.get_event()
        if isinstance(first, yaml.StreamEndEvent):
            raise _syntax_error(first, "the file is empty")
        self.document.data = self._value(self.events.get_event(), ())
        self.events.get_event()  # the document ends
        if not self.events.check_event(yaml.StreamEndEvent):
            self.refuse(self.events.peek_event().start_mark, "a second document begins here; a file may hold only one")

    def _value(self, event: Any, address: Address) -> Any:
        """Read the value that begins with an event."""
        self.document.values[address] = _place(event.start_mark)
        self._refuse_references(event, address)
        if isinstance(event, yaml.CollectionStartEvent) and len(address) == MAX_DEPTH:
            raise _syntax_error(event, f"more than {MAX_DEPTH} levels of nesting")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(address)
        if isinstance(event, yaml.SequenceStartEvent):
            return [
                self._value(item, (*address, i)) for i, item in enumerate(self._events_until(yaml.SequenceEndEvent))
            ]
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(_text(event), plain=event.style is None)
            if not isinstance(value, float) or math.isfinite(value):
                return value
            self.refuse(event.start_mark, "this number is too large or not finite; put it in quotes if it is text")
            self.document.silenced.add(address)
        return None

    def _mapping(self, address: Address) -> dict[str, Any]:
        data: dict[str, Any] = {}
        keys = self.document.keys
        for key in self._events_until(yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise _syntax_error(key, "a key must be a word or quoted text")
            name = _text(key)
            here: Address = (*address, name)
            if name in data:
                first = "line {}, column {}".format(*keys[here])
                what = f"the key {name!r:.60} is repeated here (first at {first}); keep one of them"
                self.refuse(key.start_mark, what)
                here = (*address, len(data))  # no key is a number, so nothing is found at this address
            keys[here] = _place(key.start_mark)
            self._refuse_references(key, here)
            value = self._value(self.events.get_event(), here)
            data.setdefault(name, value)
        return data

    def _events_until(self, end: type[yaml.Event]) -> Iterator[Any]:
        """Yield the events up to the end of a collection."""
        while not isinstance(event := self.events.get_event(), end):
            yield event

    def _refuse_references(self, event: Any, address: Address) -> None:
        if event.anchor is not None or getattr(event, "tag", None) is not None:  # an alias has an anchor, but no tag
            what = "tags (!), anchors (&) and aliases (*) are not allowed; write the value itself"
            self.refuse(event.start_mark, what)
            self.document.silenced.add(address)


def _text(event: yaml.ScalarEvent) -> str:
    """Return the text of a scalar. Surrogate pairs are joined: JSON escapes characters above U+FFFF as two."""
    try:
        return str(event.value).encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise _syntax_error(event, "half a surrogate pair is not a character; write the character itself") from None


def _syntax_error(event: Any, message: str) -> yaml.MarkedYAMLError:
    """Make an error that ends the parsing, of PyYAML's class."""
    return yaml.MarkedYAMLError(problem=message, problem_mark=event.start_mark)


def _explain_syntax_error(error: yaml.MarkedYAMLError) -> str:
    """Say what is wrong, in PyYAML's words, and what to do."""
    if type(error) is yaml.MarkedYAMLError:  # raised by this module
        return str(error.problem)
    place = " that begins at line {}, column {}".format(*_place(error.context_mark)) if error.context_mark else ""
    context = f"{error.context}{place}: " if error.context else ""
    cure = "check quotes, brackets, ':' and indentation; put text with special characters in quotes"
    return f"{context}{error.problem}; {cure}"


def _place(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _unreadable_document(before: str, message: str) -> Document:
    """Return a document with one fault, located after the text ``before``."""
    lines = re.split(r"\r\n|\r|\n", before)
    return Document(faults=[YamlFault(len(lines), len(lines[-1]) + 1, message)], readable=False)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper without aliases; its output means the same in YAML 1.1 and 1.2."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Quote text that is a number in YAML 1.2 only, and escape forbidden characters."""
        style = "'" if _INT.fullmatch(data) or _FLOAT.fullmatch(data) else '"' if _FORBIDDEN.search(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)
