"""The keys of a recipe that belong to filial itself, each with its JSON Schema.

Everything else inside a component's braces is an option of that component. The checker, the editor schema and
the defaults of a resolved recipe all read these tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from filial.contracts.errors import PluginError
from filial.contracts.kinds import KINDS, Component
from filial.plugins.options import json_schema

if TYPE_CHECKING:
    from filial.plugins.manager import Manager


Schema = dict[str, Any]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


def _file(description: str) -> Schema:
    return {"type": "string", "minLength": 1, "description": description}


ROOT: dict[str, Schema] = {
    "seed": {
        "type": "integer", "minimum": 0, "maximum": 2**63 - 1, "default": 42,
        "description": "Every random choice of the run follows from it.",
    },
    "data": _file("Records to start from instead of a generate stage: a file, pkg:PACKAGE/FILE or hf:NAME."),
    "heldout": {
        "type": "integer", "minimum": 0, "default": 0,
        "description": "How many records are kept back from training, for judging (judge: data: heldout).",
    },
    "budget": {"description": "The run stops before it would pass one of these, however often it is resumed."},
    "hooks": {
        "type": "array", "items": {"type": "string", "minLength": 1}, "uniqueItems": True, "default": [],
        "description": "Installed plugins that only watch or wrap (entry points filial.hooks), by name.",
    },
    "teacher": {"description": "The model that is asked. Needed by every stage that asks."},
    "stages": {"type": "array", "default": [], "description": "What happens to the records, in this order."},
    "template": {"description": "How a record becomes the text that is trained on."},
    "train": {"description": "Which trainer tunes which model."},
    "judge": {"description": "How the trained model is measured; one judge or a list."},
}  # fmt: skip

BUDGET: dict[str, Schema] = {
    "requests": {"type": "integer", "minimum": 1, "description": "Teacher requests at most."},
    "tokens": {"type": "integer", "minimum": 1, "description": "Tokens of prompts and answers together at most."},
    "usd": {"type": "number", "exclusiveMinimum": 0, "description": "US dollars at most."},
}

GENERATE: dict[str, Schema] = {
    "seeds": _file("Seed tasks: a file, pkg:PACKAGE/FILE or hf:NAME. The first stage needs it."),
    "seeds_format": {"type": "string", "minLength": 1, "description": "The seeds' format, if not clear."},
    "keep_inputs": {
        "type": "boolean", "default": True,
        "description": "Pass on the records of the stage before; for a generate stage that is not the first, and whose "
        "generator does not say itself what becomes of them.",
    },
}  # fmt: skip

EVOLVE: dict[str, Schema] = {
    "rounds": {"type": "integer", "minimum": 1, "default": 1, "description": "Evolutions of each record."},
    "strategies": {"type": "array", "minItems": 1, "description": "What evolves records; one is drawn per try."},
    "eliminate": {
        "type": "array", "default": ["evolved"],
        "description": "Filters that decide whether an evolution has failed.",
    },
    "keep": {
        "enum": ["all", "last"], "default": "all",
        "description": "Keep parents and every generation, or the newest of each line.",
    },
    "branch": {
        "type": "integer", "minimum": 1, "maximum": 100, "default": 1,
        "description": "Children of each record per round: 1 makes chains, more make trees.",
    },
    "order": {
        "enum": ["random", "fixed"], "default": "random",
        "description": "Draw strategies by weight, or take them in turn.",
    },
    "answer": {
        "type": "boolean", "default": True,
        "description": "Ask the teacher for the answer to each evolved instruction; if not, rules on answers are left "
        "out.",
    },
}  # fmt: skip

STRATEGY: dict[str, Schema] = {
    "weight": {
        "type": "number", "exclusiveMinimum": 0, "default": 1.0,
        "description": "How often this strategy is drawn, relative to the others.",
    },
    "name": {
        "type": "string", "pattern": NAME,
        "description": "What the survival table calls it; its plugin's name unless given.",
    },
    "family": {
        "enum": ["in-depth", "in-breadth"],
        "description": "What the survival table says of it; what its plugin says unless given.",
    },
}  # fmt: skip

MIX: dict[str, Schema] = {
    "total": {"type": "integer", "minimum": 1, "description": "Records in the mix. Default: as many as fit."},
    "by": {
        "enum": ["task", "plugin", "round"], "default": "task",
        "description": "What rates go by: the task, the plugin a record comes from, or its evolution round.",
    },
    "repeat": {
        "type": "boolean", "default": False,
        "description": "Repeat the records of a task that is too small for its share.",
    },
    "sources": {
        "type": "object", "minProperties": 1, "additionalProperties": _file("Records of this task."),
        "description": "Files to add to the mix, by the name of their task.",
    },
}  # fmt: skip

TRAIN: dict[str, Schema] = {
    "model": {
        "type": "string", "minLength": 1,
        "description": "The model to tune: a folder, pkg:PACKAGE/FOLDER or a name on the hub.",
    },
}  # fmt: skip

JUDGE: dict[str, Schema] = {
    "data": _file("Records with right answers: a file, pkg:PACKAGE/FILE, hf:NAME, or the word heldout."),
    "name": {"type": "string", "pattern": NAME, "description": "What the figures are called."},
    "against": {
        "type": "array", "items": {"enum": ["base", "nearest"]}, "uniqueItems": True, "default": [],
        "description": "Also measure the model before training, or the copying baseline.",
    },
    "only": {
        "enum": ["seed-level", "evolved"],
        "description": "With data: heldout, only the records no strategy has changed, or only the others.",
    },
    "limit": {"type": "integer", "minimum": 1, "description": "Records at most."},
    "max_new_tokens": {
        "type": "integer", "minimum": 1, "default": 256,
        "description": "Tokens per answer at most.",
    },
}  # fmt: skip

STAGES: dict[str, str] = {
    "generate": "generators",
    "evolve": "strategies",
    "filter": "filters",
    "mix": "mixers",
}
"""Verb of a stage to the kind of its components."""


def defaults(keys: dict[str, Schema], given: dict[str, Any]) -> dict[str, Any]:
    """The value of every key of a table: what was given, else its default, else None."""
    return {name: given.get(name, schema.get("default")) for name, schema in keys.items()}


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
        "$defs": {kind: _component(kind, _classes(manager, kind)) for kind in KINDS if kind != "formats"},
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
