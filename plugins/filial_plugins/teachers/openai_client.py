"""The connections to one endpoint: plain HTTP by aiohttp, without redirects, cookies and retries."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from filial import TeacherError, __version__
from filial_plugins.teachers.openai_addresses import Address, make_tls_context
from filial_plugins.teachers.openai_errors import TooLargeError, make_connection_error, make_status_error
from filial_plugins.teachers.openai_secrets import Secrets

if TYPE_CHECKING:
    import aiohttp

    from filial_plugins.teachers.openai_pool import Pool

IDLE_SECONDS = 4.0
"""Seconds an idle connection is kept: less than the 5 s after which common servers close theirs, which would look like
a reset to the request that comes just then."""
BYTES_PER_TOKEN, LEAST_BYTES = 1024, 1 << 20
"""Bytes of a body for each token of its answer, as a stream has them, and of any body."""
OWN_HEADERS = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
"""Headers that OpenAI's own endpoint gets, if these variables are set."""


def import_client() -> None:
    """Import what a connection needs. This takes a third of a second, so it must not run on the event loop."""
    import aiohttp  # noqa: F401


class Connection:
    """A client of one endpoint, for the event loop that is running.

    Args:
        address: where the endpoint is.
        key: sent as a bearer token; empty: nothing is sent.
        headers, query: sent with every request.
        secrets: what is removed from everything that the endpoint says.
        connections: how many may be open at once.
        official: whether this is OpenAI's own address; only then are organization, project and headers of the
            environment sent.

    Raises:
        UsageError: a variable of the environment names no certificates, or a proxy that cannot be used.
    """

    def __init__(
        self, address: Address, key: str, *, headers: Mapping[str, str], query: Mapping[str, str],
        secrets: Iterable[str], connections: int, official: bool,
    ) -> None:  # fmt: skip
        import aiohttp

        from filial_plugins.teachers.openai_pool import Pool

        self._most, self._address, self._secrets = LEAST_BYTES, address, Secrets(secrets)
        self._proxy = address.check_proxy()
        self._url = f"{address.url}/chat/completions{'?' if query else ''}{urlencode(query)}"
        own = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": f"filial/{__version__}"}
        own |= {"Authorization": f"Bearer {key}"} if key else {}
        own |= _read_environment_headers() if official else {}
        given = {name.lower() for name in headers}
        self._headers = {name: value for name, value in own.items() if name.lower() not in given} | dict(headers)
        self._pool: Pool = Pool(limit=connections, keepalive_timeout=IDLE_SECONDS, ssl=make_tls_context())
        self._session = aiohttp.ClientSession(
            connector=self._pool,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # the gateway has the deadline of an attempt
        )

    async def post(self, body: dict[str, Any], limit: int) -> bytes:
        """Send a chat completion request and return the body of the answer, of ``limit`` tokens at most, with the key
        removed if the endpoint repeats it.

        Raises:
            TeacherError: there is no answer, for the reason given.
        """
        import aiohttp

        self._most = max(self._most, BYTES_PER_TOKEN * limit)
        try:
            data = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except UnicodeEncodeError:
            raise TeacherError("not-utf-8", "the prompt contains a lone surrogate; clean the record") from None
        try:
            async with self._session.post(
                self._url, data=data, headers=self._headers, proxy=self._proxy, allow_redirects=False
            ) as response:
                held = self._pool.current()
                if not 200 <= response.status < 300:
                    held.force_close()  # the answer that a gateway gave up on may follow
                raw = self._secrets.clean(await self._read(response))
        except (aiohttp.ClientError, ConnectionError, TimeoutError, TooLargeError) as error:
            raise make_connection_error(error, self._address, self._secrets.clean_text) from None
        if not 200 <= response.status < 300:
            raise make_status_error(response.status, raw, response.headers, self._address)
        self._pool.check_unique(held, raw)
        return raw

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the body, up to the size that answers can have. A small compressed body can be very large."""
        length = response.content_length
        if length is not None and length <= self._most and "Content-Encoding" not in response.headers:
            return await response.read()
        read = bytearray()
        async for part in response.content.iter_any():
            read += part
            if len(read) > self._most:
                raise TooLargeError(f"the answer is larger than the {self._most >> 20} MiB that its limit allows")
        return bytes(read)

    async def close(self) -> None:
        await self._session.close()


def _read_environment_headers() -> dict[str, str]:
    """Return what the environment adds to requests to OpenAI: organization, project, ``OPENAI_CUSTOM_HEADERS``."""
    found = {header: os.environ.get(variable, "") for header, variable in OWN_HEADERS.items()}
    lines = [line.partition(":") for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n") if ":" in line]
    found |= {name.strip(): value.strip() for name, _, value in lines}
    return {name: value for name, value in found.items() if value}
