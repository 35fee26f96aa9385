"""The connection to one endpoint: the `openai` client over its aiohttp transport, without redirects and own retries."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

from filial import TeacherError
from filial_plugins.teachers.openai_addresses import Address, make_tls_context
from filial_plugins.teachers.openai_errors import TooLargeError, make_connection_error, make_status_error

IDLE_SECONDS = 4.0
"""Seconds an idle connection is kept: less than the 5 s after which common servers close theirs, which would look like
a reset to the request that comes just then."""
BYTES_PER_TOKEN, LEAST_BYTES = 1024, 1 << 20
"""Bytes of a body for each token of its answer, as a stream has them, and of any body."""
OWN_HEADERS = ("OpenAI-Organization", "OpenAI-Project")
TELEMETRY = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async", "Retry-Count")


def import_client() -> None:
    """Import what a connection needs. This takes a second, so it must not run on the event loop."""
    for name in ("aiohttp", "openai"):
        import_module(name)


class Connection:
    """A client of one endpoint, for one event loop.

    Args:
        address: where the endpoint is.
        key: sent as a bearer token; empty: nothing is sent.
        headers, query: sent with every request.
        secrets: what is removed from everything that the endpoint says.
        official: whether this is OpenAI's own address; only then are organization, project and headers sent that the
            client reads from the environment.
    """

    def __init__(
        self, address: Address, key: str, *, headers: Mapping[str, str], query: Mapping[str, str],
        secrets: Iterable[str], connections: int, official: bool,
    ) -> None:  # fmt: skip
        import openai

        limits = openai.DEFAULT_CONNECTION_LIMITS
        most = max(connections, limits.max_connections or 0)
        http = openai.DefaultAioHttpClient(
            follow_redirects=False,
            timeout=None,  # the gateway keeps the deadline of the whole attempt
            limits=type(limits)(max_connections=most, max_keepalive_connections=most, keepalive_expiry=IDLE_SECONDS),
            trust_env=address.proxies,
            verify=make_tls_context() or True,
            event_hooks={"response": [self._limit_size]},
        )
        self._most, self._address = LEAST_BYTES, address
        self._client = openai.AsyncOpenAI(
            api_key=key or "none", base_url=address.url, max_retries=0, timeout=None, http_client=http
        )
        self._url = f"{address.url}/chat/completions{'?' if query else ''}{urlencode(query)}"
        forms = {form for key in secrets for form in (key, key.replace("/", "\\/"), quote_plus(key), quote(key))}
        self._secrets = [form.encode() for form in sorted(forms, key=len, reverse=True) if form]
        left_out = [f"X-Stainless-{name}" for name in TELEMETRY]
        left_out += [] if official else [*OWN_HEADERS, *_list_environment_headers()]
        left_out += [] if key else ["Authorization"]
        sent = {name: openai.Omit() for name in left_out} | ({"Authorization": f"Bearer {key}"} if key else {})
        own = {name.lower() for name in headers}
        sent = {name: value for name, value in sent.items() if name.lower() not in own}
        self._options: Any = {"headers": {**sent, **headers}}

    async def _limit_size(self, response: Any) -> None:
        """Let a response be read up to the size that answers can have. A small compressed body can be very large."""
        length = response.headers.get("content-length", "")
        if length.isdigit() and int(length) <= self._most and "content-encoding" not in response.headers:
            return
        read = response.aiter_bytes

        async def read_some(*args: Any) -> AsyncIterator[bytes]:
            size = 0
            async for part in read(*args):
                size += len(part)
                if size > self._most:
                    raise TooLargeError(f"the answer is larger than the {self._most >> 20} MiB that its limit allows")
                yield part

        response.aiter_bytes = read_some

    async def post(self, body: dict[str, Any], limit: int) -> bytes:
        """Send a chat completion request and return the body of the answer, of ``limit`` tokens at most, with the key
        removed if the endpoint repeats it.

        Raises:
            TeacherError: there is no answer, for the reason given.
        """
        import aiohttp
        import openai

        self._most = max(self._most, BYTES_PER_TOKEN * limit)
        try:
            raw = await self._client.post(self._url, cast_to=bytes, body=body, options=self._options)
        except openai.APIStatusError as error:
            raw = self._clean(error.response.content)
            raise make_status_error(error.status_code, raw, error.response.headers, self._address) from None
        except (openai.APIConnectionError, aiohttp.ClientError, ConnectionError, TooLargeError) as error:
            raise make_connection_error(error, self._address, self._clean_text) from None
        except UnicodeEncodeError:
            raise TeacherError("not-utf-8", "the prompt contains a lone surrogate; clean the record") from None
        except openai.OpenAIError as error:
            raise TeacherError("client-error", str(error)) from None
        return self._clean(raw)

    def _clean(self, raw: bytes) -> bytes:
        for form in self._secrets:
            raw = raw.replace(form, b"[key]")
        return raw

    def _clean_text(self, text: str) -> str:
        return self._clean(text.encode("utf-8", "replace")).decode()

    async def close(self) -> None:
        await self._client.close()


def _list_environment_headers() -> list[str]:
    """Return the names of headers that the client adds to every request because an environment variable says so."""
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    return [line.partition(":")[0].strip() for line in lines if ":" in line]
