"""Say what a run would do, step by step; send nothing."""

from __future__ import annotations

from pathlib import Path

import click

from filial.commands import home_option, json_option, plan_rows, print_json
from filial_plugins.commands.recipes import name_option, open_run, recipe_options
from filial_plugins.commands.tables import planned


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
    rows = plan_rows(open_run(ctx, recipe, overrides, name, home))
    if as_json:
        print_json(rows)
    else:
        click.echo(planned(rows))
    return 0
