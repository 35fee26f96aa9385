"""Show what happened to each strategy's attempts in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from filial import UsageError
from filial.commands import format_counts, grid, home_option, json_option, print_json, printable
from filial.storage import read_manifest
from filial_plugins.commands.tables import SURVIVAL_HEAD, add_rows, survival_cells

LEGEND = """\
requests, tokens, $: of all answers that the attempts used, new or stored.
longer: words of the evolved instructions to words of their parents.
new: 1 - ROUGE-L F with the parent, mean."""


def round_table(stage: dict[str, Any]) -> str:
    """Format one evolve stage, strategy by strategy and round by round."""
    families, rows, reasons = stage.get("families", {}), list[list[str]](), list[list[str]]()
    for name, rounds in sorted(stage["survival"].items()):
        lines = sorted(rounds.items(), key=lambda pair: int(pair[0]))
        reasons += [[printable(name), turn, format_counts(row["dropped"])] for turn, row in lines if row["dropped"]]
        if len(lines) > 1:
            lines.append(("all", add_rows(rounds.values())))
        labels = [[printable(name), families.get(name, "")], *[["", ""]] * (len(lines) - 1)]
        rows += [[*label, turn, *survival_cells(row)] for label, (turn, row) in zip(labels, lines, strict=True)]
    table = grid(["strategy", "family", "round", *SURVIVAL_HEAD], rows, 3)
    return f"{table}\n\n{grid(['strategy', 'round', 'why dropped'], reasons, 2, prose=True)}" if reasons else table


def evolve_stages(folder: Path) -> list[dict[str, Any]]:
    """Return name, survival table and families of each finished evolve stage of a run.

    Raises:
        UsageError: there is no such run, or it has no such stage.
    """
    if not (folder / "stages").is_dir():
        raise UsageError(f"{folder} is not a run; give the name or the folder of a run in runs/")
    found = [(path.parent.name, read_manifest(path)) for path in sorted(folder.glob("stages/*/manifest.json"))]
    stages = [{"name": name, **manifest["report"]} for name, manifest in found if manifest]
    if not (evolved := [stage for stage in stages if stage.get("survival")]):
        raise UsageError(f"{folder}: this run has no finished evolve stage")
    return evolved


@click.command()
@click.argument("run", metavar="RUN")
@json_option
@home_option
def survival(run: str, as_json: bool, home: Path) -> None:
    """Show each strategy's attempts by round: kept, dropped by rule, cost, growth, novelty.

    RUN is a run's name or its folder.
    """
    folder = Path(run) if (Path(run) / "stages").is_dir() else home / "runs" / run
    stages = evolve_stages(folder)
    if as_json:
        print_json([{key: stage[key] for key in ("name", "families", "survival")} for stage in stages])
        return
    for stage in stages:
        click.echo(f"{stage['name']}\n\n{round_table(stage)}\n")
    click.echo(LEGEND)
