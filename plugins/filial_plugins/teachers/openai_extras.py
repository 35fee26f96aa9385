"""What only the user's endpoint knows: fields of the body, headers and the query of its address.

Options are written into recipes, runs and the ledger, so no secret may stand in them: a header, and whatever part of
the query is secret, names an environment variable instead.
"""

from __future__ import annotations

import re
from typing import Any

OWN_FIELDS = {
    "model": "model", "messages": "", "stream": "stream", "stream_options": "stream", "n": "",
    "max_tokens": "max_tokens", "max_completion_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p",
}  # fmt: skip
"""Fields that filial writes itself, and the option for each."""
KEY_HEADERS = {"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"}
"""Headers that say who asks. They do not change an answer, so they are no part of what it is stored under."""
OWN_HEADERS = {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding"}

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECRET_NAME = re.compile(
    r"(?:^|[^a-z])(?:api)?[_-]?(?:key|token|secret|passw\w*|auth\w*|credentials?|sig(?:nature)?|code)$", re.I
)
_SECRET = re.compile(r"\b(?:sk-|hf_|gsk_|xai-|gh[pousr]_|AKIA|AIza|eyJ)[\w.-]{10,}|\bBearer +\S{8,}|://[^/\s]*@")


def find_variable(value: str) -> str:
    """Return the environment variable that a value names as ``$NAME`` or ``${NAME}``; empty if it names none."""
    named = _VARIABLE.fullmatch(value)
    return (named[1] or named[2]) if named else ""


def check_extra_body(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields.

    Raises:
        ValueError: filial writes one itself, or one contains a secret.
    """
    for name in fields.keys() & OWN_FIELDS.keys():
        cure = f"use the option {OWN_FIELDS[name]}" if OWN_FIELDS[name] else "filial writes it itself"
        raise ValueError(f"extra_body must not contain {name!r}; {cure}")
    for name, text in _list_texts("", fields):
        if _is_secret(name, text):
            raise ValueError(f"extra_body has a secret in {name!r}; send it in a header that names a variable ($NAME)")
    return fields


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers.

    Raises:
        ValueError: a name is not that of a header, or a value does not name an environment variable.
    """
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or name.lower() in OWN_HEADERS:
            raise ValueError(f"headers: {name!r} is not a header that can be set")
        if not find_variable(value):
            raise ValueError(
                f"headers: the value of {name!r} must name an environment variable, as in {{{name}: $MY_VARIABLE}}; "
                "put the value into that variable"
            )
    return headers


def check_query(query: dict[str, str]) -> dict[str, str]:
    """Return the parts of the query.

    Raises:
        ValueError: one contains a secret.
    """
    for name, value in query.items():
        if not find_variable(value) and _is_secret(name, value):
            raise ValueError(
                f"query: the value of {name!r} is secret; name an environment variable, as in {{{name}: $MY_VARIABLE}}"
            )
    return query


def _is_secret(name: str, text: str) -> bool:
    return _SECRET_NAME.search(name) is not None or _SECRET.search(text) is not None


def _list_texts(name: str, value: Any) -> list[tuple[str, str]]:
    """Return every text in a value with the name that it has there."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in _list_texts(str(key), inner)]
    if isinstance(value, list):
        return [found for inner in value for found in _list_texts(name, inner)]
    return [(name, value)] if isinstance(value, str) else []
