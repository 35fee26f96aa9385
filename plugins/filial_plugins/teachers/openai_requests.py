"""From a request to the body that an endpoint takes; what it does not take is left out, and said."""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec

from filial import Message, Request
from filial_plugins.teachers.openai_profiles import NOT_FOR_REASONING, Profile

LIMIT, REASONING_LIMIT = 4096, 16384
"""Tokens of an answer at most, where nobody says otherwise; a reasoning model's thoughts count too."""
IN_WORDS = "\n\nAnswer with JSON alone. It must satisfy this JSON Schema:\n"

logger = logging.getLogger("filial.teachers")


class Dialect:
    """How requests are put to one model. ``own`` are the teacher's own options, by their names in the body.

    What the model does not take is left out, with one warning per parameter.
    """

    def __init__(self, model: str, profile: Profile, own: dict[str, Any]) -> None:
        self._model, self._profile = model, profile
        self._own = {name: value for name, value in own.items() if value is not None}
        self._reasons = re.match(profile.reasoning, model) is not None
        self._said: set[str] = set()

    def limit(self, asked: int | None, own: int | None) -> int:
        """Tokens of an answer at most; every request says so, so that what it can cost is known."""
        return asked or own or (REASONING_LIMIT if self._reasons else LIMIT)

    def schema_bytes(self, schema: dict[str, Any]) -> int:
        """How much longer a schema makes a prompt at most; endpoints count one that is given as such too."""
        return len(IN_WORDS) + len(msgspec.json.encode(schema))

    def body(self, request: Request, limit: int) -> dict[str, Any]:
        """The body of a chat completion."""
        options = dict(self._own)
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
        messages = list(map(self._message, request.messages))
        if self._reasons:
            options = self._bare(options)
            messages = [{**m, "role": "developer"} if m["role"] == "system" else m for m in messages]
        if request.schema is not None:
            self._constrain(options, messages, request.schema)
        return {"model": self._model, "messages": messages, self._profile.token_limit: limit, **options}

    def _message(self, message: Message) -> dict[str, Any]:
        """A turn as endpoints take it. What was thought before earlier answers is none of it."""
        if message.reasoning:
            self.warn("thoughts", "the reasoning of earlier turns is left out of the requests; endpoints take none")
        row: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            row["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.tool_calls
            ]
        named = {"tool_call_id": message.tool_call_id, "name": message.name}
        return row | {key: value for key, value in named.items() if value}

    def _bare(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options a reasoning model takes."""
        for name in options.keys() & set(NOT_FOR_REASONING):
            self.warn(name, f"the reasoning model {self._model!r} takes no {name}; it is left out of the requests")
        return {name: value for name, value in options.items() if name not in NOT_FOR_REASONING}

    def _constrain(self, options: dict[str, Any], messages: list[dict[str, Any]], schema: dict[str, Any]) -> None:
        """Ask for an answer that satisfies a schema, in the way the endpoint knows, or in words."""
        kind = self._profile.response_format
        if kind == "json_schema":
            options["response_format"] = {"type": kind, "json_schema": {"name": "answer", "schema": schema}}
            return
        if kind == "json_object":
            options["response_format"] = {"type": kind}
        text = msgspec.json.encode(schema).decode()
        last = next((m for m in reversed(messages) if m["role"] == "user"), None)
        if last is None:
            messages.append({"role": "user", "content": (IN_WORDS + text).strip()})
        elif text not in last["content"]:
            last["content"] += IN_WORDS + text

    def heard(self, tokens: int) -> None:
        """Look at what prompt and answer came to."""
        if tokens in self._profile.contexts:
            self.warn(
                "context",
                f"prompt and answer of a request to {self._model!r} came to exactly {tokens:,} tokens: the endpoint "
                "seems to cut what is longer, without a word; give the model a larger context (Ollama: num_ctx)",
            )

    def warn(self, about: str, text: str) -> None:
        """Tell the user, once per subject."""
        if about not in self._said:
            self._said.add(about)
            logger.warning(text)
