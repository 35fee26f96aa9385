"""Where the rows of a stage go in a test of it."""

from typing import Any

from filial import Record


class Rows:
    """A stage's writer that keeps the records that went on and the rows that did not."""

    def __init__(self) -> None:
        self.kept: list[Record] = []
        self.dropped: list[Any] = []

    def keep(self, record: Record) -> None:
        self.kept.append(record)

    def drop(self, row: Any) -> None:
        self.dropped.append(row)
