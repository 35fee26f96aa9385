"""Tables for people: aligned, not wider than the terminal, complete, without control characters."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from filial.contracts.texts import list_counts, printable_lines

if TYPE_CHECKING:
    from rich.table import Table

GLUE = "\ue000"
"""A private character for a blank at which no line may be broken."""
PROSE = 24
"""Minimum width of a text column."""


def grid(head: list[str], rows: list[list[str]], left: int = 1, *, prose: bool = False) -> str:
    """Align columns by their width on a terminal: the first ``left``, which name a row, to the left, the others to the
    right.

    Columns that do not fit follow in a table below, with the name columns repeated. With ``prose`` the last column is
    text, wrapped to the terminal's width (80 to 100 columns).
    """
    import shutil

    from rich.cells import cell_len
    from rich.text import Text

    rows = [[GLUE.join(map(printable_lines, cell.split(GLUE))) for cell in row] for row in rows]
    terminal = max(80, shutil.get_terminal_size().columns)
    width = min(100, terminal) if prose else terminal
    needs = [max(map(cell_len, cells)) for cells in zip(head, *rows, strict=True)]
    while sum(needs[:left]) > width // 2:  # all names take at most half the width; longer ones are wrapped
        needs[needs.index(max(needs[:left]))] -= 1
    if prose:
        needs[-1] = min(needs[-1], PROSE)
    blocks = []
    for columns in _blocks(needs, left, width):
        table = _make_table()
        for i in columns:
            if prose and i == len(head) - 1:
                table.add_column(Text(head[i]), min_width=PROSE)
            elif i < left:
                table.add_column(Text(head[i]), max_width=needs[i], overflow="fold")
            else:
                table.add_column(Text(head[i]), justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(row[i]) for i in columns))  # Text, so that data is never read as markup
        blocks.append(_draw(table, width))
    return "\n\n".join(blocks)


def _blocks(needs: list[int], left: int, width: int) -> list[list[int]]:
    """Return the column numbers of each table that fits the width; the first ``left`` are in all of them."""
    names = list(range(left))
    blocks = [names]
    used = 0
    for column, need in enumerate(needs[left:], left):
        if blocks[-1] is names or used + need > width:
            blocks.append([*names])
            used = sum(needs[:left]) + 2 * left
        blocks[-1].append(column)
        used += need + 2
    return blocks[1:] or blocks


def _make_table() -> Table:
    """Make a table whose only line is below its head."""
    from rich.box import Box
    from rich.table import Table

    box = Box("\n".join(["    ", "    ", " ─  ", *["    "] * 5]))
    return Table(box=box, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))


def _draw(table: Table, width: int) -> str:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=width, color_system=None, legacy_windows=False).print(table)
    first, rule, *others = (line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join([first, rule.replace("─ ─", "  ─"), *others]).replace(GLUE, " ").rstrip("\n")


def format_counts(reasons: Mapping[str, int]) -> str:
    """Format counts, the largest first: ``too-similar 80, harm 16``."""
    return list_counts(reasons, blank=GLUE)


def figure(result: dict[str, Any] | None) -> str:
    """Format a judge's result."""
    if result is None:
        return "–"
    if result["passed"] is not None:
        return f"{100 * result['passed']:.1f} %"
    return "–" if result["mean"] is None else f"{result['mean']:.2f}"
