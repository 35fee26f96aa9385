"""A model's own chat template, or a published format by name.

A chat template is a program that writes one string. To know which characters of it are data, the conversation is
rendered once with place-holders for the contents (`layout`, kept per sequence of roles), and the contents are put in.
With a model's own template the result is compared with what the template writes for the real conversation, and only
if both are equal are the spans used: what a template does to its contents cannot go unnoticed. The named formats
(``formats/*.jinja``, each with the place where it is published) do nothing but strip, which the layout shows.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

from pydantic import PrivateAttr

from filial import BEGIN, Field, Message, Record, Span, UsageError, hookimpl
from filial_plugins.templates import Conversational, asking, trained, writable
from filial_plugins.templates.layout import Layout, Renderer, lay_out, own_template

Format = Literal[
    "tokenizer", "chatml", "gemma", "llama-2", "llama-3", "mistral", "mistral-v1", "phi-3", "qwen", "zephyr"
]  # fmt: skip
EOS = "the end token"
NEEDS: dict[str, tuple[str, ...]] = {
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "gemma": ("<start_of_turn>", "<end_of_turn>"),
    "llama-2": (EOS,),
    "llama-3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "mistral": ("[INST]", "[/INST]", EOS),
    "mistral-v1": (EOS,),
    "phi-3": ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    "qwen": ("<|im_start|>", "<|im_end|>"),
    "zephyr": (EOS,),
}
"""Special tokens a named format writes; without them a model could not be told where a turn ends."""


class Chat(Conversational):
    """The tokenizer's own chat template, or a published format by name. It needs a tokenizer (`bind`).

    Trained are the answers, each with its end token, such as ``<|im_end|>``, and what else the model has to write
    itself because the prompt does not hold it. Contents are plain text: control tokens' strings in them stay text.

    ``mistral`` is the format of Mistral's v3 tokenizers, ``qwen`` that of Qwen2.5 with its own system text. A named
    format begins with BOS where the tokenizer begins texts with it.
    """

    format: Format = Field("tokenizer", description="Whose format: the tokenizer's own, or one by name.")
    system_in_question: bool = Field(
        False, description="Put a system text before the first question, for formats without system turns."
    )
    _renderer: Renderer | None = PrivateAttr(None)
    _begin: tuple[Span, ...] = PrivateAttr(())
    _layouts: dict[tuple[str, ...], Layout] = PrivateAttr(default_factory=dict)

    def bind(self, tokenizer: Any) -> Chat:
        """This template for one tokenizer.

        Raises:
            UsageError: the tokenizer has no chat template, or lacks special tokens of the named format, or answers
                have no end token in it.
        """
        source = own_template(tokenizer) if self.format == "tokenizer" else text_of(self.format)
        if source is None:
            raise UsageError(
                "this model's tokenizer has no chat template; use template plain, alpaca or vicuna, "
                "or chat with a named format such as chatml"
            )
        bound = self.model_copy()
        bound._layouts = {}
        bound._renderer = Renderer(tokenizer, source)
        if self.format != "tokenizer":
            _require_tokens(tokenizer, bound._renderer, self.format)
            bound._begin = () if "bos_token" in source else (BEGIN,)
        bound.render(Record(instruction="question", output="answer"))
        return bound

    def render(self, record: Record) -> list[Span]:
        """The record as the chat template writes it.

        Raises:
            UsageError: the template is not bound, refuses the conversation, or changes its contents.
        """
        if self._renderer is None:
            raise UsageError("the chat template needs a tokenizer; call bind(tokenizer) first")
        turns = tuple(writable(record))
        if turns[-1].role == "assistant" and not turns[-1].content:
            turns = turns[:-1]
        if self.system_in_question:
            turns = _system_moved(turns)
        roles = tuple(turn.role for turn in turns)
        if "user" not in roles:
            raise UsageError("the conversation has no user turn")
        if "tool_call" in roles:
            raise UsageError("the chat template writes no tool calls; leave such records out")
        layout = self._layouts.get(roles)
        if layout is None:
            layout = self._layouts[roles] = lay_out(roles, self._renderer)
        spans = layout.filled([turn.content for turn in turns], trained(turns, self.turns))
        if self.format == "tokenizer":
            self._check(spans, turns)
        return [*self._begin, *spans]

    def chat_template(self) -> str | None:
        """The tokenizer's own, where bound to one, or that of the named format."""
        own = self._renderer.source if self._renderer is not None else None
        source = own if self.format == "tokenizer" else text_of(self.format)
        return asking("system-in-question") + source if source and self.system_in_question else source

    def _check(self, spans: list[Span], turns: tuple[Message, ...]) -> None:
        assert self._renderer is not None
        wanted = self._renderer([(t.role, t.content) for t in turns], prompt=turns[-1].role != "assistant")
        written = "".join(span.text for span in spans)
        if written != wanted:
            at = next((i for i, (a, b) in enumerate(zip(written, wanted, strict=False)) if a != b), len(written))
            raise UsageError(
                f"this chat template changes what a turn says (at character {at}: {wanted[at : at + 20]!r}), so it "
                "cannot be told which tokens are the answer; use format: chatml or another template"
            )


def text_of(name: str) -> str:
    """The Jinja text of a named format."""
    return (files(__package__) / "formats" / f"{name}.jinja").read_text(encoding="utf-8")


def _system_moved(turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """The turns with a system text at the head of the first question."""
    if len(turns) < 2 or (turns[0].role, turns[1].role) != ("system", "user"):
        return turns
    return (Message("user", f"{turns[0].content}\n\n{turns[1].content}"), *turns[2:])


def _require_tokens(tokenizer: Any, renderer: Renderer, name: str) -> None:
    """A named format's control tokens must be special tokens, or the model could never be told to stop."""
    missing = [t for t in NEEDS[name] if t != EOS and t not in renderer.special_tokens]
    if EOS in NEEDS[name] and tokenizer.eos_token is None:
        missing.append("an end token (eos_token)")
    if missing:
        raise UsageError(
            f"format {name} needs the special tokens {' and '.join(missing)}, which this tokenizer lacks; "
            "use the model's own chat template, another format, or plain, alpaca or vicuna"
        )


@hookimpl
def register_templates(register):  # type: ignore[no-untyped-def]
    register("chat", Chat)
