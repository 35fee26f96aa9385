"""Requests to a teacher and its replies."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

import msgspec

_LANGUAGE = re.compile(r"\A(?:[A-Za-z0-9]+[ \t]*(?=[\n\r])|json\b)", re.IGNORECASE)
"""What stands behind the first fence of a code block."""

Role = Literal["system", "user", "assistant", "tool_call", "tool"]


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """A call of a tool; ``arguments`` are JSON text, as endpoints send them."""

    id: str = ""
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One turn of a conversation.

    ``reasoning`` is the reasoning text before the content. ``tool_calls`` belong to an assistant turn; ``tool_call_id``
    says which call a tool's turn answers. ``train``: whether training puts loss on the turn; None: the template
    decides, which trains on answers.
    """

    role: Role
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    train: bool | None = None

    def texts(self) -> tuple[str, ...]:
        """Return all texts of the turn: the content, then every other text that is not empty."""
        calls = [text for call in self.tool_calls for text in (call.id, call.name, call.arguments)]
        return (self.content, *filter(None, (self.reasoning, *calls, self.tool_call_id, self.name)))


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to a teacher, exactly as a remote chat model would receive it.

    ``draw`` numbers independent answers to the same request. ``max_tokens`` counts completion tokens. ``schema`` is a
    JSON Schema the answer must satisfy. ``None`` means the teacher's own default. ``partial``: accept an answer that
    was cut at the token limit, or an empty one. ``input`` is the end of the last user message, if the record has it
    apart from the instruction; for models that were trained to read them separately.
    """

    messages: tuple[Message, ...]
    draw: int = 0
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: dict[str, Any] | None = None
    partial: bool = False
    input: str = ""


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A teacher's answer.

    ``reasoning`` is the model's reasoning text, if the endpoint returns it; never part of the text. ``finish_reason``
    is "stop", "length" or the endpoint's own word, empty if there is none; an answer that is not complete is a failed
    attempt (docs/teachers.md). Token counts are the endpoint's, 0 if unknown. ``cached_tokens`` are part of the
    prompt's, ``reasoning_tokens`` part of the completion's. ``key`` is the ledger key, set by the gateway.
    ``failure``: why the request failed for good, if it did; in ledgers and cassettes only.
    """

    text: str
    reasoning: str = ""
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    model: str = ""
    key: str = ""
    failure: str = ""

    def json(self) -> Any:
        """Return the value of an answer to a request with a schema, without a Markdown fence around it.

        Raises:
            ValueError: the text is not JSON.
        """
        return read_json(self.text)


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a teacher charges, in US dollars per million tokens.

    ``cached`` is for prompt tokens from the endpoint's cache (default: as the others). ``source`` says where the
    figures come from, and their date.
    """

    prompt: float
    completion: float
    cached: float | None = None
    source: str = ""

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """Return the US dollars for one answer, never negative. Cached tokens that exceed the prompt are added."""
        prompt, completion, cached = (max(0, n) for n in (prompt_tokens, completion_tokens, cached_tokens))
        fresh = prompt - cached if cached <= prompt else prompt
        each = self.prompt if self.cached is None else self.cached
        return max(0.0, (fresh * self.prompt + cached * each + completion * self.completion) / 1e6)


FREE = Price(prompt=0.0, completion=0.0, source="runs on this machine")


class Bound(NamedTuple):
    """Maximum number of tokens of one request."""

    prompt: int
    completion: int


class Destination(NamedTuple):
    """Where a teacher's requests go: a host (with its port, if it is not the default), and the environment variable
    with the API key that is sent; empty for none. ``known``: the plugin guarantees that this key belongs to this host;
    otherwise the user has to allow it (`filial.gateway.keys`)."""

    host: str
    key: str = ""
    known: bool = False


def read_json(text: str) -> Any:
    """Return the JSON value of an answer, without a Markdown fence around it.

    Raises:
        ValueError: there is none.
    """
    inner = text.strip()
    fenced = inner.startswith("```") and inner.endswith("```")
    try:
        return msgspec.json.decode(_LANGUAGE.sub("", inner.strip("`"), count=1) if fenced else text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as err:
        raise ValueError(f"it is not JSON: {err}") from err
