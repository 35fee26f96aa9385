"""The model card: a README in the model's folder that says how the model came about, with all figures."""

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

{way} of `{base}` with filial {version}, trainer `{trainer}`.

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
class Story:
    """What a card tells beside the figures.

    Attributes:
        base: the model that was tuned.
        data: SHA-256 of the training file.
        options: the trainer's, as a recipe would give them.
        way: what was trained, in a few words.
    """

    trainer: str
    base: str
    data: str
    template: Template
    options: Mapping[str, Any]
    seed: int
    way: str


def card(name: str, story: Story, figures: Mapping[str, Any]) -> str:
    """The text of README.md, with the header that model hubs read."""
    return CARD.format(
        name=name, base=story.base, trainer=story.trainer, way=story.way, version=__version__, data=story.data,
        seed=story.seed, template=_template(story.template), samples=_samples(figures), dropped=_dropped(figures),
        rows=f"{figures.get('rows', 0):,}",
        figures="\n".join(f"| {_words(k)} | {_number(figures[k])} |" for k in FIGURES if k in figures),
        options="\n".join(f"| `{k}` | `{_told(v)}` |" for k, v in story.options.items()),
    )  # fmt: skip


def _template(template: Template) -> str:
    chosen = _told(template.model_dump(mode="json"))
    return f"`{type(template).__name__}`" + (f" ({chosen})" if chosen else "")


def _samples(figures: Mapping[str, Any]) -> str:
    """Some answers to held-out questions, as they are."""
    shown = [f"> **{_quoted(s['question'])}**\n>\n> {_quoted(s['answer'])}" for s in figures.get("samples", ())]
    return "\n\n".join(["Answers to held-out questions:", *shown]) + "\n\n" if shown else ""


def _quoted(text: str, most: int = 500) -> str:
    """Text from data inside a quotation, bounded, with nothing in it that Markdown would act on."""
    plain = "".join("\\" + c if c in "\\`*_{}[]<>#|!" else c for c in text[:most].strip())
    return plain.replace("\n", "\n> ") + (" …" if len(text) > most else "")


def _dropped(figures: Mapping[str, Any]) -> str:
    dropped = figures.get("dropped") or {}
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
    return f"; left out: {reasons}" if reasons else ""


def _words(name: str) -> str:
    return name.replace("_", " ").replace("heldout", "held-out")


def _number(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_told(v)}" for k, v in value.items() if v not in (None, "", [], {}))
    return str(value)
