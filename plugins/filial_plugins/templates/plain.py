"""Instruction and response under plain headings, without a preamble."""

from __future__ import annotations

from filial import BEGIN, Record, Span, hookimpl
from filial_plugins.templates import Conversational, answered, exchanges


class Plain(Conversational):
    """Headings "### Instruction:", "### Input:" and "### Response:", each on its own line, and nothing else.

    The same text as alpaca-lora's "alpaca_short". Later turns of a conversation follow the end token after a blank
    line; a system text stands first, with a blank line after it.
    """

    def render(self, record: Record) -> list[Span]:
        """The record under its headings.

        Raises:
            UsageError: the turns of a conversation do not alternate.
        """
        system, rest = exchanges(record, self.turns)
        spans = [BEGIN]
        if system is not None:
            spans.append(Span(f"{system}\n\n"))
        for i, exchange in enumerate(rest):
            question = exchange.question
            if record.input:
                question = f"{record.instruction}\n\n### Input:\n{record.input}"
            gap = "\n\n" if i else ""
            spans.append(Span(f"{gap}### Instruction:\n{question}\n\n### Response:\n"))
            spans += answered(exchange)
        return spans


@hookimpl
def register_templates(register):  # type: ignore[no-untyped-def]
    register("plain", Plain)
