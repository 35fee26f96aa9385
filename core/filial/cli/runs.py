"""``filial check|plan|run RECIPE``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial.cli.common import manager, print_json
from filial.errors import BUDGET, USAGE, BudgetStop

if TYPE_CHECKING:
    from filial.recipe import Recipe

recipe_argument = click.argument("recipe", type=click.Path(path_type=Path))
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change the recipe, such as stages.evolve.rounds=2; may be repeated.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON on stdout.")
home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path("."),
    metavar="DIR",
    help="Folder that holds runs/ and .filial/; the current one unless given.",
)
name_option = click.option("--name", metavar="NAME", help="Name of the run; the recipe's file name unless given.")


def _loaded(ctx: click.Context, recipe: Path, overrides: tuple[str, ...]) -> Recipe:
    from filial.recipe import load

    return load(recipe, manager(ctx), list(overrides))


@click.command()
@recipe_argument
@set_option
@json_option
@click.pass_context
def check(ctx: click.Context, recipe: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Find every fault of a recipe, each with line and column; send nothing."""
    from filial.errors import UsageError

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
@recipe_argument
@set_option
@name_option
@home_option
@json_option
@click.pass_context
def plan(
    ctx: click.Context, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, as_json: bool
) -> int:
    """Say what a run would do: stages, plugins and versions, files, the teacher; send nothing."""
    from filial.cli.tables import grid
    from filial.planning import plan_rows
    from filial.run import Run, checked_name, name_of

    loaded = _loaded(ctx, recipe, overrides)
    run = Run(loaded, manager(ctx), home, name_of(recipe) if name is None else checked_name(name))
    rows = plan_rows(run)
    if as_json:
        print_json(rows)
    else:
        click.echo(grid(["step", "state", "what"], [[r["step"], r["state"], r["what"]] for r in rows], 2, prose=True))
    return 0


@click.command()
@recipe_argument
@set_option
@name_option
@home_option
@json_option
@click.pass_context
def run(
    ctx: click.Context, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, as_json: bool
) -> int:
    """Do what a recipe says. A run goes on where it stopped; what is done and whole is not done again."""
    from filial.cli.progress import reporter
    from filial.run import Run, checked_name, name_of

    loaded = _loaded(ctx, recipe, overrides)
    work = Run(loaded, manager(ctx), home, name_of(recipe) if name is None else checked_name(name), reporter())
    try:
        summary = work.execute()
    except BudgetStop as err:
        click.echo(f"Stopped: {err}; every answer is kept. To go on with a larger budget:", err=True)
        click.echo(f"  {_resume(ctx, recipe, overrides, name, home, loaded)}", err=True)
        return BUDGET
    if as_json:
        print_json(summary)
    else:
        _tell(work, summary)
    return work.exit_code()


def _resume(
    ctx: click.Context, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, loaded: Recipe
) -> str:
    """The command that goes on with this run, with twice the budget."""
    import shlex

    top = ctx.find_root().params
    words = ["filial", *(["--no-plugins"] if top.get("no_plugins") else [])]
    for file in top.get("files", ()):
        words += ["--plugin", file]
    words += ["run", str(recipe)]
    for text in overrides:
        words += ["--set", text] if not text.startswith("budget.requests=") else []
    words += ["--name", name] if name else []
    words += ["--home", str(home)] if home != Path(".") else []
    return shlex.join([*words, "--set", f"budget.requests={2 * loaded.budget['requests']}"])


def _tell(work: Any, summary: dict[str, Any]) -> None:
    from filial.cli.tables import funnel, judged, survival

    for text in (funnel(summary), survival(summary), judged(summary)):
        if text:
            click.echo(text)
            click.echo("")
    spent = summary["teacher"]
    click.echo(
        f"Teacher: {spent['requests']:,} requests, {spent['from_ledger']:,} answers from the ledger, "
        f"{spent['prompt_tokens'] + spent['completion_tokens']:,} tokens."
    )
    lost = work.exit_code() != 0
    click.echo(
        f"Run: {work.folder}" + ("; rows were lost to faults, they are in drops.jsonl of their stage" if lost else "")
    )
