"""Call plugins' methods with copies of records, and check what they return."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from filial import Context, Drop, Record, Reply
from filial.stages import blame_plugin, breach, copy_for_plugin, describe_change


class lend(blame_plugin):
    """Give a plugin's method copies of records, and refuse a method that changes them; errors as in `blame_plugin`.

    ``ctx`` is the context of the call. An error names the record if there is only one.

    Raises:
        FilialError: the method failed, or has changed a record.
    """

    __slots__ = ("_copies", "_ctx", "_records")

    def __init__(self, plugin: str, stage: str, records: Sequence[Record], ctx: Context) -> None:
        super().__init__(plugin, stage, records[0] if len(records) == 1 else None)
        self._records, self._ctx = tuple(records), ctx
        self._copies = tuple([copy_for_plugin(record) for record in records])

    def __enter__(self) -> tuple[Record, ...]:  # type: ignore[override]
        return self._copies

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if err is not None:
            super().__exit__(kind, err, trace)
            return
        if self._copies != self._records:
            check_unchanged(self._copies, self._records, self.plugin, self.stage)
        if fault := self._ctx.fault_of_parent():
            raise breach(self.plugin, self.stage, fault, self.record)


def check_unchanged(copies: Sequence[Record], records: Sequence[Record], plugin: str, stage: str) -> None:
    """Check that a plugin has not changed the copies it was given.

    Raises:
        FilialError: it has changed one.
    """
    for copy, record in zip(copies, records, strict=True):
        if fault := describe_change(copy, record):
            raise breach(plugin, stage, fault, record)


def with_last_answer(drop: Drop, ctx: Context) -> Drop:
    """Return the drop with the raw answer behind it: the teacher's last one, unless the plugin set one."""
    return replace(drop, answer=ctx.replies[-1].text) if drop.answer is None and ctx.replies else drop


def short_name(plugin: str) -> str:
    """Return the name in ``dist:name==version``."""
    return plugin.partition("==")[0].rpartition(":")[2]


def keys_of(replies: Iterable[Reply]) -> tuple[str, ...]:
    """Return the ledger keys of answers."""
    return tuple([reply.key for reply in replies if reply.key])
