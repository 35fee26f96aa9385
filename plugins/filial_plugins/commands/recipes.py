"""The options that ``filial check|plan|run RECIPE`` share."""

from __future__ import annotations

from pathlib import Path

import click

from filial.commands import stack

recipe_options = stack(
    click.argument("recipe", type=click.Path(path_type=Path)),
    click.option(
        "--set", "overrides", multiple=True, metavar="PATH=VALUE",
        help="Change the recipe, such as stages.evolve.rounds=2; repeatable.",
    ),
)  # fmt: skip
name_option = click.option("--name", metavar="NAME", help="Name of the run; default: the recipe's file name.")
