"""Show the text, tokens and loss mask of a template."""

from __future__ import annotations

import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from filial.commands import PluginGroup, manager, print_json, printable, source_options, source_spec

if TYPE_CHECKING:
    from filial import Template
    from filial.labels import Encoder
    from filial_plugins.render.survey import RenderedRecord, Survey

OPEN, CLOSE = "⟦", "⟧"
SEPARATOR = "·"
LOOKALIKES = 5
"""Strings that look like control tokens which the summary names."""


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--tokenizer", metavar="DIR", help="Folder of a tokenizer; needed for --mask and for chat.")
@click.option("--mask", is_flag=True, help="Show the tokens and mark the trained ones.")
@click.option("--limit", type=click.IntRange(0), default=3, show_default=True, help="Records to show.")
@click.option(
    "--count",
    type=click.IntRange(0),
    default=1000,
    show_default=True,
    help="Records to count in the summary; 0 for all.",
)
@click.option("--max-length", type=click.IntRange(1), help="Maximum tokens of a row in training.")
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print spans (and tokens), and the summary, as JSON.")
def _run(
    ctx: click.Context, name: str, chosen: Any, data: str, tokenizer: str | None, mask: bool, limit: int, count: int,
    max_length: int | None, as_json: bool, **flags: Any,
) -> int:  # fmt: skip
    from filial.commands import read_source
    from filial_plugins.render.survey import Survey

    template, encoder = _bind_template(name, chosen, tokenizer, mask=mask, max_length=max_length)
    survey = Survey(template, encoder, max_length)
    shown: list[RenderedRecord] = []
    bad: list[Any] = []
    most = max(count, limit) if count else None
    source, note = source_spec(data, flags), partial(click.echo, err=True)
    records = read_source(source, Path.cwd(), manager(ctx), bad=bad, note=note)
    first = islice(records, most)
    for one in _examine_records(survey, first, limit, manager(ctx).provenance("templates", name)):
        if not shown and not as_json:
            click.secho(_describe_marks(encoder is not None, mask), dim=True)
        shown.append(one)
        if not as_json:
            _print_record(one, encoder, mask)
    looked_at = len(bad)
    survey.more = next(records, None) is not None
    for line in bad[:looked_at] if survey.more else bad:
        survey.drop("bad-line", str(line))
    if as_json:
        print_json({"records": [_make_row(one) for one in shown], "summary": _summarize(survey)})
    else:
        _print_summary(survey)
    return 0


def _bind_template(
    name: str, chosen: Any, tokenizer: str | None, *, mask: bool, max_length: int | None
) -> tuple[Template, Encoder | None]:
    """Return the template, bound if a tokenizer is named, and that tokenizer's encoder."""
    from filial import Template, UsageError, resolve

    if tokenizer is not None:
        from filial.labels import Encoder
        from filial_plugins.local.pretrained import load_tokenizer

        loaded = load_tokenizer(resolve(tokenizer))
        return chosen.bind(loaded), Encoder(loaded)
    if mask or max_length is not None:
        flag = "--mask shows" if mask else "--max-length counts"
        raise UsageError(f"{flag} tokens; name a tokenizer with --tokenizer DIR")
    if type(chosen).bind is not Template.bind:
        raise UsageError(f"the template {name!r} depends on the tokenizer; give one with --tokenizer DIR")
    return chosen, None


def _examine_records(survey: Survey, records: Any, limit: int, plugin: str) -> Iterator[RenderedRecord]:
    """Yield the records to show and count the others.

    An error in here is the plugin's, but not one in the code that shows the records.
    """
    from filial.commands import blame_plugin

    with blame_plugin(plugin, "render"):
        stream = iter(records)
        yield from survey.examine(islice(stream, limit))
        for _ in survey.examine(stream):
            pass


def _describe_marks(tokenizer: bool, mask: bool) -> str:
    parts = ["trained is green" if _use_colour() else f"trained is {OPEN}so{CLOSE}", "⏎ ends a line"]
    if not tokenizer:
        parts.append("{bos}, {eos}: the tokenizer's, if it has them")
    elif mask:
        parts.append(f"{SEPARATOR} parts tokens")
    return "   ".join(parts)


def _make_row(one: RenderedRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": one.record.id,
        "spans": [{"text": s.text, "train": s.train, "special": s.special} for s in one.spans],
    }
    if one.row is not None:
        row |= {"ids": one.row.ids, "trained": one.row.mask}
    return row | ({"dropped": one.reason, "detail": one.detail} if one.reason else {})


def _summarize(survey: Survey) -> dict[str, Any]:
    """Return the summary as data."""
    out: dict[str, Any] = {
        "records": survey.records, "more": survey.more, "dropped": dict(survey.dropped),
        "unchecked": list(survey.unchecked),
    }  # fmt: skip
    if survey.encoder is not None:
        names = survey.encoder.tokenizer.convert_ids_to_tokens
        out |= {
            "tokens": survey.tokens, "trained_tokens": survey.trained_tokens, "answers": survey.answers,
            "answers_without_end_token": survey.endless, "longest": survey.longest[0],
            "longest_record": survey.longest[1], "max_length": survey.max_length,
            "bos": survey.encoder.tokenizer.bos_token if survey.encoder.bos is not None else None,
            "end_tokens": names(sorted(survey.ends)),
        }  # fmt: skip
    found = {text: {"times": n, "first_record": first} for text, (n, first) in survey.lookalikes.items()}
    return out | {"lookalikes": found}


def _print_record(one: RenderedRecord, encoder: Encoder | None, mask: bool) -> None:
    """Print one record: its spans, or its tokens if a mask is asked for."""
    parts = [f"record {one.number}", printable(one.record.id)]
    if one.row is not None:
        parts.append(_format_share(sum(high - low for low, high in one.row.trained_ranges), len(one.row.ids)))
    click.secho(f"── {' · '.join(part for part in parts if part)}", bold=True)
    if mask and encoder is not None and one.row is not None:
        from filial_plugins.render.survey import split_row

        shown = [(p.token if p.special else p.text, p.trained, p.special) for p in split_row(one.row, encoder)]
        click.echo(_paint([piece for piece in shown if piece[0]], SEPARATOR))
    else:
        named = _make_naming(encoder)
        spans = [(named(s.text) if s.special else s.text, s.train, False) for s in one.spans]
        click.echo(_paint([span for span in spans if span[0]], ""))
    if one.reason:
        click.secho(f"   would be dropped: {printable(one.reason)}: {printable(one.detail)}", fg="yellow")
    click.echo()


def _make_naming(encoder: Encoder | None) -> Any:
    """Return a function that writes ``{bos}`` and ``{eos}`` by the tokenizer's own names, if there is one."""
    if encoder is None:
        return str
    bos = encoder.tokenizer.bos_token if encoder.bos is not None else ""
    return lambda text: text.replace("{bos}", bos).replace("{eos}", encoder.tokenizer.eos_token or "{eos}")


def _paint(parts: list[tuple[str, bool, bool]], between: str) -> str:
    """Return parts, given as (text, trained, special), as one string.

    Trained parts are green, or in brackets without colour. Each end of line has a mark, to tell it from a wrapped line.
    """
    colour = _use_colour()
    out, before = [], False
    for i, (text, trained, special) in enumerate(parts):
        safe = "⏎\n".join(printable(line) for line in text.split("\n"))
        border = between if i else ""
        if colour:
            painted = click.style(safe, fg="green" if trained else None, bold=trained, reverse=special)
            out.append(click.style(border, dim=True) + painted)
        else:
            turned = (CLOSE if before else "") + border + (OPEN if trained else "") if trained != before else border
            out.append(turned + safe)
        before = trained
    return "".join(out) + (CLOSE if before and not colour else "")


def _use_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _format_share(trained: int, tokens: int) -> str:
    return f"{tokens:,} tokens, {trained:,} trained ({100 * trained / max(tokens, 1):.1f} %)"


def _print_summary(survey: Survey) -> None:
    """Print the totals of all records examined."""
    from filial.commands import grid

    lost = survey.dropped.total()
    whole = survey.records + survey.dropped["bad-line"]
    limit = f" at --max-length {survey.max_length:,}" if survey.max_length is not None else ""
    sure, which = "may" if survey.unchecked else "can", "the first " if survey.more else ""
    click.secho(
        f"── {which}{whole:,} records{limit}: {whole - lost:,} {sure} be trained on, {lost:,} cannot", bold=True
    )
    for title, text in [
        *_list_rest(survey),
        *_list_unchecked(survey),
        *_list_measures(survey),
        *_list_ends(survey),
        *_list_lookalikes(survey),
    ]:
        click.echo(_wrap(title, text))
    if lost:
        rows = [[reason, f"{n:,}", printable(survey.examples[reason])] for reason, n in survey.dropped.most_common()]
        click.echo()
        click.echo(grid(["dropped", "records", "the first of them"], rows, prose=True))


def _wrap(title: str, text: str) -> str:
    """Put text beside a title, within the width of tables."""
    width = min(100, max(80, shutil.get_terminal_size().columns))
    return textwrap.fill(
        text, width, initial_indent=f"{title:<14}", subsequent_indent=" " * 14, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _list_rest(survey: Survey) -> Iterator[tuple[str, str]]:
    """Yield that there are more records, and how to count them too."""
    if survey.more:
        yield "not looked at", "the records behind these; --count 0 looks at all"


def _list_unchecked(survey: Survey) -> Iterator[tuple[str, str]]:
    """Yield what training would check as well, and how to check it here."""
    if survey.unchecked:
        flag = "--tokenizer DIR" if survey.encoder is None else "--max-length N, the trainer's"
        yield "not counted", f"{', '.join(survey.unchecked)}; name {flag}, to see what training would leave out"


def _list_measures(survey: Survey) -> Iterator[tuple[str, str]]:
    """Yield the number of tokens, the trained ones, and the lengths of rows."""
    if not survey.lengths:
        return
    lengths, (size, number) = sorted(survey.lengths), survey.longest
    middle, most = lengths[(len(lengths) - 1) // 2], lengths[math.ceil(0.95 * len(lengths)) - 1]
    yield "tokens", _format_share(survey.trained_tokens, survey.tokens)
    yield "per record", f"median {middle:,}, 95 % up to {most:,}; the longest of all: {size:,}, record {number}"
    if survey.unknown:
        yield "careful", f"{survey.unknown:,} tokens are unknown: this tokenizer cannot spell the data"
    if survey.trained_tokens == survey.tokens:
        yield "careful", "every token is trained, so the prompts are as well"


def _list_ends(survey: Survey) -> Iterator[tuple[str, str]]:
    """Yield the tokens that begin a row and end an answer."""
    if survey.encoder is None or not survey.lengths:
        return
    tokenizer, (fewest, most) = survey.encoder.tokenizer, (min(survey.begins), max(survey.begins))
    if most == 0:
        yield "BOS", "none: neither template nor tokenizer puts one"
    else:
        often = {1: "once"}.get(most, f"{most} times") if fewest == most else f"{fewest} to {most} times"
        yield "BOS", f"{tokenizer.bos_token}, {often} in a row"
    names = " or ".join(tokenizer.convert_ids_to_tokens(sorted(survey.ends)))
    if survey.endless:
        yield "careful", f"{survey.endless:,} of {survey.answers:,} trained answers have no end token"
    else:
        yield "end", f"{names}, trained, after each of {survey.answers:,} trained answers"


def _list_lookalikes(survey: Survey) -> Iterator[tuple[str, str]]:
    """Yield text in data that looks like a control token."""
    found = sorted(survey.lookalikes.items(), key=lambda item: -item[1][0])
    named = found if len(found) <= LOOKALIKES + 1 else found[:LOOKALIKES]
    for text, (times, first) in named:
        what = "looks like a control token and stays text"
        yield "look-alike", f"{printable(text)} ×{times:,}, first in record {first}: {what}"
    if rest := found[len(named) :]:
        yield "look-alike", f"{len(rest):,} others ×{sum(times for _, (times, _) in rest):,}; --json names all"


render = PluginGroup("render", "templates", _run, "Show the text, tokens and loss mask of a template.")
