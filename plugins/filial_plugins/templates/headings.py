"""Instruction, input and response under headings: what `alpaca` and `plain` share."""

from __future__ import annotations

from filial import BEGIN, Record, Span
from filial_plugins.templates import Turns, answered, asking, exchanges


def headed(record: Record, turns: Turns, preamble: str | None, response: str) -> list[Span]:
    """A record under its headings. An input counts as one if it is not empty, blanks included.

    Args:
        preamble: stands first; a system text takes its place.
        response: the heading of answers, up to where they begin.

    Raises:
        UsageError: the turns of a conversation do not alternate.
    """
    system, rest = exchanges(record, turns)
    first = preamble if system is None else system
    spans = [BEGIN] if first is None else [BEGIN, Span(f"{first}\n\n")]
    for i, exchange in enumerate(rest):
        question = exchange.question
        if record.input:
            question = f"{record.instruction}\n\n### Input:\n{record.input}"
        gap = "\n\n" if i else ""
        spans.append(Span(f"{gap}### Instruction:\n{question}\n\n{response}"))
        spans += answered(exchange)
    return spans


def headed_chat(preamble: str | None, response: str) -> str:
    """The chat template of the same; a chat message has no input of its own."""
    return asking("headed", preamble="" if preamble is None else f"{preamble}\n\n", response=response)
