"""Ask a teacher one question, or every question of a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial import Context, Message, Record, Reply, TeacherError, UsageError, in_order
from filial.commands import (
    FAILED,
    ROWS_LOST,
    PluginGroup,
    home_option,
    manager,
    open_gateway,
    print_json,
    printable,
    read_source,
    run_async,
    source_options,
    source_spec,
)
from filial.formats import SourceSpec, tells_format
from filial.gateway import raise_stop_error
from filial_plugins.commands.outputs import check_places, explain_interrupt, ledger_place, read_places

if TYPE_CHECKING:
    from filial.commands import Manager


@click.command()
@click.argument("prompt", metavar="[PROMPT]", required=False)
@click.option(
    "--prompts",
    metavar="FILE",
    help="Ask every line of a text file (- for standard input), or the question of every record of a data file; "
    "a JSON line for each answer, in their order.",
)
@source_options
@click.option("--system", default="", metavar="TEXT", help="System message.")
@click.option("--draw", type=click.IntRange(0), default=0, help="Number of one of several independent answers.")
@click.option("--fresh", is_flag=True, help="Ask again even if the ledger has the answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the reply with its token counts as JSON.")
@home_option
def _call(
    ctx: click.Context, name: str, chosen: Any, prompt: str | None, prompts: str | None, as_json: bool, fresh: bool,
    home: Path, system: str, draw: int, **flags: Any,
) -> int:  # fmt: skip
    if (prompt is None) == (prompts is None):
        raise UsageError("give a PROMPT, or a file of them with --prompts FILE")
    kept = None if fresh else home
    told = (
        f"the answers so far are kept in {home / '.filial'}" if kept else "the answers are not kept, because of --fresh"
    )
    if prompts is not None:
        check_places(read_places(ctx, [prompts], chosen), [ledger_place(home)])
        work = _ask_all(
            ctx, name, chosen, _read_prompts(prompts, manager(ctx), flags), kept, as_json, system=system, draw=draw
        )
        with explain_interrupt(told):
            return run_async(ctx, work)
    if prompt == "-":
        prompt = sys.stdin.read().removeprefix("\ufeff").strip()
    if not prompt:
        raise UsageError("the prompt is empty; give a text, or - to read it from standard input")
    try:
        with explain_interrupt(told):
            reply = run_async(ctx, _ask_one(ctx, name, chosen, prompt, kept, system=system, draw=draw))
    except TeacherError as err:
        cut = f"; it began: {err.answer[:200]!r}" if err.answer else ""
        click.echo(f"Error: the teacher {name!r} gave no answer: {err}{cut}", err=True)
        return FAILED
    if as_json:
        print_json({field: getattr(reply, field) for field in reply.__struct_fields__})
    else:
        click.echo(_printable(reply.text))
    return 0


def _read_prompts(source: str, plugins: Manager, flags: Mapping[str, Any]) -> list[str | Sequence[Message]]:
    """Return the prompts of a file: its lines, or the questions of its records.

    Raises:
        UsageError: the file cannot be read, or contains no prompt.
    """
    prompts: list[str | Sequence[Message]]
    spec = source_spec(source, flags)
    if source.startswith("hf:") or tells_format(source, plugins):
        note = partial(click.echo, err=True)
        prompts = [_prompt(record) for record in read_source(spec, Path.cwd(), plugins, note=note)]
    elif spec != SourceSpec(file=source):
        raise UsageError(f"--prompts {source}: every line of a text file is a prompt; leave out how data is read")
    else:
        try:
            text = (
                sys.stdin.read().removeprefix("\ufeff")
                if source == "-"
                else Path(source).read_text(encoding="utf-8-sig")
            )
        except (OSError, UnicodeDecodeError) as err:
            raise UsageError(f"--prompts {source}: it cannot be read as text: {err}") from err
        prompts = [line.strip() for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    if not prompts:
        raise UsageError(f"--prompts {source}: it contains no prompt")
    return prompts


def _prompt(record: Record) -> str | Sequence[Message]:
    """Return what a record asks; a single question as text."""
    turns = record.prompt()
    return turns[0].content if len(turns) == 1 and record.instruction else turns


def _printable(text: str) -> str:
    """Return a reply unchanged for a pipe; for a terminal without control characters."""
    return "\n".join(map(printable, text.split("\n"))) if sys.stdout.isatty() else text


async def _ask_one(
    ctx: click.Context, name: str, teacher: Any, prompt: str, home: Path | None, *, system: str, draw: int
) -> Reply:
    gateway = open_gateway(ctx, name, teacher, home)
    try:
        return await Context(gateway.ask).ask(prompt, system=system, draw=draw)
    finally:
        await gateway.close()


async def _ask_all(
    ctx: click.Context, name: str, teacher: Any, prompts: Sequence[str | Sequence[Message]], home: Path | None,
    as_json: bool, *, system: str, draw: int,
) -> int:  # fmt: skip
    """Ask all prompts concurrently and print the answers in order; return the exit code."""
    gateway, lost = open_gateway(ctx, name, teacher, home), 0

    async def one(prompt: str | Sequence[Message]) -> Reply | TeacherError:
        try:
            return await Context(gateway.ask).ask(prompt, system=system, draw=draw)
        except TeacherError as err:
            return err

    try:
        with raise_stop_error(gateway):
            async with aclosing(in_order(prompts, one, gateway.window)) as answers:
                async for prompt, said in answers:
                    lost += isinstance(said, TeacherError)
                    click.echo(_line(prompt, said, as_json))
    finally:
        await gateway.close()
    if lost:
        click.echo(f"Error: {lost:,} of {len(prompts):,} prompts have no answer; their lines say why", err=True)
    return ROWS_LOST if lost else 0


def _line(prompt: str | Sequence[Message], said: Reply | TeacherError, as_json: bool) -> str:
    import msgspec

    if isinstance(said, TeacherError):
        return _printable(msgspec.json.encode({"prompt": prompt, "error": str(said)}).decode())
    row = {"prompt": prompt, "answer": said.text}
    if as_json:
        row |= {field: getattr(said, field) for field in said.__struct_fields__ if field != "text"}
    return _printable(msgspec.json.encode(row).decode())


ask = PluginGroup("ask", "teachers", _call, "Ask a teacher one question, or every question of a file.")
