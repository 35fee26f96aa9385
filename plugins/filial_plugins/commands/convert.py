"""Convert records to another format, for other programs."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from msgspec import structs

from filial import Format, Record, UsageError, formats
from filial.commands import (
    ROWS_LOST,
    json_option,
    manager,
    parse_options,
    print_json,
    source_options,
    source_spec,
)
from filial.storage import replace_file, write_bytes, write_errors
from filial_plugins.commands.detection import explain_source, read_rows_as_they_are
from filial_plugins.commands.outputs import (
    Place,
    check_places,
    choose_drops,
    describe_kept,
    explain_interrupt,
    output_errors,
    read_places,
    written_places,
)

if TYPE_CHECKING:
    from filial.commands import Manager
    from filial.formats import SourceSpec

STAGE, BAD_LINE, UNFIT = "convert", "bad-line", "unfit"
TRAINED = ("alpaca", "openai", "sharegpt")
"""Formats for fine-tuning that also hold records without an answer."""
LEAVABLE = ("extra", "reasoning", "rejected", "tools")
_REASONS = {BAD_LINE: "bad lines", UNFIT: "records that do not fit"}


class _Conversion:
    """Records on their way from inputs to a file, counted; what is dropped goes to ``drops``, with reasons."""

    def __init__(self, plugins: Manager, without: tuple[str, ...], drops: BinaryIO | None) -> None:
        self.written = 0
        self.dropped: Counter[str] = Counter()
        self.losses: Counter[str] = Counter()
        self.unanswered = 0
        self.first_bad = self.first_unfit = ""
        self._plugins, self._without, self._drops = plugins, frozenset(without), drops
        self._note = partial(click.echo, err=True)

    def read(self, inputs: Iterable[SourceSpec], limit: int | None) -> Iterator[Record]:
        """Yield the records of all inputs, with the ids that they have; bad lines are dropped."""
        from filial.commands import read_source

        options: dict[str, Any] = {"ids": False, "limit": limit, "bad": self._drop_line, "note": self._note}
        for source in inputs:
            for record in read_source(source, Path.cwd(), self._plugins, **options):
                if self._without:
                    record, found = leave_out(record, self._without)
                    self.losses.update(found)
                yield record

    def select(self, records: Iterable[Record], form: Format) -> Iterator[Record]:
        """Yield the records that a format can hold; the others are dropped."""
        for record in records:
            try:
                formats.check_fits(form, record)
                form.write([record], io.BytesIO())
            except formats.Unfit as err:
                self.first_unfit = self.first_unfit or str(err)
                self._drop(UNFIT, str(err), record=record)
            else:
                yield record

    def count(self, records: Iterable[Record], form: Format | None) -> Iterator[Record]:
        """Yield the records as they are; count each that was written, and what the format does not say of it."""
        for record in records:
            yield record
            self.written += 1
            self.unanswered += not (record.answer() or record.turns()[-1].tool_calls)
            if form is not None:
                self.losses.update(form.losses(record))

    def _drop_line(self, bad: formats.BadLine) -> None:
        self.first_bad = self.first_bad or str(bad)
        self._drop(BAD_LINE, str(bad), answer=bad.raw)

    def _drop(self, reason: str, detail: str, **more: Any) -> None:
        from filial.commands import DropRow

        self.dropped[reason] += 1
        if self._drops is not None:
            row = DropRow(stage=STAGE, plugin="", reason=reason, detail=detail, **more)
            self._drops.write(row.encode() + b"\n")


def leave_out(record: Record, names: Iterable[str]) -> tuple[Record, list[str]]:
    """Return a record without what is in some of its fields, and in which of them there was something."""
    found = [name for name in LEAVABLE if name in names and getattr(record, name)]
    empty: dict[str, Any] = {"extra": {}, "reasoning": "", "rejected": (), "tools": ()}
    plain = record.replaced(**{name: empty[name] for name in found})
    if "reasoning" in names and any(turn.reasoning for turn in record.messages):
        found.append("reasoning")
        plain = plain.replaced(messages=tuple(structs.replace(turn, reasoning="") for turn in plain.messages))
    return plain, found


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="IN...")
@click.option("-o", "--out", metavar="OUT", help="File to write; - for stdout. Not needed with --explain.")
@click.option("--to", default="auto", show_default=True, help="Format of OUT; auto: by its suffix.")
@click.option(
    "-O", "--to-option", "to_options", multiple=True, metavar="KEY=VALUE",
    help="An option of the format, such as rows=preference; may be repeated.",
)  # fmt: skip
@source_options
@click.option("--limit", type=click.IntRange(1), help="Read at most this many records of each input.")
@click.option("--drop-unfit", is_flag=True, help="Leave out records that the format cannot hold, and count them.")
@click.option(
    "--without", multiple=True, type=click.Choice(LEAVABLE),
    help="Leave this out of every record, and count where it was; may be repeated.",
)  # fmt: skip
@click.option("--drops", metavar="FILE", help="File for what is left out, with reasons; beside OUT unless given.")
@click.option(
    "--dataset-info", metavar="FILE", type=click.Path(path_type=Path),
    help="LLaMA-Factory's dataset_info.json, to which an entry for OUT is added.",
)  # fmt: skip
@click.option("--explain", is_flag=True, help="Explain how the format of each input was found.")
@json_option
@click.pass_context
def convert(ctx: click.Context, /, inputs: tuple[str, ...], **flags: Any) -> int:
    """Convert records from any format to another.

    The formats of TRL, LLaMA-Factory, Axolotl and OpenAI's fine-tuning are trl, llamafactory, axolotl and openai. A
    record that the format cannot hold is an error, and nothing is written. What the format does not keep, such as ids
    and scores, is named.
    """
    out: str | None = flags["out"]
    plugins, sources = manager(ctx), [source_spec(name, flags) for name in inputs]
    if out == "-" and flags["as_json"]:
        raise UsageError("--json and -o - both write to standard output; give OUT a file")
    explained = {str(source): list(_explain(source, plugins, flags)) for source in sources} if flags["explain"] else {}
    if out is None:
        if flags["explain"]:
            if flags["as_json"]:
                print_json({"explained": explained})
            return 0
        raise UsageError("no OUT is named; write -o FILE, or --explain to see only what the inputs are")
    for source in sources:
        if (Path(source.file) / "recipe.lock.yaml").is_file():
            raise UsageError(
                f"{source} is a run, and a run has several files of records: give {source}/dataset/train.jsonl, what "
                f"it trains on, or {source}/stages/STAGE/records.jsonl"
            )
    form = _choose_format(out, flags["to"], flags["to_options"], plugins)
    info = flags["dataset_info"]
    if info is not None:
        _check_index(info, out, form)
    beside = choose_drops(out, flags["drops"])
    writes = written_places(out, flags["drops"], beside)
    if info is not None:
        writes.append(Place("--dataset-info", info, "give --dataset-info a file of its own"))
    check_places(read_places(ctx, inputs, form), writes)
    with explain_interrupt(describe_kept(None)), _open_drops(out, beside) as (drops, sink):
        work = _Conversion(plugins, flags["without"], sink)
        form = _write(work, work.read(sources, flags["limit"]), out, form, plugins, flags["drop_unfit"])
    usage, entry = _describe_usage(form, out, plugins, whole=info is not None)
    if info is not None:
        _merge_entry(info, Path(out), entry)
    left = drops if work.dropped else None
    if flags["as_json"]:
        print_json(
            {"out": out, "records": work.written, "dropped": work.dropped, "losses": work.losses,
             "unanswered": work.unanswered, "drops": left and str(left), "usage": usage,
             **({"explained": explained} if explained else {})}
        )  # fmt: skip
    else:
        _report(work, out, left, trains=form is not None and plugins.name_of(type(form)) in TRAINED)
        if usage:
            click.echo(usage, err=True)
        elif entry and info is None:
            shown = json.dumps({Path(out).stem: entry}, ensure_ascii=False)
            click.echo(f"LLaMA-Factory, in dataset_info.json (--dataset-info FILE writes it): {shown}", err=True)
    return ROWS_LOST if work.dropped[BAD_LINE] else 0


def _explain(source: SourceSpec, plugins: Manager, flags: dict[str, Any]) -> Iterator[str]:
    """Yield what a source was found to be, and print it as it is found, unless it goes into JSON."""
    for line in explain_source(source, plugins):
        if not flags["as_json"]:
            click.echo(line, err=flags["out"] is not None)
        yield line.strip()


def _choose_format(out: str, to: str, pairs: tuple[str, ...], plugins: Manager) -> Format | None:
    """Return the format to write; None for filial's own.

    Raises:
        UsageError: there is none, or it is only read, or its options are wrong.
    """
    from filial.commands import resolve_format

    if pairs and to in ("auto", "filial"):
        raise UsageError("--to-option needs --to NAME, the name of a format that has options")
    if out != "-" and Path(out).is_dir():
        raise UsageError(f"{out}: is a folder; give a file in it")
    spec: Any = {"use": to, **parse_options("--to-option", pairs)} if pairs else to
    try:
        return resolve_format(out, spec, plugins)
    except UsageError as err:
        if type(err) is not UsageError:
            raise
        raise UsageError(f"{err} (--to NAME)") from err


@contextmanager
def _open_drops(out: str, beside: Path | None) -> Iterator[tuple[Path | None, BinaryIO | None]]:
    """Give the place of the drops and a file to write them to; without drops, those of an earlier command go."""
    for path in (beside, Path(out) if out != "-" else None):
        if path is not None:
            with write_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(beside) if beside else nullcontext() as sink:
        yield beside, sink
    if beside is not None and beside.is_file() and not beside.stat().st_size:
        beside.unlink()


def _write(
    work: _Conversion, records: Iterator[Record], out: str, form: Format | None, plugins: Manager, drop_unfit: bool
) -> Format | None:
    """Write all records, or nothing at all. Returns the format, settled by the first record.

    Raises:
        UsageError: there is no record, or one does not fit, or none does.
    """
    first = next(records, None)
    if first is None:
        lost = (
            f"none of {work.dropped.total():,} lines is one; the first: {work.first_bad}"
            if work.dropped
            else "they are empty"
        )
        raise UsageError(f"there is no record in the inputs: {lost} (--explain says what was looked for)")
    if form is not None:
        form = form.settle(first)
    stream: Iterator[Record] = chain([first], records)
    if drop_unfit and form is not None:
        fitting = work.select(stream, form)
        if (fits := next(fitting, None)) is None:
            raise UsageError(f"no record fits the format; nothing is written. The first: {work.first_unfit}")
        stream = chain([fits], fitting)
    stream = work.count(stream, form)
    spec: Any = "filial" if form is None else form
    try:
        if out != "-":
            formats.write(out, stream, format=spec, manager=plugins)
        else:  # a pipe cannot be taken back, so all is made before any of it is sent
            with tempfile.TemporaryDirectory() as folder:
                whole = Path(folder) / "out.jsonl"
                formats.write(whole, stream, format=spec, manager=plugins)
                with whole.open("rb") as file, output_errors(out):
                    shutil.copyfileobj(file, sys.stdout.buffer)
                    sys.stdout.buffer.flush()
    except formats.Unfit as err:
        named = re.search(r"no place for its ([\w, ]+);", str(err))
        misplaced = [name for name in LEAVABLE if named and name in named[1].split(", ")]
        ways = [f"--without {name} leaves that out" for name in misplaced]
        if taken := re.search(r"its extra columns? '?(.*?)'? ha(?:s|ve) (?:a )?names? that", str(err)):
            ways.append(f"--ignore-columns {shlex.quote(taken[1])} leaves these out, --without extra all extra columns")
        ways.append("--drop-unfit leaves out such records")
        raise UsageError(f"{err}; nothing is written: {', '.join(ways)}") from err
    return form


def _report(work: _Conversion, out: str, drops: Path | None, trains: bool) -> None:
    place = "standard output" if out == "-" else out
    click.echo(f"wrote {work.written:,} record{'s' if work.written != 1 else ''} to {place}", err=True)
    if work.losses:
        click.echo(f"not written: {formats.describe_losses(work.losses)}", err=True)
    if work.unanswered and trains:
        click.echo(f"without an answer: {work.unanswered:,}; fine-tuning refuses or skips such records", err=True)
    if work.dropped:
        dropped = Counter({_REASONS.get(name, name): n for name, n in work.dropped.items()})
        where = f"what, and why, is in {drops}" if drops else "--drops FILE keeps them, with reasons"
        click.echo(f"left out: {formats.describe_losses(dropped)}; {where}", err=True)


def _describe_usage(form: Format | None, out: str, plugins: Manager, whole: bool) -> tuple[str, dict[str, Any]]:
    """Return how the program that the format is for reads the file, by the columns of its first row, or of all."""
    if form is None or type(form).usage is Format.usage or not Path(out).is_file():
        return "", {}
    columns: set[str] = set()
    for row in read_rows_as_they_are(out, plugins, None if whole else 1):
        columns.update(row)
    return form.usage(Path(out), columns)


def _check_index(info: Path, out: str, form: Format | None) -> None:
    """See that a file can have an entry in LLaMA-Factory's index, before anything is written.

    Raises:
        UsageError: the format has no entry there, or the file is elsewhere, or the index holds another of that name.
    """
    if form is None or not form.usage(Path(out), ())[1]:
        raise UsageError("--dataset-info: LLaMA-Factory reads the formats llamafactory and alpaca; name one with --to")
    path = Path(out)
    if out == "-" or path.suffix not in (".json", ".jsonl"):
        raise UsageError(f"--dataset-info: LLaMA-Factory reads .json and .jsonl, not {out}")
    if not path.resolve().parent.is_relative_to(info.resolve().parent):
        raise UsageError(f"--dataset-info {info}: {out} has to be in its folder")
    there = _read_index(info).get(path.stem)
    if there is not None and (not isinstance(there, dict) or there.get("file_name") != _name_in(info, path)):
        raise UsageError(f"{info}: has an entry {path.stem} already, for other data; give OUT another name")


def _name_in(info: Path, out: Path) -> str:
    return out.resolve().relative_to(info.resolve().parent).as_posix()


def _read_index(info: Path) -> dict[str, Any]:
    if not info.exists():
        return {}
    try:
        found = json.loads(info.read_bytes())
    except (OSError, ValueError, RecursionError) as err:
        raise UsageError(f"{info}: cannot be read as JSON: {err}") from err
    if not isinstance(found, dict):
        raise UsageError(f"{info}: holds no JSON object, as LLaMA-Factory's index does")
    return found


def _merge_entry(info: Path, out: Path, entry: dict[str, Any]) -> None:
    """Put an entry into an index, in place of one for the same file; the others stay as they are."""
    merged = {**_read_index(info), out.stem: {**entry, "file_name": _name_in(info, out)}}
    write_bytes(info, json.dumps(merged, ensure_ascii=False, indent=2).encode() + b"\n")
    click.echo(f"{info}: has the entry {out.stem}", err=True)
