"""A model's own chat template, or a named one.

A chat template is a program that writes one string. To know which characters of it are data, the conversation is
rendered once with place-holders for the contents (`layout`, kept per sequence of roles), the contents are put in, and
the result is compared with what the chat template writes for the real conversation. Only if both are equal are the
spans used: what a template does to its contents cannot go unnoticed.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import PrivateAttr

from filial import Field, Message, Record, Span, Template, UsageError, hookimpl
from filial_plugins.templates.layout import Layout, Renderer, lay_out

# A format constant: github.com/openai/openai-python/blob/release-v0.28.1/chatml.md. The newlines after a turn are
# written as strings, because the environment trims the ones that follow a block.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
NAMED = {"chatml": CHATML}


class Chat(Template):
    """The tokenizer's own chat template, or a named one. It needs a tokenizer (`bind`).

    Trained are every answer and the control text up to and including its end token, such as ``<|im_end|>``. Contents
    are plain text: control tokens' strings in them stay text.
    """

    format: Literal["tokenizer", "chatml"] = Field(
        "tokenizer", description="Whose format: the tokenizer's own, or one by name."
    )
    _renderer: Renderer | None = PrivateAttr(None)
    _layouts: dict[tuple[str, ...], Layout] = PrivateAttr(default_factory=dict)

    def bind(self, tokenizer: Any) -> Chat:
        """This template for one tokenizer.

        Raises:
            UsageError: the tokenizer has no chat template, or answers have no end token in it.
        """
        source = NAMED.get(self.format) or getattr(tokenizer, "chat_template", None)
        if source is None:
            raise UsageError(
                "this model's tokenizer has no chat template; use template plain, alpaca or vicuna, "
                "or chat with format: chatml"
            )
        if self.format != "tokenizer":
            _require_tokens(tokenizer, self.format)
        bound = self.model_copy()
        bound._layouts = {}
        bound._renderer = Renderer(tokenizer, source)
        bound.render(Record(instruction="question", output="answer"))
        return bound

    def render(self, record: Record) -> list[Span]:
        """The record as the chat template writes it.

        Raises:
            UsageError: the template is not bound, refuses the conversation, or changes its contents.
        """
        if self._renderer is None:
            raise UsageError("the chat template needs a tokenizer; call bind(tokenizer) first")
        turns = record.turns()
        if turns[-1].role == "assistant" and not turns[-1].content:
            turns = turns[:-1]
        roles = tuple(turn.role for turn in turns)
        if "tool_call" in roles:
            raise UsageError("the chat template writes no tool calls; leave such records out")
        layout = self._layouts.get(roles)
        if layout is None:
            layout = self._layouts[roles] = lay_out(roles, self._renderer)
        return self._filled(layout, turns)

    def _filled(self, layout: Layout, turns: tuple[Message, ...]) -> list[Span]:
        assert self._renderer is not None
        spans = layout.filled([turn.content for turn in turns])
        wanted = self._renderer([(t.role, t.content) for t in turns], prompt=turns[-1].role != "assistant")
        written = "".join(span.text for span in spans)
        if written != wanted:
            at = next((i for i, (a, b) in enumerate(zip(written, wanted, strict=False)) if a != b), len(written))
            raise UsageError(
                f"this chat template changes what a turn says (at character {at}: {wanted[at : at + 20]!r}), so it "
                "cannot be told which tokens are the answer; use format: chatml or another template"
            )
        return spans


def _require_tokens(tokenizer: Any, name: str) -> None:
    """A named format's control tokens must be tokens, or the model could never be told to stop."""
    known = tokenizer.all_special_tokens + list(tokenizer.get_added_vocab())
    missing = [t for t in ("<|im_start|>", "<|im_end|>") if t not in known]
    if missing:
        raise UsageError(
            f"format {name} needs the special tokens {' and '.join(missing)}, which this tokenizer lacks; "
            "use the model's own chat template, or plain, alpaca or vicuna"
        )


@hookimpl
def register_templates(register):  # type: ignore[no-untyped-def]
    register("chat", Chat)
