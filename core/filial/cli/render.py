"""``filial render TEMPLATE DATA``: the text a model will see, and which of its tokens are trained."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from filial.cli.common import manager, print_json
from filial.cli.plugincommands import Invoke, PluginGroup
from filial.cli.progress import printable


def _make() -> tuple[Invoke, list[click.Parameter]]:
    parameters: list[click.Parameter] = [
        click.Argument(["data"], metavar="DATA"),
        click.Option(["--tokenizer"], metavar="DIR", help="Folder of a tokenizer; needed for --mask and for chat."),
        click.Option(["--mask"], is_flag=True, help="Show the tokens, trained ones marked."),
        click.Option(["--limit"], type=click.IntRange(1), default=3, show_default=True, help="Records to show."),
        click.Option(["--format"], default="auto", show_default=True, help="Format of DATA."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print spans (and tokens) as JSON."),
    ]
    return _call, parameters


def _call(
    ctx: click.Context, name: str, chosen: Any, data: str, tokenizer: str | None, mask: bool, limit: int,
    format: str, as_json: bool,
) -> int:  # fmt: skip
    from filial.components import Template
    from filial.errors import UsageError
    from filial.resources import resolve
    from filial.stages.assemble import read
    from filial.stages.blame import blamed

    encoder = None
    if tokenizer is not None:
        from filial.labels import Encoder
        from filial.models import load_tokenizer

        loaded = load_tokenizer(resolve(tokenizer))
        chosen, encoder = chosen.bind(loaded), Encoder(loaded)
    elif mask:
        raise UsageError("--mask shows tokens; name a tokenizer with --tokenizer DIR")
    elif type(chosen).bind is not Template.bind:
        raise UsageError(f"the template {name!r} is made of a tokenizer's own tokens; name one with --tokenizer DIR")
    shown = []
    for number, record in enumerate(read(data, Path.cwd(), format=format, limit=limit), 1):
        with blamed(manager(ctx).provenance("templates", name), "render"):
            spans = chosen.render(record)
        encoded = encoder.encode(spans) if encoder else None
        if as_json:
            shown.append(_row(record, spans, encoded))
        else:
            _print(number, record, spans, encoded, mask)
    if as_json:
        print_json(shown)
    return 0


def _row(record: Any, spans: Any, encoded: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": record.id,
        "spans": [{"text": s.text, "train": s.train, "special": s.special} for s in spans],
    }
    if encoded is not None:
        row |= {"ids": encoded.ids, "trained": encoded.trained}
    return row


def _print(number: int, record: Any, spans: Any, encoded: Any, mask: bool) -> None:
    """One record: spans, or tokens with borders when a mask is asked for. Trained text is green and underlined."""
    click.secho(f"── record {number}  {record.id}", dim=True)
    if encoded is None or not mask:
        for span in spans:
            click.echo(_painted(span.text, span.train), nl=False)
        click.echo("\n")
    else:
        for text, trained in pieces(encoded):
            click.echo(_painted(text, trained, border=True), nl=False)
        click.echo("\n")
    if encoded is not None:
        count, whole = sum(encoded.trained), len(encoded.ids)
        click.secho(f"   {whole} tokens, {count} trained ({100 * count / max(whole, 1):.0f} %)", dim=True)


def pieces(encoded: Any) -> list[tuple[str, bool]]:
    """(text, trained) per token; tokens that share one character (bytes of it) come as one piece."""
    out: list[tuple[str, bool]] = []
    last = None
    for (start, end), trained in zip(encoded.offsets, encoded.trained, strict=True):
        if (start, end) != last or start == end:
            out.append((encoded.text[start:end], trained))
        last = (start, end)
    return out


def _painted(text: str, trained: bool, border: bool = False) -> str:
    safe = "\n".join(printable(line) for line in text.split("\n"))
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    if not colour:
        return f"⟦{safe}⟧" if trained and safe else safe + ("|" if border else "")
    return click.style(safe, fg="green" if trained else None, underline=trained) + (
        click.style("|", dim=True) if border else ""
    )


render = PluginGroup("render", "templates", _make, "Show the text, tokens and loss mask of a template.")
