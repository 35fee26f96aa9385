"""The JSON Schema of a recipe for editors, with the options of the installed plugins in it.

It says what one part of a recipe may hold. What one part needs of another (a first stage its seeds, training its
template), files and secrets are for `filial.recipe` to check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from filial.components import KINDS, Component
from filial.errors import PluginError
from filial.options import json_schema
from filial.recipe.keys import BUDGET, EVOLVE, GENERATE, JUDGE, MIX, ROOT, STRATEGY, TRAIN, Schema

if TYPE_CHECKING:
    from filial.plugins import Manager

_KEYS: dict[str, dict[str, Schema]] = {
    "generators": GENERATE, "strategies": STRATEGY, "mixers": MIX, "trainers": TRAIN, "judges": JUDGE,
}  # fmt: skip
_REQUIRED = {"trainers": ("model",), "judges": ("data",)}


def recipe_schema(manager: Manager) -> Schema:
    """The schema (2020-12), self-contained. A plugin that does not load is named in it, without its options."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "filial recipe",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **ROOT,
            "budget": {**ROOT["budget"], **_closed(BUDGET)},
            "teacher": {**ROOT["teacher"], **_ref("teachers")},
            "stages": {**ROOT["stages"], "items": _stage()},
            "template": {**ROOT["template"], **_ref("templates")},
            "train": {**ROOT["train"], **_ref("trainers")},
            "judge": {**ROOT["judge"], **_one_or_more("judges")},
        },
        "$defs": {kind: _component(kind, _classes(manager, kind)) for kind in KINDS},
    }


def recipe_schema_text(manager: Manager) -> str:
    """The schema as ``filial schema recipe`` prints it and a file holds it."""
    return msgspec.json.format(msgspec.json.encode(recipe_schema(manager)), indent=2).decode() + "\n"


def _stage() -> Schema:
    evolve = {
        **EVOLVE,
        "strategies": {**EVOLVE["strategies"], "items": _ref("strategies")},
        "eliminate": {**EVOLVE["eliminate"], "items": _ref("filters")},
    }
    verbs = {
        "generate": _ref("generators"),
        "evolve": {**_closed(evolve), "required": ["strategies"]},
        "filter": _one_or_more("filters"),
        "mix": _ref("mixers"),
    }
    return {**_closed(verbs), "minProperties": 1, "maxProperties": 1}


def _closed(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _ref(kind: str) -> Schema:
    return {"$ref": f"#/$defs/{kind}"}


def _one_or_more(kind: str) -> Schema:
    many = {"items": _ref(kind), "minItems": 1}
    return {"type": ["string", "object", "array"], "if": {"type": "array"}, "then": many, "else": _ref(kind)}


def _classes(manager: Manager, kind: str) -> dict[tuple[str, ...], type[Component] | None]:
    """The ways to name each installed component of a kind, to its class; None where it does not load."""
    out: dict[tuple[str, ...], type[Component] | None] = {}
    for name, claims in manager.index[kind].items():
        for dist in dict.fromkeys(claim.dist for claim in claims):
            full = f"{dist}:{name}"
            names = (full,) if len({claim.dist for claim in claims}) > 1 else (name, full)
            try:
                out[names] = manager.get(kind, full)
            except PluginError:
                out[names] = None
    return out


def _component(kind: str, classes: dict[tuple[str, ...], type[Component] | None]) -> Schema:
    """``name`` or ``{use: name, …}``: which options are allowed follows from ``use``."""
    required = _REQUIRED.get(kind, ())
    schemas = {names: json_schema(cls) if cls else None for names, cls in classes.items()}
    bare = [
        name
        for names, schema in schemas.items()
        for name in names
        if not required and not (schema or {}).get("required")
    ]
    mapping = {
        "required": ["use", *required],
        "properties": {"use": {"enum": [name for names in classes for name in names]}},
        "allOf": [_when(names, schema, _KEYS.get(kind, {})) for names, schema in schemas.items() if schema is not None],
    }
    return {"type": ["string", "object"], "if": {"type": "string"}, "then": {"enum": bare}, "else": mapping}


def _when(names: tuple[str, ...], options: Schema, keys: dict[str, Schema]) -> Schema:
    """If ``use`` is one of the names: these options beside the recipe's own keys, and no others."""
    then = {**options, "properties": {"use": True, **keys, **options["properties"]}, "additionalProperties": False}
    return {"if": {"required": ["use"], "properties": {"use": {"enum": list(names)}}}, "then": then}
