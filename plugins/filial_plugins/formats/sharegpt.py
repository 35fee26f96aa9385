"""ShareGPT, as FastChat reads it, with the roles and the top-level system text of LLaMA-Factory's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from filial import Format, Message, Record, Role, hookimpl
from filial.formats import Fault, Row, RowFormat, json_type
from filial_plugins.formats import fields

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

        Raises:
            Unfit: content that the format would lose.
        """
        for record in records:
            fields.refuse_losses(record)
            turns = [{"from": _NAMES[turn.role], "value": turn.content} for turn in record.turns()]
            yield {"id": record.id, "conversations": turns}


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("sharegpt", ShareGPT)
