"""The JSON Schema of a stage's manifest."""

from __future__ import annotations

from typing import Any


def manifest_schema() -> dict[str, Any]:
    """Return the schema, draft 2020-12. ``counts`` satisfies entered + made = out + dropped; ``checksum`` covers the
    rest."""
    count = {"type": "integer", "minimum": 0}
    file = {
        "type": "object", "required": ["sha256", "rows", "bytes"], "additionalProperties": False,
        "properties": {
            "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "rows": count, "bytes": count,
        },
    }  # fmt: skip
    properties: dict[str, Any] = {
        "format": {"const": 1},
        "key": {"type": "string", "description": "Hash of everything the result depends on."},
        "input": {
            "type": "string", "pattern": "^([0-9a-f]{64})?$",
            "description": "SHA-256 of the records of the stage before; empty for the first stage.",
        },
        "stage": {"type": "string"},
        "verb": {"type": "string"},
        "seed": {"type": "integer"},
        "plugins": {"type": "array", "items": {"type": "string"}, "description": "dist:name==version of each plugin."},
        "options": {"type": "object"},
        "depends": {
            "type": "object", "additionalProperties": {"type": "string"},
            "description": "The parts of the key: name -> version or digest. Not in manifests of 0.1.",
        },
        "report": {"type": "object", "description": "The report of the stage, such as the survival table."},
        "counts": {
            "type": "object", "required": ["entered", "made", "out", "dropped"], "additionalProperties": False,
            "properties": {"entered": count, "made": count, "out": count, "dropped": count},
        },
        "reasons": {"type": "object", "additionalProperties": count, "description": "Drops by reason."},
        "files": {"type": "object", "additionalProperties": file},
        "checksum": {"type": "string"},
    }  # fmt: skip
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:filial:manifest",
        "title": "filial stage manifest",
        "type": "object",
        "required": [name for name in properties if name != "depends"],
        "additionalProperties": False,
        "properties": properties,
    }
