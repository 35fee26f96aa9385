"""Vicuna v1.1: "USER: ... ASSISTANT: ...</s>" after a system text.

Format and system text are those of lm-sys/FastChat, ``vicuna_v1.1`` in fastchat/conversation.py (Apache-2.0). The
original masks by counting the tokens of pieces with constants that fit Llama's vocabulary; here the mask comes from
spans, so it is right for any tokenizer and for data that contains the separators.
"""

from __future__ import annotations

from filial import BEGIN, Field, Record, Span, hookimpl
from filial_plugins.templates import Conversational, load_asking_template, make_answer_spans, split_exchanges

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


class Vicuna(Conversational):
    """Vicuna v1.1. The end token is the tokenizer's own ("</s>" in the original).

    The blank before an answer is trained with it: the prompt ends with "ASSISTANT:", so the model writes that blank.
    """

    system: str = Field(SYSTEM, description="System text for records without one.")

    def render(self, record: Record) -> list[Span]:
        """Write the record as Vicuna text. An empty turn is its role and colon alone, as in the original.

        Raises:
            UsageError: the turns of a conversation do not alternate.
        """
        system, rest = split_exchanges(self.join_reasoning(record), self.turns)
        spans = [BEGIN, Span(f"{self.system if system is None else system} ")]
        for exchange in rest:
            asked = f"USER: {exchange.question} " if exchange.question else "USER:"
            spans.append(Span(f"{asked}ASSISTANT:"))
            if exchange.answer:
                spans += make_answer_spans(exchange, blank=" ")
        return spans

    def chat_template(self) -> str:
        """Return the same format as a chat template."""
        return load_asking_template("vicuna", system=self.system)


@hookimpl
def register_templates(register):  # type: ignore[no-untyped-def]
    register("vicuna", Vicuna)
