"""Self-instruct seed tasks: an instruction with instances of input and output.

As in self-instruct's ``seed_tasks.jsonl``: ``{"id", "name", "instruction", "instances": [{"input",
"output"}], "is_classification"}``. One task gives one record per instance: ``name`` becomes the
record's ``task``, ``is_classification`` the tag ``classification``; instances of one task have the ids
``ID#1``, ``ID#2``, …
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from filial.contracts.records import Record
from filial.formats import fields
from filial.formats.base import Format, Unfit
from filial.formats.jsontext import Fault, Row, kind

TAG = "classification"


def from_row(row: Row) -> list[Record]:
    """The records of one seed task.

    Raises:
        Fault: no instruction, no instances, or something of the wrong type.
    """
    flag = row.get("is_classification")
    if not isinstance(flag, bool | None):
        raise Fault("/is_classification", f"must be true or false, not {kind(flag)}")
    name, instances = fields.ident(row), fields.items(row, "instances")
    several = bool(name) and len(instances) > 1
    return [
        Record(
            id=f"{name}#{i}" if several else name,
            instruction=fields.filled(row, "instruction"),
            input=_field(instance, i, "input"),
            output=_field(instance, i, "output"),
            task=fields.text(row, "name", default=""),
            tags=(TAG,) if flag else (),
        )
        for i, instance in enumerate(instances, 1)
    ]


def _field(instance: object, i: int, key: str) -> str:
    at = f"/instances/{i - 1}"
    if not isinstance(instance, dict):
        raise Fault(at, f"must be an object, not {kind(instance)}")
    return fields.text(instance, key, default="" if key == "input" else None, at=at)


def to_rows(records: Iterable[Record]) -> Iterator[Row]:
    """Seed tasks; neighbours of the same instruction, task and flag are instances of one.

    Raises:
        Unfit: a conversation.
    """
    for (instruction, task, flag), group in groupby(records, _task):
        members = list(group)
        instances = [{"input": member.input, "output": member.output} for member in members]
        name = members[0].id
        yield {
            "id": name.removesuffix("#1") if len(members) > 1 else name,
            "name": task,
            "instruction": instruction,
            "instances": instances,
            "is_classification": flag,
        }


def _task(record: Record) -> tuple[str, str, bool]:
    if record.messages:
        raise Unfit(record, "a seed task holds an instruction with instances, not a conversation; try sharegpt")
    return record.instruction, record.task, TAG in record.tags


FORMAT = Format("seeds", from_row, to_rows)
