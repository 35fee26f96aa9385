"""Seed tasks, as in self-instruct's ``seed_tasks.jsonl``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import groupby

from filial import Format, Record, hookimpl
from filial.formats import Fault, Row, RowFormat, Unfit, json_type
from filial_plugins.formats import fields
from filial_plugins.formats.cells import BESIDE, Cells
from filial_plugins.formats.fields import EMPTY

TAG = "classification"


_HELD = {"input", "output"}


def _instance(instance: object) -> tuple[str, str, Row]:
    """Return input and output of an instance, and what else it says."""
    if not isinstance(instance, dict):
        raise Fault("", f"must be an object, not {json_type(instance)}")
    others = {key: value for key, value in instance.items() if key not in _HELD and value not in EMPTY}
    return fields.read_text(instance, "input", default=""), fields.read_text(instance, "output"), fields.to_json(others)


def _make_group_key(record: Record) -> tuple[str, str, bool]:
    if record.extra:
        raise Unfit(record, "the format has no place for its extra; write filial or parquet")
    return record.instruction, record.task, TAG in record.tags


class Seeds(RowFormat):
    """Seed tasks of Self-Instruct: an instruction with instances of input and output.

    Each instance is a record. ``name`` becomes its ``task``, ``is_classification`` the tag ``classification``;
    instances of one task have the ids ``ID#1``, ``ID#2``, … Holds no conversation.
    """

    keys = ("instruction", "instances")
    optional = ("name", "is_classification", *BESIDE)
    priority = -2
    holds = ("id", "input", "task")

    def columns(self, row: Row) -> Collection[str]:
        """Return the columns of a seed task, and what stands beside them; its task is its ``name``."""
        beside = Cells(row, own=("task",)).names
        return {*self.keys, "is_classification", *beside, *(["name"] if isinstance(row.get("name"), str) else [])}

    def from_row(self, row: Row) -> list[Record]:
        """Return the records of one seed task.

        Raises:
            Fault: no instruction, no instances, or something of the wrong type.
        """
        flag = row.get("is_classification")
        if not isinstance(flag, bool | None):
            raise Fault("/is_classification", f"must be true or false, not {json_type(flag)}")
        instances = fields.each(fields.read_items(row, "instances"), "instances", _instance)
        asked, task, tags = fields.read_nonempty(row, "instruction"), row.get("name"), (TAG,) if flag else ()
        found = []
        for i, (given, output, others) in enumerate(instances, 1):
            record = Cells(row, own=("task",)).record(asked, given, output, number=i if len(instances) > 1 else 0)
            extra = {**record.extra, "instance": others} if others else record.extra
            found.append(record.replaced(task=task if isinstance(task, str) else "", tags=tags, extra=extra))
        return found

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield seed tasks; neighbouring records of equal instruction, task and flag are the instances of one.

        Raises:
            Unfit: a record with extra columns.
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
