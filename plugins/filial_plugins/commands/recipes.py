"""What ``filial check|plan|run RECIPE`` share: their options, and the run that a command line names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from filial.commands import Recipe, Run, checked_name, load, manager, run_name, stack

recipe_options = stack(
    click.argument("recipe", type=click.Path(path_type=Path)),
    click.option(
        "--set", "overrides", multiple=True, metavar="PATH=VALUE",
        help="Change the recipe, such as stages.evolve.rounds=2; may be repeated.",
    ),
)  # fmt: skip
name_option = click.option("--name", metavar="NAME", help="Name of the run; the recipe's file name unless given.")


def load_recipe(ctx: click.Context, recipe: Path, overrides: tuple[str, ...]) -> Recipe:
    """The recipe that a command line names, checked.

    Raises:
        RecipeError: with every fault of it.
    """
    return load(recipe, manager(ctx), list(overrides))


def open_run(
    ctx: click.Context, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, **options: Any
) -> Run:
    """The run that a command line names; one of a few records (``limit``) has a name of its own."""
    loaded = load_recipe(ctx, recipe, overrides)
    named = run_name(recipe) if name is None else checked_name(name)
    if options.get("limit"):
        named = f"{named[:80]}-limit-{options['limit']}"
    return Run(loaded, manager(ctx), home, named, **options)
