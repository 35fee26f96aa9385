"""Ids for records that bring none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import force_setattr

from filial.records import Record, record_id

STAGE = "read"


def identified(records: Iterable[Record]) -> Iterator[Record]:
    """Records with ids: those given are kept; others are hashed from the content.

    Equal records get ordinals 0, 1, … in order, so a line inserted anywhere changes no other record's id. An
    id that an earlier record already bears is passed over. The records must be fresh: the id is set in place.
    """
    borne: set[str] = set()
    again: dict[str, int] = {}
    for record in records:
        name = record.id
        if not name:
            content = record.content()
            name = record_id(content, stage=STAGE)
            if name in borne:
                first, ordinal = name, again.get(name, 0)
                while name in borne:
                    ordinal += 1
                    name = record_id(content, stage=STAGE, ordinal=ordinal)
                again[first] = ordinal
            force_setattr(record, "id", name)
        borne.add(name)
        yield record
