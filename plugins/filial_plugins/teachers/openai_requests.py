"""Convert a request to the body that an endpoint accepts. What it does not accept is left out, with a warning."""

from __future__ import annotations

import logging
import re
from typing import Any, Literal

import msgspec

from filial import Message, Request, TeacherError
from filial_plugins.teachers.openai_profiles import NOT_FOR_REASONING, Profile

ANSWER_LIMIT, REASONING_LIMIT = 4096, 16384
"""Tokens of an answer at most, where nobody says otherwise; a reasoning model's thoughts count too."""
SCHEMA_TEXT = "\n\nAnswer with JSON alone. It must satisfy this JSON Schema:\n"
Streaming = Literal["auto", "always", "never"]
_ONLY_STREAMS = re.compile(  # DashScope: "only support stream mode", "must be set to false for non-streaming calls"
    r"(?:only|must|requir|need|enable|please|non-).{0,80}stream|stream.{0,80}(?:only|must|requir|need|enable|true)",
    re.IGNORECASE | re.DOTALL,
)

logger = logging.getLogger("filial.teachers")


class RequestBuilder:
    """Builds requests to one model. ``own`` are the teacher's own options, by their names in the body; ``extra`` are
    fields for this endpoint alone.

    Parameters that the model does not accept are left out, with one warning per parameter.
    """

    def __init__(
        self, model: str, profile: Profile, own: dict[str, Any], *, extra: dict[str, Any], stream: Streaming = "auto"
    ) -> None:
        self._model, self._profile = model, profile
        self._own = {name: value for name, value in own.items() if value is not None}
        self._extra, self.extra_bytes = extra, len(msgspec.json.encode(extra)) if extra else 0
        self._is_reasoning_model = re.match(profile.reasoning, model) is not None
        self._warned: set[str] = set()
        self._stream, self._may_stream, self._count_stream = stream == "always", stream != "never", True

    def choose_limit(self, asked: int | None, own: int | None) -> int:
        """Return most tokens of an answer. Every request contains the limit, so that its largest cost is known."""
        return asked or own or (REASONING_LIMIT if self._is_reasoning_model else ANSWER_LIMIT)

    def count_schema_bytes(self, schema: dict[str, Any]) -> int:
        """Return how many bytes a schema adds to a prompt at most; endpoints also count a schema parameter."""
        return len(SCHEMA_TEXT) + len(msgspec.json.encode(schema))

    def build_body(self, request: Request, limit: int) -> dict[str, Any]:
        """Return the body of a chat completion."""
        options = self._own | {name: value for name, value in self._extra.items() if name in ("stop", "seed")}
        if request.temperature is not None:
            options["temperature"] = request.temperature
        if request.top_p is not None:
            options["top_p"] = request.top_p
        if request.stop:
            options["stop"] = list(request.stop)
        if request.seed is not None:
            options["seed"] = request.seed
        elif request.draw and self._profile.seeds and options.get("temperature") != 0:
            options["seed"] = request.draw
        messages = list(map(self._build_message, request.messages))
        if self._is_reasoning_model:
            options = self._drop_sampling_options(options)
            messages = [{**m, "role": "developer"} if m["role"] == "system" else m for m in messages]
        if request.schema is not None:
            self._add_schema(options, messages, request.schema)
        if self._stream:
            options |= (
                {"stream": True, "stream_options": {"include_usage": True}} if self._count_stream else {"stream": True}
            )
        return {**self._extra, "model": self._model, "messages": messages, self._profile.token_limit: limit, **options}

    def learn(self, body: dict[str, Any], error: TeacherError) -> bool:
        """Return whether requests are sent in another way from now on, because of the error in answer to one."""
        if error.reason not in ("http-400", "http-406", "http-422", "http-501"):
            return False
        if "stream_options" in body and "stream_options" in error.detail:
            self.warn(
                "stream options", f"{self._model!r} does not accept stream_options; they are left out of requests"
            )
            self._count_stream = False
            return True
        if "stream" in body or not self._may_stream or not _ONLY_STREAMS.search(error.detail):
            return False
        self.warn("stream", f"{self._model!r} only streams its answers; they are requested so from now on")
        self._stream = True
        return True

    def _build_message(self, message: Message) -> dict[str, Any]:
        """Convert one turn. The reasoning of earlier answers is left out."""
        if message.reasoning:
            self.warn("thoughts", "the reasoning of earlier turns is left out of requests; endpoints do not accept it")
        row: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            row["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.tool_calls
            ]
        named = {"tool_call_id": message.tool_call_id, "name": message.name}
        return row | {key: value for key, value in named.items() if value}

    def _drop_sampling_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options that a reasoning model accepts."""
        for name in options.keys() & set(NOT_FOR_REASONING):
            self.warn(name, f"the reasoning model {self._model!r} does not accept {name}; it is left out of requests")
        return {name: value for name, value in options.items() if name not in NOT_FOR_REASONING}

    def _add_schema(self, options: dict[str, Any], messages: list[dict[str, Any]], schema: dict[str, Any]) -> None:
        """Ask for an answer that satisfies a schema, as a parameter if the endpoint knows one, else in words."""
        kind = self._profile.response_format
        if kind == "json_schema":
            options["response_format"] = {"type": kind, "json_schema": {"name": "answer", "schema": schema}}
            return
        if kind == "json_object":
            options["response_format"] = {"type": kind}
        text = msgspec.json.encode(schema).decode()
        last = next((m for m in reversed(messages) if m["role"] == "user"), None)
        if last is None:
            messages.append({"role": "user", "content": (SCHEMA_TEXT + text).strip()})
        elif text not in last["content"]:
            last["content"] += SCHEMA_TEXT + text

    def check_context(self, tokens: int) -> None:
        """Warn if prompt and answer have exactly as many tokens as a context length that the endpoint cuts to."""
        if tokens in self._profile.contexts:
            self.warn(
                "context",
                f"prompt and answer of a request to {self._model!r} have exactly {tokens:,} tokens together: the "
                "endpoint seems to cut longer ones without an error; give the model a larger context (Ollama: num_ctx)",
            )

    def warn(self, about: str, text: str) -> None:
        """Warn the user, once per subject."""
        if about not in self._warned:
            self._warned.add(about)
            logger.warning(text)
