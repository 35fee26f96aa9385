"""Train a model on records."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import click

from filial import TrainContext, UsageError, resolve
from filial.commands import (
    PluginGroup,
    Reporter,
    blamed,
    command_line,
    format_option,
    json_option,
    manager,
    print_json,
    reporter,
    seed_option,
    tune,
    write_dataset,
)
from filial.storage import refuse_links
from filial_plugins.commands.flags import chosen_template, good_records, template_options


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--model", required=True, help="Folder, pkg:PACKAGE/FOLDER or hub name of the model to tune.")
@click.option("-o", "--out", required=True, metavar="DIR", help="Folder for the tuned model.")
@click.option("--heldout", type=click.IntRange(0), default=0, help="Records to keep back from training.")
@format_option
@seed_option
@json_option
@template_options
def _call(
    ctx: click.Context, name: str, chosen: Any, data: str, model: str, out: str, heldout: int, format: str,
    seed: int, as_json: bool, template: str | None, template_options: tuple[str, ...],
) -> int:  # fmt: skip
    made, plugins = chosen_template(ctx, template, template_options), manager(ctx)
    if made is None:
        raise UsageError("train needs a template; add --template NAME, such as --template alpaca")
    path = resolve(model)
    base = str(path) if model.startswith("pkg:") or path.exists() else model
    said = reporter() if _leads() else Reporter()
    cache = Path(".filial", "prepared")
    refuse_links(Path(os.path.realpath(cache.parent)))
    with tempfile.TemporaryDirectory(prefix="filial-") as folder:
        write_dataset(Path(folder), good_records(data, plugins, format), heldout, seed, "cli")
        with said.training() as progress:
            context = TrainContext(seed, progress=progress, note=said.note, cache=cache)
            if not _leads():
                with blamed(plugins.provenance("trainers", name), "train"):
                    chosen.train(Path(folder), base, made[0], Path(out), context)
                return 0
            figures = tune(plugins, chosen, Path(folder), base, made[1], Path(out), context)
    if as_json:
        print_json(figures)
        return 0
    for key, value in figures.items():
        if isinstance(value, int | float | str):
            click.echo(f"{key}: {value}", err=True)
    following = command_line(ctx, "judge", "exact-match", "DATA", "--model", out)
    click.echo(f"{out}: the tuned model; judge it with: {following}", err=True)
    return 0


def _leads() -> bool:
    """Whether this is the process that speaks and writes; ``torchrun`` and the like start several with one command."""
    return os.environ.get("RANK", "0") == "0"


train = PluginGroup("train", "trainers", _call, "Train a model on records.")
