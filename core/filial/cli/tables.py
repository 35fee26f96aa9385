"""The tables a run ends with: the funnel, what filters measured, the judged model. 80 to 100 columns."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import click

from filial.cli.progress import printable

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


HEAD = ["tried", "kept", "survived", "requests", "tokens", "$ per kept", "longer", "new"]
EXPLAINED = """\
requests, tokens, $: the answers that the attempts used, whether they were asked for now or known before.
longer: words of the evolved instructions to words of their parents. new: 1 - ROUGE-L F with the parent, mean."""


@dataclass(slots=True)
class Figures:
    """Rows of the table added up."""

    counts: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    usd: float | None = None
    novelty: float = 0.0

    def add(self, row: dict[str, Any]) -> Figures:
        """Add one row of a manifest."""
        names = ("tried", "kept", "requests", "tokens", "words_before", "words_after")
        self.counts.update({name: row[name] for name in names})
        self.dropped.update(row["dropped"])
        self.usd = self.usd if row["usd"] is None else (self.usd or 0.0) + row["usd"]
        self.novelty += row["novelty"] * row["kept"]
        return self

    def cells(self) -> list[str]:
        """As `HEAD` names them."""
        from filial.gateway.budget import dollars

        c = self.counts
        paid = "–" if self.usd is None or not c["kept"] else dollars(self.usd / c["kept"])
        longer = f"{c['words_after'] / c['words_before']:.2f} ×" if c["words_before"] else "–"
        return [
            f"{c['tried']:,}", f"{c['kept']:,}", f"{100 * c['kept'] / c['tried']:.0f} %" if c["tried"] else "–",
            f"{c['requests']:,}", f"{c['tokens']:,}", paid, longer,
            f"{self.novelty / c['kept']:.2f}" if c["kept"] else "–",
        ]  # fmt: skip


def overall(summary: dict[str, Any]) -> str:
    """Per strategy, over all rounds and evolve stages; empty where nothing was evolved."""
    totals: dict[str, Figures] = {}
    for stage in summary["stages"]:
        for name, rounds in stage.get("survival", {}).items():
            for row in rounds.values():
                totals.setdefault(name, Figures()).add(row)
    if not totals:
        return ""
    rows = [[printable(name), *figures.cells()] for name, figures in sorted(totals.items())]
    reasons = [[printable(name), counted(f.dropped)] for name, f in sorted(totals.items()) if f.dropped]
    table = grid(["strategy", *HEAD], rows)
    return f"{table}\n\n{grid(['strategy', 'why dropped'], reasons, prose=True)}" if reasons else table


def by_round(stage: dict[str, Any]) -> str:
    """One evolve stage, strategy by strategy and round by round."""
    families, rows, reasons = stage.get("families", {}), list[list[str]](), list[list[str]]()
    for name, rounds in sorted(stage["survival"].items()):
        all_rounds = Figures()
        lines = [(turn, Figures().add(row)) for turn, row in sorted(rounds.items(), key=lambda pair: int(pair[0]))]
        for _, row in sorted(rounds.items()):
            all_rounds.add(row)
        if len(lines) > 1:
            lines.append(("all", all_rounds))
        for turn, figures in lines:
            first = turn == lines[0][0]
            label = [printable(name), families.get(name, "")] if first else ["", ""]
            rows.append([*label, turn, *figures.cells()])
            if figures.dropped and turn != "all":
                reasons.append([printable(name), turn, counted(figures.dropped)])
    table = grid(["strategy", "family", "round", *HEAD], rows, 2)
    return f"{table}\n\n{grid(['strategy', 'round', 'why dropped'], reasons, 2, prose=True)}" if reasons else table


def evolve_stages(folder: Path) -> list[dict[str, Any]]:
    """Name, survival table and families of each evolve stage of a run that is done.

    Raises:
        UsageError: there is no such run, or none of its stages has evolved anything.
    """
    from filial.contracts.errors import UsageError
    from filial.storage import read_manifest

    if not (folder / "stages").is_dir():
        raise UsageError(f"{folder} is no run; name one of runs/, or its folder")
    found = [(path.parent.name, read_manifest(path)) for path in sorted(folder.glob("stages/*/manifest.json"))]
    stages = [{"name": name, **manifest["report"]} for name, manifest in found if manifest]
    if not (evolved := [stage for stage in stages if stage.get("survival")]):
        raise UsageError(f"{folder}: no evolve stage of this run is done")
    return evolved


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
@click.option(
    "--home", type=click.Path(path_type=Path), default=Path("."), metavar="DIR",
    help="Folder that holds runs/; the current one unless given.",
)  # fmt: skip
def survival(run: str, as_json: bool, home: Path) -> None:
    """What became of each strategy's attempts, round by round: kept, dropped by each rule, cost, growth, novelty.

    RUN is a run's name or its folder.
    """
    from filial.cli.common import print_json

    folder = Path(run) if (Path(run) / "stages").is_dir() else home / "runs" / run
    stages = evolve_stages(folder)
    if as_json:
        print_json([{key: stage[key] for key in ("name", "families", "survival")} for stage in stages])
        return
    click.echo("\n\n".join(_titled(stages)))
    click.echo(f"\n{EXPLAINED}")


def _titled(stages: Iterable[dict[str, Any]]) -> list[str]:
    return [f"{stage['name']}\n\n{by_round(stage)}" for stage in stages]
