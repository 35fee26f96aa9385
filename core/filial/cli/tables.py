"""Tables for people: aligned, 80 to 100 columns, nothing lost, nothing that steers a terminal."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from typing import Any, Literal

GLUE = "\ue000"
"""A private character at which no line is broken; printed as a blank."""


def printable(text: str) -> str:
    """Text from data, safe on a terminal: control characters and bidirectional marks show as escapes."""
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)


def grid(head: list[str], rows: list[list[str]], left: int = 1, *, prose: bool = False) -> str:
    """Align columns: the first ``left`` to the left, the rest to the right, by their width on a terminal.

    With ``prose`` the last column is text, wrapped to the terminal's width (80 to 100 columns).
    """
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    ruled = Box("\n".join(["    ", "    ", " ─  ", *["    "] * 5]))
    table = Table(box=ruled, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for i, name in enumerate(head):
        text = prose and i == len(head) - 1
        justify: Literal["left", "right"] = "left" if text or i < left else "right"
        table.add_column(Text(name), justify=justify, no_wrap=not text, min_width=24 if text else None)
    for row in rows:
        table.add_row(*map(Text, row))  # as Text: what data say is never read as markup
    width = min(100, max(80, shutil.get_terminal_size().columns)) if prose else 10_000
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, legacy_windows=False).print(table)
    first, rule, *others = (line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join([first, rule.replace("─ ─", "  ─"), *others]).replace(GLUE, " ").rstrip("\n")


def counted(reasons: Mapping[str, int]) -> str:
    """``too-similar 80, harm 16``, the most frequent first."""
    return ", ".join(
        f"{printable(r)}{GLUE}{n:,}" for r, n in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def figure(result: dict[str, Any] | None) -> str:
    """A judge's result as people read it."""
    if result is None:
        return "–"
    if result["passed"] is not None:
        return f"{100 * result['passed']:.1f} %"
    return "–" if result["mean"] is None else f"{result['mean']:.2f}"
