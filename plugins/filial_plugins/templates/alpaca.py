"""Stanford Alpaca's prompt: a preamble, the instruction, the input if any, the response.

The wording is a format constant of tatsu-lab/stanford_alpaca, ``PROMPT_DICT`` in train.py (Apache-2.0): a model tuned
on it answers no other prompt as well.
"""

from __future__ import annotations

from filial import Field, Record, Span, hookimpl
from filial_plugins.templates import Conversational
from filial_plugins.templates.headings import make_chat_template, render_headings

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
)


class Alpaca(Conversational):
    """Stanford Alpaca's prompt, with and without input.

    The original has single turns only. Here later turns of a conversation follow the end token after a blank line,
    without the preamble; a system text replaces the preamble.
    """

    newline_after_response: bool = Field(
        False, description='Write "### Response:" with a newline after it, as alpaca-lora does.'
    )

    def render(self, record: Record) -> list[Span]:
        """Write the record as Alpaca text. An input is written if it is not empty; white space counts.

        Raises:
            UsageError: the turns of a conversation do not alternate.
        """
        preamble = WITH_INPUT if record.input else WITHOUT_INPUT
        return render_headings(self.join_reasoning(record), self.turns, preamble, self._response)

    def chat_template(self) -> str:
        """Return the same format as a chat template; a chat message has no separate input."""
        return make_chat_template(WITHOUT_INPUT, self._response)

    @property
    def _response(self) -> str:
        return "### Response:\n" if self.newline_after_response else "### Response:"


@hookimpl
def register_templates(register):  # type: ignore[no-untyped-def]
    register("alpaca", Alpaca)
