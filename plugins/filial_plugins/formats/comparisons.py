"""Two answers to one question side by side, with a word on which is the better: PKU-SafeRLHF, HelpSteer, Arena."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row
from filial_plugins.formats import fields, names
from filial_plugins.formats.cells import find, order
from filial_plugins.formats.fields import EMPTY, fold
from filial_plugins.formats.preferences import Preferences, holds_question

_VERDICTS = (*names.STRENGTH, *names.WINNER, *(name for both in names.WON for name in both))


class Comparisons(Preferences):
    """A question with two answers side by side, and which of them is the better.

    The answers are ``response_0`` and ``response_1``, ``response_a`` and ``response_b`` or similar. The better one is
    named by ``better_response_id``, ``winner``, ``winner_model_a``, ``preference_strength`` (below 0: the first) or
    similar.
    Rows in which both are alike, or which do not say it clearly, are bad lines. Only read; other columns go into
    ``extra``, as do those on the better one.
    """

    optional = (*(name for both in names.SIDES for name in both), *_VERDICTS, *Preferences.optional)
    talks: ClassVar[tuple[str, ...]] = (*names.MESSAGES, *names.CONVERSATIONS, "context")

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many hold two answers and their question."""
        return sum(self._is_asked(row) for row in sample)

    def _is_asked(self, row: Row) -> bool:
        sides = _find_sides(row)
        return bool(sides) and (holds_question(row[sides[0]]) or bool(self.find_question(row)))

    def from_row(self, row: Row) -> list[Record]:
        """Return one record.

        Raises:
            Fault: it is not said which answer is the better, nothing is asked, or a column is of the wrong type.
        """
        sides = _find_sides(row)
        if not sides:
            raise Fault("", f"lacks one of {names.SIDES[0][0]}, {names.SIDES[1][0]}, {names.SIDES[3][0]}")
        said = {_weigh(verdict, sides) for verdict in _list_verdicts(row)}
        if len(said) != 1 or None in said:
            what = "it is not said clearly" if said else "nothing says"
            why = f"{what} which of {sides[0]} and {sides[1]} is the better; map them to chosen and rejected"
            if name := next((name for name, _ in _list_verdicts(row) if name in _SCORES), ""):
                why += f", or {name} to better_response_id if it holds the number of the better one"
            raise Fault("", why)
        if said == {0}:
            raise Fault("", f"{sides[0]} and {sides[1]} are said to be alike")
        return super().from_row(_open_single_turns(row, (*sides, *self.find_question(row))))

    def find_parts(self, row: Row) -> tuple[str, ...]:
        """Return the columns of the better answer, the worse one, and, where they do not hold it, the question."""
        sides = _find_sides(row)
        if sides and any(_weigh(verdict, sides) == 1 for verdict in _list_verdicts(row)):
            sides = sides[::-1]
        if not sides or holds_question(row[sides[0]]):
            return sides
        return (*sides, *self.find_question(row))

    def keep_remarks(self, row: Row, own: tuple[str, ...]) -> Row:
        """Return what is said of the answers; it is kept as it is."""
        about = order(tuple(row), (*_VERDICTS, *names.RATIONALES))
        return {name: fields.to_json(row[name]) for name in about if row[name] not in EMPTY}


def _find_sides(row: Row) -> tuple[str, ...]:
    """Return the columns of two answers."""
    for wanted in names.SIDES:
        sides = tuple(find(row, (name,)) for name in wanted)
        if all(sides):
            return sides
    return ()


def _open_single_turns(row: Row, columns: Sequence[str]) -> Row:
    """Return a row whose question and answers are JSON texts of lists, one text per turn (Arena), with the texts.

    Raises:
        Fault: they hold several turns. The answers to the first questions differ, and a record has one history.
    """
    opened = {name: _read_texts(row[name]) for name in columns}
    if len(columns) < 3 or not all(opened.values()):
        return row
    if max(map(len, opened.values())) > 1:
        raise Fault(f"/{columns[0]}", "holds several turns, as does the other side; a record has one conversation")
    return {**row, **{name: texts[0] for name, texts in opened.items()}}


def _read_texts(value: object) -> list[str]:
    if not isinstance(value, str) or value[:1] != "[" or value[-1:] != "]":
        return []
    try:
        texts = fields.parse_json(value)
    except Fault:
        return []
    return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else []


_SIDE = re.compile(
    r"^(?:response|model|answer|assistant|output|completion|option|side|candidate|conversation|chatbot)_?"
)
"""What may stand in front of the end of a side's name: ``model_a`` is A; ``llama-2`` is not 2."""
_SCORES = ("preference", "preferred")
"""Columns that may hold the number of the better answer, or how much better the second one is."""
Verdict = tuple[str, object]


def _list_verdicts(row: Row) -> Iterator[Verdict]:
    """Yield the name and the value of every column that says which answer is the better."""
    for name in order(tuple(row), (*names.STRENGTH, *names.WINNER)):
        if row[name] not in EMPTY:
            yield fold(name), _find_side_of_model(row, row[name]) or row[name]
    for first, second in names.WON:
        if first in row and second in row:
            lost, won = _read_number(row[first]), _read_number(row[second])
            yield names.STRENGTH[0], None if lost is None or won is None else won - lost


def _find_side_of_model(row: Row, said: object) -> str:
    """Return the end of the column that names the model which won (``model_a``); empty if none does."""
    found = [name for name in row if fold(name).startswith("model") and row[name] == said and isinstance(said, str)]
    return fold(found[0])[-1] if len(found) == 1 else ""


def _weigh(verdict: Verdict, sides: Sequence[str]) -> int | None:
    """Return 1 where the second answer is the better, -1 for the first, 0 for neither; None: it is not clear."""
    name, said = verdict
    if name in names.STRENGTH:
        number = _read_number(said)
        return None if number is None else (number > 0) - (number < 0)
    word = fold(f"{said:.0f}" if isinstance(said, float) else str(said))
    if word in ("tie", "both", "neither", "equal", "none", "tie_bothbad", "both_bad"):
        return 0
    ends = [fold(side)[-1] for side in sides]
    if name in _SCORES and word == ends[0] == "1":
        return None  # or the second one, if the others say 0 or -1
    bare = _SIDE.sub("", word)
    return {ends[0]: -1, ends[1]: 1}.get(bare)


def _read_number(said: object) -> float | None:
    try:
        return float(said) if isinstance(said, str | int | float) else None
    except ValueError:
        return None


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("comparisons", Comparisons)
