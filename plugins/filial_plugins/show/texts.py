"""Text from data as a terminal can show it: nothing that steers it, nothing invisible that matters."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len, set_cell_size

from filial.commands import printable

JOINERS = "\u200c\u200d"
"""Invisible, but words of Persian and Indian languages, and many emoji, are written with them."""
TAB = 4


def readable(text: str) -> str:
    """Return one line of text with control characters, marks of direction and other invisible ones as escapes.

    Unlike `printable` it leaves blanks of every width and the joiners of scripts as they are. A tab becomes blanks.
    """
    text = text.expandtabs(TAB)
    if text.isprintable():
        return text
    return "".join(c if c in JOINERS or unicodedata.category(c) == "Zs" else printable(c) for c in text)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, each `readable`."""
    return [readable(line) for line in text.split("\n")]


def one_line(text: str, most: int = 400) -> str:
    """Return the beginning of a text on one line."""
    cut = text[: 4 * most]
    return readable(" ".join(cut.split())[:most])


def fit(text: str, width: int) -> str:
    """Return a line cut to so many columns of a terminal; what is cut ends with an ellipsis."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…"


def pad(text: str, width: int) -> str:
    """Return a line `fit` to so many columns, blanks behind it."""
    cut = fit(text, width)
    return cut + " " * (width - cell_len(cut))
