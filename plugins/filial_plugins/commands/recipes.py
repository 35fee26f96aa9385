"""What ``filial check|plan|run RECIPE`` share: their options, and the run that a command line names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from filial import UsageError
from filial.commands import Recipe, Run, load, manager, stack

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
    named = run_name(recipe, name)
    if options.get("limit"):
        named = f"{named[:80]}-limit-{options['limit']}"
    return Run(loaded, manager(ctx), home, named, **options)


def run_name(recipe: Path, name: str | None) -> str:
    """The name given to a run, or that of the recipe's file, as a plain name of a folder everywhere.

    Raises:
        UsageError: the name given is none.
    """
    if name is None:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", recipe.stem).strip(".-") or "run"
        return plain[:100]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(
            f"--name {name!r}: use letters, digits, '.', '_' and '-', at most 100, starting with a letter or digit"
        )
    return name
