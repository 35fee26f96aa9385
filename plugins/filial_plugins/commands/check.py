"""Find every fault of a recipe; send nothing."""

from __future__ import annotations

from pathlib import Path

import click

from filial import Recipe, UsageError
from filial.commands import USAGE, command_line, given_options, json_option, manager, print_json
from filial_plugins.commands.recipes import recipe_options


@click.command()
@recipe_options
@json_option
@click.pass_context
def check(ctx: click.Context, recipe: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Find every fault of a recipe, each with line and column; send nothing."""
    try:
        Recipe.load(recipe, overrides, manager(ctx)).check()
    except UsageError as err:  # all faults of the recipe, or of a plugin, package or file that it needs
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
        following = command_line(ctx, "run", str(recipe), *given_options(ctx.command, {"overrides": overrides}))
        click.echo(f"{recipe}: no faults; next: {following}", err=True)
    return 0
