"""The survival table: what became of each strategy's attempts, what they cost, and how far children go from parents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from filial.cli.progress import printable
from filial.cli.tables import counted, grid

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
        from filial.asking.budget import dollars

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
    from filial.errors import UsageError
    from filial.store import read_manifest

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
