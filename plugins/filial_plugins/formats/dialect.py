"""Which delimiter and quotes a table in text is written with, by what stands in it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any

DELIMITERS = (",", "\t", ";", "|")
TWICE: dict[str, Any] = {"doublequote": True}  # a quote in a quoted cell, as RFC 4180 has it
ESCAPED: dict[str, Any] = {"doublequote": False, "escapechar": "\\"}
NONE: dict[str, Any] = {"quoting": csv.QUOTE_NONE}
_BACKSLASH = re.compile(r'\\(["\\\r\n]?)')


def read_cells(lines: Iterator[str], dialect: dict[str, Any]) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield each row with the line that it begins on; for one that the dialect cannot be, the error."""
    if "escapechar" in dialect:  # a backslash that escapes nothing is one
        lines = (_BACKSLASH.sub(lambda found: found[0] if found[1] else r"\\", line) for line in lines)
    reader, line = csv.reader(lines, strict=True, **dialect), 1
    while True:
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
            return
        except csv.Error as error:  # the reader goes on with the next line
            yield line, error
            line = reader.line_num + 1


def find_dialect(lines: Sequence[str], delimiters: Sequence[str], *, whole: bool) -> dict[str, Any]:
    """Return the options of `csv.reader` under which most rows have as many cells as the first one has.

    Of delimiters that do so equally well the one with most columns counts, then the first; of quotes the first. A
    delimiter that makes one column of the first row counts where no other makes even half of the rows fit.

    Args:
        lines: the first lines of a table.
        whole: they are all of it; otherwise the last row may go on.
    """
    best: tuple[bool, float, int] = (False, -1.0, 0)
    found: dict[str, Any] = {"delimiter": delimiters[0]}
    escapes = any('\\"' in line for line in lines)
    for quotes in (TWICE, ESCAPED, NONE) if escapes else (TWICE, NONE):
        for delimiter in delimiters:
            dialect = {"delimiter": delimiter, **quotes}
            rows = [cells for _, cells in read_cells(iter(lines), dialect)]
            if not whole and len(rows) > 1:
                rows.pop()
            if not rows or isinstance(rows[0], csv.Error) or (quotes is NONE and _looks_quoted(rows)):
                continue
            width = len(rows[0])
            fit = sum(not isinstance(cells, csv.Error) and len(cells) == width for cells in rows) / len(rows)
            rank = (width > 1 and fit >= 0.5, fit, width)
            if rank > best and (quotes is TWICE or rank[:2] > best[:2]):
                best, found = rank, dialect
    return found


def _looks_quoted(rows: list[list[str] | csv.Error]) -> bool:
    """Whether most cells that begin with a quote end with one, so that it is none of their text."""
    begun = [cell for cells in rows if not isinstance(cells, csv.Error) for cell in cells if cell.startswith('"')]
    return 2 * sum(len(cell) > 1 and cell.endswith('"') for cell in begun) > len(begun)
