"""Seed tasks, as in self-instruct's ``seed_tasks.jsonl``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row, RowFormat, Unfit, json_type
from filial_plugins.formats import fields

TAG = "classification"


def _instance(instance: object) -> tuple[str, str]:
    if not isinstance(instance, dict):
        raise Fault("", f"must be an object, not {json_type(instance)}")
    return fields.read_text(instance, "input", default=""), fields.read_text(instance, "output")


def _make_group_key(record: Record) -> tuple[str, str, bool]:
    fields.refuse_losses(record)
    if record.messages:
        raise Unfit(record, "a seed task holds an instruction with instances, not a conversation; try sharegpt")
    if record.system:
        raise Unfit(record, "a seed task holds no system text; try sharegpt")
    return record.instruction, record.task, TAG in record.tags


class Seeds(RowFormat):
    """Seed tasks of Self-Instruct: an instruction with instances of input and output.

    Each instance is a record. ``name`` becomes its ``task``, ``is_classification`` the tag ``classification``;
    instances of one task have the ids ``ID#1``, ``ID#2``, … Holds no conversation.
    """

    keys = ("instruction", "instances")
    holds = ("id", "input", "task")
    optional = ("id", "name", "is_classification", "label")

    def from_row(self, row: Row) -> list[Record]:
        """Return the records of one seed task.

        Raises:
            Fault: no instruction, no instances, or something of the wrong type.
        """
        flag = row.get("is_classification")
        if not isinstance(flag, bool | None):
            raise Fault("/is_classification", f"must be true or false, not {json_type(flag)}")
        name, instances = fields.read_id(row), fields.each(fields.read_items(row, "instances"), "instances", _instance)
        several = bool(name) and len(instances) > 1
        return [
            Record(
                id=f"{name}#{i}" if several else name,
                instruction=fields.read_nonempty(row, "instruction"),
                input=given,
                output=output,
                task=fields.read_text(row, "name", default=""),
                tags=(TAG,) if flag else (),
                label=fields.read_label(row),
            )
            for i, (given, output) in enumerate(instances, 1)
        ]

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield seed tasks; neighbouring records of equal instruction, task and flag are the instances of one.

        Raises:
            Unfit: a conversation, a system text, or content that the format would lose.
        """
        for (instruction, task, flag), group in groupby(records, _make_group_key):
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


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("seeds", Seeds)
