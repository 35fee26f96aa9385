"""Judge a model's answers to records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import msgspec
import yaml

from filial import Record, UsageError, resolve
from filial.commands import (
    ROWS_LOST,
    Answerer,
    Examination,
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
    teacher_options,
    unused_name,
)
from filial.storage import write_bytes
from filial_plugins.commands.flags import chosen_template, good_records, template_options

Named = tuple[Answerer, dict[str, Any]]
"""Who is asked, and what its answers depend on beside its teacher's identity."""


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
    made, candidates = chosen_template(ctx, template, template_options), dict[str, Named]()
    if model is not None:
        candidates["model"] = _saved_model(ctx, model, made)
    elif made is not None:
        candidates["model"] = _with_template(ctx, flags, made)
    for text in dict.fromkeys(against):
        if resolve(text).is_dir():
            rival, named = f"./{text}" if text == "model" else text, _saved_model(ctx, text, made)
        else:
            rival, named = _teacher(ctx, text)
        candidates[unused_name(rival, {"model", *candidates})] = named
    if chosen.compares == 2 and not against:
        raise UsageError(f"the judge {name!r} compares pairs; name a rival with --against")
    records = list(good_records(data, manager(ctx), format, limit))
    results = run_async(ctx, _examinations(ctx, name, chosen, data, records, candidates, max_new_tokens, flags))
    if out:
        write_bytes(Path(out), b"".join(_lines(results)))
    figures = {result.name: result.figures() for result in results}
    if as_json:
        print_json(figures if len(figures) > 1 else next(iter(figures.values())))
    else:
        for who, found in figures.items():
            said = f"{name} on {data}" + (f", {who}" if len(figures) > 1 else "")
            click.echo(f"{said}: {figure(found)} of {found['judged']:,} records")
    return ROWS_LOST if any(found["judged"] < found["records"] for found in figures.values()) else 0


def _lines(results: list[Examination]) -> Iterator[bytes]:
    """The lines of the verdicts' file; where several candidates were judged each says whose it is."""
    for result in results:
        whose = b'"candidate":' + msgspec.json.encode(result.name) + b","
        for row in result.rows:
            yield b"{" + (whose if len(results) > 1 else b"") + row.line()[1:] + b"\n"


def _saved_model(ctx: click.Context, text: str, made: tuple[Any, dict[str, Any]] | None) -> Named:
    """A model whose folder says how it is asked; and what its answers depend on beside."""
    folder, plugins = resolve(text), manager(ctx)
    if not folder.is_dir():
        raise UsageError(f"--model {text}: no such folder; give one that train wrote, or a teacher with --teacher")
    teacher = load_teacher(folder, plugins)
    if teacher is None:
        raise UsageError(
            f"{text} does not say how it is asked; name a teacher that asks such models instead, as in "
            f"--teacher NAME -T model={text}"
        )
    template = made[0] if made else load_template(folder, plugins)
    facts = {
        "bytes": model_digest(str(folder)),
        "template": [plugins.provenance(template), template.model_dump(mode="json")] if template is not None else None,
    }
    use = plugins.identity(teacher)
    return Answerer(use, teacher.for_template(template) if template is not None else teacher, own=True), facts


def _teacher(ctx: click.Context, text: str) -> tuple[str, Named]:
    """A teacher that --against names, and what figures call it."""
    try:
        spec = yaml.safe_load(text)
    except yaml.YAMLError:
        spec = None
    if not isinstance(spec, str | dict):
        raise UsageError(f"--against {text!r}: write a folder, NAME or '{{use: NAME, …}}'")
    teacher: Any = manager(ctx).build("teachers", spec, "--against")
    manager(ctx).check_requirements(type(teacher))
    use = str(spec["use"] if isinstance(spec, dict) else spec)
    return use, (Answerer(use, locate_files(teacher, Path.cwd())), {})


def _with_template(ctx: click.Context, flags: dict[str, Any], made: tuple[Any, dict[str, Any]]) -> Named:
    """The teacher that flags name, for a model that was trained with the template that they name."""
    name, (template, said) = flags["teacher"], made
    spec = {"use": name, **parse_options("--teacher-option", flags["teacher_options"])}
    teacher: Any = manager(ctx).build("teachers", spec, "--teacher")
    facts = {"template": [manager(ctx).provenance(template), said]}
    return Answerer(name, teacher.for_template(template), own=True), facts


async def _examinations(
    ctx: click.Context, name: str, judge: Any, data: str, records: list[Record], named: dict[str, Named],
    max_tokens: int, flags: dict[str, Any],
) -> list[Examination]:  # fmt: skip
    """The judge's word on every answer, with the teacher it may ask."""
    results = []
    async with open_teacher(ctx, flags) as teacher, AsyncExitStack() as stack:
        gateways = {"model": teacher} if teacher is not None else {}
        for who, (candidate, facts) in named.items():
            account = teacher.account if teacher is not None and not candidate.here else None
            gateways[who] = open_gateway(
                ctx, candidate.use, candidate.teacher, flags["home"], account, hooked=not candidate.own, facts=facts
            )
            stack.push_async_callback(gateways[who].close)
        rivals = [who for who in gateways if who != "model"]
        for names in [("model", who) for who in rivals] if judge.compares == 2 else [(who,) for who in gateways]:
            results.append(
                await examine(
                    records, {who: gateways[who] for who in names}, judge, manager(ctx).provenance("judges", name),
                    name=data, seed=flags["seed"], teacher=teacher, max_tokens=max_tokens,
                )
            )  # fmt: skip
    return results


judge = PluginGroup("judge", "judges", _call, "Judge a model's answers to records.")
