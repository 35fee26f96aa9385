"""OpenAI chat: a list of messages per line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from filial import Format, Message, Record, Role, hookimpl
from filial.formats import Fault, Row, RowFormat, Unfit, json_type
from filial_plugins.formats import fields, layouts

_ROLES: dict[str, Role] = {**{role: role for role in get_args(Role)}, "developer": "system"}


def read_turns(row: Row, key: str) -> tuple[Message, ...]:
    """Return the chat turns in a field.

    Raises:
        Fault: none, or one that a record cannot hold.
    """
    return tuple(fields.each(fields.read_items(row, key), key, _read_turn))


def _read_turn(turn: object) -> Message:
    if not isinstance(turn, dict):
        raise Fault("", f"must be an object, not {json_type(turn)}")
    for key in ("tool_calls", "function_call"):
        if turn.get(key):
            raise Fault(f"/{key}", "calls of tools are not supported; leave such conversations out")
    if turn.get("weight") == 0:
        raise Fault("/weight", "weight 0 (an answer that is not trained) is not supported")
    role = fields.read_text(turn, "role")
    if role not in _ROLES:
        raise Fault("/role", f"unknown role {role[:40]!r}; known are {', '.join(_ROLES)}")
    if isinstance(turn.get("content"), list):
        return Message(_ROLES[role], "".join(fields.each(turn["content"], "content", _read_part)))
    return Message(_ROLES[role], fields.read_text(turn, "content"))


def _read_part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise Fault("", f"must be a text part, not {json_type(part)}")
    if part.get("type", "text") != "text":
        raise Fault("/type", f"only text parts are supported, not {str(part['type'])[:40]!r}")
    return fields.read_text(part, "text")


class OpenAIChat(RowFormat):
    """Chat messages, as OpenAI's fine-tuning takes them: role and content of each turn.

    Content may be text or a list of text parts. Tool calls and turns of weight 0 have no place in a record, so such a
    row is refused. Other columns go into ``extra``.
    """

    keys = ("messages",)
    optional = fields.MARKS
    priority = -1
    holds = ("extra", "train", "name", "call ids")

    def from_row(self, row: Row) -> list[Record]:
        """Return one conversation.

        Raises:
            Fault: no turns, or one that a record cannot hold.
        """
        name, task, label = fields.read_id(row), fields.read_task(row), fields.read_label(row)
        return [Record(id=name, messages=read_turns(row, "messages"), task=task, label=label)]

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield each record as chat messages, with its tools and its extra columns.

        A turn's ``train`` is the ``weight`` of an answer. Calls of tools and their answers are tied by ids, which are
        made up where a record has none.

        Raises:
            Unfit: content that the format would lose, or a call of a tool that cannot be read.
        """
        for record in records:
            fields.refuse_losses(record, "tools", "tool_calls", "train", "extra")
            row: Row = {"messages": [_write_turn(turn, record) for turn in layouts.resolve_calls(record)]}
            if record.tools:
                row["tools"] = layouts.write_functions(record.tools)
            yield layouts.add_extra(record, row, self.columns(row))


def _write_turn(turn: Message, record: Record) -> Row:
    if turn.train and turn.role != "assistant":
        raise Unfit(record, f"OpenAI's weights are of answers, and a turn of the {turn.role} is to be trained")
    weight = {} if turn.train is None or turn.role != "assistant" else {"weight": int(turn.train)}
    return {**layouts.write_chat_turn(turn, record), **weight}


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("openai", OpenAIChat)
