"""A model's own chat template, or a published format by name.

A chat template is a program that writes one string. To know which characters of it are data, the conversation is
rendered once with placeholders for the contents (`make_layout`, cached per sequence of roles), and the contents are
filled in. With a model's own template, the result is compared with what the template writes for the real conversation,
and the spans are used only if both are equal, so no change to the contents can go unnoticed. The named formats
(``formats/*.jinja``, each with its source) only strip contents, which the layout shows.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Literal

from pydantic import PrivateAttr

from filial import BEGIN, Field, Message, Record, Span, UsageError, hookimpl
from filial_plugins.templates import Conversational, check_turns, load_asking_template, select_trained
from filial_plugins.templates.layout import Layout, Renderer, find_chat_template, make_layout

Format = Literal[
    "tokenizer", "chatml", "gemma", "llama-2", "llama-3", "mistral", "mistral-v1", "phi-3", "qwen", "zephyr"
]  # fmt: skip
END_TOKEN = "the end token"
NEEDED_TOKENS: dict[str, tuple[str, ...]] = {
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "gemma": ("<start_of_turn>", "<end_of_turn>"),
    "llama-2": (END_TOKEN,),
    "llama-3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "mistral": ("[INST]", "[/INST]", END_TOKEN),
    "mistral-v1": (END_TOKEN,),
    "phi-3": ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    "qwen": ("<|im_start|>", "<|im_end|>"),
    "zephyr": (END_TOKEN,),
}
"""Special tokens a named format writes; without them a model could not be told where a turn ends."""


class Chat(Conversational):
    """The tokenizer's own chat template, or a published format by name. It needs a tokenizer (`bind`).

    The answers are trained, each with its end token, such as ``<|im_end|>``, and everything that the model has to write
    itself because the prompt does not contain it. Contents are plain text: control tokens' strings in them stay text.

    ``mistral`` is the format of Mistral's v3 tokenizers, ``qwen`` that of Qwen2.5 with its own system text. A named
    format begins with BOS if the tokenizer begins texts with it.
    """

    format: Format = Field("tokenizer", description="The tokenizer's own format, or one by name.")
    system_in_question: bool = Field(
        False, description="Put a system text before the first question, for formats without system turns."
    )
    _renderer: Renderer | None = PrivateAttr(None)
    _begin: tuple[Span, ...] = PrivateAttr(())
    _layouts: dict[tuple[str, ...], Layout] = PrivateAttr(default_factory=dict)

    def bind(self, tokenizer: Any) -> Chat:
        """Return this template for one tokenizer.

        Raises:
            UsageError: the tokenizer has no chat template, or lacks special tokens of the named format, or the template
                writes no end token after answers.
        """
        source = find_chat_template(tokenizer) if self.format == "tokenizer" else read_format(self.format)
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
        """Write the record with the chat template.

        Raises:
            UsageError: the template is not bound, refuses the conversation, or changes its contents.
        """
        if self._renderer is None:
            raise UsageError("the chat template needs a tokenizer; call bind(tokenizer) first")
        turns = tuple(check_turns(self.join_reasoning(record)))
        if turns[-1].role == "assistant" and not turns[-1].content:
            turns = turns[:-1]
        if self.system_in_question:
            turns = _move_system(turns)
        roles = tuple(turn.role for turn in turns)
        if "user" not in roles:
            raise UsageError("the conversation has no user turn")
        if "tool_call" in roles:
            raise UsageError("the chat template does not write tool calls; leave out records with them")
        layout = self._layouts.get(roles)
        if layout is None:
            layout = self._layouts[roles] = make_layout(roles, self._renderer)
        spans = layout.fill([turn.content for turn in turns], select_trained(turns, self.turns))
        if self.format == "tokenizer":
            self._check(spans, turns)
        return [*self._begin, *spans]

    def chat_template(self) -> str | None:
        """Return the tokenizer's own chat template, if bound to one, or that of the named format."""
        own = self._renderer.source if self._renderer is not None else None
        source = own if self.format == "tokenizer" else read_format(self.format)
        return load_asking_template("system-in-question") + source if source and self.system_in_question else source

    def _check(self, spans: list[Span], turns: tuple[Message, ...]) -> None:
        assert self._renderer is not None
        wanted = self._renderer([(t.role, t.content) for t in turns], prompt=turns[-1].role != "assistant")
        written = "".join(span.text for span in spans)
        if written != wanted:
            at = next((i for i, (a, b) in enumerate(zip(written, wanted, strict=False)) if a != b), len(written))
            raise UsageError(
                f"this chat template changes the text of a turn (at character {at}: {wanted[at : at + 20]!r}), so it "
                "is unknown which tokens are the answer; use format: chatml or another template"
            )


def read_format(name: str) -> str:
    """Return the Jinja text of a named format."""
    return (files(__package__) / "formats" / f"{name}.jinja").read_text(encoding="utf-8")


def _move_system(turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """Move a system text to the beginning of the first question."""
    if len(turns) < 2 or (turns[0].role, turns[1].role) != ("system", "user"):
        return turns
    return (Message("user", f"{turns[0].content}\n\n{turns[1].content}"), *turns[2:])


def _require_tokens(tokenizer: Any, renderer: Renderer, name: str) -> None:
    """Check that the control tokens of a named format are special tokens; a model must be able to end its answer."""
    missing = [t for t in NEEDED_TOKENS[name] if t != END_TOKEN and t not in renderer.special_tokens]
    if END_TOKEN in NEEDED_TOKENS[name] and tokenizer.eos_token is None:
        missing.append("an end token (eos_token)")
    if missing:
        raise UsageError(
            f"format {name} needs the special tokens {' and '.join(missing)}, which this tokenizer lacks; "
            "use the model's own chat template, another format, or plain, alpaca or vicuna"
        )


@hookimpl
def register_templates(register):  # type: ignore[no-untyped-def]
    register("chat", Chat)
