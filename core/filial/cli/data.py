"""``filial generate|evolve|filter|mix NAME INPUT… -o OUT``: one plugin on files, without a recipe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial import formats
from filial.cli.common import asking, manager, print_json, seed_parameter, teacher_parameters
from filial.cli.plugincommands import Invoke, PluginGroup
from filial.contracts.errors import ROWS_LOST, UsageError
from filial.contracts.records import Record
from filial.engine import interrupts
from filial.engine.commit import Lines
from filial.engine.stage import DropRow
from filial.formats.writing import checked_format
from filial.storage import write_errors

if TYPE_CHECKING:
    from filial.engine.evolve import Choice
    from filial.engine.stage import Counters
    from filial.plugins.manager import Manager


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
    """The writer of one command. Records are held until all are there, since a format writes them as a whole."""

    def __init__(self, out: str, drops: Path | None) -> None:
        self.out, self.drops = out, drops
        self._records: list[Record] = []
        self._lines = Lines(drops) if drops else None

    def keep(self, record: Record) -> None:
        self._records.append(record)

    def drop(self, row: DropRow) -> None:
        if self._lines:
            self._lines.write(row.encoded())

    def finish(self, format: str, plugins: Manager) -> None:
        """Put both files in their places. Without drops, those of an earlier command are removed."""
        formats.write(self.out, self._records, format=format, manager=plugins)
        if self._lines and self.drops and self._lines.rows:
            self._lines.commit()
        elif self._lines and self.drops:
            self._lines.discard()
            self.drops.unlink(missing_ok=True)

    def discard(self) -> None:
        if self._lines:
            self._lines.discard()


@contextmanager
def writing(out: str, format: str, drops: str | None, plugins: Manager) -> Iterator[Output]:
    """An `Output` that is finished when the block ends well; otherwise nothing changes.

    What can be known to fail is found before the block: the format, the folder.

    Raises:
        UsageError: the format cannot be written, or the folder cannot.
        FilialError: the disk is full.
    """
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
        output = Output(out, beside)
        try:
            yield output
            output.finish(format, plugins)
        except BaseException:
            output.discard()
            raise


Work = Callable[[list[Any], Any], Awaitable[dict[str, Any]]]


def _file_parameters() -> list[click.Parameter]:
    return [
        click.Argument(["inputs"], nargs=-1, required=True, metavar="INPUT..."),
        click.Option(["-o", "--out"], required=True, metavar="OUT", help="File for the records; - for stdout."),
        click.Option(
            ["--drops"], metavar="FILE",
            help="File for what is dropped, with reasons; OUT's name with .drops.jsonl unless given.",
        ),
        click.Option(
            ["--format"], default="auto", show_default=True,
            help="Format of the inputs; auto goes by suffix and content.",
        ),
        click.Option(["--to"], default="auto", show_default=True, help="Format of OUT; auto goes by its suffix."),
        click.Option(["--limit"], type=click.IntRange(1), help="Read at most this many records."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the counts as JSON on stdout."),
        seed_parameter(),
    ]  # fmt: skip


def _work(ctx: click.Context, verb: str, flags: dict[str, Any], work: Work) -> int:
    """Read, work, write records and drops, say the counts. Returns the exit code."""
    from filial.engine.stage import StageContext

    if flags["out"] == "-" and flags["as_json"]:
        raise UsageError("--json and -o - both write to standard output; give OUT a file")
    with writing(flags["out"], flags["to"], flags["drops"], manager(ctx)) as output:
        env = StageContext(stage=verb, seed=flags["seed"], writer=output)
        report = interrupts.run(_asking(ctx, flags, env, work))
        env.counters.check(verb)
    if flags["as_json"]:
        _print_counts(output, env.counters, report)
    else:
        _say(verb, output, env.counters)
    return ROWS_LOST if env.counters.lost else 0


async def _asking(ctx: click.Context, flags: dict[str, Any], env: Any, work: Work) -> dict[str, Any]:
    """Give the stage its teacher, read the inputs, work, and show how it goes on."""
    from filial.cli.progress import reporter
    from filial.engine.build import read_inputs
    from filial.gateway.gateway import stopping

    said = reporter()
    async with asking(ctx, {"teacher": None, "teacher_options": (), "budget": (), **flags}) as gateway:
        if gateway is not None:
            env.ask, env.window, env.price = gateway.ask, gateway.window, gateway.price
        env.note = said.note
        with said.stage(env.stage, gateway.status if gateway else None) as env.told:
            records: list[Any] = []
            for source in flags["inputs"]:
                left = flags["limit"] - len(records) if flags["limit"] else None
                if left != 0:
                    records += read_inputs(source, Path.cwd(), manager(ctx), env, flags["format"], left)
            with stopping(gateway):
                return await work(records, env)


def _print_counts(output: Output, counters: Counters, report: dict[str, Any]) -> None:
    drops = str(output.drops) if counters.dropped and output.drops else None
    dropped = dict(sorted(counters.dropped.items()))
    print_json({"out": output.out, "kept": counters.out, "dropped": dropped, "drops": drops, **report})


def _say(verb: str, output: Output, counters: Counters) -> None:
    """Where things are, and a hint where a teacher declined much of its work."""
    from filial.engine.run import refusals

    if output.out != "-":
        drops = f"; what was dropped, and why, is in {output.drops}" if counters.dropped and output.drops else ""
        click.echo(f"wrote {output.out}{drops}", err=True)
    elif counters.dropped and not output.drops:
        click.echo("what was dropped is not kept; --drops FILE keeps it, with reasons", err=True)
    if warning := refusals({"name": verb, "made": counters.made, "reasons": counters.dropped}, least=1):
        click.echo(warning, err=True)


def _make_generate() -> tuple[Invoke, list[click.Parameter]]:
    def call(ctx: click.Context, name: str, chosen: Any, **flags: Any) -> int:
        from filial.engine.generate import generate_records

        async def work(records: list[Any], env: Any) -> dict[str, Any]:
            consumed = records if chosen.consumes else []
            await generate_records(records, manager(ctx).provenance("generators", name), chosen, env, left_out=consumed)
            return {}

        return _work(ctx, "generate", flags, work)

    return call, [*_file_parameters(), *teacher_parameters()]


def _make_evolve() -> tuple[Invoke, list[click.Parameter]]:
    def call(
        ctx: click.Context, name: str, chosen: Any, rounds: int, branch: int, order: Any, eliminate: tuple[str, ...],
        keep: Any, answer: bool, **flags: Any,
    ) -> int:  # fmt: skip
        from filial.engine.evolve import Evolution, evolve_records
        from filial.engine.filter import FilterStep

        plugins = manager(ctx)
        rules: list[Any] = [plugins.build("filters", {"use": e}, "--eliminate") for e in eliminate if e != "none"]
        sieves = [FilterStep(plugins.provenance(rule), rule) for rule in rules]
        choices, flags["inputs"] = _strategies(ctx, name, chosen, flags["inputs"])

        async def work(records: list[Any], env: Any) -> dict[str, Any]:
            plan = Evolution(choices, sieves, rounds, branch, order, keep=keep, answer=answer)
            return await evolve_records(records, plan, env)

        return _work(ctx, "evolve", flags, work)

    own: list[click.Parameter] = [
        click.Option(["--rounds"], type=click.IntRange(1), default=1, show_default=True, help="How many generations."),
        click.Option(
            ["--branch"], type=click.IntRange(1, 100), default=1, show_default=True,
            help="Children of each record per round; more than 1 makes trees.",
        ),
        click.Option(
            ["--order"], type=click.Choice(["random", "fixed"]), default="random", show_default=True,
            help="Of several strategies, draw one for each record, or take them in turn.",
        ),
        click.Option(
            ["--eliminate"], multiple=True, default=("evolved",), show_default=True, metavar="FILTER",
            help="Filter that decides which evolutions failed; may be repeated; none for no rule.",
        ),
        click.Option(
            ["--keep"], type=click.Choice(["all", "last"]), default="all", show_default=True,
            help="Keep parents and every generation, or the newest only.",
        ),
        click.Option(
            ["--answer/--no-answer"], default=True, show_default=True,
            help="Ask the teacher to answer what was evolved.",
        ),
    ]  # fmt: skip
    return call, [*_file_parameters(), *own, *teacher_parameters()]


def _strategies(
    ctx: click.Context, name: str, chosen: Any, words: tuple[str, ...]
) -> tuple[list[Choice], tuple[str, ...]]:
    """The strategies of a command line and its inputs: more names of strategies may stand in front of the files.

    Options that were given hold for all of them.
    """
    from filial.engine.evolve import Choice

    plugins, given = manager(ctx), chosen.model_dump(mode="json", exclude_unset=True)
    choices, files = [Choice(name, plugins.provenance("strategies", name), chosen)], list(words)
    while files and files[0] in plugins.index["strategies"]:
        more = files.pop(0)
        if Path(more).exists():
            raise UsageError(f"{more} is a strategy and a file here; write ./{more} for the file")
        if any(more == choice.name for choice in choices):
            raise UsageError(f"the strategy {more} is named twice")
        strategy: Any = plugins.build("strategies", {"use": more, **given}, "evolve")
        choices.append(Choice(more, plugins.provenance("strategies", more), strategy))
    if not files:
        raise UsageError("no INPUT file is named behind the strategies")
    return choices, tuple(files)


def _make_filter() -> tuple[Invoke, list[click.Parameter]]:
    def call(ctx: click.Context, name: str, chosen: Any, **flags: Any) -> int:
        from filial.engine.filter import FilterStep, filter_records

        async def work(records: list[Any], env: Any) -> dict[str, Any]:
            return await filter_records(records, [FilterStep(manager(ctx).provenance("filters", name), chosen)], env)

        return _work(ctx, "filter", flags, work)

    return call, [*_file_parameters(), *teacher_parameters()]


def _make_mix() -> tuple[Invoke, list[click.Parameter]]:
    def call(
        ctx: click.Context, name: str, chosen: Any, total: int | None, repeat: bool, by: str, **flags: Any
    ) -> int:  # fmt: skip
        from filial.engine.mix import mix_records

        async def work(records: list[Any], env: Any) -> dict[str, Any]:
            await mix_records(records, total, repeat, by, manager(ctx).provenance("mixers", name), chosen, env)
            return {}

        return _work(ctx, "mix", flags, work)

    own: list[click.Parameter] = [
        click.Option(["--total"], type=click.IntRange(1), help="How many records to draw; default: as many as fit."),
        click.Option(
            ["--by"], type=click.Choice(["task", "plugin", "round"]), default="task", show_default=True,
            help="What the mixer's rates go by.",
        ),
        click.Option(["--repeat/--no-repeat"], default=False, help="Repeat a task too small for its share."),
    ]  # fmt: skip
    return call, [*_file_parameters(), *own]


generate = PluginGroup("generate", "generators", _make_generate, "Make records from seeds with a generator.")
evolve = PluginGroup(
    "evolve", "strategies", _make_evolve, "Evolve records with one strategy or several: evolve NAME [NAME...] INPUT...",
    more="[NAME...] ",
)  # fmt: skip
filter = PluginGroup("filter", "filters", _make_filter, "Pass records through a filter.")
mix = PluginGroup("mix", "mixers", _make_mix, "Mix files of records with a mixer; records are grouped by task.")
