"""Alpaca: ``{"instruction", "input", "output"}``, one JSON array or one object per line.

As in stanford_alpaca's ``alpaca_data.json``. Other keys are ignored, apart from a record's own ``id`` and
``task``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from filial.contracts.records import Record
from filial.formats import fields
from filial.formats.base import Format, Unfit
from filial.formats.jsontext import Row


def from_row(row: Row) -> list[Record]:
    """One record.

    Raises:
        Fault: no instruction, no output, or one that is not text.
    """
    return [
        Record(
            id=fields.ident(row),
            instruction=fields.filled(row, "instruction"),
            input=fields.text(row, "input", default=""),
            output=fields.text(row, "output"),
            task=fields.task(row),
        )
    ]


def to_rows(records: Iterable[Record]) -> Iterator[Row]:
    """The three keys of each record; a conversation only if it is one question and one answer.

    Raises:
        Unfit: another conversation.
    """
    for record in records:
        instruction, given, output = record.instruction, record.input, record.output
        if record.messages:
            roles = [turn.role for turn in record.messages]
            if roles != ["user", "assistant"] or not record.messages[0].content:
                turns = ", ".join(roles)
                raise Unfit(record, f"Alpaca holds one question and its answer, not the turns {turns}; try sharegpt")
            instruction, output = (turn.content for turn in record.messages)
        yield {"instruction": instruction, "input": given, "output": output}


FORMAT = Format("alpaca", from_row, to_rows)
