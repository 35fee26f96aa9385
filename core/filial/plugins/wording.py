"""Messages about invalid values: pydantic's errors as sentences, for recipes, flags and Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from filial.contracts.errors import hint
from filial.plugins.yaml import Address

_PLAIN = {
    "a valid string": "text (in quotes)", "a valid boolean": "true or false", "a valid array": "a list ([ ])",
    "an object": "a mapping ('key: value')",
}  # fmt: skip
"""pydantic's name of a type -> its name in messages."""

_SECRETS = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,}|gsk_[A-Za-z0-9]{20,}"
    r"|xai-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}"
    r"|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,400}\.eyJ[\w-]{10,2000}\.[\w-]{10})|\bBearer +[\w.~+/-]{16,}"
)
_SECRET_KEY = re.compile(r"(?:.*[_-])?(?:api[_-]?key|token|secret|password|authorization)", re.IGNORECASE)
_OPAQUE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_.~+/=-]{16,}")
_SECRET_ADDRESS = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[^/?#\s@]*@|\S*[?&](?:api[-_]?key|key|token|secret|sig)=)\S*", re.IGNORECASE
)
_HIDDEN = object()
"""Replaces a value that no message may show."""


class Finding(NamedTuple):
    """An error at an address; ``at_key``: in the key itself, not in its value."""

    address: Address
    message: str
    at_key: bool = False


def find_secret(key: str, text: str) -> str:
    """Say why a text looks like a secret; empty if it does not.

    A recipe is shared, logged and copied into every run, so it may name a secret but not contain one.
    """
    named_so = _SECRET_KEY.fullmatch(key) and _OPAQUE.fullmatch(text)
    if not (named_so or _SECRETS.search(text) or _SECRET_ADDRESS.fullmatch(text)):
        return ""
    why = "this looks like an API key or a password; a recipe is shared and copied into every run"
    return f"{why}, so take it out (and renew it if this file was shared) and name an environment variable instead"


def describe_value(value: Any) -> str:
    """Format a value for a message: short, printable, never a secret."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is _HIDDEN or (isinstance(value, str) and find_secret("", value)):
        return "a hidden text"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + (text[-1] if isinstance(value, str) else "")


def suggest(word: str, known: Iterable[str], spell: Callable[[str], str] = repr) -> str:
    """Return the end of a message about an unknown word: a similar one, or up to 20 that exist."""
    known = list(known)
    listed = f"; there are {', '.join(known[:20])}{', …' if len(known) > 20 else ''}" if known else ""
    return hint(word, known, spell) or listed


def describe_wrong_type(value: Any, want: Iterable[str]) -> str:
    """Say of which types a value should be; ``want`` are alternatives."""
    wanted = " or ".join(want)
    if value is None:
        return f"the value is missing; it should be {wanted}"
    if isinstance(value, dict | list):
        return f"this should be {wanted}, not {describe_value(value)}"
    choices = re.findall("'([^']*)'", wanted) if isinstance(value, str) else []
    return f"{describe_value(value)} should be {wanted}{hint(str(value), choices)}"


def explain_errors(
    error: ValidationError, model: type[BaseModel], body: Any, owner: str, beside: Iterable[str] = (),
    spell: Callable[[Address], str] | None = None,
) -> Iterator[Finding]:  # fmt: skip
    """Turn pydantic's errors into findings that say what to do. Addresses are relative to the data, ``body``.

    ``owner`` names what has these options, such as "filter 'short'"; ``beside`` are keys that are allowed in addition
    to the model's. ``spell`` formats an address for the message, for a user who sees no line and column.
    """
    found: dict[Address, list[Any]] = {}
    hidden = model.model_config.get("hide_input_in_errors")
    for one in error.errors(include_url=False):
        found.setdefault(_address(body, one["loc"]), []).append(one | ({"input": _HIDDEN} if hidden else {}))
    for address, errors in found.items():
        branches = all(len(one["loc"]) > len(address) for one in errors)
        if {one["type"] for one in errors} <= {"extra_forbidden", "missing"}:
            yield from (_key_finding(one, address, model, owner, beside, spell) for one in errors)
        elif branches and any(other != address == other[: len(address)] for other in found):
            continue  # another branch of the union fits the value better: its error is inside the value
        else:
            place = f"{owner}: " if not address else f"{owner}: {spell(address)}: " if spell else ""
            yield Finding(address, f"{place}{_refusal(errors)}")


def _address(body: Any, loc: tuple[str | int, ...]) -> Address:
    """Return the address of an error: pydantic's path without the names of union branches."""
    address: Address = ()
    for step in loc:
        known: Any = body if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ()
        if step in known:
            body, address = body[step], (*address, step)
    return address


def _key_finding(
    error: Any, address: Address, model: type[BaseModel], owner: str, beside: Iterable[str],
    spell: Callable[[Address], str] | None,
) -> Finding:  # fmt: skip
    """Return the finding about an unknown key or a missing one."""

    def write(word: str) -> str:
        return spell((word,)) if spell else describe_value(word)

    missing, name = error["type"] == "missing", str(error["loc"][-1])
    models = _models(model, address if missing else address[:-1])
    fields = {key: field for one in models for key, field in one.model_fields.items()}
    owner = next((str(one.owner) for one in models if one is not model and hasattr(one, "owner")), owner)
    if missing:
        about = (fields[name].description or "").rstrip(".") if name in fields else ""
        return Finding(address, f"{owner} needs {write(name)}" + (f" ({about})" if about else ""))
    known = [*fields, *(beside if len(address) == 1 else ())]
    tail = suggest(name, known, write) or "; it takes none"
    return Finding(address, f"{owner} has no {write(name)}{tail}", at_key=True)


def _models(kind: Any, address: Address) -> list[type[BaseModel]]:
    """Return the possible models of a value at an address; a step that is no field name is the position of an item."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return [model for part in get_args(kind) for model in _models(part, address)]
    if not address:
        return [kind]
    field = kind.model_fields.get(str(address[0]))
    return _models(field.annotation if field else kind, address[1:])


def _refusal(errors: list[Any]) -> str:
    """Say why a value is invalid, from pydantic's messages for each branch of its type."""
    value, be = errors[0]["input"], "Input should be "
    messages = [str(one["msg"]) for one in errors]
    if other := next((message for message in messages if not message.startswith(be)), ""):
        other = re.sub("^(Value error|Assertion failed), ", "", other)  # a message of a validator
        other = re.sub("^(?:List|Dictionary) should have (at .*) after validation, not ", r"\1 here, not ", other)
        return re.sub("^(Input|String)(?= should)", lambda _: describe_value(value), other)
    wanted = [message.removeprefix(be) for message in messages]
    return describe_wrong_type(value, dict.fromkeys(_PLAIN.get(want, want) for want in wanted))
