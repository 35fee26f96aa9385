"""What a valid record line is: the published JSON Schema, and the words for what is wrong with a line.

`filial.contracts.records.Record` is the fast check; this schema is the published one, and explains. The two accept the
same lines (a property test holds them to it), with one rule made here: JSON Schema knows no difference
between ``1`` and ``1.0``, so `decode` reads a whole number written as ``1.0`` too.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from filial.contracts.messages import Role
from filial.contracts.records import Record
from filial.formats.jsontext import Fault, Row, kind, parse_object, pointer

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError


FIELDS = frozenset(Record.__struct_fields__)
decode_fast = msgspec.json.Decoder(Record).decode

_TEXTS = {"type": "array", "items": {"type": "string"}}
_TYPES = {"string": "a string", "object": "an object", "array": "an array", "integer": "a whole number"}
_BOTH = "a record is single-turn or a conversation, not both: with messages, {} must be empty"
_NEITHER = "a record needs an instruction that is not empty, or messages"


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one line of filial JSONL."""
    largest = sys.float_info.max
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:filial:schema:record",
        "title": "filial record",
        "description": "One line of filial JSONL: single-turn (instruction, input, output) or a conversation "
        "(messages), never both. UTF-8; a lone surrogate escape is not text.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "description": "Unique; made from the content where it is missing."},
            "instruction": {"type": "string", "description": "What is asked."},
            "input": {
                "type": "string",
                "description": "What the instruction is about, where it needs something.",
            },
            "output": {"type": "string", "description": "The answer."},
            "messages": {"type": "array", "items": {"$ref": "#/$defs/message"}, "description": "The turns."},
            "task": {"type": "string", "description": "What mixing groups by."},
            "scores": {
                "type": "object",
                "additionalProperties": {"type": "number", "minimum": -largest, "maximum": largest},
                "description": "Figures that filters and judges add.",
            },
            "tags": {**_TEXTS, "description": "Words that filters and generators add."},
            "constraints": {
                "type": "array",
                "items": {"$ref": "#/$defs/constraint"},
                "description": "Demands in the instruction that a function can check.",
            },
            "origin": {"$ref": "#/$defs/origin"},
        },
        "if": {"required": ["messages"], "properties": {"messages": {"type": "array", "minItems": 1}}},
        "then": {"properties": {name: {"maxLength": 0} for name in ("instruction", "input", "output")}},
        "else": {"required": ["instruction"], "properties": {"instruction": {"minLength": 1}}},
        "$defs": {"message": _message(), "constraint": _constraint(), "origin": _origin()},
    }


def _message() -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["role", "content"],
        "properties": {"role": {"enum": list(get_args(Role))}, "content": {"type": "string"}},
    }


def _constraint() -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["type", "args", "text"],
        "properties": {
            "type": {"type": "string", "description": "Which check."},
            "args": {"type": "object", "description": "Its arguments."},
            "text": {"type": "string", "description": "How the instruction puts it, word for word."},
        },
    }


def _origin() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "Where the record comes from.",
        "additionalProperties": False,
        "properties": {
            "stage": {"type": "string"},
            "plugin": {"type": "string", "description": "dist:name==version"},
            "parents": {**_TEXTS, "description": "Record ids."},
            "round": {"type": "integer", "minimum": 0, "description": "How many evolutions lie behind the record."},
            "answers": {**_TEXTS, "description": "Ledger keys of the teacher answers it was made from."},
        },
    }


def published() -> str:
    """The text of ``schemas/record.schema.json``."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def explain(obj: object) -> list[tuple[str, str]]:
    """What is wrong with a parsed line: (JSON pointer, message) pairs; none when it is valid."""
    errors = list(_validator().iter_errors(obj))
    # What "if" concludes is noise while a field has the wrong type or name: that is the fault to mend first.
    basic = [e for e in errors if not _of_form(e)]
    faults = [(pointer(e.absolute_path), _words(e)) for e in basic or errors]
    return sorted(dict.fromkeys(faults))


def decode(line: bytes) -> Record:
    """One record from one JSON line.

    Raises:
        Fault: pointer and message of the first thing wrong, and how many more there are.
    """
    try:
        return decode_fast(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return from_object(parse_object(line))


def from_object(row: dict[str, Any]) -> Record:
    """One record from a parsed line.

    Raises:
        Fault: the schema does not allow it.
    """
    if faults := explain(row):
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise Fault(faults[0][0], faults[0][1] + more)
    origin = row.get("origin", {})
    if isinstance(origin.get("round"), float):
        row = {**row, "origin": {**origin, "round": int(origin["round"])}}
    return msgspec.convert(row, Record)


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


def _of_form(error: ValidationError) -> bool:
    return next(iter(error.absolute_schema_path), "") in ("if", "then", "else")


def _words(error: ValidationError) -> str:
    found: Any = error.instance
    wanted: Any = error.validator_value
    around: Any = error.schema
    match error.validator:
        case "type":
            return f"must be {_TYPES.get(wanted, 'a number')}, not {kind(found)}"
        case "additionalProperties":
            known = around["properties"]
            return _unknown([name for name in found if name not in known], known)
        case "required" if not _of_form(error):
            missing = [name for name in wanted if name not in found]
            return f"lacks {' and '.join(missing)}"
        case "enum":
            return f"must be one of {', '.join(wanted)}, not {_short(found)}"
        case "minimum" | "maximum":
            return "is too large for a floating-point number"
        case "maxLength":
            return _BOTH.format(error.absolute_path[-1])
        case _:
            return _NEITHER


def _unknown(names: list[str], known: Iterable[str]) -> str:
    close = difflib.get_close_matches(names[0], list(known), 1) if len(names[0]) < 100 else []
    hint = f"; did you mean {close[0]}?" if close else f"; the fields are {', '.join(known)}"
    return f"has the unknown field {', '.join(map(_short, names[:3]))}{hint}"


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:60] + "…"


def from_row(row: Row) -> list[Record]:
    """The record in a table row: null and empty columns are left out, scores may be (name, value) pairs.

    Raises:
        Fault: the record schema does not allow the row.
    """
    kept = {key: value for key, value in row.items() if value not in (None, "", [], {})}
    if isinstance(kept.get("scores"), list):
        kept["scores"] = {score["name"]: score["value"] for score in kept["scores"]}
    if isinstance(demands := kept.get("constraints"), list):
        kept["constraints"] = [{**c, "args": _args(c.get("args"))} if isinstance(c, dict) else c for c in demands]
    if isinstance(origin := kept.get("origin"), dict):
        kept["origin"] = {key: value for key, value in origin.items() if value is not None}
    return [from_object(kept)]


def _args(value: object) -> object:
    """Arguments of a constraint, which tables hold as JSON since every type has others."""
    try:
        return msgspec.json.decode(value) if isinstance(value, str) else value
    except msgspec.DecodeError:
        return value


def to_rows(records: Iterable[Record]) -> Iterator[Row]:
    """Records as plain objects, every field written out."""
    for record in records:
        row = {name: getattr(record, name) for name in record.__struct_fields__}
        yield {
            **row,
            "messages": [msgspec.structs.asdict(turn) for turn in record.messages],
            "scores": [{"name": name, "value": float(value)} for name, value in record.scores.items()],
            "tags": list(record.tags),
            "constraints": [
                {**msgspec.structs.asdict(c), "args": msgspec.json.encode(c.args).decode()} for c in record.constraints
            ],
            "origin": {
                **msgspec.structs.asdict(record.origin),
                "parents": list(record.origin.parents),
                "answers": list(record.origin.answers),
            },
        }
