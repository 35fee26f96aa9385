"""Read YAML 1.2 with the place of every key and value, and write plain data that is read back the same.

PyYAML composes the nodes. What a plain scalar means is decided here, by the core schema: ``no`` is text, ``12:30:00``
is text, ``1e-5`` is a number. Tags, anchors, aliases and repeated keys are faults, so a file can neither run code, nor
grow when it is read, nor hold a value that another replaces in silence.
"""

from __future__ import annotations

import math
import re
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
# What YAML forbids, and U+0085, U+2028 and U+2029: line breaks in YAML 1.1, which PyYAML folds, characters in 1.2.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_REFUSED = "refused"  # the tag of a node that stands in for something refused

_SYNTAX = {
    "expected ',' or ']'": "this list needs a ',' or a ']' here",
    "expected ',' or '}'": "this mapping needs a ',' or a '}' here",
    "found unexpected end of stream": "this quoted text is never closed",
    "found character '\\t'": "a tab cannot stand here; use spaces",
    "found character": "text cannot start with this character; put it in quotes",
    "mapping values are not": "a second ':' on one line, or a line indented too far; text that holds ': ' needs quotes",
    "could not find expected ':'": "this is neither 'key: value' nor '- item'; is a ':' missing?",
    "expected the node content": "a value is missing here",
    "expected <block end>": "the indentation of this line does not fit the lines above",
    "expected alphabetic or numeric": "text that starts with '&', '*' or '%' needs quotes",
    "expected chomping or indentation": "text that starts with '|' or '>' needs quotes",
    "expected '<document start>'": "the YAML ends before this; is the indentation right?",
}
"""How PyYAML's messages begin, where ours are plainer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. Lines and columns count from 1, in characters."""

    line: int
    column: int
    message: str


@dataclass(slots=True)
class Document:
    """What a YAML text holds, with line and column of every value and, by the same address, its key.

    ``silenced`` are the addresses of stand-ins for what was refused. Where the syntax is broken, ``readable`` is False
    and ``data`` says nothing.
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
        return _unreadable("", f"the file is larger than {MAX_BYTES >> 20} MiB, which no recipe needs")
    try:
        return parse(raw.decode("utf-8"))
    except UnicodeDecodeError as err:
        what = f"byte 0x{raw[err.start]:02x} is not UTF-8 text; save the file as UTF-8"
        return _unreadable(raw[: err.start].decode("utf-8"), what)


def parse(text: str) -> Document:
    """Parse a YAML text. Never raises: whatever is wrong stands in the document's faults."""
    text = text.removeprefix("\ufeff")
    if bad := _FORBIDDEN.search(text):
        code = ord(bad.group())
        what = f"the character U+{code:04X} cannot stand here; remove it, or write \\u{code:04x} in double quotes"
        return _unreadable(text[: bad.start()], what)
    document = Document()
    loader: Any = _Loader(text, document)  # typed as Any: PyYAML's stubs leave these methods untyped
    try:
        if not loader.check_node():
            return _unreadable("", "the file is empty")
        root = loader.get_node()
        if loader.check_node():
            loader.refuse(loader.peek_event(), "a second document begins here; a file may hold only one")
    except yaml.MarkedYAMLError as err:
        document.readable = False
        problem = str(err.problem)
        words = next((words for start, words in _SYNTAX.items() if problem.startswith(start)), problem)
        place, begun = _place(err.problem_mark or err.context_mark), _place(err.context_mark or err.problem_mark)
        words += " (in what begins at line {}, column {})".format(*begun) if begun != place else ""
        document.faults.append(Fault(*place, words))
    except (ValueError, OverflowError):  # PyYAML hands any escape to chr() and any version to int()
        document.readable = False
        document.faults.append(Fault(*_place(loader.get_mark()), "this escape or number has no meaning in YAML"))
    else:
        document.data = loader.value(root, ())
    return document


def parse_value(text: str) -> Any:
    """Read one value as a command line gives it.

    Raises:
        ValueError: it is no YAML.
    """
    document = parse(text)
    if document.faults:
        raise ValueError("; ".join(fault.message for fault in document.faults))
    return document.data


def dump(data: dict[str, Any]) -> str:
    """Write plain data as YAML: mappings keep their order, and no text is escaped without need."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _scalar(text: str, plain: bool) -> Any:
    """The value of a scalar; all that is not plain (unquoted) is text.

    Raises:
        ValueError: the scalar has no value that can be used.
    """
    if _SURROGATE.search(text):
        raise ValueError("half a surrogate pair is no character; write the character itself")
    if plain and text in _WORDS:
        return _WORDS[text]
    whole = plain and _INT.fullmatch(text)
    if whole and len(text) <= _MAX_DIGITS:
        return int(text, 0 if text[1:2] in ("x", "o") else 10)
    if whole or (plain and _FLOAT.fullmatch(text)):
        number = math.inf if whole or text[-1] in "fFnN" else float(text)
        if not math.isfinite(number):
            raise ValueError("this number is too large or not finite; put it in quotes if it is meant as text")
        return number
    return text


class _Loader(yaml.SafeLoader):
    """Composes nodes and takes the data out of them; what it refuses becomes a fault of the document."""

    def __init__(self, text: str, document: Document) -> None:
        super().__init__(text)
        self._document, self._depth = document, 0

    def refuse(self, what: Any, message: str) -> None:
        """Note a fault where an event or a node begins."""
        self._document.faults.append(Fault(*_place(what.start_mark), message))

    def compose_node(self, parent: Any, index: Any) -> Any:
        events: Any = super()
        event = events.peek_event()
        alias = isinstance(event, yaml.AliasEvent)
        refused = alias or event.tag is not None or event.anchor is not None
        if refused:
            self.refuse(event, "tags (!), anchors (&) and aliases (*) are not allowed; write the value itself")
        if alias:
            events.get_event()
            return yaml.ScalarNode(_REFUSED, "", event.start_mark, event.end_mark)
        event.tag = event.anchor = None
        if isinstance(event, yaml.ScalarEvent):  # JSON writes a character beyond U+FFFF as two escapes
            event.value = event.value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if isinstance(event, yaml.CollectionStartEvent) and self._depth == MAX_DEPTH:
            mark: Any = event.start_mark
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_DEPTH} levels of nesting", problem_mark=mark)
        self._depth += 1
        node = events.compose_node(parent, index)
        self._depth -= 1
        node.tag = _REFUSED if refused else node.tag
        return node

    def value(self, node: Any, address: Address) -> Any:
        """The data of a node."""
        self._document.values[address] = _place(node.start_mark)
        if node.tag == _REFUSED:
            self._document.silenced.add(address)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, address)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*address, i)) for i, item in enumerate(node.value)]
        try:
            return _scalar(node.value, plain=node.style is None)
        except ValueError as err:
            self.refuse(node, str(err))
            self._document.silenced.add(address)
            return None

    def _mapping(self, node: Any, address: Address) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        keys = self._document.keys
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or _SURROGATE.search(key.value):
                self.refuse(key, "a key must be a word or quoted text")
            elif (here := (*address, key.value)) in keys:
                first = "line {}, column {}".format(*keys[here])
                self.refuse(key, f"the key {key.value!r:.60} stands here again (first at {first}); keep one of them")
            else:
                keys[here] = _place(key.start_mark)
                pairs[key.value] = self.value(value, here)
                if key.tag == _REFUSED:
                    self._document.silenced.add(here)
        return pairs


def _place(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _unreadable(before: str, message: str) -> Document:
    """A document whose fault stands behind the text ``before``."""
    lines = re.split(r"\r\n|\r|\n", before)
    return Document(faults=[Fault(len(lines), len(lines[-1]) + 1, message)], readable=False)


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper without aliases, for readers of YAML 1.1 and 1.2 alike."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Quote what only YAML 1.2 takes for a number, escape what may not stand in a file."""
        style = "'" if _INT.fullmatch(data) or _FLOAT.fullmatch(data) else '"' if _FORBIDDEN.search(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)
