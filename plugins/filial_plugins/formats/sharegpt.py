"""ShareGPT, as FastChat reads it, with the roles and the top-level system text of LLaMA-Factory's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from filial import Format, Message, Record, Role, hookimpl
from filial.formats import Row, Unfit, add_extra
from filial_plugins.formats import layouts, names
from filial_plugins.formats.cells import BESIDE
from filial_plugins.formats.chats import ChatRows

PLUGINS = "plugins"
_NAMES: dict[Role, str] = {
    "user": "human", "assistant": "gpt", "system": "system",
    "tool_call": "function_call", "tool": "observation",
}  # fmt: skip


class ShareGPT(ChatRows):
    """Conversations as FastChat and LLaMA-Factory have them: from and value of each turn.

    The column is ``conversations``, or ``items``; turns may also have role and content, or be texts in turn (LIMA).
    Calls of tools and their results (``function_call``, ``observation``), ``tools``, a separate ``system`` text,
    reasoning, marks of turns, ``rejected`` and ``label`` are read; other columns go into ``extra``. Holds every
    conversation; a single turn becomes one. A conversation in which the page's plugins took part (``plugins``) gets
    that word as a tag.
    """

    talk: ClassVar = names.CONVERSATIONS
    optional = (*names.CONVERSATIONS, *BESIDE)
    priority = -3
    holds = ("messages", "system", "tools", "tool_calls", "id", "extra")

    def from_row(self, row: Row) -> list[Record]:
        """Return one conversation.

        Raises:
            Fault: no turns, or one that a record cannot hold.
        """
        records = super().from_row(row)
        return [record.replaced(tags=(PLUGINS,)) for record in records] if row.get(PLUGINS) is not None else records

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield each record as a conversation; a single-turn record asks its instruction, a blank line and its input.

        Calls of tools become a turn ``function_call`` of JSON, the tools a JSON text in ``tools``.

        Raises:
            Unfit: content that the format would lose, or text beside a call of a tool.
        """
        for record in records:
            row: Row = {"conversations": [write_turn(turn, record) for turn in record.turns()]}
            if record.tools:
                row["tools"] = layouts.to_text(record.tools)
            name = {"id": record.id} if record.id else {}
            yield add_extra(record, {**name, **row}, self.columns(row))


def write_turn(turn: Message, record: Record) -> Row:
    """Return a turn as ShareGPT has it.

    Raises:
        Unfit: text beside a call of a tool, or a call whose arguments are no JSON object.
    """
    if not turn.tool_calls:
        return {"from": _NAMES[turn.role], "value": turn.content}
    if turn.content:
        raise Unfit(record, "a turn of ShareGPT is text or calls of tools, and one of its turns is both")
    calls = [{"name": call.name, "arguments": layouts.read_arguments(record, call)} for call in turn.tool_calls]
    return {"from": _NAMES["tool_call"], "value": layouts.to_text(calls if len(calls) > 1 else calls[0])}


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("sharegpt", ShareGPT)
