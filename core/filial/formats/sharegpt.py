"""ShareGPT: ``{"id", "conversations": [{"from", "value"}]}``, one JSON array or one object per line.

As FastChat reads it, with the roles that LLaMA-Factory's files add (system, function_call, observation; a
top-level ``system`` text). A conversation in which the page's plugins took part (``plugins``) bears that word as a tag.
Other keys are ignored; among them ``tools``, the descriptions of tools a conversation may call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from filial.contracts.messages import Message, Role
from filial.contracts.records import Record
from filial.formats import fields
from filial.formats.base import Format
from filial.formats.jsontext import Fault, Row, kind

ROLES: dict[str, Role] = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system",
    "function_call": "tool_call", "observation": "tool", "tool": "tool",
}  # fmt: skip
PLUGINS = "plugins"
_NAMES: dict[Role, str] = {
    "user": "human", "assistant": "gpt", "system": "system",
    "tool_call": "function_call", "tool": "observation",
}  # fmt: skip


def from_row(row: Row) -> list[Record]:
    """One conversation.

    Raises:
        Fault: no turns, or one with an unknown role or without text.
    """
    turns = [_turn(i, turn) for i, turn in enumerate(fields.items(row, "conversations"))]
    system = fields.text(row, "system", default="")
    if system and turns[0].role != "system":
        turns.insert(0, Message("system", system))
    tags = (PLUGINS,) if row.get(PLUGINS) is not None else ()
    return [Record(id=fields.ident(row), messages=tuple(turns), task=fields.task(row), tags=tags)]


def _turn(i: int, turn: object) -> Message:
    at = f"/conversations/{i}"
    if not isinstance(turn, dict):
        raise Fault(at, f"must be an object, not {kind(turn)}")
    name = fields.text(turn, "from", at=at)
    if name not in ROLES:
        raise Fault(f"{at}/from", f"unknown role {name[:40]!r}; known are {', '.join(ROLES)}")
    return Message(ROLES[name], fields.text(turn, "value", at=at))


def to_rows(records: Iterable[Record]) -> Iterator[Row]:
    """Each record as a conversation; a single-turn one asks its instruction, a blank line and its input."""
    for record in records:
        turns = [{"from": _NAMES[turn.role], "value": turn.content} for turn in record.turns()]
        yield {"id": record.id, "conversations": turns}


FORMAT = Format("sharegpt", from_row, to_rows)
