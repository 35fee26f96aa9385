"""What formats of conversations share: a column of turns, and what stands beside it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import ClassVar

from filial import Record
from filial.formats import Fault, Row, RowFormat
from filial_plugins.formats import names
from filial_plugins.formats.cells import Cells, find, name_columns, order, read_id_alone
from filial_plugins.formats.turns import holds_rows, is_talk, read_plain_talk


class ChatRows(RowFormat):
    """Rows with a conversation in one column.

    ``talk`` are the names that it may have. Rows are found by the first one alone, by the others only where a
    conversation stands there.
    """

    talk: ClassVar[tuple[str, ...]]

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many hold a conversation."""
        first, *others = self.talk
        alone = len(sample) == 1
        return sum(first in row or any(is_column_of_turns(row, name, alone) for name in others) for row in sample)

    def columns(self, row: Row) -> Collection[str]:
        """Return the column of the conversation, and what stands beside it."""
        return name_columns(row, (self.find_talk(row),))

    def from_row(self, row: Row) -> list[Record]:
        """Return one conversation.

        Raises:
            Fault: no turns, or one that a record cannot hold.
        """
        name = self.find_talk(row)
        if name in names.WRAPPERS and holds_rows(row.get(name)):
            raise Fault(f"/{name}", "holds rows, not turns; save that array alone, as a file of its own")
        mark = read_id_alone(row, (name,))
        answered = mark is not None and (talk := read_plain_talk(row.get(name))) and talk[-1].role != "user"
        if mark is not None and answered:  # as most rows are
            return [Record(id=mark, messages=tuple(talk))]
        cells = Cells(row, "", (name,))
        talk = cells.talk(name)
        if talk[-1].role == "user" and (answer := find(row, names.ANSWER)) and isinstance(row[answer], str):
            why = f"is an answer beside {name}, which ends with a question; add it to the turns, or ignore the column"
            raise Fault(f"/{answer}", why)
        return [cells.conversation(talk)]

    def find_talk(self, row: Row) -> str:
        """Return the column that holds the conversation; the first one, where none does."""
        there = order(tuple(row), self.talk) or self.talk[:1]
        return there[0] if len(there) == 1 else next((name for name in there if is_talk(row[name])), there[0])


def is_column_of_turns(row: Row, name: str, alone: bool) -> bool:
    """Return whether a conversation stands in a column, and not all the rows of a file: where a row is ``alone``, a
    list of texts without an id is one of rows."""
    value = row.get(name)
    if not is_talk(value):
        return False
    if name not in names.WRAPPERS:
        return True
    return not holds_rows(value) and not (
        alone and "id" not in row and isinstance(value, list) and isinstance(value[0], str | list)
    )
