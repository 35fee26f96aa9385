"""Any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Callable
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, PrivateAttr, field_validator

from filial import Field, Reply, Request, Teacher, TeacherError, UsageError, hookimpl
from filial_plugins.teachers.openai_faults import answer_of, connection_fault, status_fault

_DEFAULT_KEY = "OPENAI_API_KEY"


class OpenAI(Teacher):
    """A model behind an OpenAI-compatible endpoint: OpenAI, vLLM, Ollama, llama.cpp, OpenRouter and others.

    The key is read from the environment variable named by ``api_key_env``. An endpoint on this machine gets no
    key unless another variable than the default is named. The client follows no redirect and tries nothing
    again by itself: the gateway decides that, from what the error says.
    """

    model_config = ConfigDict(hide_input_in_errors=True)
    requires: ClassVar[tuple[str, ...]] = ("openai", "aiohttp")

    model: str = Field(min_length=1, description="Name of the model, as the endpoint knows it.")
    base_url: str = Field("https://api.openai.com/v1", description="Address of the endpoint, up to /v1.")
    api_key_env: str = Field(
        _DEFAULT_KEY, pattern="^[A-Za-z_][A-Za-z0-9_]*$", description="Environment variable that holds the key."
    )
    temperature: float | None = Field(None, ge=0, le=2, description="Sampling temperature.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling: share of probability kept.")
    max_tokens: int | None = Field(None, ge=1, description="Most tokens of an answer.")
    token_limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the endpoint calls that limit; OpenAI's newer models want the second."
    )
    _client: Any = PrivateAttr(None)

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must be an address like https://host/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("base_url must not hold a user, password or query; name the key by api_key_env")
        return url.rstrip("/")

    def identity(self) -> dict[str, Any]:
        """Model, address and sampling; not the name of the key's variable."""
        return {name: value for name, value in super().identity().items() if name != "api_key_env"}

    async def reply(self, request: Request) -> Reply:
        """One completion, within ``timeout`` seconds from first byte to last.

        Raises:
            TeacherError: with a reason for each way to fail (`openai_faults`).
            UsageError: the variable that should hold the key is not set.
        """
        client = self._connected()
        try:
            async with asyncio.timeout(self.timeout):
                body = await self._post(client, self._body(request))
            text, choice, usage = answer_of(body)
        except TimeoutError:
            raise TeacherError("timeout", f"no whole answer within {self.timeout:g} s", retry=True) from None
        except TeacherError as error:
            raise self._safe(error) from None
        return Reply(
            text=text,
            finish_reason=str(choice.get("finish_reason") or "stop"),
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
            model=str(body.get("model") or self.model),
        )

    async def _post(self, client: Any, body: dict[str, Any]) -> Any:
        import aiohttp
        import openai

        try:
            return await client.post("/chat/completions", cast_to=object, body=body)
        except openai.APIStatusError as error:
            raise status_fault(error.status_code, error.body, error.response.headers) from None
        except (openai.APIConnectionError, aiohttp.ClientError, ConnectionError) as error:
            raise connection_fault(error) from None
        except UnicodeEncodeError:
            raise TeacherError("not-utf-8", "the prompt holds a lone surrogate; clean the record") from None
        except ValueError as error:  # JSON cut off or broken, or bytes that are no text
            raw = str(getattr(error, "doc", ""))
            detail = f"broken JSON: {error}"
            raise TeacherError("malformed-answer", detail, answer=raw[:2000], retry=True) from None
        except openai.OpenAIError as error:
            raise TeacherError("client-error", str(error)) from None

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        }
        options = {
            "temperature": self.temperature if request.temperature is None else request.temperature,
            "top_p": self.top_p if request.top_p is None else request.top_p,
            self.token_limit_field: self.max_tokens if request.max_tokens is None else request.max_tokens,
            "stop": list(request.stop) or None,
            "seed": request.seed,
        }
        body |= {name: value for name, value in options.items() if value is not None}
        if request.schema is not None:
            schema = {"name": "answer", "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _connected(self) -> Any:
        if self._client is None:
            import openai

            limits = openai.DEFAULT_CONNECTION_LIMITS
            connections = max(self.max_concurrency, limits.max_connections or 0)
            http = openai.DefaultAioHttpClient(
                follow_redirects=False,
                timeout=None,  # the deadline of the whole call is kept in `reply`
                limits=type(limits)(max_connections=connections, max_keepalive_connections=connections),
                trust_env=not self._is_local(),
            )
            self._client = openai.AsyncOpenAI(
                api_key=self._key(), base_url=self.base_url, max_retries=0, timeout=None, http_client=http
            )
        return self._client

    def _key(self) -> str:
        if self._is_local() and self.api_key_env == _DEFAULT_KEY:
            return "none"
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            host = urlsplit(self.base_url).hostname
            raise UsageError(
                f"the environment variable {self.api_key_env} is not set; put the key for {host} into it, or name "
                "another variable with api_key_env"
            )
        return key

    def _is_local(self) -> bool:
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def _safe(self, error: TeacherError) -> TeacherError:
        """The error without the key, should the endpoint have repeated it."""
        key = self._client.api_key
        if key == "none" or key not in f"{error.detail}{error.answer}":
            return error
        return TeacherError(
            error.reason,
            error.detail.replace(key, "[key]"),
            answer=None if error.answer is None else error.answer.replace(key, "[key]"),
            retry=error.retry,
            retry_after=error.retry_after,
            down=error.down,
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


@hookimpl
def register_teachers(register: Callable[[str, type[Teacher]], None]) -> None:
    register("openai", OpenAI)
