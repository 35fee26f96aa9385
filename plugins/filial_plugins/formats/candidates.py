"""Several answers to one question, with their grades: UltraFeedback, Nectar, distilabel."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row, RowFormat
from filial_plugins.formats import fields, names
from filial_plugins.formats.cells import BESIDE, Cells, find, order
from filial_plugins.formats.fields import EMPTY, fold
from filial_plugins.formats.pairs import find_asked, find_given, read_question

_TEXT = ("response", *names.TEXT, *names.ANSWER)
_GRADES = (*names.GRADES, *names.RANK, *names.RIGHT)


class Candidates(RowFormat):
    """A question with a list of answers: ``completions``, ``generations``, ``responses``, ``answers`` and similar.

    A row is one record: the best answer, and the worst as ``rejected``. Grades stand in the answers (``overall_score``,
    ``rating``, ``rank``, ``correct``) or in a list beside them (``ratings``, ``ranks``, ``correct``); where the best
    one is marked as wrong, the record's ``label`` is false. Different answers without grades, or with a grade missing,
    are a bad line. All answers and grades stay in ``extra``. Only read.
    """

    optional = (*names.QUESTION, *names.GIVEN, *names.ANSWERS, *_GRADES, *BESIDE)
    priority = -9

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many hold a question and a list of answers."""
        return sum(bool(find_asked(row) and _find_answers(row)) for row in sample)

    def columns(self, row: Row) -> Collection[str]:
        """Return the columns of the question, the answers and their grades, and what stands beside them."""
        own = self._find(row)
        return {*own, *Cells(row, own=(*own, *names.REJECTED)).names}

    def from_row(self, row: Row) -> list[Record]:
        """Return one record of the best answer.

        Raises:
            Fault: nothing is asked, an answer has no text, or nothing says which is the best.
        """
        own = asked, about, column, grading, _ = self._find(row)
        if not asked or not column:
            raise Fault("", f"lacks one of {', '.join(names.ANSWERS if asked else names.QUESTION)}")
        cells = Cells(row, own=(*own, *names.REJECTED))
        said, given = read_question(cells, asked, about)
        items = _list_answers(row[column])
        there = [number for number, item in enumerate(items) if item is not None]
        answers = fields.each([items[number] for number in there], column, _read_answer)
        label, grades = _grade(items, row, grading)
        if grades:
            graded = [(grade, -place) for place, number in enumerate(there) if (grade := grades[number]) is not None]
            if len(graded) < len(there):
                raise Fault(
                    f"/{grading or column}", "has a grade for some answers only; which is the best is not clear"
                )
            (most, best), (least, worst) = max(graded), min(graded)
            rejected = answers[-worst] if least < most else ""
            record = cells.record(said, given, answers[-best], rejected=rejected)
            record = record.replaced(label=False) if label and not most else record
        elif len({*answers}) > 1:
            raise Fault(f"/{column}", _explain_ungraded(len(answers), column))
        else:
            record = cells.record(said, given, answers[0])
        cells_extra = fields.to_json({name: row[name] for name in own[2:] if row.get(name) not in EMPTY})
        return [record.replaced(extra={**record.extra, **cells_extra})]

    def _find(self, row: Row) -> tuple[str, str, str, str, str]:
        asked, column = find_asked(row), _find_answers(row)
        graded = next((name for name in order(tuple(row), _GRADES) if _is_graded(row[name])), "")
        return asked, find_given(row, asked), column, graded, find(row, names.RATIONALES)


def _explain_ungraded(number: int, column: str) -> str:
    return (
        f"holds {number} answers, and nothing says which is the best; map the one that is meant to a field "
        f"(output={column}.0), or a list of grades to {names.GRADES[0]}"
    )


def _is_graded(column: object) -> bool:
    return isinstance(column, list) and any(value is not None for value in column)


def _list_answers(value: object) -> list[Any]:
    """Return the items of a column of answers: of a list, of one in an object (SQuAD), or in JSON text (APPS)."""
    if isinstance(value, dict):
        value = value.get("text")
    elif isinstance(value, str) and value[:1] == "[":
        try:
            value = fields.parse_json(value)
        except Fault:
            return []
    return value if isinstance(value, list) else []


def _find_answers(row: Row) -> str:
    """Return the column with a list of answers: texts, or objects with one."""
    for name in order(tuple(row), names.ANSWERS):
        found = [item for item in _list_answers(row[name]) if item is not None]
        if found and all(isinstance(item, str) or _find_text(item) for item in found):
            return name
    return ""


def _find_text(item: Any) -> str:
    there = order(tuple(item), _TEXT) if isinstance(item, dict) else ()
    return next((name for name in there if isinstance(item[name], str)), "")


def _read_answer(item: Any) -> str:
    return item if isinstance(item, str) else fields.read_text(item, _find_text(item))


def _grade(items: list[Any], row: Row, column: str) -> tuple[bool, list[float | None]]:
    """Return whether the grades are labels, and a grade for each answer, the best the highest; no grades where none
    has one.

    Raises:
        Fault: there are more or fewer than answers, or it is not clear what they say.
    """
    if not column:
        label = False
        grades: list[float | None] = []
        for item in items:
            marked, grade = _find_grade(item)
            grades.append(grade)
            label = label or marked
        return label, grades if any(grade is not None for grade in grades) else []
    found, name = row[column], fold(column)
    if name == "labels" and find(row, ("completions",)):
        raise Fault(
            f"/{column}", "labels beside completions are of the steps of one answer, which a record cannot hold"
        )
    if len(found) != len(items):
        raise Fault(f"/{column}", f"has {len(found)} entries, and there are {len(items)} answers")
    if name in names.RIGHT:
        return True, [_read_right(value) for value in found]
    numbers = [_to_number(value) for value in found]
    if name not in names.RANK:
        return False, numbers
    places = [None if number is None else -number for number in numbers]
    if name == "ranking" and not _is_plain(numbers):
        raise Fault(f"/{column}", "could be the place of each answer, or their order; map the places to ranks")
    return False, places


def _is_plain(numbers: list[float | None]) -> bool:
    """Return whether a ranking says the same, taken as places of answers and as answers in their order."""
    start = min((n for n in numbers if n is not None), default=0)
    order = {int(n - start): place for place, n in enumerate(numbers) if n is not None}
    last = len(numbers) - 1
    return all(order.get(end) is not None and numbers[end] == order[end] + start for end in (0, last))


def _find_grade(item: object) -> tuple[bool, float | None]:
    """Return the grade in an answer, and whether it is a label."""
    if not isinstance(item, dict):
        return False, None
    if (place := find(item, names.RANK)) and (number := _to_number(item[place])) is not None:
        return False, -number
    grade = next((item[name] for name in names.GRADE if item.get(name) not in EMPTY), None)
    if grade is not None:
        return False, _to_number(grade)
    right = find(item, names.RIGHT)
    return bool(right), _read_right(item[right]) if right else None


def _read_right(value: object) -> float | None:
    wanted = {"1": True, "1.0": True, "0": False, "0.0": False, **names.WANTED}.get(str(value).lower())
    return None if wanted is None else float(wanted)


def _to_number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except ValueError:
        return None


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("candidates", Candidates)
