"""Alpaca, as in stanford_alpaca's ``alpaca_data.json``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filial import Format, Record, hookimpl
from filial.formats import Row, RowFormat, Unfit, add_extra
from filial_plugins.formats import fields
from filial_plugins.formats.cells import BESIDE, Cells, name_columns, stands_alone
from filial_plugins.formats.likely_columns import find_likely_columns

_OWN = ("instruction", "input", "output")


class Alpaca(RowFormat):
    """Stanford Alpaca: an instruction, perhaps an input, an output.

    Written as one JSON array (``.json``) or one object per line. A ``system`` text is read and written. What
    LLaMA-Factory and others have beside (``history``, reasoning, ``rejected``, ``tools``, ``label``, ``weight``) is
    read; other columns go into ``extra``. Holds single turns and conversations of one question and its answer, perhaps
    after a system text.
    """

    keys = ("instruction", "output")
    optional = ("input", *BESIDE)
    priority = -7
    holds = ("messages", "system", "extra", "input")

    def propose(self, sample: Sequence[Row]) -> dict[str, str]:
        """Return the columns that probably hold the instruction, input, output and system text."""
        return find_likely_columns(sample)

    def columns(self, row: Row) -> Collection[str]:
        """Return the three columns, and what stands beside them."""
        return name_columns(row, _OWN, "output")

    def from_row(self, row: Row) -> list[Record]:
        """Return one record.

        Raises:
            Fault: no instruction, no output, or one that is not text.
        """
        given = fields.read_text(row, "input", default="")
        if given and row.get("instruction") == "":  # Dolphin: the input alone is asked
            asked, given = given, ""
        else:
            asked = fields.read_nonempty(row, "instruction")
        said = fields.read_text(row, "output")
        if stands_alone(row, _OWN, "output"):
            return [Record(instruction=asked, input=given, output=said)]
        return [Cells(row, "output", _OWN).record(asked, given, said)]

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield the three keys of each record, its system text if it has one, and its extra columns.

        Raises:
            Unfit: a conversation that is not one question and one answer, or content that the format would lose.
        """
        for record in records:
            instruction, given, output, system = record.instruction, record.input, record.output, record.system
            if record.messages:
                first, *others = record.messages
                talk = others if first.role == "system" else [first, *others]
                if [turn.role for turn in talk] != ["user", "assistant"] or not talk[0].content:
                    turns = ", ".join(turn.role for turn in record.messages)
                    raise Unfit(
                        record, f"Alpaca holds one question and its answer, not the turns {turns}; try sharegpt"
                    )
                instruction, output = (turn.content for turn in talk)
                system = first.content if first.role == "system" else ""
            row: Row = {"instruction": instruction, "input": given, "output": output}
            yield add_extra(record, {**row, **({"system": system} if system else {})}, self.columns(row))

    def usage(self, file: Path, columns: Collection[str]) -> tuple[str, dict[str, Any]]:
        """Return the entry in LLaMA-Factory's ``dataset_info.json``."""
        named = {"prompt": "instruction", "query": "input", "response": "output"}
        return "", {"file_name": file.name, "columns": {**named, **{key: key for key in columns if key == "system"}}}


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("alpaca", Alpaca)
