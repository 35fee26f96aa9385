"""What ``filial generate|evolve|filter|mix NAME INPUT… -o OUT`` share: one stage on files, without a recipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial import UsageError, formats
from filial.commands import (
    ROWS_LOST,
    PluginGroup,
    json_option,
    manager,
    print_json,
    seed_option,
    singular,
    source_options,
    source_spec,
    stack,
    teacher_flags,
    teacher_options,
)
from filial.storage import replace_file, write_errors
from filial_plugins.commands.outputs import (
    Place,
    check_places,
    choose_drops,
    describe_kept,
    explain_interrupt,
    is_file,
    ledger_place,
    name_partial,
    output_errors,
    read_places,
    written_places,
)
from filial_plugins.commands.spool import LineSpool, SpooledRows

if TYPE_CHECKING:
    from filial.commands import Manager


COUNTS = ("name", "entered", "made", "out", "dropped", "reasons")


@contextmanager
def open_output(
    out: str, format: str, drops: str | None, plugins: Manager, reads: Sequence[Place] = ()
) -> Iterator[tuple[SpooledRows, Callable[[], Path | None]]]:
    """Give room for the rows of a stage, and a function that writes them and says where its drops are; its files are
    put in their places when the block ends well, otherwise nothing changes.

    Without drops, those of an earlier command are removed. What can be known to fail is found before the block: the
    format, the folder, a file that is read and written (``reads``: what is read).

    Raises:
        UsageError: the format cannot be written, or the folder cannot, or it would change what is read.
        FilialError: the disk is full.
    """
    from filial.commands import resolve_format

    try:
        resolve_format(out, format, plugins)
    except UsageError as err:
        raise UsageError(f"{err} (--to NAME)") from err
    beside = choose_drops(out, drops)
    regular = out != "-" and is_file(out)
    partial_files = [name_partial(path) for path in (out, beside) if path is not None and regular and is_file(path)]
    stopped = [Place("the rows of a stopped command,", path, "give -o another file") for path in partial_files]
    check_places(reads, [*written_places(out, drops, beside), *stopped])
    if out != "-" and Path(out).is_dir():
        raise UsageError(f"{out}: is a folder; give a file in it")
    with write_errors(out) if out != "-" else nullcontext():
        for path in (Path(out), beside):
            if path is not None and str(path) != "-":
                path.parent.mkdir(parents=True, exist_ok=True)
        room = Path(os.path.realpath(out)).parent if regular else None
        with replace_file(beside) if beside else nullcontext() as sink, SpooledRows(room) as rows:

            def write() -> Path | None:
                if sink is not None:
                    sink.writelines(line + b"\n" for line in rows.drops.lines())
                with output_errors(out):
                    note = partial(click.echo, err=True)
                    formats.write(out, rows.records, format=format, manager=plugins, note=note)
                return beside if len(rows.drops) else None

            with _keep_partial(dict(zip(partial_files, (rows.records, rows.drops), strict=False))):
                yield rows, write
        if beside is not None and beside.is_file() and not beside.stat().st_size:
            beside.unlink()


@contextmanager
def _keep_partial(files: Mapping[Path, LineSpool]) -> Iterator[None]:
    """Write the rows so far to these files if the block fails, and name them; remove them if it ends well.

    If the input or an option is at fault, there are no rows worth keeping.
    """
    try:
        yield
    except UsageError:
        raise
    except BaseException:
        written = [path for path, rows in files.items() if len(rows)]
        for path in written:
            with replace_file(path) as file:
                file.writelines(line + b"\n" for line in files[path].lines())
        if written:
            click.echo(f"So far: {', '.join(map(str, written))}", err=True)
        raise
    for path in files:
        path.unlink(missing_ok=True)


def run_stage_command(
    ctx: click.Context, verb: str, body: Any, flags: dict[str, Any], chosen: Sequence[Any] = ()
) -> int:
    """Read, work, write records and drops, say the counts. Returns the exit code. ``chosen``: the stage's plugins."""
    from filial.commands import run_verb

    out, plugins = flags["out"], manager(ctx)
    if out == "-" and flags["as_json"]:
        raise UsageError("--json and -o - both write to standard output; give OUT a file")
    teacher = teacher_flags(ctx, flags)
    asked = plugins.build("teachers", teacher["teacher"], "--teacher") if "teacher" in teacher else None
    reads = read_places(ctx, flags["inputs"], *chosen, asked)
    reads += [ledger_place(flags["home"])] if asked is not None else []
    kept = describe_kept(flags["home"] if asked is not None else None)
    with (
        explain_interrupt(kept),
        open_output(out, flags["to"], flags["drops"], plugins, reads) as (rows, write),
    ):
        result = run_verb(
            verb, body, [source_spec(file, flags) for file in flags["inputs"]], limit=flags["limit"],
            seed=flags["seed"], plugins=plugins, rows=rows, **teacher,
        )  # fmt: skip
        drops = write()
    (stage,) = result.summary["stages"]
    if flags["as_json"]:
        counts = {"out": out, "entered": stage["entered"], "made": stage["made"], "kept": stage["out"]}
        counts |= {"dropped": stage["reasons"], "drops": drops and str(drops)}
        print_json({**counts, **{key: value for key, value in stage.items() if key not in COUNTS}})
    else:
        _report(out, stage, drops)
    return ROWS_LOST if result.lost else 0


def _report(out: str, stage: dict[str, Any], drops: Path | None) -> None:
    """Say where the files are, and warn if the teacher declined a large part of its work."""
    from filial.commands import refusals
    from filial_plugins.commands.tables import mix_table

    if table := mix_table({"stages": [stage]}):
        click.echo(f"\n{table}\n", err=True)
    if out != "-":
        click.echo(f"wrote {out}{f'; dropped records and reasons: {drops}' if drops else ''}", err=True)
    elif stage["dropped"] and drops is None:
        click.echo("dropped records are not saved; --drops FILE saves them, with reasons", err=True)
    if warning := refusals(stage, least=1):
        click.echo(warning, err=True)


def stage_command(verb: str, kind: str, help: str, more: str = "") -> PluginGroup:
    """Make the command of a verb; its flags and its stage come from the verb's settings."""

    def make() -> click.Command:
        from filial.commands import click_options, stage_class

        settings = stage_class(manager(click.get_current_context()), verb)
        own = click_options(settings, skip=settings.by_inputs)
        for rules in (option for option in own if option.multiple):
            rules.metavar, rules.help = "NAME", f"{str(rules.help).removesuffix('.')}; none for no rule."

        @click.command(verb)
        @click.argument("inputs", nargs=-1, required=kind != "generators", metavar="INPUT...")
        @click.option("-o", "--out", required=True, metavar="OUT", help="File for the records; - for stdout.")
        @click.option(
            "--drops",
            metavar="FILE",
            help="File for what is dropped, with reasons; OUT's name with .drops.jsonl unless given.",
        )
        @source_options
        @click.option("--to", default="auto", show_default=True, help="Format of OUT; auto: by its suffix.")
        @click.option("--limit", type=click.IntRange(1), help="Read at most this many records.")
        @json_option
        @seed_option
        @(teacher_options if kind != "mixers" else stack())
        def call(ctx: click.Context, name: str, chosen: Any, **flags: Any) -> int:
            given = {str(option.name): flags.pop(str(option.name)) for option in own}
            names, flags["inputs"] = (
                _split_arguments(ctx, kind, name, flags["inputs"]) if more else ([name], flags["inputs"])
            )
            if getattr(chosen, "needs_seeds", True) and not flags["inputs"]:
                raise UsageError(f"the generator {name} needs seeds; name an INPUT file")
            if flags["format"] == "auto":
                flags["format"] = getattr(chosen, "seeds_format", "auto")
            return run_stage_command(ctx, verb, _stage(settings, verb, kind, names, chosen, given), flags, [chosen])

        call.params[1:1] = own
        return call

    return PluginGroup(verb, kind, make, help, more)


def _stage(settings: Any, verb: str, kind: str, names: list[str], chosen: Any, given: dict[str, Any]) -> Any:
    """Return the stage of a command line as in a recipe. The given options apply to all names."""
    from filial.commands import from_flags, recipe_settings

    lists = recipe_settings.parts(settings)
    own = from_flags(settings, {**given, **{key: names for key in lists if key in settings.by_inputs}}, verb)
    options = chosen.model_dump(mode="json", exclude_unset=True)
    components = [{"use": name, **options} for name in names]
    body = own.model_dump(mode="json", exclude_unset=True)
    if settings.kind:
        return {**components[0], **body}
    if settings.alone:
        return components
    rules = {key: [use for use in getattr(own, key) if use != "none"] for key in lists if given.get(key)}
    return {**body, **rules, **{key: components for key in lists if key in settings.by_inputs}}


def _split_arguments(
    ctx: click.Context, kind: str, name: str, words: tuple[str, ...]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the plugins of a command line and its inputs: further names may precede the files."""
    names, files, what = [name], list(words), singular(kind)
    while files and files[0] in manager(ctx).index[kind]:
        more = files.pop(0)
        if Path(more).exists():
            raise UsageError(f"{more} is a {what} and a file here; write ./{more} for the file")
        if more in names:
            raise UsageError(f"the {what} {more} is named twice")
        names.append(more)
    if not files:
        raise UsageError(f"name an INPUT file after the {kind}")
    return names, tuple(files)
