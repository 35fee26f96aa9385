"""How values that users write are refused: pydantic's findings, in one wording for recipes, flags and Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from filial.contracts.errors import hint
from filial.plugins.yaml import Address

_TYPES = {
    "int": "an integer", "float": "a number", "string": "text", "path": "text", "bool": "true or false",
    "list": "a list", "tuple": "a list", "set": "a list", "frozen_set": "a list", "none_required": "nothing",
    **dict.fromkeys(("dict", "mapping", "model", "dataclass"), "a mapping ('key: value')"),
}  # fmt: skip
"""What an error type of pydantic such as ``int_type`` or ``int_parsing`` wants to have."""

_SECRETS = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,}|gsk_[A-Za-z0-9]{20,}"
    r"|xai-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}"
    r"|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,400}\.eyJ[\w-]{10,2000}\.[\w-]{10})|\bBearer +[\w.~+/-]{16,}"
)
_SECRET_KEY = re.compile(r"(?:.*[_-])?(?:api[_-]?key|token|secret|password|authorization)", re.IGNORECASE)
_OPAQUE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_.~+/=-]{16,}")
_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s@]*@\S*")
_KEY_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*[?&](?:api[-_]?key|key|token|secret|sig)=\S*", re.IGNORECASE)
_HIDDEN = object()
"""Stands for a value that no message may show."""


class Finding(NamedTuple):
    """Something wrong at an address.

    ``at_key``: its key is meant, not its value. ``owned``: the message begins with whose option it is.
    """

    address: Address
    message: str
    at_key: bool = False
    owned: bool = False


def secret(key: str, text: str) -> str:
    """Say why this text must not stand in a recipe; empty if it may.

    A recipe is shared, logged and copied into every run, so it may name a secret but never hold one.
    """
    if _SECRETS.search(text) or (_SECRET_KEY.fullmatch(key) and _OPAQUE.fullmatch(text)):
        return (
            "this looks like an API key; a recipe is shared and copied into every run, so take the key out "
            "(and renew it if this file was shared) and name an environment variable instead"
        )
    if _USERINFO.fullmatch(text) or _KEY_IN_URL.fullmatch(text):
        return "this address holds a password or key; take it out and name an environment variable instead"
    return ""


def shown(value: Any) -> str:
    """Write a value as a message may show it: short, printable, never a secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is _HIDDEN or (isinstance(value, str) and secret("", value)):
        return "a hidden text"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + (text[-1] if isinstance(value, str) else "")


def suggestion(word: str, known: Iterable[str], lead: str, spell: Callable[[str], str] = repr) -> str:
    """Write the tail of a message about an unknown word: the one that was meant, or all there are."""
    known = list(known)
    listed = f"; {lead} {', '.join(known[:20])}{', …' if len(known) > 20 else ''}" if known else ""
    return hint(word, known, spell) or listed


def explain(
    error: ValidationError, model: type[BaseModel], body: Any, owner: str, beside: Iterable[str] = (),
    spell: Callable[[str], str] = repr,
) -> Iterator[Finding]:  # fmt: skip
    """Say in our words what pydantic found; addresses are relative to ``body``, the data that was validated.

    ``owner`` is whose options these are, such as "filter 'short'"; ``beside`` are names that may stand beside the
    model's own; ``spell`` writes the name of an option for this user.
    """
    found: dict[Address, list[Any]] = {}
    hidden = model.model_config.get("hide_input_in_errors")
    for one in error.errors(include_url=False):
        found.setdefault(_address(body, one["loc"]), []).append(one | ({"input": _HIDDEN} if hidden else {}))
    for address, errors in found.items():
        branches = all(len(one["loc"]) > len(address) for one in errors)
        if {one["type"] for one in errors} <= {"extra_forbidden", "missing"}:
            yield from (_key(one, address, model, owner, beside, spell) for one in errors)
        elif branches and any(other != address == other[: len(address)] for other in found):
            continue  # the value resembles another branch of the union, whose fault stands deeper
        elif words := next((one for one in errors if one["type"] in ("value_error", "assertion_error")), None):
            message = words["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            yield Finding(address, message if address else f"{owner}: {message}", owned=not address)
        else:
            yield Finding(address, _refusal(errors))


def _address(body: Any, loc: tuple[str | int, ...]) -> Address:
    """Where an error stands: its path without the names of a union's branches, which lead nowhere in the data."""
    address: Address = ()
    for step in loc:
        known: Any = body if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ()
        if step in known:
            body, address = body[step], (*address, step)
    return address


def _key(
    error: Any, address: Address, model: type[BaseModel], owner: str, beside: Iterable[str],
    spell: Callable[[str], str],
) -> Finding:  # fmt: skip
    """A key that there is not, or one that is missing."""
    missing, name = error["type"] == "missing", str(error["loc"][-1])
    place = address if missing else address[:-1]
    models = _models(model, place)
    fields = {key: field for one in models for key, field in one.model_fields.items()}
    owner = next((str(one.owner) for one in models if one is not model and hasattr(one, "owner")), owner)
    if missing:
        about = (fields[name].description or "").rstrip(".") if name in fields else ""
        return Finding(address, f"{owner} needs {spell(name)}" + (f" ({about})" if about else ""), owned=True)
    known = [*fields, *(() if place else beside)]
    tail = suggestion(name, known, "there are", spell) or "; it takes none"
    word = shown(name) if spell is repr else spell(name)
    return Finding(address, f"{owner} has no {word}{tail}", at_key=True, owned=True)


def _models(model: type[BaseModel], address: Address) -> list[type[BaseModel]]:
    """The models that a value at an address may be of; a step that names no field leads to an item."""
    models = [model]
    for step in address:
        models = [
            inner
            for one in models
            for inner in (_inside(one.model_fields[str(step)].annotation) if step in one.model_fields else [one])
        ]
    return models


def _inside(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _inside(part)]


def _refusal(errors: list[Any]) -> str:
    """Why a value is refused, by the errors of all branches of its type."""
    value, words, nouns = errors[0]["input"], list[str](), list[str]()
    for error in errors:
        kind, context = error["type"], error.get("ctx", {})
        if kind in ("literal_error", "enum"):  # the choices as Python writes them: 'a', 'b' or 3
            words += [word for word in re.findall(r"'[^']*'|[^\s,]+", context["expected"]) if word != "or"]
        elif noun := _TYPES.get(re.sub(r"_(type|parsing|attributes_type)$", "", kind)):
            nouns.append(noun)
        elif kind in _RULES:
            return _RULES[kind](value, context)
        else:
            return re.sub(r"^Input(?= should)", lambda _: shown(value), str(error["msg"]))
    return wrong_type(value, nouns, words) if nouns else _one_of(value, [word.strip("'") for word in words])


def wrong_type(value: Any, want: Iterable[str], words: Iterable[str] = ()) -> str:
    """'lots' is not an integer; with a way out where one is plain. ``words`` would have been welcome too."""
    want = dict.fromkeys(want)
    names = " or ".join([*want, *words])
    if value is None:
        return f"the value is missing; {names} belongs here"
    if isinstance(value, dict | list):
        return f"{names} belongs here, not {shown(value)}"
    return f"{shown(value)} is not {names}{_way_out(value, want)}"


def _way_out(value: Any, want: Iterable[str]) -> str:
    if isinstance(value, str):
        word = value.strip().lower()
        if "true or false" in want and word in ("yes", "on", "y", "no", "off", "n", "true", "false"):
            return f"; write {'true' if word in ('yes', 'on', 'y', 'true') else 'false'}"
        digits = re.sub(r"[_, ]", "", word)
        if {"an integer", "a number"} & set(want) and re.fullmatch(r"[-+]?[0-9]{1,40}", digits):
            return f"; write {digits}"
    elif "text" in want:
        return "; put it in quotes"
    return "; put it in brackets: [ ]" if "a list" in want else ""


def _one_of(value: Any, words: list[str]) -> str:
    return f"{shown(value)} is not one of {', '.join(words)}" + (hint(value, words) if isinstance(value, str) else "")


_RULES: dict[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "greater_than_equal": lambda value, ctx: f"{shown(value)} is too small; the least is {_number(ctx['ge'])}",
    "less_than_equal": lambda value, ctx: f"{shown(value)} is too large; the most is {_number(ctx['le'])}",
    "greater_than": lambda value, ctx: f"{shown(value)} is too small; it must be more than {_number(ctx['gt'])}",
    "less_than": lambda value, ctx: f"{shown(value)} is too large; it must be less than {_number(ctx['lt'])}",
    "multiple_of": lambda value, ctx: f"{shown(value)} is not a multiple of {ctx['multiple_of']}",
    "string_too_short": lambda value, ctx: _few("the text", "characters", ctx),
    "string_too_long": lambda value, ctx: f"the text is longer than {ctx['max_length']} characters",
    "string_pattern_mismatch": lambda value, ctx: f"{shown(value)} does not have the form {ctx['pattern']}",
    "too_short": lambda value, ctx: _few("the mapping" if isinstance(value, dict) else "the list", "items", ctx),
    "too_long": lambda value, ctx: f"there are more than {ctx['max_length']} items",
}


def _number(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _few(what: str, of: str, ctx: Mapping[str, Any]) -> str:
    return f"{what} is empty" if ctx["min_length"] == 1 else f"{what} needs {ctx['min_length']} {of}"
