"""The tables a run ends with: the funnel, what filters measured, the judged model. 80 to 100 columns."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

from filial.cli.progress import printable

GLUE = "\u00a0"
"""A blank at which no line is broken; printed as a plain one."""


def grid(head: list[str], rows: list[list[str]], left: int = 1, *, prose: bool = False) -> str:
    """Columns aligned with blanks: the first ``left`` to the left, the rest to the right.

    With ``prose`` the last column is text, wrapped to the terminal's width (80 to 100 columns).
    """
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    if prose:
        width = min(100, max(80, shutil.get_terminal_size().columns))
        widths[-1] = max(24, min(widths[-1], width - sum(widths[:-1]) - 2 * (len(widths) - 1)))
    lines = []
    for n, row in enumerate(table):
        first, *more = textwrap.wrap(row[-1], widths[-1], break_on_hyphens=False) or [""] if prose else [row[-1]]
        cells = [*row[:-1], first]
        aligned = [
            c.ljust(w) if i < left or (prose and i == len(widths) - 1) else c.rjust(w)
            for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append("  ".join(aligned).rstrip().replace(GLUE, " "))
        indent = " " * (sum(widths[:-1]) + 2 * (len(widths) - 1))
        lines += [indent + text.replace(GLUE, " ") for text in more]
        if n == 0:
            lines.append("  ".join("─" * w for w in widths))
    return "\n".join(lines)


def counted(reasons: Mapping[str, int]) -> str:
    """``too-similar 80, harm 16``, the most frequent first."""
    return ", ".join(
        f"{printable(r)}{GLUE}{n:,}" for r, n in sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    )


def funnel(summary: dict[str, Any]) -> str:
    """Records through the stages, and why the others did not go on."""
    rows = [
        [s["name"], *(f"{s[count]:,}" for count in ("entered", "made", "dropped", "out")), counted(s["reasons"])]
        for s in summary["stages"]
    ]
    return grid(["stage", "in", "made", "dropped", "out", "why dropped"], rows, prose=True) if rows else ""


def planned(rows: list[dict[str, Any]]) -> str:
    """A plan: who does what, then what each step would take and all together."""
    from filial.asking.budget import dollars

    steps = grid(["step", "state", "what"], [[r["step"], r["state"], r["what"]] for r in rows], 2, prose=True)
    asking = [row for row in rows if row.get("calls") or row.get("held")]
    if not asking:
        return f"{steps}\n\nNothing has to be asked."

    def cells(name: str, row: Mapping[str, Any], sure: str) -> list[str]:
        usd = "not known" if row["usd"] is None else dollars(row["usd"])
        return [name, f"{row['calls']:,}", f"{row['held']:,}", f"{row['tokens']:,}", usd, sure]

    money = [row["usd"] for row in asking]
    total = {key: sum(row[key] for row in asking) for key in ("calls", "held", "tokens")}
    total["usd"] = None if None in money else sum(money)
    sure = max((row["sure"] for row in asking), key=["exact", "likely", "rough"].index)
    table = [cells(row["step"], row, row["sure"]) for row in asking]
    head = ["step", "requests", "in the ledger", "tokens", "money", "how sure"]
    return f"{steps}\n\n{grid(head, [*table, cells('in all', total, sure)])}"


def measured(summary: dict[str, Any]) -> str:
    """What the filters of each stage measured: the mean of every score over all records they looked at."""
    rows = [
        [stage["name"], printable(name), f"{row['n']:,}", f"{row['mean']:.3f}"]
        for stage in summary["stages"]
        for name, row in stage.get("scores", {}).items()
    ]
    return grid(["stage", "score", "records", "mean"], rows, 2) if rows else ""


def judged(summary: dict[str, Any]) -> str:
    """Share passed, or mean score, of the model, its base and the copying baseline on every exam."""
    exams = summary.get("judge") or {}
    if not exams:
        return ""
    who = [w for w in ("base", "nearest", "model") if any(w in results for results in exams.values())]
    names = {"base": "before", "nearest": "nearest neighbour", "model": "after"}
    rows = []
    for name, results in exams.items():
        first = next(iter(results.values()))
        rows.append([name, f"{first['judged']:,}", *(figure(results.get(w)) for w in who)])
    return grid(["judged on", "records", *(names[w] for w in who)], rows)


def figure(result: dict[str, Any] | None) -> str:
    """A result as people read it."""
    if result is None:
        return "–"
    if result["passed"] is not None:
        return f"{100 * result['passed']:.1f} %"
    return "–" if result["mean"] is None else f"{result['mean']:.2f}"
