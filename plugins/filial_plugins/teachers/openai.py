"""Any endpoint with OpenAI's chat completions API."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, PrivateAttr, field_validator, model_validator

from filial import FREE, Bound, Destination, Field, Price, Reply, Request, Teacher, TeacherError, hookimpl
from filial.gateway import secret
from filial_plugins.teachers.openai_addresses import Address
from filial_plugins.teachers.openai_answers import AnswerReader
from filial_plugins.teachers.openai_client import Connection, import_client
from filial_plugins.teachers.openai_extras import (
    KEY_HEADERS,
    check_extra_body,
    check_headers,
    check_query,
    find_variable,
)
from filial_plugins.teachers.openai_prices import Charges, find_price
from filial_plugins.teachers.openai_profiles import (
    PROFILES,
    Profile,
    ProfileName,
    find_profile,
    is_key_of,
    is_loopback,
    is_private,
)
from filial_plugins.teachers.openai_requests import RequestBuilder

_PORTS = {"http": 80, "https": 443}


class OpenAI(Teacher):
    """A model behind an OpenAI-compatible endpoint: OpenAI, OpenRouter, vLLM, llama.cpp, Ollama and others.

    The key is read from the environment variable named by ``api_key_env``; it is sent only to hosts that the user has
    allowed (`filial keys`). Every request limits its answer, so that the maximum cost is known: to
    ``max_tokens``, else to 4,096 tokens, or 16,384 for OpenAI's reasoning models (reasoning included). These
    models accept no sampling options; such options are left out, with a warning. A JSON Schema is sent to endpoints
    that support it, and described in words for others.
    """

    model_config = ConfigDict(hide_input_in_errors=True)
    requires: ClassVar[tuple[str, ...]] = ("aiohttp",)

    model: str = Field(min_length=1, description="Name of the model, as the endpoint knows it.")
    base_url: str = Field("https://api.openai.com/v1", description="Address of the endpoint, up to /v1.")
    endpoint: str = Field(
        "", pattern=r"^\S*$",
        description="Name of the endpoint in the ledger. For a server that moved: its former base_url.",
    )  # fmt: skip
    api_key_env: str = Field(
        "", pattern="^([A-Za-z_][A-Za-z0-9_]*)?$",
        description="Environment variable with the key; default: OPENAI_API_KEY at OpenAI, "
        "OPENROUTER_API_KEY at OpenRouter, otherwise none.",
    )  # fmt: skip
    profile: ProfileName = Field(
        "auto",
        description="Kind of endpoint; auto: by the host, on this machine by the usual port.",
    )
    temperature: float | None = Field(None, ge=0, le=2, description="Sampling temperature.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling: share of probability kept.")
    max_tokens: int | None = Field(
        None, ge=1, description="Maximum tokens of an answer; default: 4096, for a reasoning model 16384."
    )
    token_limit: Literal["auto", "max_tokens", "max_completion_tokens"] = Field(
        "auto", description="The endpoint's name for that limit; auto: by the profile."
    )
    response_format: Literal["auto", "json_schema", "json_object", "words"] = Field(
        "auto", description="How a JSON Schema is sent to the endpoint; auto: by the profile."
    )
    extra_body: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields to add to every request, such as {chat_template_kwargs: {enable_thinking: false}}.",
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="Headers to send; each value names an environment variable: {api-key: $MY_KEY}.",
    )
    query: dict[str, str] = Field(
        default_factory=dict,
        description="Query of the address, such as {api-version: 2024-10-21}; secrets by variable: {key: $MY_KEY}.",
    )
    stream: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether the endpoint streams its answers, which stay the same; auto: only if it must.",
    )
    usd_per_million: Charges | None = Field(
        None, description="US dollars per million tokens: {prompt: 0.15, completion: 0.6, cached: 0.075}."
    )
    _connection: Connection | None = PrivateAttr(None)
    _excess: Bound = PrivateAttr(Bound(0, 0))

    _check_extra_body = field_validator("extra_body")(check_extra_body)
    _check_headers = field_validator("headers")(check_headers)
    _check_query = field_validator("query")(check_query)

    @field_validator("query", mode="before")
    @classmethod
    def _write_out(cls, query: Any) -> Any:
        """Take dates and numbers, as YAML reads them, for text."""
        return {name: str(value) for name, value in query.items()} if isinstance(query, dict) else query

    @field_validator("base_url")
    @classmethod
    def _check_address(cls, url: str) -> str:
        if re.search("[@?#]", url):
            raise ValueError(
                "base_url must not contain a user, password or query; name the key by api_key_env, and give a query by "
                "the option query"
            )
        if not re.fullmatch(r"https?://(?:[^\s\\/:\[\]]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[^\s\\]*)?", url):
            raise ValueError("base_url must be an address like https://host/v1")
        return url.rstrip("/").removesuffix("/chat/completions")

    @field_validator("endpoint")
    @classmethod
    def _normalize_endpoint(cls, name: str) -> str:
        """Write an earlier ``base_url`` as `identity` does."""
        return cls._check_address(name) if "://" in name else name

    @model_validator(mode="after")
    def _check_key_is_safe(self) -> OpenAI:
        to, parts = self.destination(), urlsplit(self.base_url)
        names = [to.key, *self._list_variables()]
        if any(names) and parts.scheme == "http" and not is_private(parts.hostname or ""):
            name = next(filter(None, names))
            raise ValueError(f"this would send ${name} to {to.host} without encryption; use https in base_url")
        return self

    @property
    def _profile_in_use(self) -> Profile:
        found = find_profile(self.profile, urlsplit(self.base_url))
        own: dict[str, Any] = {"token_limit": self.token_limit, "response_format": self.response_format}
        return replace(found, **{name: value for name, value in own.items() if value != "auto"})

    @cached_property
    def _builder(self) -> RequestBuilder:
        own = {"temperature": self.temperature, "top_p": self.top_p}
        return RequestBuilder(self.model, self._profile_in_use, own, extra=self.extra_body, stream=self.stream)

    @cached_property
    def _reader(self) -> AnswerReader:
        charges = self.usd_per_million
        return AnswerReader(self.model, self._builder.warn, *([charges.write_ratio] if charges else ()))

    def identity(self) -> dict[str, Any]:
        """Return model, address or ``endpoint``, sampling, how a schema is sent, and what the user adds to requests.

        Parameter names, keys and prices do not belong to it. Of a header, the name of its variable counts.
        """
        kept = ("model", "base_url", "temperature", "top_p", "max_tokens", "response_format")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in KEY_HEADERS}
        added = {"extra_body": self.extra_body, "headers": headers, "query": self.query}
        options = {name: getattr(self, name) for name in kept} | {"base_url": self.endpoint or self.base_url}
        return options | {name: value for name, value in added.items() if value}

    def _list_variables(self) -> list[str]:
        """Return the environment variables that headers and query name."""
        return [name for value in (*self.headers.values(), *self.query.values()) if (name := find_variable(value))]

    def destination(self) -> Destination:
        """Return the host, and the variable of its key if any. On this machine no key is sent unless it is named."""
        parts = urlsplit(self.base_url)
        host, port = parts.hostname or "", parts.port
        shown = f"[{host}]" if ":" in host else host
        key = self.api_key_env or ("" if is_loopback(host) or self._sends_key() else self._profile_in_use.key)
        where = shown if port in (None, _PORTS[parts.scheme]) else f"{shown}:{port}"
        return Destination(where, key, known=is_key_of(key, where))

    def _sends_key(self) -> bool:
        """Return whether a header of the user's says who asks."""
        return any(name.lower() in KEY_HEADERS for name in self.headers)

    def price(self) -> Price | None:
        """Return the recipe's price, else the user's, else that of the table. One's own server is free."""
        if self.usd_per_million is not None:
            return self.usd_per_million.to_price("the options of the teacher")
        if found := find_price(self.model, self.destination().host):
            return found
        own = self._profile_in_use.own and is_private(urlsplit(self.base_url).hostname or "")
        return FREE if own else None

    def bound(self, request: Request) -> Bound:
        """Return most tokens: one per byte of prompt and schema, and the answer's limit in every request."""
        prompt, _ = super().bound(request)
        prompt += self._builder.extra_bytes
        if request.schema is not None:
            prompt += self._builder.count_schema_bytes(request.schema)
        if self.usd_per_million and self.usd_per_million.cache_write:
            prompt = math.ceil(prompt * self.usd_per_million.write_ratio)
        more = self._excess
        limit = self._builder.choose_limit(request.max_tokens, self.max_tokens)
        return Bound(prompt + more.prompt, limit + more.completion)

    def _note_excess(self, request: Request, reply: Reply) -> None:
        """Note by how much an endpoint counts more than the most: a prompt of its own, or reasoning without a limit.
        Later requests reserve that, too."""
        most, more = self.bound(request), self._excess
        self._excess = Bound(
            more.prompt + max(0, reply.prompt_tokens - most.prompt),
            more.completion + max(0, reply.completion_tokens - most.completion),
        )

    async def reply(self, request: Request) -> Reply:
        """Request one completion.

        Raises:
            TeacherError: with a reason for each kind of failure (`openai_errors`, `openai_answers`).
            UsageError: the key is not set or must not be sent there.
        """
        dialect = self._builder
        limit = dialect.choose_limit(request.max_tokens, self.max_tokens)
        if self._connection is None:
            await asyncio.to_thread(import_client)
        body = dialect.build_body(request, limit)
        try:
            raw = await self._connect().post(body, limit)
        except TeacherError as error:
            error.retry = error.retry or dialect.learn(body, error)
            raise
        reply = self._reader.read(raw, limit, request)
        self._note_excess(request, reply)
        dialect.check_context(reply.prompt_tokens + reply.completion_tokens)
        return reply

    def _connect(self) -> Connection:
        if self._connection is None:
            to, host = self.destination(), urlsplit(self.base_url).hostname or ""
            secrets = {
                name: secret(Destination(to.host, name, is_key_of(name, to.host))) for name in self._list_variables()
            }
            key, header = secret(to) if to.key else "", self._profile_in_use.key_header
            headers = {name: secrets[find_variable(value)] for name, value in self.headers.items()}
            query = {name: secrets.get(find_variable(value), value) for name, value in self.query.items()}
            address = Address(
                self.base_url, "base_url" in self.model_fields_set, ", ".join(filter(None, (to.key, *secrets))),
                proxies=not is_loopback(host) and (self.base_url.startswith("https:") or not (to.key or secrets)),
            )  # fmt: skip
            self._connection = Connection(
                address,
                "" if header else key,
                headers={header: key, **headers} if header and key else headers,
                query=query,
                secrets={key, *secrets.values()},
                connections=self.max_concurrency,
                official=host in PROFILES["openai"].hosts,
            )
        return self._connection

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


@hookimpl
def register_teachers(register: Callable[[str, type[Teacher]], None]) -> None:
    register("openai", OpenAI)
