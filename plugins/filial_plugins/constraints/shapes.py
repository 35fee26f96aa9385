"""Whether a text is JSON, CSV, a Markdown table, one block of code, or wrapped in something.

Only the standard library is used here: `filial rewards` copies this file into reward files. Every function takes any
text; it returns what was found, or None where the text has not that shape.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from filial_plugins.constraints.measures import lines_outside_fences, split_lines

_DELIMITER = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_CELL_END = re.compile(r"(?<!\\)\|")
_OPENING = re.compile(r"(`{3,}|~{3,})([^\n]*)")
_QUOTES = {'"': '"', "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u00ab": "\u00bb", "\u300c": "\u300d"}


def parse_json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object (RFC 8259: no NaN, nothing around it) that the text is."""

    def no_number(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        # Numbers stay texts: Python refuses to turn thousands of digits into a number, JSON does not.
        value = json.loads(text.strip(), parse_int=str, parse_float=str, parse_constant=no_number)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def parse_csv(text: str) -> list[list[str]] | None:
    """Return the rows of the text as comma-separated values (RFC 4180); blank lines around it do not count."""
    try:
        return list(csv.reader(io.StringIO(text.strip("\r\n \t"), newline=""), strict=True))
    except csv.Error:
        return None


def count_table_columns(text: str) -> int:
    """Return the number of columns of the text's first Markdown table; 0 if there is no table.

    A table is a head, a row of dashes and one row or more. Head and dashes have the same number of cells, as GitHub's
    Markdown wants it.
    """
    rows = lines_outside_fences(text)
    for head, dashes, body in zip(rows, rows[1:], rows[2:], strict=False):
        if "|" in head and "|" in body and "-" in dashes and "|" in dashes and _DELIMITER.fullmatch(dashes):
            columns = len(_split_cells(dashes))
            if len(_split_cells(head)) == columns:
                return columns
    return 0


def _split_cells(row: str) -> list[str]:
    row = row.strip()
    row = row.removeprefix("|")
    return _CELL_END.split(row[:-1] if row.endswith("|") and not row.endswith("\\|") else row)


def strip_fence(text: str) -> str | None:
    """Return what stands in the one block of code, fenced by three or more backticks or tildes, that the text is."""
    rows = text.strip().replace("\r\n", "\n").split("\n")
    opening = _OPENING.fullmatch(rows[0])
    if not opening or len(rows) < 3 or (opening[1][0] == "`" and "`" in opening[2]):
        return None

    def closes(row: str) -> bool:
        bare = row.strip()
        return bare.startswith(opening[1]) and not bare.strip(opening[1][0])

    if not closes(rows[-1]) or any(closes(row) for row in rows[1:-1]):
        return None
    return "\n".join(rows[1:-1])


def strip_quotes(text: str) -> str | None:
    """Return the text inside double quotation marks: straight, curly, „low“, «angles» or 「corners」.

    None without them.
    """
    text = text.strip()
    closing = _QUOTES.get(text[:1], "")
    return text[1:-1] if len(text) > 2 and closing and text[-1] in closing and text[1:-1].strip() else None


def strip_tags(text: str, tag: str) -> str | None:
    """Return what stands between ``<tag>`` and ``</tag>`` around the text, if neither comes again."""
    text, opening, closing = text.strip(), f"<{tag}>", f"</{tag}>"
    if not text.startswith(opening) or not text.endswith(closing) or len(text) < len(opening) + len(closing):
        return None
    inner = text[len(opening) : len(text) - len(closing)]
    return inner if inner.strip() and opening not in inner and closing not in inner else None


def split_at_marks(text: str, mark: str, least: int) -> list[str]:
    """Return the pieces between lines that hold ``least`` or more of a mark and nothing else."""
    found: list[list[str]] = [[]]
    for line in split_lines(text):
        bare = line.strip()
        if len(bare) >= least and not bare.strip(mark):
            found.append([])
        else:
            found[-1].append(line)
    return ["\n".join(piece).strip() for piece in found]
