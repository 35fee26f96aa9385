"""Judge a model's answers to records."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
import yaml

from filial import UsageError, resolve
from filial.commands import (
    ROWS_LOST,
    Answerer,
    Exam,
    PluginGroup,
    examine,
    figure,
    format_option,
    json_option,
    load_teacher,
    load_template,
    locate_files,
    manager,
    model_digest,
    open_gateway,
    open_teacher,
    parse_options,
    print_json,
    run_async,
    seed_option,
    sitting_label,
    teacher_options,
    unused_name,
)
from filial.storage import write_bytes
from filial_plugins.commands.flags import chosen_template, good_records, template_options

if TYPE_CHECKING:
    from filial.commands import Sitting


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--model", metavar="DIR", help="Folder that train wrote; without it, --teacher is judged.")
@click.option(
    "--against",
    metavar="WHOM",
    multiple=True,
    help="Another such folder, a teacher's NAME or '{use: NAME, …}' to judge beside it; may be repeated.",
)
@click.option("-o", "--out", metavar="OUT", help="File for answers and verdicts, one JSON line per record.")
@click.option("--limit", type=click.IntRange(1), help="Judge at most this many records.")
@click.option("--max-new-tokens", type=click.IntRange(1), default=256, show_default=True, help="Tokens per answer.")
@format_option
@json_option
@template_options
@teacher_options
@seed_option
def _call(
    ctx: click.Context, name: str, chosen: Any, data: str, model: str | None, against: tuple[str, ...],
    out: str | None, limit: int | None, max_new_tokens: int, format: str, as_json: bool, template: str | None,
    template_options: tuple[str, ...], **flags: Any,
) -> int:  # fmt: skip
    if model is None and flags["teacher"] is None:
        raise UsageError("name whom to judge: --model DIR for a folder that train wrote, or --teacher NAME")
    if model is None and chosen.asks:
        raise UsageError(f"the judge {name!r} asks the teacher itself; name whom to judge with --model or --against")
    made = chosen_template(ctx, template, template_options)
    first = []
    if model is not None:
        first = [_answerer(ctx, "model", model, made)]
    elif made is not None:
        first = [_with_template(ctx, flags, made)]
    rivals, names = [], {"model"}
    for text in dict.fromkeys(against):
        rival, facts = _answerer(ctx, f"./{text}" if text == "model" else text, text, made)
        rivals.append((replace(rival, name=unused_name(rival.name, names)), facts))
        names.add(rivals[-1][0].name)
    if chosen.compares == 2 and not rivals:
        raise UsageError(f"the judge {name!r} compares pairs; name a rival with --against")
    exam = Exam(data, list(good_records(data, manager(ctx), format, limit)))
    results = run_async(ctx, _verdicts(ctx, name, chosen, exam, [*first, *rivals], max_new_tokens, flags))
    if out:
        write_bytes(Path(out), b"".join(_told(line, who, len(results)) for who, _, lines in results for line in lines))
    if as_json:
        print_json({sitting_label(who): figures for who, figures, _ in results} if len(results) > 1 else results[0][1])
    else:
        for who, figures, _ in results:
            said = f"{name} on {data}" + (f", {sitting_label(who)}" if len(results) > 1 else "")
            click.echo(f"{said}: {figure(figures)} of {figures['judged']:,} records")
    return ROWS_LOST if any(figures["judged"] < figures["records"] for _, figures, _ in results) else 0


def _told(line: bytes, who: Sitting, count: int) -> bytes:
    """A line of the verdicts' file; where several candidates were judged it says whose it is."""
    begin = b'{"candidate":' + msgspec.json.encode(sitting_label(who)) + b"," if count > 1 else b"{"
    return begin + line[1:] + b"\n"


def _answerer(
    ctx: click.Context, name: str, text: str, made: tuple[Any, dict[str, Any]] | None
) -> tuple[Answerer, dict[str, Any]]:
    """Whom flags name, a model's folder that says how it is asked or a teacher; and what answers depend on beside."""
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
        "bytes": model_digest(str(folder)),
        "template": [plugins.provenance(template), template.model_dump(mode="json")] if template is not None else None,
    }


def _with_template(
    ctx: click.Context, flags: dict[str, Any], made: tuple[Any, dict[str, Any]]
) -> tuple[Answerer, dict[str, Any]]:
    """The teacher that flags name, for a model that was trained with the template that they name."""
    name, (template, said) = flags["teacher"], made
    spec = {"use": name, **parse_options("--teacher-option", flags["teacher_options"])}
    teacher: Any = manager(ctx).build("teachers", spec, "--teacher")
    facts = {"template": [manager(ctx).provenance(template), said]}
    return Answerer("model", name, teacher.for_template(template), own=True), facts


async def _verdicts(
    ctx: click.Context, name: str, judge: Any, exam: Exam, named: list[tuple[Answerer, dict[str, Any]]],
    max_tokens: int, flags: dict[str, Any],
) -> list[tuple[Sitting, dict[str, Any], list[bytes]]]:  # fmt: skip
    """The judge's word on every answer, with the teacher it may ask."""
    results = []
    async with open_teacher(ctx, flags) as teacher, AsyncExitStack() as stack:
        seats = []
        if teacher is not None and not any(who.name == "model" for who, _ in named):
            seats.append((Answerer("model", teacher.use, teacher.teacher), teacher))
        for who, facts in named:
            account = teacher.account if teacher is not None and not who.here else None
            gateway = open_gateway(ctx, who.use, who.teacher, flags["home"], account, hooked=not who.own, facts=facts)
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


judge = PluginGroup("judge", "judges", _call, "Judge a model's answers to records.")
