"""What is said to a teacher and what comes back."""

from __future__ import annotations

from typing import Any

import msgspec

from filial.records import Message


class Request(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call to a teacher, exactly as a remote chat model would receive it.

    ``draw`` numbers independent answers to the same request. ``max_tokens`` counts completion tokens.
    ``schema`` is a JSON Schema the answer must satisfy. ``None`` means: the teacher's own default.
    """

    messages: tuple[Message, ...]
    draw: int = 0
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: dict[str, Any] | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A teacher's answer.

    ``finish_reason`` is "stop", "length" or the endpoint's own word. Token counts are the endpoint's;
    0 where it gave none. ``key`` is the answer's ledger key, filled in by the gateway.
    """

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model: str = ""
    key: str = ""
