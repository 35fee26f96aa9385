"""Question and answer under the many names that data sets give them, and questions alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import ClassVar

from filial import Format, Message, Record, hookimpl
from filial.formats import Fault, Row, RowFormat
from filial_plugins.formats import fields, names
from filial_plugins.formats.cells import BESIDE, Cells, Said, find, name_columns, order
from filial_plugins.formats.turns import is_dialogue, read_calls, split_dialogue

_TALKS = (*names.MESSAGES, *names.CONVERSATIONS[:1])


def find_asked(row: Row) -> str:
    """Return the column of the question; ``text`` is one where a ``question_id`` says so (Vicuna's benchmark)."""
    if "question_id" in row and isinstance(row.get("text"), str):
        return find(row, names.ALONE) or "text"
    if names.DEFINITION in row and not find(row, names.ALONE) and find(row, ("inputs", "input")):
        return names.DEFINITION
    return find(row, names.QUESTION) or next(iter(order(tuple(row), names.QUESTION)), "")


def find_given(row: Row, asked: str) -> str:
    """Return the column of what the question is about."""
    return find(row, ("inputs", *names.GIVEN) if asked == names.DEFINITION else names.GIVEN, but=asked)


def find_answer(row: Row, asked: str) -> str:
    """Return the column of the answer; where no cell says anything, one that is there for it."""
    there = (name for name in order(tuple(row), names.ANSWER) if name != asked)
    return find(row, names.ANSWER, but=asked) or next(there, "")


@lru_cache(4096)
def _list_others(columns: tuple[str, ...], asked: str) -> tuple[str, ...]:
    return tuple(name for name in order(columns, names.ALONE) if name != asked)


def _find_second(row: Row, asked: str) -> str:
    """Return another column of a row that asks something else."""
    for name in _list_others(tuple(row), asked):
        first, second = row[asked], row[name]
        if isinstance(first, str) and isinstance(second, str) and second not in first and first not in second:
            return name
    return ""


def find_calls_column(row: Row) -> str:
    """Return the column that answers by calls of tools, as in xLAM: JSON text of calls, beside definitions of tools."""
    found = find(row, ("answers", *names.CALLS)) if find(row, names.TOOLS) else ""
    return found if found and isinstance(row[found], str | list) else ""


def read_question(cells: Cells, asked: str, given: str) -> tuple[Said, str]:
    """Return what is asked, and what it is about.

    Raises:
        Fault: there is none, it says nothing, or it is neither a text nor a list of turns.
    """
    said = cells.said(asked, "user")
    if isinstance(said, str) and is_dialogue(said):
        turns = split_dialogue(said)
        said = turns[0].content if len(turns) == 1 and turns[0].role == "user" else turns
    if not said:
        raise Fault(f"/{asked}", "is empty")
    return said, fields.read_text(cells.row, given, default="") if given else ""


class Pairs(RowFormat):
    """A question and its answer under other names: prompt and completion, question and answer, and similar.

    ``input`` or ``context`` is the record's input. Reasoning, a system text, ``history``, ``rejected``, ``tools``,
    ``label`` and ``weight`` are read; other columns go into ``extra``. A prompt and completion that are lists of chat
    messages make one conversation, as TRL reads them. Only read. docs/formats.md lists the names.
    """

    optional = (*names.QUESTION, *names.GIVEN, *names.ANSWER, *BESIDE)
    priority = -8
    unanswered: ClassVar[bool] = False

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many hold something asked and something answered."""
        return sum(map(self.is_answered, sample))

    def columns(self, row: Row) -> Collection[str]:
        """Return the columns of question, input and answer, and what stands beside them."""
        own = self._find(row)
        return name_columns(row, own, own[2])

    def from_row(self, row: Row) -> list[Record]:
        """Return one record.

        Raises:
            Fault: nothing is asked, or a column is of the wrong type.
        """
        own = asked, given, answer = self._find(row)
        if not asked:
            raise Fault("", f"lacks one of {', '.join(names.QUESTION)}")
        if not answer and not self.unanswered:
            raise Fault("", f"lacks one of {', '.join(names.ANSWER)}")
        if talk := next((name for name in _TALKS if name != asked and row.get(name)), ""):
            raise Fault(f"/{talk}", f"is a conversation beside {asked}; map one of them, or leave it out")
        if second := _find_second(row, asked):
            raise Fault(f"/{second}", f"is a second question beside {asked}; map one of them, or leave it out")
        cells = Cells(row, answer, own)
        if cells.rejects and (not answer or row[answer] in fields.EMPTY):
            raise Fault("", "has a worse answer, and no better one")
        said, about = read_question(cells, asked, given)
        if answer and answer == find_calls_column(row):
            calls, more = read_calls(answer, row[answer])
            record = cells.record(said, about, (Message("assistant", "", tool_calls=calls),))
            return [record.replaced(extra={**record.extra, answer: fields.to_json(row[answer])}) if more else record]
        return [cells.record(said, about, cells.said(answer, "assistant") if answer else "")]

    def _find(self, row: Row) -> tuple[str, str, str]:
        asked = find_asked(row)
        return asked, find_given(row, asked), find_answer(row, asked) or find_calls_column(row)

    def is_answered(self, row: Row) -> bool:
        """Return whether a row has a question and a column for its answer."""
        asked, _, answer = self._find(row)
        return bool(asked and answer)


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("pairs", Pairs)
