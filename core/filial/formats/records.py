"""filial's own format: valid lines, and rows of tables.

`filial.contracts.records.Record` is the check; the published JSON Schema is made from it by msgspec. One difference is
JSON Schema's: there ``1.0`` is a whole number, which `decode` does not take.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import msgspec

from filial.contracts.errors import hint
from filial.contracts.plugin_errors import describe_surrogate
from filial.contracts.records import Record, to_json
from filial.formats.base import Fault
from filial.formats.columns import explain_unread, weigh_column
from filial.formats.jsontext import DECODE_ERRORS, Row, explain_bad_json, fault_of, parse_object, unfold_turns

FIELDS = frozenset(Record.__struct_fields__)
decode_fast = msgspec.json.Decoder(Record).decode
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`$")
_NESTED = {"messages", "rejected", "origin"}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one line of filial JSONL."""
    _, parts = msgspec.json.schema_components([Record], ref_template="#/$defs/{name}")
    for part in parts.values():
        # The first paragraph of a class's docstring says what it is; the rest is for programmers.
        part["description"] = " ".join(inspect.cleandoc(part["description"]).partition("\n\n")[0].split())
    single = ("instruction", "input", "output", "system", "reasoning")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:filial:schema:record",
        **parts.pop("Record"), "if": {"required": ["messages"], "properties": {"messages": {"minItems": 1}}},
        "then": {"properties": {name: {"maxLength": 0} for name in single}},
        "else": {"required": ["instruction"], "properties": {"instruction": {"minLength": 1}}}, "$defs": parts,
    }  # fmt: skip


def decode(line: bytes) -> Record:
    """Return the record in one JSON line; unknown columns go into ``extra``. Turns may be an object of lists
    (`unfold_turns`).

    Raises:
        Fault: the first fault.
    """
    try:
        return decode_fast(line)
    except msgspec.ValidationError as error:
        fault = explain(error)
        if _UNKNOWN.match(str(error)) or fault.message == "Expected `array`, got `object`":
            return convert(unfold_turns(parse_object(line)))
        if fault.pointer and fault.message.endswith("got `null`"):
            return convert({key: value for key, value in parse_object(line).items() if value is not None})
        raise fault from None
    except DECODE_ERRORS as error:
        raise explain_bad_json(line, error) from None


def convert(row: Row) -> Record:
    """Return the record in a JSON object; unknown columns go into ``extra``.

    Raises:
        Fault: the first fault.
    """
    try:
        return msgspec.convert(with_extra(row) or row, Record)
    except msgspec.ValidationError as error:
        raise explain(error) from None


def encode(record: Record) -> tuple[bytes, Record]:
    """Return the canonical line of a record (without newline), and the record as a reader has it.

    Raises:
        UnicodeEncodeError: a text contains half a character.
        TypeError: a field has a value that JSON cannot represent.
        msgspec.DecodeError: a field is of the wrong type.
    """
    line = to_json(record)
    back = decode_fast(line)
    if (record.extra or record.tools) and (back.extra != record.extra or list(back.tools) != list(record.tools)):
        raise TypeError("extra or tools hold what JSON does not know, such as NaN, a tuple or a date")
    if back != record and holds_bytes(record):
        raise TypeError("bytes stand in the place of a text; decode them")
    return line, back


def encode_checked(record: Record) -> tuple[bytes, Record]:
    """Return what `encode` does.

    Raises:
        Fault: no reader would accept the record: a field has the wrong type, a score is not a number, a text contains
            half a character.
    """
    try:
        return encode(record)
    except UnicodeEncodeError as error:
        raise Fault("", f"{describe_surrogate(error)}; mend the text or drop the record") from None
    except TypeError as error:
        raise Fault("", f"cannot be written as JSON: {error}") from None
    except msgspec.ValidationError as error:
        raise explain(error) from None


def decode_checked(record: Record) -> Record:
    """Return the record as a reader of its line has it.

    Raises:
        Fault: as `encode_checked`.
        TypeError: a text is bytes.
    """
    try:  # most records need no more than the first
        checked = encode_checked(record)[1] if record.extra or record.tools else decode_fast(to_json(record))
    except (UnicodeEncodeError, TypeError, msgspec.DecodeError):
        checked = encode_checked(record)[1]  # which says what is wrong
    if checked != record and holds_bytes(record):
        raise TypeError(f"it gave a record with bytes in the place of a text: {record!r:.100}")
    return checked


def holds_bytes(record: Record) -> bool:
    """Return whether a value contains bytes instead of text, which JSON would encode as base64."""
    kinds = (bytes, bytearray, memoryview)
    try:
        json.dumps(msgspec.to_builtins(record.replaced(extra={}), builtin_types=kinds))
    except TypeError:
        return True
    return False


def explain(error: msgspec.ValidationError) -> Fault:
    """Return the fault of a record, with a hint if a field has a wrong name."""
    fault = fault_of(error)
    if not fault.pointer and (unknown := _UNKNOWN.match(fault.message)):
        meant = hint(unknown[1][:100], sorted(FIELDS), str) or "; other columns go into extra"
        return Fault("", f"{fault.message}{meant}")
    return fault


def from_row(row: Row) -> Record:
    """Return the record in a row of a table. Null and empty columns are left out, scores may be (name, value) pairs,
    and values without a fixed type (tools, extra, arguments of a constraint) may be JSON text.

    Raises:
        Fault: it is not a record.
    """
    kept = {key: value for key, value in row.items() if value or isinstance(value, int | float)}
    for name in kept.keys() & _NESTED:
        kept[name] = _remove_nulls(kept[name])
    if isinstance(scores := kept.get("scores"), list) and all(isinstance(pair, dict) for pair in scores):
        kept["scores"] = {pair.get("name"): pair.get("value") for pair in scores}
    if isinstance(demands := kept.get("constraints"), list):
        kept["constraints"] = [{**c, "args": _parse_text(c.get("args"))} if isinstance(c, dict) else c for c in demands]
    if isinstance(tools := kept.get("tools"), list):
        kept["tools"] = list(map(_parse_text, tools))
    if "extra" in kept:
        kept["extra"] = _parse_text(kept["extra"])
    if isinstance(origin := kept.get("origin"), dict):
        turn = origin.get("round")
        if isinstance(turn, float) and turn.is_integer():
            origin["round"] = int(turn)  # tables turn whole numbers into floats where a cell is empty
    return convert(kept)


def with_extra(row: Row) -> Row | None:
    """Return a row with its unknown columns in ``extra``; None if one may be a misspelled field, is in ``extra``
    already, or may be the answer that the row lacks."""
    if row.keys() <= FIELDS:
        return None
    others = {key: value for key, value in row.items() if key not in FIELDS}
    extra = row.get("extra", {})
    answered = row.get("output") or row.get("messages")
    if not answered or not isinstance(extra, dict) or not others.keys().isdisjoint(extra):
        return None
    if any(hint(key[:100], sorted(FIELDS), str) for key in others):
        return None
    for key, value in others.items():
        if kind := weigh_column(key, value):
            raise Fault(f"/{key}", explain_unread(kind, "filial"))
    return {**{key: value for key, value in row.items() if key in FIELDS}, "extra": {**extra, **others}}


def _remove_nulls(value: Any) -> Any:
    """Return a nested value without null fields: in a table, every row has all fields."""
    if isinstance(value, dict):
        return {key: _remove_nulls(inner) for key, inner in value.items() if inner is not None}
    return list(map(_remove_nulls, value)) if isinstance(value, list) else value


def _parse_text(value: object) -> object:
    """Return the value of a JSON text; any other text or value is returned unchanged."""
    try:
        return msgspec.json.decode(value) if isinstance(value, str) else value
    except msgspec.DecodeError:
        return value
