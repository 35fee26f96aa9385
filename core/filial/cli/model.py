"""``filial train NAME DATA`` and ``filial judge NAME DATA``: tune a model on files, and judge one or any teacher."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial.cli.common import (
    asking,
    manager,
    opened,
    options_of,
    print_json,
    seed_parameter,
    teacher_parameters,
    watchdog,
)
from filial.cli.plugincommands import Invoke, PluginGroup
from filial.contracts.errors import ROWS_LOST, UsageError
from filial.engine import interrupts

if TYPE_CHECKING:
    from filial.contracts.records import Record
    from filial.engine.exams import Exam
    from filial.engine.judge import Answerer, Sitting
    from filial.plugins.manager import Manager


def _template_parameters() -> list[click.Parameter]:
    return [
        click.Option(["--template"], metavar="NAME", help="Template to render with."),
        click.Option(
            ["--template-option", "template_options"],
            multiple=True,
            metavar="KEY=VALUE",
            help="An option of it.",
        ),
    ]


def _template(ctx: click.Context, name: str | None, pairs: tuple[str, ...]) -> tuple[Any, dict[str, Any]] | None:
    """The template that flags name, and how a recipe would say it."""
    if name is None:
        if pairs:
            raise UsageError("--template-option needs --template NAME")
        return None
    spec = {"use": name, **options_of("--template-option", pairs)}
    return manager(ctx).build("templates", spec, "--template"), spec


def _make_train() -> tuple[Invoke, list[click.Parameter]]:
    parameters: list[click.Parameter] = [
        click.Argument(["data"], metavar="DATA"),
        click.Option(["--model"], required=True, help="Folder, pkg:PACKAGE/FOLDER or hub name of the model to tune."),
        click.Option(["-o", "--out"], required=True, metavar="DIR", help="Folder for the tuned model."),
        click.Option(["--heldout"], type=click.IntRange(0), default=0, help="Records to keep back from training."),
        click.Option(["--format"], default="auto", show_default=True, help="Format of DATA."),
        seed_parameter(),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the figures as JSON on stdout."),
        *_template_parameters(),
    ]
    return _train, parameters


def _train(
    ctx: click.Context, name: str, chosen: Any, data: str, model: str, out: str, heldout: int, format: str,
    seed: int, as_json: bool, template: str | None, template_options: tuple[str, ...],
) -> int:  # fmt: skip
    from filial.cli.progress import reporter
    from filial.contracts.context import TrainContext
    from filial.contracts.paths import resolve
    from filial.contracts.plugin_errors import blamed
    from filial.engine import dataset
    from filial.engine.model_notes import save_notes
    from filial.engine.progress import Reporter
    from filial.storage import refuse_links

    made = _template(ctx, template, template_options)
    if made is None:
        raise UsageError("train needs a template; add --template NAME, such as --template alpaca")
    path = resolve(model)
    base = str(path) if model.startswith("pkg:") or path.exists() else model
    said = reporter() if _leads() else Reporter()
    cache = Path(".filial", "prepared")
    refuse_links(Path(os.path.realpath(cache.parent)))
    with tempfile.TemporaryDirectory(prefix="filial-") as folder:
        dataset.write(Path(folder), _passing(data, manager(ctx), format), heldout, seed, "cli")
        with said.training() as progress, blamed(manager(ctx).provenance("trainers", name), "train"):
            context = TrainContext(seed, progress=progress, note=said.note, cache=cache)
            figures = chosen.train(Path(folder), base, made[0], Path(out), context)
    if not _leads():
        return 0
    save_notes(Path(out), chosen, made[1], manager(ctx), said.note)
    if as_json:
        print_json(figures)
        return 0
    for key, value in figures.items():
        if isinstance(value, int | float | str):
            click.echo(f"{key}: {value}", err=True)
    click.echo(f"{out}: the tuned model; judge it with: filial judge exact-match DATA --model {out}", err=True)
    return 0


def _leads() -> bool:
    """Whether this is the process that speaks and writes; ``torchrun`` and the like start several with one command."""
    return os.environ.get("RANK", "0") == "0"


def _passing(data: str, plugins: Manager, format: str, limit: int | None = None) -> Iterator[Record]:
    """The records of a file as they are read, all of them good, at least one."""
    from filial.engine.build import read

    empty = True
    for record in read(data, Path.cwd(), plugins, format=format, limit=limit):
        empty = False
        yield record
    if empty:
        raise UsageError(f"{data}: it holds no record")


def _make_judge() -> tuple[Invoke, list[click.Parameter]]:
    parameters: list[click.Parameter] = [
        click.Argument(["data"], metavar="DATA"),
        click.Option(["--model"], metavar="DIR", help="Folder that train wrote; without it, --teacher is judged."),
        click.Option(
            ["--against"], metavar="WHOM", multiple=True,
            help="Another such folder, a teacher's NAME or '{use: NAME, …}' to judge beside it; may be repeated.",
        ),
        click.Option(["-o", "--out"], metavar="OUT", help="File for answers and verdicts, one JSON line per record."),
        click.Option(["--limit"], type=click.IntRange(1), help="Judge at most this many records."),
        click.Option(
            ["--max-new-tokens"], type=click.IntRange(1), default=256, show_default=True, help="Tokens per answer."
        ),
        click.Option(["--format"], default="auto", show_default=True, help="Format of DATA."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the figures as JSON on stdout."),
        *_template_parameters(),
        *teacher_parameters(),
        seed_parameter(),
    ]  # fmt: skip
    return _judge, parameters


def _judge(
    ctx: click.Context, name: str, chosen: Any, data: str, model: str | None, against: tuple[str, ...],
    out: str | None, limit: int | None, max_new_tokens: int, format: str, as_json: bool, template: str | None,
    template_options: tuple[str, ...], **flags: Any,
) -> int:  # fmt: skip
    from filial.cli.tables import figure
    from filial.engine.exams import Exam
    from filial.engine.judge import label
    from filial.storage import write_bytes

    if model is None and flags["teacher"] is None:
        raise UsageError("name whom to judge: --model DIR for a folder that train wrote, or --teacher NAME")
    if model is None and chosen.asks:
        raise UsageError(f"the judge {name!r} asks the teacher itself; name whom to judge with --model or --against")
    made = _template(ctx, template, template_options)
    first = []
    if model is not None:
        first = [_answerer(ctx, "model", model, made)]
    elif made is not None:
        first = [_with_template(ctx, flags, made)]
    rivals = [_answerer(ctx, f"./{text}" if text == "model" else text, text, made) for text in dict.fromkeys(against)]
    if chosen.compares == 2 and not rivals:
        raise UsageError(f"the judge {name!r} compares pairs; name a rival with --against")
    exam = Exam(data, list(_passing(data, manager(ctx), format, limit)))
    work = _verdicts(ctx, name, chosen, exam, [*first, *rivals], max_new_tokens, flags)
    results = interrupts.run(work, watchdog(ctx))
    if out:
        write_bytes(Path(out), b"".join(_told(line, who, len(results)) for who, _, lines in results for line in lines))
    if as_json:
        print_json({label(who): figures for who, figures, _ in results} if len(results) > 1 else results[0][1])
    else:
        for who, figures, _ in results:
            said = f"{name} on {data}" + (f", {label(who)}" if len(results) > 1 else "")
            click.echo(f"{said}: {figure(figures)} of {figures['judged']:,} records")
    return ROWS_LOST if any(figures["judged"] < figures["records"] for _, figures, _ in results) else 0


def _told(line: bytes, who: Sitting, count: int) -> bytes:
    """A line of the verdicts' file; where several candidates were judged it says whose it is."""
    import msgspec

    from filial.engine.judge import label

    begin = b'{"candidate":' + msgspec.json.encode(label(who)) + b"," if count > 1 else b"{"
    return begin + line[1:] + b"\n"


def _answerer(
    ctx: click.Context, name: str, text: str, made: tuple[Any, dict[str, Any]] | None
) -> tuple[Answerer, dict[str, Any]]:
    """Whom flags name, a model's folder that says how it is asked or a teacher; and what answers depend on beside."""
    import yaml

    from filial.contracts.paths import resolve
    from filial.engine.judge import Answerer
    from filial.engine.model_notes import load_teacher, load_template
    from filial.engine.train import weights
    from filial.plugins.options import locate_files

    folder, plugins = resolve(text), manager(ctx)
    if not folder.is_dir():
        if name == "model":
            raise UsageError(f"--model {text}: no such folder; give one that train wrote, or a teacher with --teacher")
        try:
            spec = yaml.safe_load(text)
        except yaml.YAMLError:
            spec = None
        if not isinstance(spec, str | dict):
            raise UsageError(f"--against {text!r}: write a folder, NAME or '{{use: NAME, …}}'")
        teacher: Any = plugins.build("teachers", spec, "--against")
        plugins.check_requirements(type(teacher))
        use = str(spec["use"] if isinstance(spec, dict) else spec)
        return Answerer(use, use, locate_files(teacher, Path.cwd())), {}
    noted = load_teacher(folder, plugins)
    if noted is None:
        raise UsageError(
            f"{text} does not say how it is asked; name a teacher that asks such models instead, as in "
            f"--teacher NAME -T model={text}"
        )
    use, teacher = noted
    template = made[0] if made else load_template(folder, plugins)
    return Answerer(name, use, teacher.for_template(template) if template is not None else teacher, own=True), {
        "bytes": weights(str(folder)),
        "template": [plugins.provenance(template), template.model_dump(mode="json")] if template is not None else None,
    }


def _with_template(
    ctx: click.Context, flags: dict[str, Any], made: tuple[Any, dict[str, Any]]
) -> tuple[Answerer, dict[str, Any]]:
    """The teacher that flags name, for a model that was trained with the template that they name."""
    from filial.engine.judge import Answerer

    name, (template, said) = flags["teacher"], made
    spec = {"use": name, **options_of("--teacher-option", flags["teacher_options"])}
    teacher: Any = manager(ctx).build("teachers", spec, "--teacher")
    facts = {"template": [manager(ctx).provenance(template), said]}
    return Answerer("model", name, teacher.for_template(template), own=True), facts


async def _verdicts(
    ctx: click.Context, name: str, judge: Any, exam: Exam, named: list[tuple[Answerer, dict[str, Any]]],
    max_tokens: int, flags: dict[str, Any],
) -> list[tuple[Sitting, dict[str, Any], list[bytes]]]:  # fmt: skip
    """The judge's word on every answer, with the teacher it may ask."""
    from filial.engine.judge import Answerer, examine

    results = []
    async with asking(ctx, flags) as teacher, AsyncExitStack() as stack:
        seats = []
        if teacher is not None and not any(who.name == "model" for who, _ in named):
            seats.append((Answerer("model", teacher.use, teacher.teacher), teacher))
        for who, facts in named:
            account = teacher.account if teacher is not None and not who.here else None
            gateway = opened(ctx, who.use, who.teacher, flags["home"], account, hooked=not who.own, facts=facts)
            stack.push_async_callback(gateway.close)
            seats.append((who, gateway))
        sat = [[seats[0], rival] for rival in seats[1:]] if judge.compares == 2 else [[seat] for seat in seats]
        for present in sat:
            figures, lines, _ = await examine(
                judge, manager(ctx).provenance("judges", name), exam, present, teacher,
                stage="judge", seed=flags["seed"], max_tokens=max_tokens,
            )  # fmt: skip
            results.append((tuple(who.name for who, _ in present), figures, lines))
    return results


train = PluginGroup("train", "trainers", _make_train, "Train a model on records.")
judge = PluginGroup("judge", "judges", _make_judge, "Judge a model's answers to records.")
