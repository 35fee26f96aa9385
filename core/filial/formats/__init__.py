"""Records in and out: `read` any format, `write` any format that can hold the records."""

from __future__ import annotations

from filial.formats.base import Bad, BadLine, Unfit
from filial.formats.jsontext import Fault, Row, parse_object
from filial.formats.lines import lines, opened
from filial.formats.reading import FORMATS, read
from filial.formats.writing import packed, write

__all__ = [
    "FORMATS",
    "Bad",
    "BadLine",
    "Fault",
    "Row",
    "Unfit",
    "lines",
    "opened",
    "packed",
    "parse_object",
    "read",
    "write",
]
