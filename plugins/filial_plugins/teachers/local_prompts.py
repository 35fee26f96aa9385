"""Convert the messages of a request to the tokens that a local model reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from filial import Message, Record, Request, TeacherError, Template, UsageError
from filial.labels import Encoder, Unencodable
from filial_plugins.templates.layout import Renderer, find_chat_template, make_layout

Reader = Callable[[Sequence[Message], str], list[int]]
"""How a conversation becomes tokens; the text is what its last question keeps apart as input (`Request.input`)."""

SCHEMA = "Answer with JSON alone, with nothing before or after it. The JSON must satisfy this JSON Schema:\n"


def add_schema(request: Request) -> tuple[Message, ...]:
    """Return the messages of a request, with its JSON Schema in words at the end of the last user message."""
    turns = request.messages
    if request.schema is None:
        return turns
    schema = SCHEMA + msgspec.json.encode(request.schema).decode()
    last = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=None)
    if last is None:
        return (*turns, Message(role="user", content=schema))
    asked = Message(role="user", content=f"{turns[last].content}\n\n{schema}")
    return (*turns[:last], asked, *turns[last + 1 :])


def read_request(request: Request, how: Reader) -> list[int]:
    """Return the tokens of a request.

    Raises:
        TeacherError: it is empty, is not valid Unicode, or does not fit the model's form of a conversation.
    """
    turns = add_schema(request)
    if any(turn.tool_calls or turn.tool_call_id for turn in turns):
        raise TeacherError("unfit-conversation", "this teacher does not read tool calls; leave out records with them")
    if not any(turn.content.strip() for turn in turns):
        raise TeacherError("empty-prompt", "the messages are empty")
    try:
        for turn in turns:
            turn.content.encode()
        ids = how(turns, request.input)
    except UnicodeEncodeError:
        raise TeacherError("not-unicode", "the prompt contains a lone surrogate; clean the record") from None
    except (UsageError, Unencodable) as error:
        raise TeacherError("unfit-conversation", str(error)) from error
    if not ids:
        raise TeacherError("empty-prompt", "the tokenizer returns no token for the messages")
    return ids


def make_text_reader(tokenizer: Any) -> Reader:
    """Make a reader of plain text: all contents, separated by blank lines."""

    def read(turns: Sequence[Message], given: str) -> list[int]:
        text = "\n\n".join(turn.content for turn in turns)
        # Special tokens' strings in a user's text stay text.
        return list(tokenizer(text, split_special_tokens=True, verbose=False)["input_ids"])

    return read


def make_chat_reader(tokenizer: Any, *, closed: bool = False) -> Reader:
    """Make a reader that writes the tokenizer's own chat template, up to where the answer begins.

    Args:
        closed: whether to add the tokens that the tokenizer puts after a text, as an encoder expects.

    Raises:
        UsageError: there is no chat template, or the tokenizer is slow.
    """
    source = find_chat_template(tokenizer)
    if source is None:
        raise UsageError("this model's tokenizer has no chat template; use chat: plain")
    render, encoder = Renderer(tokenizer, source), Encoder(tokenizer)
    closing = encoder.closing if closed else []

    def read(turns: Sequence[Message], given: str) -> list[int]:
        said = [(turn.role, turn.content) for turn in turns]
        layout = make_layout([turn.role for turn in turns], render, to_train=False)
        spans = layout.fill([turn.content for turn in turns])
        if "".join(span.text for span in spans) != render(said, prompt=turns[-1].role != "assistant"):
            raise UsageError("this chat template changes the text of a turn; use chat: plain")
        return encoder.encode(spans).ids + closing

    return read


def make_template_reader(tokenizer: Any, template: Template, *, closed: bool = False) -> Reader:
    """Make a reader that writes the template filial trained the model with; ``closed`` as in `make_chat_reader`."""
    bound, encoder = template.bind(tokenizer), Encoder(tokenizer)
    closing = encoder.closing if closed else []

    def read(turns: Sequence[Message], given: str) -> list[int]:
        return encoder.encode(bound.render(_make_record(turns, given))).ids + closing

    return read


def _make_record(turns: Sequence[Message], given: str) -> Record:
    """Make a record of the conversation, so that a template can write an input in its own place."""
    *system, question = turns
    if question.role != "user" or [turn.role for turn in system] not in ([], ["system"]):
        return Record(messages=tuple(turns))
    instruction = question.content.removesuffix(f"\n\n{given}") if given else question.content
    return Record(
        instruction=instruction, input=given if instruction != question.content else "",
        system=system[0].content if system else "",
    )  # fmt: skip
