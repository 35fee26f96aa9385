"""The language of ``--where``: comparisons of fields, joined by ``and``, ``or``, ``not`` and parentheses.

    task=lists and (words>50 or scores.agreement<0.5) and not instruction contains sorry

It is parsed into functions here; no Python in it is ever run. A comparison holds if it holds for one value of the
field. ``!=``, ``!~``, ``not in`` and ``not contains`` hold where their opposite does not.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from filial import UsageError
from filial_plugins.show.fields import FIELD, NUMBER, TEXT, Field, find_field
from filial_plugins.show.rows import Row

Test = Callable[[Row], bool]
Check = Callable[[Any], bool]
"""Whether a single value passes."""

DEEPEST = 50
"""Parentheses and ``not`` inside each other."""
_SPACE = re.compile(r"\s*")
_OPERATOR = re.compile(r"==|!=|<=|>=|=~|!~|[=<>~]|(?:not\s+)?(?:contains|in)\b", re.IGNORECASE)
_WORD = re.compile(r"(and|or|not)\b", re.IGNORECASE)
_FIELD = re.compile(FIELD.pattern)
_QUOTED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""", re.DOTALL)
_BARE = re.compile(r"[^\s()'\",]+")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_ALIASES = {"==": "=", "=~": "~"}
_OPPOSITES = {"!=": "=", "!~": "~", "not in": "in", "not contains": "contains"}
_OTHER_SIGNS = {"&": "and", "|": "or", "!": "not", ",": "and", ";": "and"}
OPERATORS = "= != < <= > >= ~ !~ contains in"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in an expression: its text, its number if it is one, and whether it stood in quotes."""

    text: str
    quoted: bool

    @property
    def number(self) -> float | None:
        return float(self.text) if _NUMBER.fullmatch(self.text) else None

    @property
    def is_null(self) -> bool:
        return not self.quoted and self.text.lower() in ("null", "none")


class Expression:
    """A parsed expression: ``test(row)``, and the fields that it names."""

    def __init__(self, text: str, dropped: bool = False, flag: str = "--where") -> None:
        """Parse it.

        Raises:
            UsageError: it is none; the message says what is wrong and where.
        """
        self.text, self.fields = text, list[Field]()
        self._at, self._dropped, self._flag, self._depth = 0, dropped, flag, 0
        if not text.strip():
            raise UsageError(f"{flag}: the expression is empty; write a comparison such as 'words>50'")
        self.test: Test = self._parse_any()
        if self._rest():
            self._fail_at_end()

    # Each method takes what it knows from the text at `_at` and gives a test.

    def _parse_any(self) -> Test:
        tests = [self._parse_all()]
        while self._take_word("or"):
            tests.append(self._parse_all())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _parse_all(self) -> Test:
        tests = [self._parse_one()]
        while self._take_word("and"):
            tests.append(self._parse_one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _parse_one(self) -> Test:
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail("parentheses are nested too deeply")
        if self._take_word("not"):
            inner = self._parse_one()
            test: Test = lambda row: not inner(row)  # noqa: E731 - as the others of this grammar
        elif self._take("("):
            test = self._parse_any()
            if not self._take(")"):
                self._fail("a ')' is missing")
        else:
            test = self._parse_comparison()
        self._depth -= 1
        return test

    def _parse_comparison(self) -> Test:
        place = self._skip()
        found = _FIELD.match(self.text, place)
        if found is None or _WORD.fullmatch(found[0]):
            self._fail("a field is missing, such as words or task")
        try:
            field = find_field(found[0], self._dropped)
        except UsageError as err:
            self._fail(str(err))
        self._at = found.end()
        self.fields.append(field)
        sign = _OPERATOR.match(self.text, self._skip())
        if sign is None:
            return self._has_something(field)
        self._at = sign.end()
        name = " ".join(sign[0].lower().split())
        name = _ALIASES.get(name, name)
        base = _OPPOSITES.get(name, name)
        check = _one_of(self._check_all(field)) if base == "in" else self._check(field, base)
        if base == "=" and self._null:
            test: Test = lambda row: not any(map(_is_something, field.values(row)))  # noqa: E731
        else:
            test = lambda row: any(map(check, field.values(row)))  # noqa: E731
        return test if name == base else lambda row: not test(row)

    _null = False
    """Whether the value just read is ``null``."""

    def _has_something(self, field: Field) -> Test:
        """Whether a field holds anything, where no comparison follows it."""
        if field.kind == NUMBER:
            name = field.name
            self._fail(
                f"{name} needs a comparison, such as {name}>50; put the whole in quotes, for the shell takes < and >"
            )
        return lambda row: any(value is not False and _is_something(value) for value in field.values(row))

    def _check(self, field: Field, name: str, behind: str = "") -> Check:
        """A comparison of one value with the literal behind ``name``, or behind another sign."""
        at = self._skip()
        literal = self._literal(behind or name)
        self._null = name == "=" and literal.is_null
        self._check_kinds(field, name, literal, at)
        if name == "=":
            return _equals(literal)
        if name == "contains":
            return _contains(literal)
        if name == "~":
            try:
                search = re.compile(literal.text).search
            except (re.error, OverflowError, RecursionError) as err:
                self._fail(f"{literal.text!r} is no regular expression: {err}", at)
            return lambda value: isinstance(value, str) and search(value) is not None
        return _is_ordered(_ORDERS[name], literal)

    def _check_all(self, field: Field) -> list[Check]:
        """Comparisons with each value of a list in parentheses."""
        if not self._take("("):
            self._fail("a list in parentheses must follow 'in', such as in (lists, poems)")
        checks = [self._check(field, "=", "in (")]
        while self._take(","):
            checks.append(self._check(field, "=", ","))
        self._null = False
        if not self._take(")"):
            self._fail("a ',' or ')' is missing")
        return checks

    def _check_kinds(self, field: Field, name: str, literal: Literal, at: int) -> None:
        """See that a field can be compared with a value in this way."""
        if field.kind == NUMBER and name in ("~", "contains"):
            self._fail(f"{field.name} is a number; compare it with = != < <= > >=", at)
        if field.kind == NUMBER and literal.number is None and not (name == "=" and literal.is_null):
            self._fail(f"{field.name} is a number, and {literal.text!r} is none", at)
        if field.kind == TEXT and name in _ORDERS and literal.number is not None and not literal.quoted:
            size = f"{field.name}.words{name}{literal.text}"
            self._fail(f"{field.name} is a text, not a number; for its size write {size} or use .length", at)

    def _literal(self, name: str) -> Literal:
        at = self._skip()
        if quoted := _QUOTED.match(self.text, at):
            self._at = quoted.end()
            mark, body = quoted[0][0], quoted[0][1:-1]
            return Literal(body.replace(f"\\{mark}", mark), quoted=True)
        if self.text[at : at + 1] in ("'", '"'):
            self._fail("a quotation mark is not closed", at)
        bare = _BARE.match(self.text, at)
        if bare is None:
            self._fail(f"a value is missing behind {name!r}; one with blanks, commas or parentheses goes in quotes", at)
        if _WORD.fullmatch(bare[0]):
            self._fail(f"a value is missing behind {name!r}; put the word {bare[0]!r} in quotes if it is meant", at)
        self._at = bare.end()
        return Literal(bare[0], quoted=False)

    def _skip(self) -> int:
        self._at = _SPACE.match(self.text, self._at).end()  # type: ignore[union-attr] # it always matches
        return self._at

    def _rest(self) -> str:
        return self.text[self._skip() :]

    def _take(self, mark: str) -> bool:
        if found := self.text.startswith(mark, self._skip()):
            self._at += len(mark)
        return found

    def _take_word(self, word: str) -> bool:
        found = _WORD.match(self.text, self._skip())
        if found is None or found[0].lower() != word:
            return False
        self._at = found.end()
        return True

    def _fail_at_end(self) -> NoReturn:
        """Say what is wrong with text behind a whole expression."""
        rest = self._rest()
        if word := _OTHER_SIGNS.get(rest[0]):
            self._fail(f"{rest[0]!r} is not known here; write '{word}'")
        self._fail(
            f"{rest[:30]!r} was not expected; join comparisons with 'and' or 'or', put values with blanks in quotes; "
            f"the comparisons are {OPERATORS}"
        )

    def _fail(self, what: str, at: int | None = None) -> NoReturn:
        column = (self._at if at is None else at) + 1
        raise UsageError(f"{self._flag} {self.text!r}, column {column}: {what}") from None


def _is_something(value: Any) -> bool:
    return value not in (None, "") and value != {}


def _one_of(checks: list[Check]) -> Check:
    return lambda value: any(check(value) for check in checks)


def _equals(literal: Literal) -> Check:
    text, number = literal.text, literal.number
    truth = {"true": True, "false": False}.get(text.lower())

    def check(value: Any) -> bool:
        if isinstance(value, bool):
            return value is truth
        if isinstance(value, str):
            return value == text
        return isinstance(value, int | float) and number is not None and value == number

    return check


def _contains(literal: Literal) -> Check:
    wanted = fold(literal.text)
    return lambda value: isinstance(value, str) and wanted in fold(value)


def _is_ordered(compare: Callable[[Any, Any], bool], literal: Literal) -> Check:
    number, text = literal.number, literal.text

    def check(value: Any) -> bool:
        if number is None or literal.quoted:
            return isinstance(value, str) and compare(value, text)
        given = as_number(value)
        return given is not None and compare(given, number)

    return check


def as_number(value: Any) -> float | None:
    """Return a value as a number: one, or a text that is one, as in the cells of a CSV file; else None."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def fold(text: str) -> str:
    """Return a text without the difference of upper and lower case and of composed and decomposed letters."""
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).casefold()
