"""filial's own format: a record as it is, lineage and all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from filial.formats.base import Format
from filial.jsontext import Row
from filial.record_schema import from_object
from filial.records import Record


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


FORMAT = Format("filial", from_row, to_rows)
