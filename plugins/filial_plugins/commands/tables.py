"""The tables of runs: records per stage, a plan, scores of filters, the judged model, survival of strategies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import sqrt
from typing import Any

from filial.commands import figure, format_counts, format_dollars, grid, printable

FEW = 100
"""Judged records from which on a table says nothing about its uncertainty."""


def funnel_table(summary: dict[str, Any]) -> str:
    """Format the number of records through the stages, and why the others were dropped."""
    rows = [
        [s["name"], *(f"{s[count]:,}" for count in ("entered", "made", "dropped", "out")), format_counts(s["reasons"])]
        for s in summary["stages"]
    ]
    return grid(["stage", "in", "made", "dropped", "out", "why dropped"], rows, prose=True) if rows else ""


def plan_table(rows: list[dict[str, Any]]) -> str:
    """Format a plan: the steps, then what each would need, and the total."""
    steps = grid(["step", "state", "what"], [[r["step"], r["state"], r["what"]] for r in rows], 2, prose=True)
    asking = [row for row in rows if row.get("calls") or row.get("held")]
    if not asking:
        return f"{steps}\n\nNo requests are needed."

    def cells(name: str, row: Mapping[str, Any], sure: str) -> list[str]:
        usd = "not known" if row["usd"] is None else format_dollars(row["usd"])
        return [name, f"{row['calls']:,}", f"{row['held']:,}", f"{row['tokens']:,}", usd, sure]

    money = [row["usd"] for row in asking]
    total = {key: sum(row[key] for row in asking) for key in ("calls", "held", "tokens")}
    total["usd"] = None if None in money else sum(money)
    sure = max((row["sure"] for row in asking), key=["exact", "likely", "rough"].index)
    table = [cells(row["step"], row, row["sure"]) for row in asking]
    head = ["step", "requests", "in the ledger", "tokens", "money", "how sure"]
    return f"{steps}\n\n{grid(head, [*table, cells('total', total, sure)])}"


def mix_table(summary: dict[str, Any]) -> str:
    """How many records of each group a mix was asked for, had, gave and repeated, with their sums; empty where nothing
    was mixed."""
    columns, blocks = ("asked", "available", "given", "repeated"), []
    for stage in summary["stages"]:
        if groups := stage.get("mix"):
            names = [printable(str(value)) for row in groups for key, value in row.items() if key not in columns]
            rows = [[name or "(none)", *_figures(row, columns)] for name, row in zip(names, groups, strict=True)]
            total = {key: sum(row[key] for row in groups) for key in columns}
            blocks.append(grid([stage["name"], *columns], [*rows, ["in all", *_figures(total, columns)]]))
            if cot := stage.get("cot"):
                share = f"asked {cot['asked_share']:g}"
                blocks[-1] += f"\nchain of thought: {cot['given']:,} of {cot['of']:,} ({share})"
    return "\n\n".join(blocks)


def _figures(row: Mapping[str, Any], columns: Iterable[str]) -> list[str]:
    return [f"{row[key]:,}" for key in columns]


def score_table(summary: dict[str, Any]) -> str:
    """Format the mean of every score of each stage, over all records that were measured."""
    rows = [
        [stage["name"], printable(name), f"{row['n']:,}", f"{row['mean']:.3f}"]
        for stage in summary["stages"]
        for name, row in stage.get("scores", {}).items()
    ]
    return grid(["stage", "score", "records", "mean"], rows, 2) if rows else ""


def judge_table(summary: dict[str, Any]) -> str:
    """Format the share passed, or the mean score, of the model and its rivals in every exam."""
    exams = summary.get("judge") or {}
    if not exams:
        return ""
    found = dict.fromkeys(who for results in exams.values() for who in results)
    who = sorted(found, key=lambda name: {"base": 0, "model": 2}.get(name, 1))
    names = {"base": "before", "model": "after"}
    rows, fewest = [], FEW
    for name, results in exams.items():
        first = next(iter(results.values()))
        fewest = min(fewest, max(1, first["judged"]))
        rows.append([name, f"{first['judged']:,}", *(figure(results.get(w)) for w in who)])
    table = grid(["judged on", "records", *(names.get(w, w) for w in who)], rows)
    # Half the width of a 95 % interval of a share, at its largest: 1.96 * sqrt(0.25 / n).
    sure = f"{table}\n\nWith {fewest} records, a share is uncertain by up to ±{98 / sqrt(fewest):.0f} points (95 %)."
    return table if fewest == FEW else sure


SURVIVAL_LEGEND = """\
survived: kept of tried; asked: requests; longer: words of a child by those of
its parent; new: how different a child is from its parent, 1 - ROUGE-L"""
SURVIVAL_HEAD = ["tried", "kept", "survived", "asked", "tokens", "$/kept", "longer", "new"]


def survival_cells(row: dict[str, Any]) -> list[str]:
    """Return a row of a survival table; `SURVIVAL_HEAD` names its cells."""
    tried, kept, before, usd = row["tried"], row["kept"], row["words_before"], row["usd"]
    return [
        f"{tried:,}", f"{kept:,}", f"{100 * kept / tried:.0f} %" if tried else "–",
        f"{row['requests']:,}", f"{row['tokens']:,}", "–" if usd is None or not kept else format_dollars(usd / kept),
        f"{row['words_after'] / before:.2f} ×" if before else "–", f"{row['novelty']:.2f}" if kept else "–",
    ]  # fmt: skip


def add_rows(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Add up rows of a survival table."""
    rows = list(rows)
    names = ("tried", "kept", "requests", "tokens", "words_before", "words_after")
    total: dict[str, Any] = {name: sum(row[name] for row in rows) for name in names}
    known = [row["usd"] for row in rows if row["usd"] is not None]
    new = sum(row["novelty"] * row["kept"] for row in rows)
    return {
        **total, "dropped": sum((Counter(row["dropped"]) for row in rows), Counter()),
        "usd": sum(known) if known else None, "novelty": new / total["kept"] if total["kept"] else 0.0,
    }  # fmt: skip


def survival_table(summary: dict[str, Any]) -> str:
    """Format the survival of strategies over all rounds and evolve stages; empty if nothing was evolved."""
    found: dict[str, list[dict[str, Any]]] = {}
    for stage in summary["stages"]:
        for name, rounds in stage.get("survival", {}).items():
            found.setdefault(name, []).extend(rounds.values())
    if not found:
        return ""
    totals = [(printable(name), add_rows(rows)) for name, rows in sorted(found.items())]
    reasons = [[name, format_counts(total["dropped"])] for name, total in totals if total["dropped"]]
    table = grid(["strategy", *SURVIVAL_HEAD], [[name, *survival_cells(total)] for name, total in totals])
    table = f"{table}\n\n{SURVIVAL_LEGEND}"
    return f"{table}\n\n{grid(['strategy', 'why dropped'], reasons, prose=True)}" if reasons else table


def run_tables(summary: dict[str, Any]) -> str:
    """Format all tables of a run that have something to show."""
    tables = (table(summary) for table in (funnel_table, mix_table, survival_table, score_table, judge_table))
    return "\n\n".join(filter(None, tables))
