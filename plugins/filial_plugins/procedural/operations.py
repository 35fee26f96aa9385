"""What an operation is, and the table of all of them.

Types are single letters.  Lower case is one value: ``n`` a noun, ``i`` a number, ``d`` a day, ``m`` a month,
``c`` a country, ``a`` an adjective, ``v`` a verb, ``t`` any other word (nothing can be done with it), ``y`` yes or
no.  The same letter in upper case is a list of such values; ``T`` is a table, ``P`` a word problem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .grammar import expand_all

Value = Any
"""A number, a word, a list of either, or (for tables) a list of (word, number) rows."""

ANY_LIST = "NIDMCAV"


class InputError(ValueError):
    """The input does not fit the task: no answer exists."""


@dataclass(frozen=True)
class Operation:
    """One thing that can be done with an input, and all the ways to ask for it.

    ``takes`` lists the accepted types.  ``gives`` is a type letter, ``=`` (the type it took) or ``element`` (one
    element of the list it took).  ``orders`` are patterns of imperative clauses, ``questions`` of questions and
    ``notes`` of the plain labels used on the pages the base model is pretrained on.  ``rarity`` 1 is common, 3
    rare.  ``wants`` names the kind of input that gives the operation something to do.  ``mixed`` operations need
    things of several families (the topic ``words``).
    """

    name: str
    takes: str
    gives: str
    apply: Callable[..., Value]
    family: str
    orders: tuple[str, ...]
    questions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    rarity: int = 1
    core: bool = True
    wants: str = ""
    mixed: bool = False

    @cached_property
    def order_wordings(self) -> tuple[str, ...]:
        """Every imperative clause, slots open."""
        return expand_all(self.orders)

    @cached_property
    def question_wordings(self) -> tuple[str, ...]:
        """Every question, slots open, without the question mark."""
        return expand_all(self.questions)

    @cached_property
    def note_wordings(self) -> tuple[str, ...]:
        """Every label for the pretraining pages, slots open."""
        return expand_all(self.notes)

    def wordings(self, asked: bool) -> tuple[str, ...]:
        """Return the questions if ``asked``, else the imperative clauses."""
        return self.question_wordings if asked else self.order_wordings

    def result_type(self, given: str) -> str:
        """Return the type letter of the result for an input of type ``given``.

        Raises:
            InputError: the operation does not take this type.
        """
        if given not in self.takes:
            raise InputError(f"{self.name} does not take {given}")
        if self.gives == "element":
            return given.lower()
        return given if self.gives == "=" else self.gives


def require_nonempty(values: list[Value]) -> list[Value]:
    """Return ``values``.

    Raises:
        InputError: there are none.
    """
    if not values:
        raise InputError("nothing is left")
    return values


def get_element(values: list[Value], index: int) -> Value:
    """Return the value at ``index``.

    Raises:
        InputError: the list is too short.
    """
    if index >= len(values):
        raise InputError("the list is too short")
    return values[index]


def make_lookup(facts: dict[str, str]) -> Callable[[str], str]:
    """Return an operation that looks a word up in ``facts`` and raises `InputError` for an unknown word."""

    def look(word: str) -> str:
        if word not in facts:
            raise InputError(f"{word} is unknown")
        return facts[word]

    return look


def make_shift(cycle: tuple[str, ...], by: int) -> Callable[[str], str]:
    """Return an operation that moves ``by`` places along a cycle such as the days of the week."""
    return make_lookup({word: cycle[(i + by) % len(cycle)] for i, word in enumerate(cycle)})


def _load() -> dict[str, Operation]:
    from . import fact_operations, list_operations, number_operations

    tables = (*list_operations.OPERATIONS, *number_operations.OPERATIONS, *fact_operations.OPERATIONS)
    return {operation.name: operation for operation in tables}


_table: dict[str, Operation] = {}


def operations() -> dict[str, Operation]:
    """Return all operations by name, loaded at the first call."""
    if not _table:
        _table.update(_load())
    return _table


def list_names(world: str) -> tuple[str, ...]:
    """Return the operations of a world: ``core`` or ``full``."""
    return tuple(op.name for op in operations().values() if op.core or world == "full")
