"""What a run ends with: its tables, what was asked and spent, where everything is, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from filial.run import Run

Command = Callable[..., str]


def again(
    ctx: click.Context, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, *,
    limit: int | None = None, offline: bool = False, retry_lost: bool = False, more: str = "",
) -> str:  # fmt: skip
    """The command line of this run; ``more`` is another value of the recipe, in the place of one given before."""
    top = ctx.find_root().params
    words = ["filial", *(["--no-plugins"] if top.get("no_plugins") else [])]
    for file in top.get("files", ()):
        words += ["--plugin", file]
    words += ["run", str(recipe)]
    changed = more.partition("=")[0]
    for text in (*overrides, more):
        if text and (text == more or text.partition("=")[0] != changed):
            words += ["--set", text]
    words += ["--name", name] if name else []
    words += ["--home", str(home)] if home != Path(".") else []
    words += ["--limit", str(limit)] if limit else []
    words += [flag for flag, on in (("--offline", offline), ("--retry-lost", retry_lost)) if on]
    return shlex.join(words)


def tell(run: Run, summary: dict[str, Any], command: Command) -> None:
    """Everything about a run that has ended."""
    from filial.cli.survival import overall
    from filial.cli.tables import funnel, judged, measured

    for text in (funnel(summary), overall(summary), measured(summary), judged(summary)):
        if text:
            click.echo(f"{text}\n")
    click.echo(asked(summary["teacher"]))
    missing = "; rows are missing, drops.jsonl of their stage says why" if run.exit_code() else ""
    click.echo(f"Run: {run.folder}{missing}")
    click.echo(f"Next:\n  {following(run, command)}")


def asked(teacher: dict[str, Any]) -> str:
    """Requests, answers from the ledger, tokens, money."""
    from filial.asking.budget import dollars

    tokens = teacher["prompt_tokens"] + teacher["completion_tokens"]
    about = "at most " if teacher["estimated"] else ""
    text = f"Teacher: {teacher['requests']:,} requests, {teacher['from_ledger']:,} answers from the ledger, "
    text += f"{'at most ' if teacher['lost'] else about}{tokens:,} tokens"
    if teacher["usd"]:
        text += f", {about}{dollars(teacher['usd'])}"
    if teacher["unsure_usd"]:
        text += f" (and at most {dollars(teacher['unsure_usd'])} for answers that were lost on their way)"
    if teacher["run_usd"] > teacher["usd"] + teacher["unsure_usd"] + 1e-9:
        text += f"; {about}{dollars(teacher['run_usd'])} for the run in all"
    if teacher["with_reasoning"]:
        text += f"; {teacher['with_reasoning']:,} answers came with thoughts, which are kept apart from their text"
    return f"{text}."


def following(run: Run, command: Command) -> str:
    """What one would type next."""
    reasons = {reason for stage in run.summary["stages"] for reason in stage["reasons"]}
    if any(reason.startswith("teacher-") for reason in reasons):
        return command(retry_lost=True, limit=run.limit)
    if run.limit:
        return command()
    if run.recipe.train is not None:
        return shlex.join(["filial", "judge", "exact-match", "YOUR-EXAM.jsonl", "--model", str(run.model)])
    stage = run.recipe.stages[-1].name if run.recipe.stages else ""
    records = run.folder / "stages" / stage / "records.jsonl"
    return shlex.join(["filial", "render", "alpaca", str(records)])
