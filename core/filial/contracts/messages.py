"""What is said to a teacher and what comes back."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

import msgspec

_FENCED = re.compile(r"\s*```[A-Za-z0-9]*[ \t]*\n(.*?)\n?[ \t]*```\s*", re.DOTALL)

Role = Literal["system", "user", "assistant", "tool_call", "tool"]


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """A call of a tool; ``arguments`` are JSON text, as endpoints send them."""

    id: str = ""
    name: str
    arguments: str


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One turn of a conversation.

    ``reasoning`` is what was thought before the content. ``tool_calls`` belong to a turn of the assistant;
    ``tool_call_id`` says which call a turn of a tool answers. ``train``: whether training puts loss on the turn; None:
    as the template does by itself, which is on answers.
    """

    role: Role
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    train: bool | None = None

    def texts(self) -> tuple[str, ...]:
        """Return all that the turn says, its content first and nothing that is empty but that."""
        calls = [text for call in self.tool_calls for text in (call.id, call.name, call.arguments)]
        return (self.content, *filter(None, (self.reasoning, *calls, self.tool_call_id, self.name)))


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call to a teacher, exactly as a remote chat model would receive it.

    ``draw`` numbers independent answers to the same request. ``max_tokens`` counts completion tokens.
    ``schema`` is a JSON Schema the answer must satisfy. ``None`` means: the teacher's own default. ``partial``: an
    answer cut at the token limit is welcome, and so is one that says nothing. ``input`` is the end of the last user
    message that its record keeps apart from the instruction; it is there for models that learned to read them apart.
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

    ``reasoning`` is what the model thought before it, where the endpoint tells; never part of the text.
    ``finish_reason`` is "stop", "length" or the endpoint's own word, empty where it named none; what is not whole by it
    is a failed call (docs/teachers.md). Token counts are the endpoint's; 0 where it gave none. ``cached_tokens`` are
    part of the prompt's, ``reasoning_tokens`` part of the completion's.
    ``key`` is the answer's ledger key, filled in by the gateway.
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

    def json(self) -> Any:
        """The value of an answer to a request with a schema; a Markdown fence round it is no part of it.

        Raises:
            ValueError: the text is no JSON.
        """
        return read_json(self.text)


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a teacher charges, in US dollars per million tokens.

    ``cached`` is for prompt tokens that the endpoint had in its cache (default: as any other). ``source`` says where
    the figures come from and from when they are.
    """

    prompt: float
    completion: float
    cached: float | None = None
    source: str = ""

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """US dollars for one answer, never negative. Cached tokens above the prompt's are paid beside them."""
        prompt, completion, cached = (max(0, n) for n in (prompt_tokens, completion_tokens, cached_tokens))
        fresh = prompt - cached if cached <= prompt else prompt
        each = self.prompt if self.cached is None else self.cached
        return max(0.0, (fresh * self.prompt + cached * each + completion * self.completion) / 1e6)


FREE = Price(prompt=0.0, completion=0.0, source="runs on this machine")


class Bound(NamedTuple):
    """Tokens that one request can cost at most."""

    prompt: int
    completion: int


class Destination(NamedTuple):
    """Where a teacher's requests go: a host (with its port, if it is not the usual one), and the environment variable
    whose value goes along as a key; empty for none. ``known``: the plugin vouches that this key belongs to this host;
    otherwise its user has to allow it (`filial.gateway.keys`)."""

    host: str
    key: str = ""
    known: bool = False


def read_json(text: str) -> Any:
    """The JSON value of an answer; a Markdown fence round the whole of it is taken off.

    Raises:
        ValueError: there is none.
    """
    fenced = _FENCED.fullmatch(text)
    try:
        return msgspec.json.decode(fenced[1] if fenced else text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as err:
        raise ValueError(f"it is no JSON: {err}") from err
