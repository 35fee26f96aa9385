"""The model card: a README in the model's folder that says how the model was made, with all figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from filial import Template, __version__

FIGURES = ("loss", "heldout_loss", "stop_rate", "steps", "epochs", "seconds", "tokens_seen", "rows", "trained_tokens")


CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
base_model: {base}
tags: [filial, instruction-tuning, {trainer}]
---

# {name}

{method} of `{base}` with filial {version}, trainer `{trainer}`.

    filial ask transformers "What can you do?" --model {name}

![Loss](loss.svg)

## Figures

| | |
|---|---|
{figures}

{samples}## Data

SHA-256 of the training file: `{data}`

{rows} rows{dropped}. Template: {template}. The model answers well only when it is asked with the same one;
`filial_template.json` names it, and filial uses it by itself.

## Options

Seed {seed}. What is not listed has its default.

| option | value |
|---|---|
{options}
"""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a card says besides the figures.

    Attributes:
        base: the model that was trained.
        data: SHA-256 of the training file.
        options: options of the trainer, as in a recipe.
        method: how it was trained, in a few words.
    """

    trainer: str
    base: str
    data: str
    template: Template
    options: Mapping[str, Any]
    seed: int
    method: str


def render_card(name: str, card: ModelCard, figures: Mapping[str, Any]) -> str:
    """Return the text of README.md, with the header that model hubs read."""
    return CARD.format(
        name=name, base=card.base, trainer=card.trainer, method=card.method, version=__version__, data=card.data,
        seed=card.seed, template=_describe_template(card.template), samples=_render_samples(figures),
        dropped=_list_dropped(figures),
        rows=f"{figures.get('rows', 0):,}",
        figures="\n".join(f"| {_make_label(k)} | {_format_number(figures[k])} |" for k in FIGURES if k in figures),
        options="\n".join(f"| `{k}` | `{_format_value(v)}` |" for k, v in card.options.items()),
    )  # fmt: skip


def _describe_template(template: Template) -> str:
    chosen = _format_value(template.model_dump(mode="json"))
    return f"`{type(template).__name__}`" + (f" ({chosen})" if chosen else "")


def _render_samples(figures: Mapping[str, Any]) -> str:
    """Return sample answers as Markdown quotations."""
    shown = [f"> **{_quote(s['question'])}**\n>\n> {_quote(s['answer'])}" for s in figures.get("samples", ())]
    return "\n\n".join(["Answers to held-out questions:", *shown]) + "\n\n" if shown else ""


def _quote(text: str, most: int = 500) -> str:
    """Quote text from data, at most ``most`` characters, with all Markdown characters escaped."""
    plain = "".join("\\" + c if c in "\\`*_{}[]<>#|!" else c for c in text[:most].strip())
    return plain.replace("\n", "\n> ") + (" …" if len(text) > most else "")


def _list_dropped(figures: Mapping[str, Any]) -> str:
    dropped = figures.get("dropped") or {}
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
    return f"; left out: {reasons}" if reasons else ""


def _make_label(name: str) -> str:
    return name.replace("_", " ").replace("heldout", "held-out")


def _format_number(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def _format_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_format_value(v)}" for k, v in value.items() if v not in (None, "", [], {}))
    return str(value)
