"""What ``filial generate|evolve|filter|mix NAME INPUT… -o OUT`` share: one stage on files, without a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from filial import Record, UsageError, formats
from filial.commands import (
    ROWS_LOST,
    PluginGroup,
    format_option,
    json_option,
    manager,
    open_teacher,
    print_json,
    reporter,
    run_async,
    seed_option,
    singular,
    stack,
    teacher_options,
)
from filial.gateway import stopping
from filial.storage import replacing, write_errors

if TYPE_CHECKING:
    from filial.commands import Counters, DropRow, Manager, StageSpec


SUFFIXES = (".gz", ".zst", ".jsonl", ".ndjson", ".json", ".parquet")


def drops_beside(out: str) -> Path | None:
    """``data.jsonl.gz`` gives ``data.drops.jsonl``; nothing lies beside standard output or a device."""
    path = Path(out)
    if out == "-" or (path.exists() and not path.is_file()):
        return None
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return path.with_name(f"{name}.drops.jsonl")


class Output:
    """What one command writes. Records are held until all are there, since a format writes them as a whole."""

    def __init__(self, out: str, drops: Path | None, sink: BinaryIO | None) -> None:
        self.out, self.drops, self._sink = out, drops, sink
        self.records: list[Record] = []

    def keep(self, record: Record) -> None:
        self.records.append(record)

    def drop(self, row: DropRow) -> None:
        if self._sink:
            self._sink.write(row.encoded() + b"\n")


@contextmanager
def writing(out: str, format: str, drops: str | None, plugins: Manager) -> Iterator[Output]:
    """An `Output` whose files are put in their places when the block ends well; otherwise nothing changes.

    Without drops, those of an earlier command are removed. What can be known to fail is found before the block: the
    format, the folder.

    Raises:
        UsageError: the format cannot be written, or the folder cannot.
        FilialError: the disk is full.
    """
    from filial.commands import checked_format

    try:
        checked_format(out, format, plugins)
    except UsageError as err:
        raise UsageError(f"{err} (--to NAME)") from err
    beside = Path(drops) if drops else drops_beside(out)
    if beside is not None and out != "-" and beside.resolve() == Path(out).resolve():
        raise UsageError(f"--drops {drops}: that is OUT itself; give drops a file of their own")
    if out != "-" and Path(out).is_dir():
        raise UsageError(f"{out}: is a folder; give a file in it")
    with write_errors(Path(out)):
        for path in (Path(out), beside):
            if path is not None and str(path) != "-":
                path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(beside) if beside else nullcontext() as sink:
            output = Output(out, beside, sink)
            yield output
            formats.write(out, output.records, format=format, manager=plugins)
        if beside is not None and beside.is_file() and not beside.stat().st_size:
            beside.unlink()


def do_stage(ctx: click.Context, stage: StageSpec, flags: dict[str, Any]) -> int:
    """Read, work, write records and drops, say the counts. Returns the exit code."""
    from filial.commands import StageContext

    if flags["out"] == "-" and flags["as_json"]:
        raise UsageError("--json and -o - both write to standard output; give OUT a file")
    with writing(flags["out"], flags["to"], flags["drops"], manager(ctx)) as output:
        env = StageContext(stage=stage.verb, seed=flags["seed"], writer=output)
        report = run_async(ctx, _asking(ctx, stage, flags, env))
    if flags["as_json"]:
        drops = str(output.drops) if env.counters.dropped and output.drops else None
        dropped = dict(sorted(env.counters.dropped.items()))
        print_json({"out": output.out, "kept": env.counters.out, "dropped": dropped, "drops": drops, **report})
    else:
        _say(stage.verb, output, env.counters)
    return ROWS_LOST if env.counters.lost else 0


async def _asking(ctx: click.Context, stage: StageSpec, flags: dict[str, Any], env: Any) -> dict[str, Any]:
    """Give the stage its teacher, read the inputs, run it, and show how it goes on."""
    from filial.commands import read_inputs, run_stage

    said, base = reporter(), Path.cwd()
    async with open_teacher(ctx, flags) as gateway:
        if gateway is not None:
            env.ask, env.window, env.price = gateway.ask, gateway.window, gateway.price
        env.note = said.note
        with said.stage(env.stage, gateway.status if gateway else None) as env.told:
            records: list[Any] = []
            for source in flags["inputs"]:
                left = flags["limit"] - len(records) if flags["limit"] else None
                if left != 0:
                    records += read_inputs(source, base, manager(ctx), env, flags["format"], left)
            with stopping(gateway):
                report: dict[str, Any] = await run_stage(stage, records, base, manager(ctx), env)
    return report


def _say(verb: str, output: Output, counters: Counters) -> None:
    """Where things are, and a hint where a teacher declined much of its work."""
    from filial.commands import refusals

    if output.out != "-":
        drops = f"; what was dropped, and why, is in {output.drops}" if counters.dropped and output.drops else ""
        click.echo(f"wrote {output.out}{drops}", err=True)
    elif counters.dropped and not output.drops:
        click.echo("what was dropped is not kept; --drops FILE keeps it, with reasons", err=True)
    if warning := refusals({"name": verb, "made": counters.made, "reasons": counters.dropped}, least=1):
        click.echo(warning, err=True)


def stage_command(verb: str, kind: str, help: str, more: str = "") -> PluginGroup:
    """The command of a verb: its flags and the stage it runs come from the verb's settings."""

    def make() -> click.Command:
        from filial.commands import click_options, stage_class

        settings = stage_class(manager(click.get_current_context()), verb)
        own = click_options(settings, skip=settings.by_inputs)
        for rules in (option for option in own if option.multiple):
            rules.metavar, rules.help = "NAME", f"{rules.help}  May be repeated; none for no rule."

        @click.command(verb)
        @click.argument("inputs", nargs=-1, required=kind != "generators", metavar="INPUT...")
        @click.option("-o", "--out", required=True, metavar="OUT", help="File for the records; - for stdout.")
        @click.option(
            "--drops",
            metavar="FILE",
            help="File for what is dropped, with reasons; OUT's name with .drops.jsonl unless given.",
        )
        @format_option
        @click.option("--to", default="auto", show_default=True, help="Format of OUT; auto goes by its suffix.")
        @click.option("--limit", type=click.IntRange(1), help="Read at most this many records.")
        @json_option
        @seed_option
        @(teacher_options if kind != "mixers" else stack())
        def call(ctx: click.Context, name: str, chosen: Any, **flags: Any) -> int:
            given = {str(option.name): flags.pop(str(option.name)) for option in own}
            names, flags["inputs"] = _named(ctx, kind, name, flags["inputs"]) if more else ([name], flags["inputs"])
            if getattr(chosen, "needs_seeds", True) and not flags["inputs"]:
                raise UsageError(f"the generator {name} needs seeds; name an INPUT file")
            return do_stage(ctx, _stage(settings, verb, kind, names, chosen, given), flags)

        call.params[1:1] = own
        return call

    return PluginGroup(verb, kind, make, help, more)


def _stage(model: Any, verb: str, kind: str, names: list[str], chosen: Any, given: dict[str, Any]) -> StageSpec:
    """The stage that a command line describes, as a recipe would. Options that were given hold for all the names."""
    from filial.commands import ComponentSpec, StageSpec, from_flags, recipe_settings

    options, lists = chosen.model_dump(mode="json", exclude_unset=True), recipe_settings.parts(model)
    given |= {key: names for key in lists if key in model.by_inputs}
    settings = from_flags(model, given, verb)
    beside = next((part.beside for part in lists.values() if part.kind == kind), recipe_settings.Settings)
    components = [ComponentSpec(kind, name, options, beside()) for name in names]
    for key in (key for key in lists if key not in model.by_inputs):
        components += [ComponentSpec(lists[key].kind, use) for use in getattr(settings, key) if use != "none"]
    return StageSpec(verb, 0, settings, tuple(components))


def _named(ctx: click.Context, kind: str, name: str, words: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
    """The plugins of a command line and its inputs: more names may stand in front of the files."""
    names, files, what = [name], list(words), singular(kind)
    while files and files[0] in manager(ctx).index[kind]:
        more = files.pop(0)
        if Path(more).exists():
            raise UsageError(f"{more} is a {what} and a file here; write ./{more} for the file")
        if more in names:
            raise UsageError(f"the {what} {more} is named twice")
        names.append(more)
    if not files:
        raise UsageError(f"no INPUT file is named behind the {kind}")
    return names, tuple(files)
