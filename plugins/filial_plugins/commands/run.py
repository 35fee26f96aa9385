"""Run a recipe; continue where it stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from filial.commands import (
    BUDGET,
    UNREACHABLE,
    BudgetStop,
    Run,
    TeacherUnreachable,
    command_line,
    format_dollars,
    given_options,
    home_option,
    json_option,
    manager,
    open_run,
    print_json,
    printable,
)
from filial_plugins.commands.outputs import explain_interrupt
from filial_plugins.commands.recipes import name_option, recipe_options
from filial_plugins.commands.tables import run_tables

KEPT = "finished stages and the teacher's answers are kept; run the same command again to continue"


@click.command()
@recipe_options
@name_option
@home_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Run with N records, as a separate run.")
@click.option("--offline", is_flag=True, help="Send nothing: answer from the ledger only.")
@click.option("--retry-lost", is_flag=True, help="Repeat stages and judges that lost rows; stored answers are reused.")
@click.option(
    "--processes", type=click.IntRange(0), default=0, show_default=True, metavar="N",
    help="Processes for evolve and filter, for plugins that compute a lot; 0: none.",
)  # fmt: skip
@json_option
@click.pass_context
def run(
    ctx: click.Context, /, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, as_json: bool,
    **flags: Any,
) -> int:  # fmt: skip
    """Run a recipe. A run continues where it stopped; finished stages are not repeated."""
    work = open_run(recipe, set=overrides, name=name, home=home, plugins=manager(ctx), **flags)
    try:
        with explain_interrupt(KEPT), _name_partial_files(work):
            summary = work.execute()
    except BudgetStop as err:
        click.echo(f"Stopped: {printable(str(err))}; all answers are kept. To continue with a larger budget:", err=True)
        larger = f"budget.{err.cap}={_number(2 * work.recipe.budget[err.cap])}"
        click.echo(f"  {rerun_command(ctx, larger, limit=work.limit)}", err=True)
        return BUDGET
    except TeacherUnreachable as err:
        click.echo(f"Stopped: {printable(str(err))}", err=True)
        # Not offline: answers that the ledger lacks have to be requested.
        click.echo(f"To continue:  {rerun_command(ctx, limit=work.limit, retry_lost=work.retry_lost)}", err=True)
        return UNREACHABLE
    if as_json:
        print_json(summary)
    else:
        report(ctx, work, summary)
    return work.exit_code()


@contextmanager
def _name_partial_files(run: Run) -> Iterator[None]:
    """Name the records and drops that a stage had written when this block fails."""
    try:
        yield
    except BaseException:
        found = sorted((run.folder / "stages").glob("*/*.partial.jsonl"), reverse=True)
        if found:
            click.echo(f"So far: {', '.join(map(str, found))}", err=True)
        raise


def _number(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def rerun_command(ctx: click.Context, more: str = "", **flags: Any) -> str:
    """Return the command line of this run; ``flags`` say whether it tries a few records, sends nothing or repeats lost
    rows.

    ``more`` is another value of the recipe; it replaces one given before.
    """
    values = {**ctx.params, **dict.fromkeys(("as_json", "limit", "offline", "retry_lost")), **flags}
    if more:
        kept = [text for text in values["overrides"] if text.partition("=")[0] != more.partition("=")[0]]
        values["overrides"] = [*kept, more]
    return command_line(ctx, "run", str(values["recipe"]), *given_options(ctx.command, values))


def report(ctx: click.Context, run: Run, summary: dict[str, Any]) -> None:
    """Everything about a run that has ended."""
    click.echo(f"{run_tables(summary)}\n")
    click.echo(describe_usage(summary["teacher"]))
    rows, verdicts = run.lost()
    missing = "; rows are missing, drops.jsonl of their stage says why" if rows else ""
    missing += "; verdicts are missing, judge/*.jsonl says why" if verdicts else ""
    click.echo(f"Run: {run.folder}{missing}")
    click.echo(f"Next:\n  {next_command(ctx, run)}")


def describe_usage(teacher: dict[str, Any]) -> str:
    """Describe requests, answers from the ledger, tokens and money."""
    tokens = teacher["prompt_tokens"] + teacher["completion_tokens"]
    about = "at most " if teacher["estimated"] else ""
    text = f"Teacher: {teacher['requests']:,} requests, {teacher['from_ledger']:,} answers from the ledger, "
    text += f"{'at most ' if teacher['lost'] else about}{tokens:,} tokens"
    if teacher["usd"]:
        text += f", {about}{format_dollars(teacher['usd'])}"
    if teacher["unsure_usd"]:
        text += f" (and at most {format_dollars(teacher['unsure_usd'])} for lost answers)"
    if teacher["run_requests"] > teacher["requests"]:
        text += f"; the whole run took {teacher['run_requests']:,} requests, {teacher['run_tokens']:,} tokens"
        text += f", {about}{format_dollars(teacher['run_usd'])}" if teacher["run_usd"] else ""
    if teacher["estimated"]:
        text += f"; {teacher['estimated']:,} answers without complete token counts count with their maximum"
    if teacher["with_reasoning"]:
        text += f"; {teacher['with_reasoning']:,} answers have reasoning, which is stored separately"
    return f"{text}."


def next_command(ctx: click.Context, run: Run) -> str:
    """Return the command to suggest next."""
    rows, verdicts = run.lost()
    if verdicts or any(reason.startswith("teacher-") for reason in rows):
        return rerun_command(ctx, retry_lost=True, limit=run.limit)
    if run.limit:
        return rerun_command(ctx)
    if run.recipe.train is not None:
        home = given_options(ctx.command, {"home": run.home})
        return command_line(ctx, "judge", "exact-match", "YOUR-EXAM.jsonl", "--model", str(run.model), *home)
    stage = run.recipe.stages[-1].name if run.recipe.stages else ""
    records = run.folder / "stages" / stage / "records.jsonl"
    return command_line(ctx, "render", "alpaca", str(records))
