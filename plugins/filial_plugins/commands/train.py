"""Train a model on records."""

from __future__ import annotations

import os
from typing import Any

import click

import filial
from filial import UsageError
from filial.commands import (
    PluginGroup,
    command_line,
    json_option,
    manager,
    print_json,
    seed_option,
    source_options,
    source_spec,
)
from filial_plugins.commands.flags import template_options, template_spec
from filial_plugins.commands.outputs import check_folder, explain_interrupt, read_places


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--model", required=True, help="Folder, pkg:PACKAGE/FOLDER or hub name of the base model.")
@click.option("-o", "--out", required=True, metavar="DIR", help="Folder for the trained model.")
@click.option("--heldout", type=click.IntRange(0), default=0, help="Number of records to exclude from training.")
@source_options
@seed_option
@json_option
@template_options
def _call(
    ctx: click.Context, name: str, chosen: Any, data: str, model: str, out: str, heldout: int, seed: int,
    as_json: bool, template: str | None, template_options: tuple[str, ...], **flags: Any,
) -> int:  # fmt: skip
    spec = template_spec(ctx, template, template_options)
    if spec is None:
        raise UsageError("train needs a template; add --template NAME, such as --template alpaca")
    check_folder(out, read_places(ctx, [data], chosen), "give -o another folder")
    with explain_interrupt(f"checkpoints in {out}, if it has any, are kept; the same command continues from the last"):
        tuned = filial.train(
            source_spec(data, flags), model=model, out=out, template=spec, trainer=chosen, heldout=heldout, seed=seed,
            plugins=manager(ctx),
        )  # fmt: skip
    if os.environ.get("RANK", "0") != "0":  # torchrun starts several processes with one command; the first one speaks
        return 0
    if as_json:
        print_json(tuned.figures)
        return 0
    for key, value in tuned.figures.items():
        if isinstance(value, int | float | str):
            click.echo(f"{key}: {value}", err=True)
    following = command_line(ctx, "judge", "exact-match", "DATA", "--model", out)
    click.echo(f"{out}: the trained model; judge it with: {following}", err=True)
    return 0


train = PluginGroup("train", "trainers", _call, "Train a model on records.")
