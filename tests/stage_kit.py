"""Where the rows of a stage go in a test of it."""

from typing import Any

from filial import Record
from filial_plugins.stages.evolve import Choice, Evolution, Evolve
from filial_plugins.stages.filter import FilterStep


def evolution(choices: list[Choice], steps: list[FilterStep], **settings: Any) -> Evolution:
    """The plan of an evolve stage."""
    return Evolution(choices, steps, Evolve(strategies=[choice.name for choice in choices], **settings))


class Rows:
    """A stage's writer that keeps the records that went on and the rows that did not."""

    def __init__(self) -> None:
        self.kept: list[Record] = []
        self.dropped: list[Any] = []

    def keep(self, record: Record) -> None:
        self.kept.append(record)

    def drop(self, row: Any) -> None:
        self.dropped.append(row)
