"""The list: a line or two per row, as wide as the terminal, columns that hold nothing left out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from rich.cells import cell_len

from filial_plugins.show.fields import Field
from filial_plugins.show.rows import Row, short_name
from filial_plugins.show.texts import fit, one_line, pad

Style = Callable[..., str]
AHEAD = 200
"""Rows by which the width of columns is found."""
LEAST_BEGINNING = 40
"""Columns that the beginning of a text needs to stand in the same line."""
GAP = "  "
LEAST_WIDTH = 40
"""Columns of the narrowest terminal that is written for."""


@dataclass(frozen=True)
class Column:
    """A column: its head, what stands in it, how wide it is at most; ``right``: its side. One that is ``spare`` is left
    out where there is no room for it."""

    head: str
    cell: Callable[[Row], str]
    most: int = 16
    right: bool = False
    spare: bool = False


def list_rows(rows: Iterable[Row], style: Style, dropped: bool, sorted_by: Field | None) -> Iterator[str]:
    """Yield the lines of the list; ``style(text, **colours)`` paints."""
    source = iter(rows)
    first = list(islice(source, AHEAD))
    if not first:
        return
    columns = _columns(first, dropped, sorted_by)
    terminal = max(LEAST_WIDTH, shutil.get_terminal_size().columns)
    widths = _fit_columns(columns, first, terminal)
    used = sum(widths.values()) + len(GAP) * len(widths)
    below = terminal - used < LEAST_BEGINNING
    room = terminal - (len(GAP) if below else used)
    head = GAP.join(_place(column, column.head, width) for column, width in widths.items())
    yield style(head.rstrip() if below else f"{head}{GAP}beginning", dim=True)
    for row in chain(first, source):
        cells = [_place(column, column.cell(row), width) for column, width in widths.items()]
        text = fit(_beginning(row), room)
        front = GAP.join([style(cells[0], fg="cyan"), *cells[1:]])
        yield from (front.rstrip(), f"{GAP}{text}".rstrip()) if below else (f"{front}{GAP}{text}".rstrip(),)


def _fit_columns(columns: list[Column], rows: Sequence[Row], terminal: int) -> dict[Column, int]:
    """Return the columns that fit the terminal, and how wide they are: as wide as these rows need; where that is too
    much, spare ones are left out, then the widest but the id's are cut."""
    widths = {
        column: min(column.most, max(cell_len(column.head), *(cell_len(column.cell(row)) for row in rows)))
        for column in columns
    }
    spare = [column for column in columns if column.spare]
    while sum(widths.values()) + len(GAP) * (len(widths) - 1) > terminal:
        if spare:
            del widths[spare.pop()]
        else:
            widths[max((column for column in widths if column.head != "id"), key=widths.__getitem__)] -= 1
    return widths


def _place(column: Column, text: str, width: int) -> str:
    cut = fit(text, width)
    return " " * (width - cell_len(cut)) + cut if column.right else pad(cut, width)


def _columns(rows: Sequence[Row], dropped: bool, sorted_by: Field | None) -> list[Column]:
    """Return the columns that hold something in these rows."""
    scores = sorted({name for row in rows if row.record for name in row.record.scores})
    columns = [
        Column("id", lambda row: one_line(row.id), most=40),
        Column("task", lambda row: one_line(row.record.task if row.record else ""), most=14),
        Column("round", lambda row: str(row.record.origin.round) if row.record else "", right=True),
        Column("strategy", lambda row: one_line(short_name(row.record.origin.plugin)) if row.record else "", most=18),
        Column("words", lambda row: "+".join(map(str, row.sizes)) if row.record else "", right=True),
    ]
    if dropped:
        several = len({row.drop.stage for row in rows if row.drop}) > 1
        columns = [
            Column("no.", lambda row: str(row.number), right=True), *columns[:1],
            *([Column("stage", lambda row: one_line(row.drop.stage if row.drop else ""))] if several else []),
            Column("dropped by", lambda row: one_line(short_name(row.drop.plugin if row.drop else "")), most=18),
            Column("reason", lambda row: one_line(row.drop.reason if row.drop else ""), most=30),
            replace(columns[2], spare=True), replace(columns[3], spare=True),
        ]  # fmt: skip
    if len(scores) == 1:
        columns.append(Column(one_line(scores[0]), lambda row: format_scores(row, named=False), most=20, right=True))
    elif not dropped:
        columns.append(Column("scores", format_scores, most=40))
    if (
        sorted_by
        and sorted_by.name not in ("id", "task", "round", "strategy", "words")
        and not (len(scores) == 1 and sorted_by.name == f"scores.{scores[0]}")
    ):
        columns.append(Column(one_line(sorted_by.name), lambda row: format_values(sorted_by.values(row)), most=20))
    return [column for column in columns if any(column.cell(row) not in ("", "0") for row in rows)]


def _beginning(row: Row) -> str:
    """Return the beginning of what a row says: its question, or what a teacher answered or why it was dropped."""
    text = one_line(row.question)
    if not text and row.drop is not None:
        text = one_line(row.drop.answer or row.drop.detail)
    turns = len(row.record.messages) if row.record else 0
    return f"({turns} turns) {text}" if turns > 2 else text


def format_scores(row: Row, named: bool = True) -> str:
    """Return a row's scores in one line."""
    scores = row.record.scores if row.record else {}
    return ", ".join(one_line(f"{name} {value:.3g}") if named else f"{value:.3g}" for name, value in scores.items())


def format_values(values: Iterable[Any]) -> str:
    """Return the values of a field in one line."""
    return one_line(", ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values))
