"""Say where requests go, where that is written, and what to do if no answer comes from there."""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

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
        """Return the proxy of this address, and where it comes from: ``$NAME``; empty texts for none."""
        if not self.proxies or proxy_bypass(self.host):
            return "", ""
        found, scheme = getproxies(), urlsplit(self.url).scheme
        for name in (scheme, "all"):
            if proxy := found.get(name):
                variables = [v for v in (f"{name}_proxy", f"{name}_proxy".upper()) if os.environ.get(v)]
                return proxy, f"${variables[0]}" if variables else "the settings of the system"
        return "", ""

    def check_proxy(self) -> str | None:
        """Return the proxy of this address; None if there is none.

        Raises:
            UsageError: it is of a kind that cannot be used.
        """
        proxy, source = self.find_proxy()
        proxy = proxy if "://" in proxy or not proxy else f"http://{proxy}"
        if proxy and urlsplit(proxy).scheme not in ("http", "https"):
            raise UsageError(
                f"{source} names the proxy {_hide_password(proxy)} for {self.host}; proxies with http:// are "
                "supported, so set another, or add the host to NO_PROXY"
            )
        return proxy or None

    def explain_connection(self, chain: Sequence[BaseException], detail: str) -> str:
        """Write what is wrong and what to do if no connection could be opened.

        Args:
            chain: the exception and its causes.
            detail: the last of them in words, without secrets.
        """
        import aiohttp

        if any(isinstance(e, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError) for e in chain):
            proxy, source = self.find_proxy()
            cure = f"correct {source.lstrip('$')}, or add {self.host} to NO_PROXY"
            return f"the proxy {_hide_password(proxy)} ({source}) gives no connection to {self.url} ({detail}); {cure}"
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


def _hide_password(proxy: str) -> str:
    return proxy.rpartition("@")[2].rpartition("://")[2]


def make_tls_context() -> ssl.SSLContext:
    """Return what the certificates of endpoints are checked with: those that ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``
    name, else the system's.

    Raises:
        UsageError: a variable names no certificates.
    """
    file, folder = os.environ.get("SSL_CERT_FILE") or None, os.environ.get("SSL_CERT_DIR") or None
    if sys.platform in ("darwin", "win32") and file is None and folder is None:
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return ssl.create_default_context(cafile=file, capath=folder)
    except OSError as error:  # ssl.SSLError is one
        why = (error.strerror or str(error)).lower()
        raise UsageError(
            f"SSL_CERT_FILE is set to {file}, which holds no certificates that can be read: {why}"
        ) from error
