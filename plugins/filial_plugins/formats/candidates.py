"""Several answers to one question, with grades or without: UltraFeedback, Nectar, distilabel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row, RowFormat
from filial_plugins.formats import fields, names
from filial_plugins.formats.cells import BESIDE, Cells, find, order
from filial_plugins.formats.fields import EMPTY
from filial_plugins.formats.pairs import find_asked, find_given, read_question

_TEXT = ("response", *names.TEXT, *names.ANSWER)


class Candidates(RowFormat):
    """A question with a list of answers: ``completions``, ``generations``, ``responses``, ``answers`` and similar.

    Where all answers are graded (``overall_score``, ``rating``, ``rank`` in them, or a list ``ratings`` beside), a row
    is one record: the best answer, and the worst as ``rejected``. Else each answer is a record, with the ids ``ID#1``,
    ``ID#2``, … All answers and grades stay in ``extra``. Only read.
    """

    optional = (*names.QUESTION, *names.GIVEN, *names.ANSWERS, *names.GRADES, *BESIDE)
    priority = -9

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many hold a question and a list of answers."""
        return sum(bool(find_asked(row) and _find_answers(row)) for row in sample)

    def columns(self, row: Row) -> Collection[str]:
        """Return the columns of the question, the answers and their grades, and what stands beside them."""
        own = self._find(row)
        return {*own, *Cells(row, own=(*own, *names.REJECTED)).names}

    def from_row(self, row: Row) -> list[Record]:
        """Return one record of the best answer, or one of each.

        Raises:
            Fault: nothing is asked, or an answer has no text.
        """
        own = asked, about, column, grading, _ = self._find(row)
        if not asked or not column:
            raise Fault("", f"lacks one of {', '.join(names.ANSWERS if asked else names.QUESTION)}")
        cells = Cells(row, own=(*own, *names.REJECTED))
        said, given = read_question(cells, asked, about)
        items = [item for item in row[column] if item is not None]
        answers = fields.each(items, column, _read_answer)
        cells_extra = fields.to_json({name: row[name] for name in own[2:] if row.get(name) not in EMPTY})
        grades = _grade(items, row.get(grading))
        if grades:
            best, worst = grades.index(max(grades)), grades.index(min(grades))
            rejected = answers[worst] if grades[worst] < grades[best] else ""
            records = [cells.record(said, given, answers[best], rejected=rejected)]
        else:
            several = len(answers) > 1
            records = [cells.record(said, given, text, number=i if several else 0) for i, text in enumerate(answers, 1)]
        return [record.replaced(extra={**record.extra, **cells_extra}) for record in records]

    def _find(self, row: Row) -> tuple[str, str, str, str, str]:
        asked, column = find_asked(row), _find_answers(row)
        graded = next((name for name in order(tuple(row), names.GRADES) if isinstance(row[name], list)), "")
        return asked, find_given(row, asked), column, graded, find(row, ("rationales",))


def _find_answers(row: Row) -> str:
    """Return the column with a list of answers: texts, or objects with one."""
    for name in order(tuple(row), names.ANSWERS):
        items = row[name]
        found = [item for item in items if item is not None] if isinstance(items, list) else []
        if found and all(isinstance(item, str) or _find_text(item) for item in found):
            return name
    return ""


def _find_text(item: Any) -> str:
    there = order(tuple(item), _TEXT) if isinstance(item, dict) else ()
    return next((name for name in there if isinstance(item[name], str)), "")


def _read_answer(item: Any) -> str:
    return item if isinstance(item, str) else fields.read_text(item, _find_text(item))


def _grade(items: list[Any], column: object) -> list[float]:
    """Return a grade for each answer, the best the highest; empty where one has none."""
    if isinstance(column, list):
        found = column if len(column) == len(items) else []
    else:
        found = [_find_grade(item) for item in items]
    numbers = [_to_number(value) for value in found]
    return [number for number in numbers if number is not None] if None not in numbers else []


def _find_grade(item: object) -> object:
    if not isinstance(item, dict):
        return None
    if (place := find(item, names.RANK)) and (number := _to_number(item[place])) is not None:
        return -number
    return next((item[name] for name in names.GRADE if item.get(name) not in EMPTY), None)


def _to_number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except ValueError:
        return None


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("candidates", Candidates)
