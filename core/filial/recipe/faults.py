"""Collects everything that is wrong with a recipe, each fault at its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jsonschema
from jsonschema.exceptions import ValidationError

from filial.contracts.errors import RecipeError
from filial.plugins.yaml import Address, Document

_TYPES = {
    "integer": "an integer", "number": "a number", "string": "text", "boolean": "true or false",
    "array": "a list", "object": "a mapping ('key: value')", "null": "nothing",
}  # fmt: skip

_SECRETS = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,}|gsk_[A-Za-z0-9]{20,}"
    r"|xai-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}"
    r"|xox[abprs]-[\w-]{10,}|eyJ[\w-]{10,400}\.eyJ[\w-]{10,2000}\.[\w-]{10})|\bBearer +[\w.~+/-]{16,}"
)
_SECRET_KEY = re.compile(r"(?:.*[_-])?(?:api[_-]?key|token|secret|password|authorization)", re.IGNORECASE)
_OPAQUE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_.~+/=-]{16,}")
_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s@]*@\S*")
_KEY_IN_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*[?&](?:api[-_]?key|key|token|secret|sig)=\S*", re.IGNORECASE)


class Finding(NamedTuple):
    """Something wrong at an address; ``at_key``: its key is meant, not its value."""

    address: Address
    message: str
    at_key: bool = False


def secret(key: str, text: str) -> str:
    """Why this text must not stand in a recipe; empty if it may.

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
    """A value as a message may show it: short, printable, never a secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    if isinstance(value, str) and secret("", value):
        return "a hidden text"
    return text if len(text) <= 60 else text[:57] + "…" + (text[-1] if isinstance(value, str) else "")


def near(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant; empty if none is close."""
    plain = {_plain(k): k for k in known}
    match = difflib.get_close_matches(_plain(word), plain, 1)
    return plain[match[0]] if match else ""


def suggestion(word: str, known: Iterable[str], lead: str) -> str:
    """The tail of a message about an unknown word: the one that was meant, or all there are."""
    known = list(known)
    if meant := near(word, known):
        return f"; did you mean {meant!r}?"
    return f"; {lead} {', '.join(known[:20])}{', …' if len(known) > 20 else ''}" if known else ""


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def explain(error: ValidationError, owner: str) -> Iterator[Finding]:
    """The findings in one jsonschema error; addresses are relative to what was validated."""
    address = tuple(error.absolute_path)
    rule, value, want = error.validator, _any(error.instance), _any(error.validator_value)
    if rule == "additionalProperties":
        yield from _unknown(error, owner, address)
    elif rule == "required":
        about = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        for name in [n for n in want if n not in value]:
            help_text = str(about.get(name, {}).get("description", "")).rstrip(".")
            yield Finding(address, f"{owner} needs {name!r}" + (f" ({help_text})" if help_text else ""))
    elif rule in ("anyOf", "oneOf") and error.context:
        yield from _alternatives(error, owner, address)
    elif rule == "type":
        yield Finding(address, wrong_type(value, [want] if isinstance(want, str) else list(want)))
    elif rule in _RULES:
        yield Finding(address, _RULES[rule](value, want))
    else:
        yield Finding(address, f"{shown(value)} does not fit the rule {rule}: {shown(want)}")


def _any(value: Any) -> Any:
    """A part of a finished error: jsonschema types it as possibly unset, which only an unfinished one is."""
    return value


def _unknown(error: ValidationError, owner: str, address: Address) -> Iterator[Finding]:
    assert isinstance(error.schema, dict)
    known = list(error.schema.get("properties", {}))
    patterns = list(error.schema.get("patternProperties", {}))
    for key in _any(error.instance):
        if key not in known and not any(re.search(p, key) for p in patterns):
            tail = suggestion(key, [name for name in known if name != "use"], "there are") or "; it takes none"
            yield Finding((*address, key), f"{owner} has no {shown(key)}{tail}", at_key=True)


def _alternatives(error: ValidationError, owner: str, address: Address) -> Iterator[Finding]:
    """A value may be one of several things: complain about the one it resembles, else name them all."""
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(inner.schema_path[0], []).append(inner)
    types: list[str] = []
    words: list[str] = []
    for errors in branches.values():
        at_root = {str(e.validator): _any(e.validator_value) for e in errors if not e.path}
        if "const" in at_root or "enum" in at_root:
            words += [repr(w) for w in at_root.get("enum", [at_root.get("const")])]
        elif "type" in at_root:
            types += [at_root["type"]] if isinstance(at_root["type"], str) else at_root["type"]
        else:
            for inner in errors:
                yield from explain(inner, owner)
            return
    yield Finding(address, wrong_type(error.instance, [t for t in types if t != "null"] or types, words))


def wrong_type(value: Any, want: list[str], words: Iterable[str] = ()) -> str:
    """'lots' is not an integer; with a way out where one is plain. ``words`` would have been welcome too."""
    names = " or ".join(dict.fromkeys([*(_TYPES.get(t, t) for t in want), *words]))
    if value is None:
        return f"the value is missing; {names} belongs here"
    if isinstance(value, dict | list):
        return f"{names} belongs here, not {shown(value)}"
    return f"{shown(value)} is not {names}{_way_out(value, want)}"


def _way_out(value: Any, want: list[str]) -> str:
    if isinstance(value, str):
        word = value.strip().lower()
        if "boolean" in want and word in ("yes", "on", "y", "no", "off", "n", "true", "false"):
            return f"; write {'true' if word in ('yes', 'on', 'y', 'true') else 'false'}"
        digits = re.sub(r"[_, ]", "", word)
        if {"integer", "number"} & set(want) and re.fullmatch(r"[-+]?[0-9]{1,40}", digits):
            return f"; write {digits}"
    elif "string" in want:
        return "; put it in quotes"
    if "array" in want:
        return "; put it in brackets: [ ]"
    return ""


def _one_of(value: Any, want: list[Any]) -> str:
    text = f"{shown(value)} is not one of {', '.join(str(w) for w in want)}"
    meant = near(value, [w for w in want if isinstance(w, str)]) if isinstance(value, str) else ""
    return text + (f"; did you mean {meant!r}?" if meant else "")


_RULES: dict[str, Callable[[Any, Any], str]] = {
    "enum": _one_of,
    "const": lambda value, want: _one_of(value, [want]),
    "minimum": lambda value, want: f"{shown(value)} is too small; the least is {want}",
    "maximum": lambda value, want: f"{shown(value)} is too large; the most is {want}",
    "exclusiveMinimum": lambda value, want: f"{shown(value)} is too small; it must be more than {want}",
    "exclusiveMaximum": lambda value, want: f"{shown(value)} is too large; it must be less than {want}",
    "multipleOf": lambda value, want: f"{shown(value)} is not a multiple of {want}",
    "minLength": lambda value, want: "the text is empty" if want == 1 else f"the text needs {want} characters",
    "maxLength": lambda value, want: f"the text is longer than {want} characters",
    "pattern": lambda value, want: f"{shown(value)} does not have the form {want}",
    "minItems": lambda value, want: "the list is empty" if want == 1 else f"the list needs {want} items",
    "maxItems": lambda value, want: f"the list has more than {want} items",
    "uniqueItems": lambda value, want: "the list names something twice",
    "minProperties": lambda value, want: "the mapping is empty" if want == 1 else f"it needs {want} entries",
}


MAX_MESSAGE = 500


class Faults:
    """The faults of one recipe.

    Args:
        name: the recipe's file as the user gave it.
        document: its marks and YAML faults.
        given: addresses set on the command line, each with the words that lead its faults.
    """

    def __init__(self, name: str, document: Document, given: dict[Address, str] | None = None) -> None:
        self._name, self._document, self._given = name, document, given or {}
        self._found: set[tuple[int, int, str, str]] = set()
        self._silent: set[Address] = set(document.silenced)
        for fault in document.faults:
            self._found.add((fault.line, fault.column, f"{name}:{fault.line}:{fault.column}", fault.message))

    def __len__(self) -> int:
        return len(self._found)

    def add(self, address: Address, message: str, *, at_key: bool = False) -> None:
        """Note what is wrong at an address (or with its key), unless it stands in for another fault."""
        if not any(address[:n] in self._silent for n in range(len(address) + 1)):
            self._found.add((*self._place(address, at_key), _one_line(message)))

    def outside(self, label: str, message: str) -> None:
        """Note a fault that stands in no file, such as one of the command line."""
        self._found.add((1 << 30, 0, label, _one_line(message)))

    def hide_secrets(self, data: Any) -> None:
        """Refuse every secret in the recipe, wherever it stands; nothing else is said about such a value."""
        for address, key, text in _texts(data, (), ""):
            if why := secret(key, text):
                self.add(address, why)
                self._silent.add(address)

    def check(self, instance: Any, schema: dict[str, Any], address: Address, owner: str) -> bool:
        """Validate a part of the recipe with a JSON Schema. Returns whether it is free of faults."""
        found = jsonschema.Draft202012Validator(schema).iter_errors(instance)
        errors = sorted(found, key=lambda error: error.validator != "type")
        told: set[Address] = set()
        for error in errors:
            for finding in explain(error, owner):
                if error.validator not in ("required", "additionalProperties"):
                    if finding.address in told:  # one wrong value may break several rules; the first says enough
                        continue
                    told.add(finding.address)
                self.add((*address, *finding.address), finding.message, at_key=finding.at_key)
        return not errors

    def where(self, address: Address) -> str:
        """An address for people: ``recipe.yaml:4:10``, or the path where there is no file."""
        return self._place(address, at_key=False)[2]

    def lines(self) -> list[str]:
        """All faults in the order of the file, those of the command line last."""
        return [f"{where}: {message}" for _, _, where, message in sorted(self._found)]

    def raise_if_any(self) -> None:
        """End here if anything is wrong.

        Raises:
            RecipeError: with every fault.
        """
        if self._found:
            raise RecipeError(self.lines())

    def _place(self, address: Address, at_key: bool) -> tuple[int, int, str]:
        """Line, column and both in words, of the address itself or of the nearest part around it."""
        around = [address[:n] for n in range(len(address), -1, -1)]
        for part in around:
            if part in self._given:
                return 1 << 30, 0, f"from --set {self._given[part]}"
        for part in around:
            marks = self._document.keys if at_key and part == address else self._document.values
            if part in marks:
                line, column = marks[part]
                return line, column, f"{self._name}:{line}:{column}"
        path = ".".join(map(str, address))
        return 0, 0, f"{self._name}: {path}" if path else self._name


def _one_line(message: str) -> str:
    """Printable and of sane length, whatever a recipe or a plugin's error holds."""
    plain = "".join(char if char.isprintable() else repr(char)[1:-1] for char in message[:MAX_MESSAGE])
    return plain if len(message) <= MAX_MESSAGE else plain + "…"


def _texts(data: Any, address: Address, key: str) -> Iterator[tuple[Address, str, str]]:
    """Every text of the data, with its address and the key it stands under; keys are texts too."""
    if isinstance(data, str):
        yield address, key, data
    elif isinstance(data, list):
        for i, item in enumerate(data):
            yield from _texts(item, (*address, i), key)
    elif isinstance(data, dict):
        for name, value in data.items():
            yield (*address, name), "", name
            yield from _texts(value, (*address, name), name)
