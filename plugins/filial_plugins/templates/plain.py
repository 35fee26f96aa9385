"""Instruction and response under plain headings, without a preamble."""

from __future__ import annotations

from filial import Record, Span, hookimpl
from filial_plugins.templates import Conversational
from filial_plugins.templates.headings import make_chat_template, render_headings

RESPONSE = "### Response:\n"


class Plain(Conversational):
    """Headings "### Instruction:", "### Input:" and "### Response:", each on its own line, and nothing else.

    The same text as alpaca-lora's "alpaca_short". Later turns of a conversation follow the end token after a blank
    line; a system text comes first, with a blank line after it.
    """

    def render(self, record: Record) -> list[Span]:
        """Write the record under its headings.

        Raises:
            UsageError: the turns of a conversation do not alternate.
        """
        return render_headings(self.join_reasoning(record), self.turns, None, RESPONSE)

    def chat_template(self) -> str:
        """Return the same format as a chat template; a chat message has no separate input."""
        return make_chat_template(None, RESPONSE)


@hookimpl
def register_templates(register):  # type: ignore[no-untyped-def]
    register("plain", Plain)
