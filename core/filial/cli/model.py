"""``filial train NAME DATA`` and ``filial judge NAME DATA``: tune a model on files, and judge one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial.cli.common import asking, manager, options_of, print_json, seed_parameter, teacher_parameters
from filial.cli.plugincommands import Invoke, PluginGroup
from filial.contracts.errors import ROWS_LOST, UsageError
from filial.engine import interrupts

if TYPE_CHECKING:
    from filial.contracts.records import Record
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
    from filial.engine.progress import Reporter
    from filial.local import models
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
    models.save_template(Path(out), made[1])
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
        click.Option(["--model"], required=True, help="Folder of the model whose answers are judged."),
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
    ]
    return _judge, parameters


def _judge(
    ctx: click.Context, name: str, chosen: Any, data: str, model: str, out: str | None, limit: int | None,
    max_new_tokens: int, format: str, as_json: bool, template: str | None, template_options: tuple[str, ...],
    **flags: Any,
) -> int:  # fmt: skip
    from filial.cli.tables import figure
    from filial.contracts.paths import resolve
    from filial.engine.judge import Exam
    from filial.local import models
    from filial.storage import write_bytes

    folder = resolve(model)
    if not folder.is_dir():
        raise UsageError(f"--model {model}: no such folder; give one that train wrote, or any model's folder")
    records = list(_passing(data, manager(ctx), format, limit))
    made = _template(ctx, template, template_options)
    chosen_template = made[0] if made else models.load_template(folder, manager(ctx))
    if chosen_template is None:
        raise UsageError(f"{model} does not say which template it was trained with; add --template NAME")
    answers = models.answer(folder, records, chosen_template, max_new_tokens=max_new_tokens)
    figures, lines = interrupts.run(_verdicts(ctx, name, chosen, Exam(data, records), answers, flags))
    if out:
        write_bytes(Path(out), b"".join(line + b"\n" for line in lines))
    if as_json:
        print_json(figures)
    else:
        click.echo(f"{name} on {data}: {figure(figures)} of {figures['judged']:,} records")
    return ROWS_LOST if figures["judged"] < figures["records"] else 0


async def _verdicts(
    ctx: click.Context, name: str, judge: Any, exam: Any, answers: list[str], flags: dict[str, Any]
) -> tuple[dict[str, Any], list[bytes]]:
    """The judge's word on every answer, with the teacher it may ask."""
    from filial.engine.judge import Silent, judged
    from filial.engine.stage import StageContext
    from filial.gateway.gateway import stopping

    async with asking(ctx, flags) as gateway:
        env = StageContext(stage="judge", seed=flags["seed"], writer=Silent())
        if gateway is not None:
            env.ask, env.window = gateway.ask, gateway.window
        with stopping(gateway):
            return await judged(judge, manager(ctx).provenance("judges", name), exam, answers, env)


train = PluginGroup("train", "trainers", _make_train, "Train a model on records.")
judge = PluginGroup("judge", "judges", _make_judge, "Judge a model's answers to records.")
