"""The tables a run ends with: the funnel, what filters measured, the judged model. 80 to 100 columns."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from typing import Any, Literal

from filial.cli.progress import printable
from filial.engine.survival import add_rows

GLUE = "\ue000"
"""A private character at which no line is broken; printed as a blank."""


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


def funnel(summary: dict[str, Any]) -> str:
    """Records through the stages, and why the others did not go on."""
    rows = [
        [s["name"], *(f"{s[count]:,}" for count in ("entered", "made", "dropped", "out")), counted(s["reasons"])]
        for s in summary["stages"]
    ]
    return grid(["stage", "in", "made", "dropped", "out", "why dropped"], rows, prose=True) if rows else ""


def planned(rows: list[dict[str, Any]]) -> str:
    """A plan: who does what, then what each step would take and all together."""
    from filial.gateway.budget import dollars

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
    """Share passed, or mean score, of the model and its rivals on every exam."""
    exams = summary.get("judge") or {}
    if not exams:
        return ""
    found = dict.fromkeys(who for results in exams.values() for who in results)
    who = sorted(found, key=lambda name: {"base": 0, "model": 2}.get(name, 1))
    names = {"base": "before", "model": "after"}
    rows = []
    for name, results in exams.items():
        first = next(iter(results.values()))
        rows.append([name, f"{first['judged']:,}", *(figure(results.get(w)) for w in who)])
    return grid(["judged on", "records", *(names.get(w, w) for w in who)], rows)


def figure(result: dict[str, Any] | None) -> str:
    """A result as people read it."""
    if result is None:
        return "–"
    if result["passed"] is not None:
        return f"{100 * result['passed']:.1f} %"
    return "–" if result["mean"] is None else f"{result['mean']:.2f}"


SURVIVAL_HEAD = ["tried", "kept", "survived", "requests", "tokens", "$ per kept", "longer", "new"]


def survival_cells(row: dict[str, Any]) -> list[str]:
    """A row of a survival table as `SURVIVAL_HEAD` names its cells."""
    from filial.gateway.budget import dollars

    tried, kept, before, usd = row["tried"], row["kept"], row["words_before"], row["usd"]
    return [
        f"{tried:,}", f"{kept:,}", f"{100 * kept / tried:.0f} %" if tried else "–",
        f"{row['requests']:,}", f"{row['tokens']:,}", "–" if usd is None or not kept else dollars(usd / kept),
        f"{row['words_after'] / before:.2f} ×" if before else "–", f"{row['novelty']:.2f}" if kept else "–",
    ]  # fmt: skip


def survival(summary: dict[str, Any]) -> str:
    """Per strategy, over all rounds and evolve stages; empty where nothing was evolved."""
    found: dict[str, list[dict[str, Any]]] = {}
    for stage in summary["stages"]:
        for name, rounds in stage.get("survival", {}).items():
            found.setdefault(name, []).extend(rounds.values())
    if not found:
        return ""
    totals = [(printable(name), add_rows(rows)) for name, rows in sorted(found.items())]
    reasons = [[name, counted(total["dropped"])] for name, total in totals if total["dropped"]]
    table = grid(["strategy", *SURVIVAL_HEAD], [[name, *survival_cells(total)] for name, total in totals])
    return f"{table}\n\n{grid(['strategy', 'why dropped'], reasons, prose=True)}" if reasons else table
