"""Chain of thought: a question, the reasoning, and the answer it leads to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import IO

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row, RowFormat, Unfit, add_extra
from filial_plugins.formats import fields
from filial_plugins.formats.cells import BESIDE, Cells, name_columns

TAG = "cot"
COLUMNS = 3
"""Of FLAN's files: question, answer, rationale."""
_OWN = ("question", "answer")


class Cot(RowFormat):
    """Chain of thought: question, rationale and answer.

    The rationale becomes the record's ``reasoning``, the answer its output; the tag ``cot`` counts it for the share of
    chain of thought in a mix. What other formats read beside an answer (``task``, ``system``, ``history``) is read;
    other columns go into ``extra``. Holds single turns and conversations of one question and its answer, with
    reasoning.
    """

    keys = ("question", "rationale", "answer")
    optional = BESIDE
    holds = ("extra", "reasoning", "task")

    def columns(self, row: Row) -> Collection[str]:
        """Return the three columns, and what stands beside them."""
        return name_columns(row, _OWN, "answer")

    def from_row(self, row: Row) -> list[Record]:
        """Return one record.

        Raises:
            Fault: question, rationale or answer is missing, empty or not text.
        """
        question, _, answer = (fields.read_nonempty(row, key) for key in self.keys)
        return [Cells(row, "answer", _OWN).record(question, "", answer).replaced(tags=(TAG,))]

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield the three texts of each record, its task if it has one, and its extra columns.

        Raises:
            Unfit: a record without reasoning or answer, a conversation, or content that the format would lose.
        """
        for record in records:
            question, rationale, answer = split_record(record)
            task = {"task": record.task} if record.task else {}
            row = {"question": question, "rationale": rationale, "answer": answer, **task}
            yield add_extra(record, row, self.columns(row))


class CotTable(Format):
    """FLAN's files of chain of thought: a line per example, with question, answer and rationale between tabs.

    As in google-research/FLAN (flan/v2/cot_data), a line break in a text is the two characters ``\\n``, and there is no
    header. Records are those of `cot`. Cannot hold tabs, carriage returns, ``\\n`` itself, and tasks (not written).
    """

    holds = ("reasoning",)

    def read(self, stream: IO[bytes]) -> Iterator[Record | Fault]:
        """Yield a record or a fault for each line."""
        for line in stream:
            try:
                text = line.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError as error:
                yield Fault("", f"is not UTF-8: {error.reason}")
                continue
            if text.strip():
                yield _parse_line(text)

    def write(self, records: Iterable[Record], stream: IO[bytes]) -> None:
        """Write a line per record.

        Raises:
            Unfit: as for `cot`, or a text with a character that the format cannot hold.
        """
        for record in records:
            if record.extra:
                raise Unfit(record, "the format has no place for its extra; write filial or parquet")
            question, rationale, answer = split_record(record)
            cells = (question, answer, rationale)
            for held, name in (("\t", "a tab"), ("\r", "a carriage return"), ("\\n", "the characters \\n")):
                if any(held in cell for cell in cells):
                    raise Unfit(record, f"a text holds {name}, which cot-tsv cannot; write cot or filial")
            stream.write("\t".join(cell.replace("\n", "\\n") for cell in cells).encode() + b"\n")


def make_record(question: str, rationale: str, answer: str) -> Record:
    """Return the record of a question that is answered by reasoning."""
    return Record(instruction=question, reasoning=rationale, output=answer, tags=(TAG,))


def split_record(record: Record) -> tuple[str, str, str]:
    """Return question, reasoning and answer of a record.

    Raises:
        Unfit: it has no reasoning or no answer.
    """
    single = record.single()
    if not (single.reasoning and single.output):
        what = "answer" if single.reasoning else "reasoning"
        raise Unfit(record, f"it has no {what}; leave out records without a chain of thought")
    return single.question(), single.reasoning, single.output


def _parse_line(text: str) -> Record | Fault:
    cells = [cell.replace("\\n", "\n") for cell in text.split("\t")]
    if len(cells) != COLUMNS:
        return Fault("", f"has {len(cells)} columns, not {COLUMNS}: question, answer, rationale")
    for name, cell in zip(("question", "answer", "rationale"), cells, strict=True):
        if not cell.strip():
            return Fault(f"/{name}", "is empty")
    question, answer, rationale = cells
    return make_record(question, rationale, answer)


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("cot", Cot)
    register("cot-tsv", CotTable)
