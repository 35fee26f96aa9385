"""Instruction, input and response under headings: shared by `alpaca` and `plain`."""

from __future__ import annotations

from filial import BEGIN, Record, Span
from filial_plugins.templates import Turns, load_asking_template, make_answer_spans, split_exchanges


def render_headings(record: Record, turns: Turns, preamble: str | None, response: str) -> list[Span]:
    """Write a record under its headings. An input is written if it is not empty; white space counts.

    Args:
        preamble: comes first; a system text replaces it.
        response: the heading of answers, up to where they begin.

    Raises:
        UsageError: the turns of a conversation do not alternate.
    """
    system, rest = split_exchanges(record, turns)
    first = preamble if system is None else system
    spans = [BEGIN] if first is None else [BEGIN, Span(f"{first}\n\n")]
    for i, exchange in enumerate(rest):
        question = exchange.question
        if record.input:  # only a record without messages has one, and that is a single exchange
            question = f"{record.instruction}\n\n### Input:\n{record.input}"
        gap = "\n\n" if i else ""
        spans.append(Span(f"{gap}### Instruction:\n{question}\n\n{response}"))
        spans += make_answer_spans(exchange)
    return spans


def make_chat_template(preamble: str | None, response: str) -> str:
    """Return a chat template with the same headings; a chat message has no separate input."""
    return load_asking_template("headed", preamble="" if preamble is None else f"{preamble}\n\n", response=response)
