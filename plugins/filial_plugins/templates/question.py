"""The question as it stands: no heading, no preamble, no role."""

from __future__ import annotations

from filial import BEGIN, Record, Span, hookimpl
from filial_plugins.templates import Conversational, make_answer_spans, split_exchanges


class Question(Conversational):
    """What a user would type, and nothing round it: the instruction, and the input after a blank line.

    Made for encoder-decoder models such as FLAN-T5, which were trained on bare questions and begin an answer in a
    decoder of their own. Where one text holds question and answer, the blank line before an answer is the model's to
    write. Turns of a conversation, and a system text, stand one after the other with blank lines between.
    """

    def render(self, record: Record) -> list[Span]:
        """Write the record as bare text.

        Raises:
            UsageError: the turns of a conversation do not alternate.
        """
        system, rest = split_exchanges(record, self.turns)
        spans = [BEGIN] if system is None else [BEGIN, Span(f"{system}\n\n")]
        for i, exchange in enumerate(rest):
            gap = "\n\n" if i else ""
            spans += [Span(f"{gap}{exchange.question}"), *make_answer_spans(exchange, blank="\n\n")]
        return spans


@hookimpl
def register_templates(register):  # type: ignore[no-untyped-def]
    register("question", Question)
