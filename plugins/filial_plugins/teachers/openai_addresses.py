"""Say where requests go, where that is written, and what to do if no answer comes from there."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from filial import UsageError


@dataclass(frozen=True)
class Address:
    """The address of an endpoint, up to /v1.

    ``given``: the option ``base_url`` is set. ``key``: the environment variable whose value is sent as the key.
    ``proxies``: proxies of the environment are used.
    """

    url: str
    given: bool = True
    key: str = ""
    proxies: bool = True

    def __str__(self) -> str:
        return f"{self.url} ({'base_url' if self.given else 'base_url is not set'})"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def find_proxy(self) -> tuple[str, str]:
        """Return the variable that names the proxy of this address, and the proxy without user and password; empty
        texts for none."""
        if not self.proxies or proxy_bypass(self.host):
            return "", ""
        for name in (f"{urlsplit(self.url).scheme}_proxy", "all_proxy"):
            for variable in (name, name.upper()):
                if value := os.environ.get(variable):
                    return variable, value.rpartition("@")[2].rpartition("://")[2]
        return "", ""

    def explain_connection(self, chain: Sequence[BaseException], detail: str) -> str:
        """Write what is wrong and what to do if no connection could be opened.

        Args:
            chain: the exception and its causes.
            detail: the last of them in words, without secrets.
        """
        import aiohttp

        if any(isinstance(e, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError) for e in chain):
            variable, proxy = self.find_proxy()
            where = f"the proxy {proxy} (${variable})" if variable else "the proxy"
            cure = f"correct {variable or 'the variable'}, or add {self.host} to NO_PROXY"
            return f"{where} gives no connection to {self.url} ({detail}); {cure}"
        if any(isinstance(e, ConnectionRefusedError) for e in chain):
            return f"{self} refuses the connection ({detail}); start the server there, or correct base_url"
        if any(isinstance(e, ssl.SSLError | ssl.CertificateError) for e in chain):
            return f"{self}: {detail}; {self._cure_tls(detail)}"
        if any(isinstance(e, socket.gaierror) for e in chain):
            return f"{self}: the host {self.host} is not known ({detail}); correct base_url, or check the network"
        return f"{self}: {detail}; check base_url and the network"

    def _cure_tls(self, detail: str) -> str:
        if "VERIFY_FAILED" not in detail and "certificate verify failed" not in detail:
            return "the endpoint does not seem to speak TLS: if so, write http:// in base_url"
        if "mismatch" in detail or "not valid for" in detail:
            return "write the host in base_url as its certificate does"
        if "expired" in detail or "not yet valid" in detail:
            return "the endpoint needs a valid certificate"
        if path := os.environ.get("SSL_CERT_FILE"):
            return f"SSL_CERT_FILE is set to {path}, which does not hold the authority of this certificate"
        return "if you trust it, set SSL_CERT_FILE to a file that holds the certificate of its authority"

    def explain_refusal(self, reason: str, detail: str) -> str:
        """Write who was asked, and with which key if that may be at fault, in front of what the endpoint says."""
        if reason in ("unauthorized", "insufficient-quota"):
            how = f"the key in ${self.key}" if self.key else "no key (api_key_env names its variable)"
            return f"{self}, asked with {how}: {detail}"
        return f"{self}: {detail}"


def make_tls_context() -> ssl.SSLContext | None:
    """Return the certificates that ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` name; None if neither is set.

    The client reads them only where it also uses proxies, so not for servers on this machine.

    Raises:
        UsageError: a variable names no certificates.
    """
    file, folder = os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None
    if file is None and folder is None:
        return None
    try:
        return ssl.create_default_context(cafile=file, capath=folder)
    except OSError as error:  # ssl.SSLError is one
        why = (error.strerror or str(error)).lower()
        raise UsageError(
            f"SSL_CERT_FILE is set to {file}, which holds no certificates that can be read: {why}"
        ) from error
