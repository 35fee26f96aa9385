"""ShareGPT, as FastChat reads it, with the roles and the top-level system text of LLaMA-Factory's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from filial import Format, Message, Record, Role, hookimpl
from filial.formats import Fault, Row, RowFormat, Unfit, json_type
from filial_plugins.formats import fields, layouts

ROLES: dict[str, Role] = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system",
    "function_call": "tool_call", "observation": "tool", "tool": "tool",
}  # fmt: skip
PLUGINS = "plugins"
_NAMES: dict[Role, str] = {
    "user": "human", "assistant": "gpt", "system": "system",
    "tool_call": "function_call", "tool": "observation",
}  # fmt: skip


def _read_turn(turn: object) -> Message:
    if not isinstance(turn, dict):
        raise Fault("", f"must be an object, not {json_type(turn)}")
    name = fields.read_text(turn, "from")
    if name not in ROLES:
        raise Fault("/from", f"unknown role {name[:40]!r}; known are {', '.join(ROLES)}")
    return Message(ROLES[name], fields.read_text(turn, "value"))


class ShareGPT(RowFormat):
    """Conversations as FastChat and LLaMA-Factory have them: from and value of each turn.

    Holds every conversation; a single turn becomes one. A conversation in which the page's plugins took part
    (``plugins``) gets that word as a tag. Other columns go into ``extra``.
    """

    keys = ("conversations",)
    holds = ("id", "extra")
    optional = ("system", *fields.MARKS)

    def from_row(self, row: Row) -> list[Record]:
        """Return one conversation.

        Raises:
            Fault: no turns, or one with an unknown role or without text.
        """
        turns = fields.each(fields.read_items(row, "conversations"), "conversations", _read_turn)
        system = fields.read_text(row, "system", default="")
        if system and turns[0].role != "system":
            turns.insert(0, Message("system", system))
        tags = (PLUGINS,) if row.get(PLUGINS) is not None else ()
        name, task, label = fields.read_id(row), fields.read_task(row), fields.read_label(row)
        return [Record(id=name, messages=tuple(turns), task=task, tags=tags, label=label)]

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield each record as a conversation; a single-turn record asks its instruction, a blank line and its input.

        Calls of tools become a turn ``function_call`` of JSON, the tools a JSON text in ``tools``.

        Raises:
            Unfit: content that the format would lose, or text beside a call of a tool.
        """
        for record in records:
            fields.refuse_losses(record, "tools", "tool_calls", "extra")
            row: Row = {"conversations": [write_turn(turn, record) for turn in record.turns()]}
            if record.tools:
                row["tools"] = layouts.to_text(record.tools)
            name = {"id": record.id} if record.id else {}
            yield layouts.add_extra(record, {**name, **row}, self.columns(row))


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
