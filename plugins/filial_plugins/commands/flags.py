"""What training and judging have in common: the flags of a template, and good records to the last one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial import Record, UsageError
from filial.commands import locate_files, manager, parse_options, read_source, stack

if TYPE_CHECKING:
    from filial.commands import Manager


template_options = stack(
    click.option("--template", metavar="NAME", help="Template to render with."),
    click.option("--template-option", "template_options", multiple=True, metavar="KEY=VALUE", help="An option of it."),
)


def chosen_template(ctx: click.Context, name: str | None, pairs: tuple[str, ...]) -> tuple[Any, dict[str, Any]] | None:
    """The template that flags name, and how a recipe would say it."""
    if name is None:
        if pairs:
            raise UsageError("--template-option needs --template NAME")
        return None
    spec = {"use": name, **parse_options("--template-option", pairs)}
    return locate_files(manager(ctx).build("templates", spec, "--template"), Path.cwd()), spec


def good_records(data: str, plugins: Manager, format: str, limit: int | None = None) -> Iterator[Record]:
    """The records of a file as they are read, all of them good, at least one."""
    empty = True
    for record in read_source(data, Path.cwd(), plugins, format=format, limit=limit):
        empty = False
        yield record
    if empty:
        raise UsageError(f"{data}: it holds no record")
