"""The JSON Schema of a recipe, for editors, made from the models of its settings and the plugins that are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from filial import Component
from filial.commands import HOOKS, KINDS, PluginError, json_schema
from filial.commands import recipe_settings as settings

if TYPE_CHECKING:
    from filial.commands import Manager

Schema = dict[str, Any]
_BESIDE: dict[str, type[settings.Settings]] = {
    model.kind: model
    for model in (settings.Generate, settings.Strategy, settings.Mix, settings.Train, settings.Judge, settings.Rival)
}
"""The recipe's own keys beside the options of a kind; those of a rival show for every teacher."""


def recipe_schema(manager: Manager) -> Schema:
    """Make the schema (2020-12), self-contained. A plugin that does not load is named in it, without its options."""
    root = _model(settings.Root)
    keys = root["properties"]
    keys["stages"]["items"] = {
        "type": "object", "properties": {verb: _verb(model) for verb, model in settings.VERBS.items()},
        "additionalProperties": False, "minProperties": 1, "maxProperties": 1,
    }  # fmt: skip
    keys["judge"] = {"description": keys["judge"]["description"], **_one_or_more(settings.Judge.kind)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "filial recipe", **root,
        "$defs": {kind: _component(kind, _classes(manager, kind)) for kind in (*KINDS, HOOKS) if kind != "formats"},
    }  # fmt: skip


def _model(model: type[settings.Settings]) -> Schema:
    """The schema of some settings, with references to kinds in place of their parts."""
    schema: Schema = _referring(json_schema(model))
    schema.pop("description")
    return schema


def _referring(node: Any) -> Any:
    if isinstance(node, list):
        return [_referring(item) for item in node]
    if not isinstance(node, dict):
        return node
    ref = _ref(node["x-part"]) if "x-part" in node else {}
    return {key: _referring(value) for key, value in node.items() if key != "x-part"} | ref


def _verb(model: type[settings.Settings]) -> Schema:
    if model.kind:
        return _ref(model.kind)
    schema = _model(model)
    return _one_or_more("filters") if list(schema["properties"]) == ["filters"] else schema


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
            bare = {claim.dist for claim in manager.index.bare(kind, name)}
            names = (name, full) if bare == {dist} else (full,)
            try:
                out[names] = manager.get(kind, full)
            except PluginError:
                out[names] = None
    return out


def _component(kind: str, classes: dict[tuple[str, ...], type[Component] | None]) -> Schema:
    """``name`` or ``{use: name, …}``: which options are allowed follows from ``use``."""
    own = _model(_BESIDE.get(kind, settings.Settings))
    required = own.get("required", ())
    schemas = {names: json_schema(cls) if cls else None for names, cls in classes.items()}
    bare = [
        name
        for names, schema in schemas.items()
        for name in names
        if not required and not (schema or {}).get("required")
    ]
    known = [_when(names, schema, own["properties"]) for names, schema in schemas.items() if schema is not None]
    mapping = {
        "required": ["use", *required],
        "properties": {"use": {"enum": [name for names in classes for name in names]}},
        **({"allOf": known} if known else {}),  # JSON Schema knows no empty list here
    }
    return {"type": ["string", "object"], "if": {"type": "string"}, "then": {"enum": bare}, "else": mapping}


def _when(names: tuple[str, ...], options: Schema, keys: dict[str, Schema]) -> Schema:
    """If ``use`` is one of the names: these options beside the recipe's own keys, and no others."""
    then = {**options, "properties": {"use": True, **keys, **options["properties"]}, "additionalProperties": False}
    return {"if": {"required": ["use"], "properties": {"use": {"enum": list(names)}}}, "then": then}
