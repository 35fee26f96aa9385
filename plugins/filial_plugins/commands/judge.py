"""Judge a model's answers to records."""

from __future__ import annotations

from typing import Any

import click
import yaml

import filial
from filial import UsageError, resolve
from filial.commands import (
    ROWS_LOST,
    PluginGroup,
    figure,
    json_option,
    manager,
    print_json,
    seed_option,
    source_options,
    source_spec,
    teacher_flags,
    teacher_options,
)
from filial_plugins.commands.flags import template_options, template_spec
from filial_plugins.commands.outputs import (
    check_places,
    describe_kept,
    explain_interrupt,
    ledger_place,
    read_places,
    written_places,
)


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--model", metavar="DIR", help="Folder that train wrote; default: judge the teacher.")
@click.option(
    "--against",
    metavar="RIVAL",
    multiple=True,
    help="Rival: a folder, a teacher's NAME or '{use: NAME, …}'; repeatable.",
)
@click.option("-o", "--out", metavar="OUT", help="File for answers and verdicts, one JSON line per record.")
@click.option("--limit", type=click.IntRange(1), help="Judge at most this many records.")
@click.option(
    "--max-new-tokens", type=click.IntRange(1), default=256, show_default=True, help="Maximum tokens per answer."
)
@source_options
@json_option
@template_options
@teacher_options
@seed_option
def _call(
    ctx: click.Context, name: str, chosen: Any, data: str, model: str | None, against: tuple[str, ...],
    out: str | None, limit: int | None, max_new_tokens: int, as_json: bool, template: str | None,
    template_options: tuple[str, ...], **flags: Any,
) -> int:  # fmt: skip
    check_places([*read_places(ctx, [data], chosen), ledger_place(flags["home"])], written_places(out or None))
    with explain_interrupt(describe_kept(flags["home"])):
        verdicts = filial.judge(
            source_spec(data, flags), chosen, model=model,
            against=[_rival(ctx, text) for text in dict.fromkeys(against)],
            template=template_spec(ctx, template, template_options), limit=limit, max_new_tokens=max_new_tokens,
            seed=flags["seed"], plugins=manager(ctx), **teacher_flags(ctx, flags),
        )  # fmt: skip
        if out:
            verdicts.save(out)
    figures = verdicts.figures
    if as_json:
        print_json(figures if len(figures) > 1 else next(iter(figures.values())))
    else:
        for who, found in figures.items():
            said = f"{name} on {data}" + (f", {who}" if len(figures) > 1 else "")
            click.echo(f"{said}: {figure(found)} of {found['judged']:,} records")
    return ROWS_LOST if verdicts.lost else 0


def _rival(ctx: click.Context, text: str) -> Any:
    """Return a folder, or a teacher as in a recipe, and check that it exists."""
    if resolve(text).is_dir():
        return text
    try:
        spec = yaml.safe_load(text)
    except yaml.YAMLError:
        spec = None
    if not isinstance(spec, str | dict):
        raise UsageError(f"--against {text!r}: write a folder, NAME or '{{use: NAME, …}}'")
    manager(ctx).build("teachers", spec, "--against")
    return spec


judge = PluginGroup("judge", "judges", _call, "Judge a model's answers to records.")
