"""Questions alone: seeds, prompts of benchmarks, test sets without answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from filial import Format, Record, hookimpl
from filial.formats import Row
from filial_plugins.formats import names
from filial_plugins.formats.cells import Cells, find, holds_questions
from filial_plugins.formats.pairs import Pairs, find_asked


class Prompts(Pairs):
    """Questions alone: ``prompt``, ``instruction``, ``question``, ``query``, ``problem`` without an answer.

    Rows are read as those of ``pairs``. Of several questions that follow each other (``turns``, MT-Bench) the first is
    asked, and all stay in ``extra``. Only read.
    """

    priority = -10
    unanswered: ClassVar = True

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many hold something asked, if none holds something answered."""
        return 0 if any(map(self.is_answered, sample)) else sum(map(self._is_question, sample))

    def _is_question(self, row: Row) -> bool:
        return bool(find(row, names.ALONE)) or holds_questions(row) or find_asked(row) == "text"

    def columns(self, row: Row) -> Collection[str]:
        """Return the columns of the question and its input, and what stands beside them."""
        if not holds_questions(row):
            return super().columns(row)
        return {*names.QUESTIONS, *Cells(row, own=names.QUESTIONS).names}

    def from_row(self, row: Row) -> list[Record]:
        """Return one record, most often without an answer.

        Raises:
            Fault: nothing is asked, or a column is of the wrong type.
        """
        if not holds_questions(row):
            return super().from_row(row)
        name = find(row, names.QUESTIONS)
        texts = [turn if isinstance(turn, str) else turn["content"] for turn in row[name]]
        record = Cells(row, own=names.QUESTIONS).record(texts[0], "", "")
        return [record.replaced(extra={**record.extra, name: row[name]}) if len(texts) > 1 else record]


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("prompts", Prompts)
