"""Differences between endpoints with OpenAI's chat completions, as data, and which endpoint an address belongs to."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult

TokenLimit = Literal["max_tokens", "max_completion_tokens"]
ResponseFormat = Literal["json_schema", "json_object", "words"]


@dataclass(frozen=True, slots=True)
class Profile:
    """How one kind of endpoint wants to be asked.

    Several answers to one prompt are several requests everywhere: servers ignore ``n``, or give n times the same.

    Attributes:
        hosts: the hosts that are of this kind, a domain by its dot; ``port``: where it listens on this machine.
        key: the environment variable that holds the key for ``hosts``; ``key_header``: the header for a bare key.
        token_limit: what the limit on an answer's tokens is called.
        response_format: how a JSON Schema is given; "words" puts it at the end of the last user message.
        seeds: whether ``seed`` is sent with a further draw, so that no cache gives it the first one's answer.
        reasoning: names of the models that take no sampling options, as a pattern.
        zero_top_p: whether ``top_p: 0`` is accepted, which means the same as ``temperature: 0``.
        own: whoever runs it on a machine of their own pays nothing per token.
        contexts: context lengths to which this kind cuts in silence.
    """

    hosts: tuple[str, ...] = ()
    port: int = 0
    key: str = ""
    key_header: str = ""
    token_limit: TokenLimit = "max_tokens"
    response_format: ResponseFormat = "words"
    seeds: bool = False
    reasoning: str = "(?!)"
    zero_top_p: bool = False
    own: bool = False
    contexts: tuple[int, ...] = ()


PROFILES = {
    "openai": Profile(
        hosts=("api.openai.com", "eu.api.openai.com", "us.api.openai.com"), key="OPENAI_API_KEY",
        token_limit="max_completion_tokens", response_format="json_schema", reasoning=r"(ft:)?(o\d|gpt-5)(?!.*-chat)",
        zero_top_p=True,
    ),
    "azure": Profile(
        hosts=(".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"),
        key="AZURE_OPENAI_API_KEY", key_header="api-key", token_limit="max_completion_tokens",
        response_format="json_schema", reasoning=r"(o\d|gpt-5)(?!.*-chat)", zero_top_p=True,
    ),
    "openrouter": Profile(
        hosts=("openrouter.ai",), key="OPENROUTER_API_KEY", reasoning=r"openai/(o\d|gpt-5)(?!.*-chat)"
    ),
    "vllm": Profile(port=8000, response_format="json_schema", seeds=True, own=True),
    "llamacpp": Profile(port=8080, response_format="json_schema", seeds=True, own=True),
    "ollama": Profile(port=11434, response_format="json_schema", seeds=True, own=True, contexts=(2048, 4096)),
    "generic": Profile(),
}  # fmt: skip
ProfileName = Literal["auto", "openai", "azure", "openrouter", "vllm", "llamacpp", "ollama", "generic"]

NOT_FOR_REASONING = ("temperature", "top_p", "stop", "seed")
"""What a reasoning model's endpoint rejects."""


def find_profile(name: ProfileName, address: SplitResult) -> Profile:
    """Return the profile of that name; for "auto", the one of the host, or of the port on this machine."""
    if name != "auto":
        return PROFILES[name]
    host = address.hostname or ""
    here = is_loopback(host)
    fitting = (p for p in PROFILES.values() if _is_of(host, p) or (here and p.port and p.port == address.port))
    return next(fitting, PROFILES["generic"])


def is_key_of(key: str, host: str) -> bool:
    """Return whether a variable holds the key for a host."""
    return any(key == profile.key and _is_of(host, profile) for profile in PROFILES.values())


def _is_of(host: str, profile: Profile) -> bool:
    return any(host == known or (known[0] == "." and host.endswith(known)) for known in profile.hosts)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name or address."""
    address = _parse_ip(host)
    return address.is_loopback if address else host == "localhost" or host.endswith(".localhost")


def is_private(host: str) -> bool:
    """Return whether a host is this machine or in a private network, by its address or a non-public name."""
    if address := _parse_ip(host):
        return address.is_private
    inside = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
    return bool(re.fullmatch("[A-Za-z][A-Za-z0-9_-]*", host)) or host.endswith(inside)


def _parse_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
