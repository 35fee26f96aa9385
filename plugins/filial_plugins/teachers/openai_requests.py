"""Convert a request to the body that an endpoint accepts. What it does not accept is left out, with a warning."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
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
_UNKNOWN = re.compile(r"unrecogni[sz]ed|unknown|unsupported|not supported|extra (inputs|fields)|not permitted", re.I)
_SAYS = {
    "top_p": re.compile(r"\btop[_ -]?p\b|(?<![\w.])p must be"),  # before temperature: some accept only one of both
    "temperature": re.compile(r"\btemperature\b"),
    "stop": re.compile(r"\bstop([_ -]?(sequences?|words?|strings?|texts?))?\b"),
    "seed": re.compile(r"\bseed\b"),
    "stream_options": re.compile(r"\bstream_options\b"),
}
"""What may be refused, and how an error names it; each in the order in which it is changed."""

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
        self._refused: dict[tuple[str, str], Any] = {}
        self._stream, self._may_stream = stream == "always", stream != "never"

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
        if "top_p" in options and not self._profile.zero_top_p:
            self._translate_top_p(options)
        messages = list(map(self._build_message, request.messages))
        if self._is_reasoning_model:
            options = self._drop_sampling_options(options)
            messages = [{**m, "role": "developer"} if m["role"] == "system" else m for m in messages]
        if request.schema is not None:
            self._add_schema(options, messages, request.schema)
        if self._stream:
            options |= {"stream": True, "stream_options": {"include_usage": True}}
        limit_name = self._profile.token_limit
        body = {**self._extra, "model": self._model, "messages": messages, limit_name: limit, **options}
        return self._adapt(body) if self._refused else body

    def learn(self, body: dict[str, Any], error: TeacherError) -> bool:
        """Return whether a request is sent in another way from now on, because of the error in answer to it.

        Endpoints differ in the values and parameters that they accept, and say which one they do not.
        """
        if error.reason not in ("http-400", "http-406", "http-422", "http-501"):
            return False
        if "stream" not in body and self._may_stream and _ONLY_STREAMS.search(error.detail):
            self.warn("stream", f"{self._model!r} only streams its answers; they are requested so from now on")
            self._stream = True
            return True
        if change := self._find_change(body, error.detail):
            ((name, value),) = change.items()
            self.warn(
                f"{name} {value}", f"the endpoint of {self._model!r} asks for {name} {value}; it is used from now on"
            )
            self._profile = replace(self._profile, **change)
            return True
        name = next((name for name, said in _SAYS.items() if name in body and said.search(error.detail)), "")
        if not name:
            return False
        value = body[name]
        if (name, repr(value)) not in self._refused:
            self._refused[name, repr(value)] = nearest = _find_nearest(name, value)
            instead = "it is left out" if nearest is None else f"{nearest} is sent instead"
            self.warn(
                f"{name} {value!r}", f"the endpoint of {self._model!r} does not accept {name} {value!r}; {instead}"
            )
        return True

    def _find_change(self, body: dict[str, Any], detail: str) -> dict[str, Any]:
        """Return the entry of the profile that an error shows to be wrong for this model, with its right value."""
        if "max_tokens" in body and "max_completion_tokens" in detail:
            return {"token_limit": "max_completion_tokens"}
        if "max_completion_tokens" in body and "max_completion_tokens" in detail and _UNKNOWN.search(detail):
            return {"token_limit": "max_tokens"}
        if "response_format" in body and re.search(r"response[_. ]format|json_schema|json_object", detail):
            return {"response_format": "words"}
        return {}

    def _adapt(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body with what the endpoint accepts in place of what it has refused."""
        for name in [name for name, _ in self._refused if name in body]:
            nearest = self._refused.get((name, repr(body.get(name))), ...)
            if nearest is None:
                del body[name]
            elif nearest is not ...:
                body[name] = nearest
        return body

    def _translate_top_p(self, options: dict[str, Any]) -> None:
        """Ask for the most likely word by the temperature alone: most endpoints refuse ``top_p: 0``."""
        if options.get("top_p") == 0:
            self.warn("top_p", "top_p 0 asks for the most likely words; it is sent as temperature 0, which all accept")
            del options["top_p"]
            options["temperature"] = 0.0

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


def _find_nearest(name: str, value: Any) -> Any:
    """Return the value that is nearly the same as one that an endpoint refuses; None to leave it out.

    filial applies stop texts itself. Without ``top_p`` the endpoint uses its own, mostly 1.
    """
    if name != "temperature" or not isinstance(value, int | float):
        return None
    return 0.01 if value == 0 else 1.0 if value > 1 else 0.99 if value == 1 else None
