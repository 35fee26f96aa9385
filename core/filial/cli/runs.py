"""``filial check|plan|run RECIPE``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial.cli.common import home_option, json_option, manager, print_json, stack
from filial.contracts.errors import BUDGET, UNREACHABLE, USAGE, BudgetStop, TeacherUnreachable, UsageError

if TYPE_CHECKING:
    from filial.engine.run import Run
    from filial.recipe import Recipe


def again(ctx: click.Context, more: str = "", **flags: Any) -> str:
    """The command line of this run, to try it, send nothing or retry what was lost only as ``flags`` say.

    ``more`` is another value of the recipe, in the place of one given before.
    """
    top = ctx.find_root()
    values = {**ctx.params, **dict.fromkeys(("as_json", "limit", "offline", "retry_lost")), **flags}
    if more:
        kept = [text for text in values["overrides"] if text.partition("=")[0] != more.partition("=")[0]]
        values["overrides"] = [*kept, more]
    own = typed(top.command, {**top.params, "debug": False})
    return shlex.join(["filial", *own, "run", str(values["recipe"]), *typed(ctx.command, values)])


def typed(command: click.Command, values: Mapping[str, Any]) -> Iterator[str]:
    """The options of a command that have these values, as one would type them; defaults are left out."""
    for option in command.params:
        value = values.get(str(option.name))
        if isinstance(option, click.Option) and value and value != option.default:
            for one in value if option.multiple else [value]:
                yield from [option.opts[0]] if option.is_flag else [option.opts[0], str(one)]


def tell(ctx: click.Context, run: Run, summary: dict[str, Any]) -> None:
    """Everything about a run that has ended."""
    from filial.cli.tables import funnel, judged, measured, survival

    for text in (funnel(summary), survival(summary), measured(summary), judged(summary)):
        if text:
            click.echo(f"{text}\n")
    click.echo(asked(summary["teacher"]))
    rows, verdicts = run.lost()
    missing = "; rows are missing, drops.jsonl of their stage says why" if rows else ""
    missing += "; verdicts are missing, judge/*.jsonl says why" if verdicts else ""
    click.echo(f"Run: {run.folder}{missing}")
    click.echo(f"Next:\n  {following(ctx, run)}")


def asked(teacher: dict[str, Any]) -> str:
    """Requests, answers from the ledger, tokens, money."""
    from filial.gateway.budget import dollars

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


def following(ctx: click.Context, run: Run) -> str:
    """What one would type next."""
    rows, verdicts = run.lost()
    if verdicts or any(reason.startswith("teacher-") for reason in rows):
        return again(ctx, retry_lost=True, limit=run.limit)
    if run.limit:
        return again(ctx)
    if run.recipe.train is not None:
        return shlex.join(["filial", "judge", "exact-match", "YOUR-EXAM.jsonl", "--model", str(run.model)])
    stage = run.recipe.stages[-1].name if run.recipe.stages else ""
    records = run.folder / "stages" / stage / "records.jsonl"
    return shlex.join(["filial", "render", "alpaca", str(records)])


recipe_options = stack(
    click.argument("recipe", type=click.Path(path_type=Path)),
    click.option(
        "--set", "overrides", multiple=True, metavar="PATH=VALUE",
        help="Change the recipe, such as stages.evolve.rounds=2; may be repeated.",
    ),
)  # fmt: skip
name_option = click.option("--name", metavar="NAME", help="Name of the run; the recipe's file name unless given.")


def _loaded(ctx: click.Context, recipe: Path, overrides: tuple[str, ...]) -> Recipe:
    from filial.recipe import load

    return load(recipe, manager(ctx), list(overrides))


def _run(
    ctx: click.Context, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, **options: Any
) -> Run:
    """The run that a command line names."""
    from filial.engine.run import Run, checked_name, name_of

    loaded = _loaded(ctx, recipe, overrides)
    named = name_of(recipe) if name is None else checked_name(name)
    if options.get("limit"):
        named = f"{named[:80]}-limit-{options['limit']}"
    return Run(loaded, manager(ctx), home, named, **options)


@click.command()
@recipe_options
@json_option
@click.pass_context
def check(ctx: click.Context, recipe: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Find every fault of a recipe, each with line and column; send nothing."""
    try:
        loaded = _loaded(ctx, recipe, overrides)
        for spec in loaded.components():
            manager(ctx).check_requirements(manager(ctx).get(spec.kind, spec.use))
    except UsageError as err:  # all faults of the recipe; or a plugin, package or file that stands in the way
        faults = getattr(err, "faults", [str(err)])
        if as_json:
            print_json({"ok": False, "faults": faults})
        else:
            click.echo("\n".join(faults), err=True)
            click.echo(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}", err=True)
        return USAGE
    if as_json:
        print_json({"ok": True, "faults": []})
    else:
        click.echo(f"{recipe}: no faults; next: filial run {recipe}", err=True)
    return 0


@click.command()
@recipe_options
@name_option
@home_option
@json_option
@click.pass_context
def plan(
    ctx: click.Context, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, as_json: bool
) -> int:
    """Say what a run would do and what it would cost, step by step; send nothing.

    Requests that the ledger answers are left out. How sure: exact, where nothing has to be asked; likely, where
    records and this teacher's usual answers are known; rough, where they are not.
    """
    from filial.cli.tables import planned
    from filial.engine.plan import plan_rows

    rows = plan_rows(_run(ctx, recipe, overrides, name, home))
    if as_json:
        print_json(rows)
    else:
        click.echo(planned(rows))
    return 0


@click.command()
@recipe_options
@name_option
@home_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Try it with N records, as a run of its own.")
@click.option("--offline", is_flag=True, help="Send nothing: answer from the ledger alone.")
@click.option(
    "--retry-lost", is_flag=True, help="Do stages and judges again that lost rows; what was answered is kept."
)
@click.option(
    "--processes", type=click.IntRange(0), default=0, show_default=True, metavar="N",
    help="Evolve and filter in N processes, for plugins that compute much; 0: in this one.",
)  # fmt: skip
@json_option
@click.pass_context
def run(
    ctx: click.Context, /, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, as_json: bool,
    **flags: Any,
) -> int:  # fmt: skip
    """Do what a recipe says. A run goes on where it stopped; what is done and whole is not done again."""
    from filial.cli.progress import reporter

    work = _run(ctx, recipe, overrides, name, home, reporter=reporter(), **flags)
    try:
        summary = work.execute()
    except BudgetStop as err:
        click.echo(f"Stopped: {err}; every answer is kept. To go on with a larger budget:", err=True)
        larger = f"budget.{err.cap}={_number(2 * work.recipe.budget[err.cap])}"
        click.echo(f"  {again(ctx, larger, limit=work.limit)}", err=True)
        return BUDGET
    except TeacherUnreachable as err:
        click.echo(f"Stopped: {err}", err=True)
        # Not offline: what the ledger does not hold has to be asked.
        click.echo(f"To go on:  {again(ctx, limit=work.limit, retry_lost=work.retry_lost)}", err=True)
        return UNREACHABLE
    if as_json:
        print_json(summary)
    else:
        tell(ctx, work, summary)
    return work.exit_code()


def _number(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
