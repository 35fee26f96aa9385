"""The question only: no heading, no preamble, no role."""

from __future__ import annotations

from filial import BEGIN, Record, Span, hookimpl
from filial_plugins.templates import Conversational, make_answer_spans, split_exchanges


class Question(Conversational):
    """Only what a user would type: the instruction, and the input after a blank line.

    For encoder-decoder models such as FLAN-T5, which were trained on plain questions and write the answer in a
    separate decoder. If question and answer are one text, the model writes the blank line before an
    answer. System text and turns of a conversation are separated by blank lines.
    """

    def render(self, record: Record) -> list[Span]:
        """Write the record as bare text.

        Raises:
            UsageError: the turns of a conversation do not alternate.
        """
        system, rest = split_exchanges(self.join_reasoning(record), self.turns)
        spans = [BEGIN] if system is None else [BEGIN, Span(f"{system}\n\n")]
        for i, exchange in enumerate(rest):
            gap = "\n\n" if i else ""
            spans += [Span(f"{gap}{exchange.question}"), *make_answer_spans(exchange, blank="\n\n")]
        return spans


@hookimpl
def register_templates(register):  # type: ignore[no-untyped-def]
    register("question", Question)
