"""From the messages of a request to the tokens a local model reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from filial import Message, Record, Request, TeacherError, Template, UsageError
from filial.labels import Encoder, Unencodable
from filial_plugins.templates.layout import Renderer, lay_out, own_template

Read = Callable[[Sequence[Message], str], list[int]]
"""How a conversation becomes tokens; the text is what its last question keeps apart as input (`Request.input`)."""

SCHEMA = "Answer with JSON alone, with nothing before or after it. The JSON must satisfy this JSON Schema:\n"


def messages_of(request: Request) -> tuple[Message, ...]:
    """The messages of a request, the schema it asks for put in words at the end of the last user message."""
    turns = request.messages
    if request.schema is None:
        return turns
    told = SCHEMA + msgspec.json.encode(request.schema).decode()
    last = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=None)
    if last is None:
        return (*turns, Message(role="user", content=told))
    asked = Message(role="user", content=f"{turns[last].content}\n\n{told}")
    return (*turns[:last], asked, *turns[last + 1 :])


def read(request: Request, how: Read) -> list[int]:
    """The tokens of a request.

    Raises:
        TeacherError: it is empty, is no Unicode text, or does not fit into the model's form of a conversation.
    """
    turns = messages_of(request)
    if any(turn.tool_calls or turn.tool_call_id for turn in turns):
        raise TeacherError("unfit-conversation", "this teacher reads no calls of tools; leave such records out")
    if not any(turn.content.strip() for turn in turns):
        raise TeacherError("empty-prompt", "the messages say nothing")
    try:
        for turn in turns:
            turn.content.encode()
        ids = how(turns, request.input)
    except UnicodeEncodeError:
        raise TeacherError("not-unicode", "the prompt holds a lone surrogate; clean the record") from None
    except (UsageError, Unencodable) as error:
        raise TeacherError("unfit-conversation", str(error)) from error
    if not ids:
        raise TeacherError("empty-prompt", "the tokenizer makes no token of the messages")
    return ids


def as_text(tokenizer: Any) -> Read:
    """All that was said, with blank lines between, as the tokenizer reads any text."""

    def read(turns: Sequence[Message], given: str) -> list[int]:
        text = "\n\n".join(turn.content for turn in turns)
        # Special tokens' strings in a user's text stay text.
        return list(tokenizer(text, split_special_tokens=True, verbose=False)["input_ids"])

    return read


def as_chat(tokenizer: Any, *, closed: bool = False) -> Read:
    """The tokenizer's own chat template, up to where the answer begins.

    Args:
        closed: whether the tokens follow that the tokenizer puts behind a text, as an encoder reads it.

    Raises:
        UsageError: it has none, or is a slow tokenizer.
    """
    source = own_template(tokenizer)
    if source is None:
        raise UsageError("this model's tokenizer has no chat template; use chat: plain")
    render, encoder = Renderer(tokenizer, source), Encoder(tokenizer)
    closing = encoder.closing if closed else []

    def read(turns: Sequence[Message], given: str) -> list[int]:
        said = [(turn.role, turn.content) for turn in turns]
        layout = lay_out([turn.role for turn in turns], render, to_train=False)
        spans = layout.filled([turn.content for turn in turns])
        if "".join(span.text for span in spans) != render(said, prompt=turns[-1].role != "assistant"):
            raise UsageError("this chat template changes what a turn says; use chat: plain")
        return encoder.encode(spans).ids + closing

    return read


def as_trained(tokenizer: Any, template: Template, *, closed: bool = False) -> Read:
    """The template that filial trained the model with; ``closed`` as for `as_chat`."""
    bound, encoder = template.bind(tokenizer), Encoder(tokenizer)
    closing = encoder.closing if closed else []

    def read(turns: Sequence[Message], given: str) -> list[int]:
        return encoder.encode(bound.render(_asked(turns, given))).ids + closing

    return read


def _asked(turns: Sequence[Message], given: str) -> Record:
    """What is asked, as a record: templates write an input in a place of its own."""
    *system, question = turns
    if question.role != "user" or [turn.role for turn in system] not in ([], ["system"]):
        return Record(messages=tuple(turns))
    instruction = question.content.removesuffix(f"\n\n{given}") if given else question.content
    return Record(
        instruction=instruction, input=given if instruction != question.content else "",
        system=system[0].content if system else "",
    )  # fmt: skip
