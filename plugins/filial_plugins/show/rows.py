"""What is shown: a record, or a drop with the record that did not go on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from filial import Message, Record, words

if TYPE_CHECKING:
    from filial.commands import DropRow


@dataclass(frozen=True, slots=True)
class Row:
    """A record or a drop, and its place in what is read, from 1."""

    number: int
    record: Record | None
    drop: DropRow | None = None

    def line(self) -> bytes:
        """Return it as a line of JSON without its newline, as its file has it."""
        if self.drop is not None:
            return self.drop.encode()
        return msgspec.json.encode(self.record, order="deterministic")

    @property
    def id(self) -> str:
        """The record's id; "" for one that was dropped before it had one."""
        return self.record.id if self.record else ""

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the records that it was made from."""
        if self.record is not None and self.record.origin.parents:
            return self.record.origin.parents
        return (self.drop.parent,) if self.drop is not None and self.drop.parent else ()

    @property
    def question(self) -> str:
        """What is asked: instruction and input, or the first turn of a user."""
        record = self.record
        if record is None or not record.messages:
            return record.question() if record else ""
        return next((turn.content for turn in record.messages if turn.role == "user"), record.messages[0].content)

    @property
    def sizes(self) -> tuple[int, int]:
        """Words of all that is said before the answer, and of the answer."""
        if self.record is None:
            return 0, 0
        asked = sum(len(words(turn.content)) for turn in self.record.prompt())
        return asked, len(words(self.record.answer()))

    def texts(self) -> Iterator[str]:
        """Yield all that is said: questions, answers, thoughts, system texts."""
        if self.record is not None:
            turns: tuple[Message, ...] = self.record.turns()
            for turn in turns:
                yield from turn.texts()
            if self.record.reasoning and not self.record.output:
                yield self.record.reasoning


def short_name(plugin: str) -> str:
    """Return the name of a plugin given as ``dist:name==version``."""
    return plugin.partition("==")[0].rpartition(":")[2]


def plain_value(value: Any) -> Any:
    """Return a value of a record as JSON has it."""
    return msgspec.to_builtins(value)
