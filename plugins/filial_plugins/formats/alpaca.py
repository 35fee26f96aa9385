"""Alpaca, as in stanford_alpaca's ``alpaca_data.json``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from filial import Format, Record, hookimpl
from filial.formats import Row, RowFormat, Unfit
from filial_plugins.formats import fields
from filial_plugins.formats.likely_columns import find_likely_columns


class Alpaca(RowFormat):
    """Stanford Alpaca: an instruction, perhaps an input, an output.

    Written as one JSON array (``.json``) or one object per line. A ``system`` text, as LLaMA-Factory has it, is read
    and written; a row's own ``id``, ``task`` and ``label`` are read; other columns go into ``extra``. Holds single
    turns and conversations of one question and its answer.
    """

    keys = ("instruction", "output")
    optional = ("input", "system", *fields.MARKS)
    priority = -2

    def propose(self, sample: Sequence[Row]) -> dict[str, str]:
        """Return the columns that probably hold the instruction, input, output and system text."""
        return find_likely_columns(sample)

    def from_row(self, row: Row) -> list[Record]:
        """Return one record.

        Raises:
            Fault: no instruction, no output, or one that is not text.
        """
        return [
            Record(
                id=fields.read_id(row),
                instruction=fields.read_nonempty(row, "instruction"),
                input=fields.read_text(row, "input", default=""),
                output=fields.read_text(row, "output"),
                system=fields.read_text(row, "system", default=""),
                task=fields.read_task(row),
                label=fields.read_label(row),
            )
        ]

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield the three keys of each record, and its system text if it has one.

        Raises:
            Unfit: a conversation that is not one question and one answer, or content that the format would lose.
        """
        for record in records:
            fields.refuse_losses(record)
            instruction, given, output = record.instruction, record.input, record.output
            if record.messages:
                roles = [turn.role for turn in record.messages]
                if roles != ["user", "assistant"] or not record.messages[0].content:
                    turns = ", ".join(roles)
                    raise Unfit(
                        record, f"Alpaca holds one question and its answer, not the turns {turns}; try sharegpt"
                    )
                instruction, output = (turn.content for turn in record.messages)
            system = {"system": record.system} if record.system else {}
            yield {"instruction": instruction, "input": given, "output": output, **system}


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("alpaca", Alpaca)
