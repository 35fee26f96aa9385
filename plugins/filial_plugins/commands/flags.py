"""What training and judging have in common: the flags of a template."""

from __future__ import annotations

from typing import Any

import click

from filial import UsageError
from filial.commands import manager, parse_options, stack

template_options = stack(
    click.option("--template", metavar="NAME", help="Template that writes the prompts."),
    click.option(
        "--template-option", "template_options", multiple=True, metavar="KEY=VALUE",
        help="Option of the template, such as system=TEXT; repeatable.",
    ),
)  # fmt: skip


def template_spec(ctx: click.Context, name: str | None, pairs: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the template of the flags as in a recipe, and check that it exists."""
    if name is None:
        if pairs:
            raise UsageError("--template-option needs --template NAME")
        return None
    spec = {"use": name, **parse_options("--template-option", pairs)}
    manager(ctx).build("templates", spec, "--template")
    return spec
