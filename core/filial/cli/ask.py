"""``filial ask TEACHER "prompt"``: one call, with the teacher's options as flags."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from filial.cli.common import home_parameter, opened, print_json
from filial.cli.plugincommands import Invoke, PluginGroup
from filial.errors import FAILED, TeacherError, UsageError


def _make() -> tuple[Invoke, list[click.Parameter]]:
    parameters: list[click.Parameter] = [
        click.Argument(["prompt"], metavar="PROMPT"),
        click.Option(["--system"], default="", metavar="TEXT", help="A system message in front."),
        click.Option(["--draw"], type=click.IntRange(0), default=0, help="Which of several independent answers."),
        click.Option(["--fresh"], is_flag=True, help="Ask again even if the ledger holds the answer."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the reply with its token counts as JSON."),
        home_parameter(),
    ]
    return _call, parameters


def _call(ctx: click.Context, name: str, chosen: Any, prompt: str, as_json: bool, **flags: Any) -> int:
    if prompt == "-":
        prompt = sys.stdin.read().strip()
    if not prompt:
        raise UsageError("the prompt is empty; give a text, or - to read it from standard input")
    try:
        reply = asyncio.run(_reply(ctx, name, chosen, prompt, **flags))
    except TeacherError as err:
        cut = f"; it began: {err.answer[:200]!r}" if err.answer else ""
        click.echo(f"Error: the teacher {name!r} gave no answer: {err}{cut}", err=True)
        return FAILED
    if as_json:
        print_json({field: getattr(reply, field) for field in reply.__struct_fields__})
    else:
        click.echo(_shown(reply.text))
    return 0


def _shown(text: str) -> str:
    """A reply as it is on a pipe; on a terminal without the control characters that would steer it."""
    from filial.cli.progress import printable

    return "\n".join(map(printable, text.split("\n"))) if sys.stdout.isatty() else text


async def _reply(
    ctx: click.Context, name: str, teacher: Any, prompt: str, *, system: str, draw: int, fresh: bool, home: Path
) -> Any:
    from filial.context import Context

    gateway = opened(ctx, name, teacher, None if fresh else home)
    try:
        return await Context(gateway.ask).ask(prompt, system=system, draw=draw)
    finally:
        await gateway.close()


ask = PluginGroup("ask", "teachers", _make, "Ask a teacher one question.")
