"""The JSON Schema of a recipe for editors, made from the models of its settings and the installed plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from filial import Component
from filial.commands import HOOKS, KINDS, STAGES, PluginError, json_schema, stage_class
from filial.commands import recipe_settings as settings

if TYPE_CHECKING:
    from filial.commands import Manager

Schema = dict[str, Any]
Stages = dict[str, type[settings.StageSettings] | None]


def recipe_schema(manager: Manager) -> Schema:
    """Make the schema (2020-12), self-contained. A plugin that does not load is named in it, without its options."""
    stages = _stages(manager)
    root = _model(settings.Root)
    keys = root["properties"]
    keys["stages"]["items"] = {
        "type": "object", "properties": {verb: _verb(model) for verb, model in stages.items()},
        "additionalProperties": False, "minProperties": 1, "maxProperties": 1,
    }  # fmt: skip
    keys["judge"] = {"description": keys["judge"]["description"], **_one_or_more(settings.Judge.kind)}
    kinds = [kind for kind in (*KINDS, HOOKS) if kind != "formats"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "filial recipe", **root,
        "$defs": {kind: _component(_beside(kind, stages), _classes(manager, kind)) for kind in kinds},
    }  # fmt: skip


def _stages(manager: Manager) -> Stages:
    """Return each verb that a recipe may use, with its class; None if it does not load."""
    out: Stages = {}
    for verb, claims in manager.index[STAGES].items():
        for claim in claims:
            name = verb if manager.index.find_claims(STAGES, verb) == [claim] else f"{claim.dist}:{verb}"
            try:
                out[name] = stage_class(manager, name)
            except PluginError:
                out[name] = None
    return out


def _beside(kind: str, stages: Stages) -> Schema:
    """Return the recipe's own keys in addition to the options of a kind. Keys of all places are allowed in each, and
    those of a rival for every teacher; a key is required if all places require it."""
    models: list[tuple[str, type[settings.Settings]]]
    models = [(model.kind, model) for model in (settings.Train, settings.Judge, settings.Rival)]
    for stage in filter(None, stages.values()):
        models += [(stage.kind, stage)]
        models += [(part.kind, part.beside) for part in settings.parts(stage).values()]
    schemas = [_model(model) for of, model in models if of == kind] or [_model(settings.Settings)]
    required = set.intersection(*(set(schema.get("required", ())) for schema in schemas))
    return {
        "properties": {name: key for schema in schemas for name, key in schema["properties"].items()},
        "required": [name for name in schemas[0].get("required", ()) if name in required],
    }


def _model(model: type[settings.Settings]) -> Schema:
    """Return the schema of some settings, with references to kinds instead of their parts."""
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


def _verb(model: type[settings.StageSettings] | None) -> Schema:
    if model is None:
        return {}
    if model.alone:
        return _one_or_more(settings.parts(model)[model.alone].kind)
    return _ref(model.kind) if model.kind else _model(model)


def _ref(kind: str) -> Schema:
    return {"$ref": f"#/$defs/{kind}"}


def _one_or_more(kind: str) -> Schema:
    many = {"items": _ref(kind), "minItems": 1}
    return {"type": ["string", "object", "array"], "if": {"type": "array"}, "then": many, "else": _ref(kind)}


def _classes(manager: Manager, kind: str) -> dict[tuple[str, ...], type[Component] | None]:
    """Return the ways to name each installed component of a kind, with its class; None if it does not load."""
    out: dict[tuple[str, ...], type[Component] | None] = {}
    for name, claims in manager.index[kind].items():
        for dist in dict.fromkeys(claim.dist for claim in claims):
            full = f"{dist}:{name}"
            bare = {claim.dist for claim in manager.index.find_claims(kind, name)}
            names = (name, full) if bare == {dist} else (full,)
            try:
                out[names] = manager.get(kind, full)
            except PluginError:
                out[names] = None
    return out


def _component(own: Schema, classes: dict[tuple[str, ...], type[Component] | None]) -> Schema:
    """Return ``name`` or ``{use: name, …}``; the value of ``use`` determines the options that are allowed."""
    required = own["required"]
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
    """If ``use`` is one of the names: these options and the recipe's own keys, and no others."""
    then = {**options, "properties": {"use": True, **keys, **options["properties"]}, "additionalProperties": False}
    return {"if": {"required": ["use"], "properties": {"use": {"enum": list(names)}}}, "then": then}
