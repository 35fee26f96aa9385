"""Writing rows for other programs: turns, calls of tools, tools, preferences and the columns beside them."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Collection, Iterable
from decimal import Decimal
from typing import Any, NoReturn

from msgspec import structs

from filial import Message, Record, ToolCall
from filial.formats import Row, RowFormat, Unfit


class Layout(RowFormat):
    """Rows for another program, which a more general format reads as well."""

    @abstractmethod
    def find_reader(self, row: Row) -> RowFormat:
        """Return the format that reads a row."""

    def columns(self, row: Row) -> Collection[str]:
        """Return the columns that are read of a row."""
        return self.find_reader(row).columns(row)

    def from_row(self, row: Row) -> list[Record]:
        """Return one record.

        Raises:
            Fault: no turns, or one that a record cannot hold.
        """
        return self.find_reader(row).from_row(row)


def resolve_calls(record: Record) -> tuple[Message, ...]:
    """Return the turns with calls of tools as parts of the assistant's turns, each with an id that its answer names.

    Calls without an id are numbered; answers without one belong to the calls before them, in their order.

    Raises:
        Unfit: a call that cannot be read, or an answer to no call.
    """
    turns = _read_call_turns(record)
    if not any(turn.tool_calls or turn.role == "tool" for turn in turns):
        return turns
    given = {call.id for turn in turns for call in turn.tool_calls}
    numbers = iter(name for n in range(1, 10**9) if (name := f"call_{n}") not in given)
    waiting: list[str] = []
    out: list[Message] = []
    for number, turn in enumerate(turns, 1):
        if turn.tool_calls:
            calls = tuple(call if call.id else structs.replace(call, id=next(numbers)) for call in turn.tool_calls)
            turn = structs.replace(turn, tool_calls=calls)
            waiting = [*(waiting if out and out[-1].tool_calls else []), *(call.id for call in calls)]
        elif turn.role == "tool":
            name = turn.tool_call_id or next(iter(waiting), "")
            if name not in waiting:
                raise Unfit(record, f"its turn {number} answers a call of a tool that no turn before it makes")
            waiting.remove(name)
            turn = structs.replace(turn, tool_call_id=name)
        out.append(turn)
    return tuple(out)


def _read_call_turns(record: Record) -> tuple[Message, ...]:
    """Return the turns with those of role ``tool_call`` as the assistant's; several in a row become one."""
    turns = record.turns()
    out: list[Message] = []
    for number, turn in enumerate(turns):
        read = _read_call_turn(record, number + 1, turn)
        follows = number and turn.role == turns[number - 1].role == "tool_call"
        if follows and read.train is out[-1].train and not read.reasoning:
            out[-1] = structs.replace(out[-1], tool_calls=out[-1].tool_calls + read.tool_calls)
        else:
            out.append(read)
    return tuple(out)


def _read_call_turn(record: Record, number: int, turn: Message) -> Message:
    """Return a ``tool_call`` turn as the assistant's, with the calls that its text describes."""
    if turn.role != "tool_call":
        return turn
    if turn.tool_calls and not turn.content:
        return structs.replace(turn, role="assistant")
    try:
        found = read_json(turn.content)
        calls = tuple(map(_read_call, found if isinstance(found, list) else [found]))
    except (ValueError, KeyError, TypeError, RecursionError):
        calls = ()
    if not calls:
        raise Unfit(record, f"its turn {number} calls a tool, but is no JSON with a name and arguments")
    return structs.replace(turn, role="assistant", content="", tool_calls=calls)


def _read_call(call: dict[str, Any]) -> ToolCall:
    name, arguments = call["name"], call["arguments"]
    if not isinstance(name, str) or not isinstance(arguments, dict | str):
        raise TypeError("a call is a name and arguments")
    return ToolCall(name=name, arguments=arguments if isinstance(arguments, str) else to_text(arguments))


def read_arguments(record: Record, call: ToolCall) -> Any:
    """Return the arguments of a call as an object.

    Raises:
        Unfit: they are no JSON object, or an object would not say the same.
    """
    try:
        arguments = read_json(call.arguments)
    except (ValueError, RecursionError) as err:
        why = f" ({err})" if type(err) is ValueError else ""
        raise Unfit(record, f"the arguments of its call of {call.name} are no JSON object{why}") from None
    if not isinstance(arguments, dict):
        raise Unfit(record, f"the arguments of its call of {call.name} are no JSON object")
    return arguments


def read_json(text: str) -> Any:
    """Return the value of a JSON text that says the same when it is written again.

    Raises:
        ValueError: it is no JSON, has a key twice, or a number that a float does not hold.
    """
    text.encode()  # half a character, which no file can hold
    return json.loads(text, object_pairs_hook=_make_object, parse_float=_parse_float, parse_constant=_refuse_constant)


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} stands twice in an object")
    to_text(made).encode()  # a character may also be halved by an escape
    return made


def _parse_float(text: str) -> float:
    number = float(text)
    if Decimal(text) != Decimal(repr(number)):
        raise ValueError(f"the number {text[:40]} is more than a float holds")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def write_chat_turn(turn: Message, record: Record, *, reasoning: str = "", objects: bool = False) -> Row:
    """Return a turn as chat templates and OpenAI have it.

    Args:
        reasoning: the key for what was thought.
        objects: arguments of calls are objects, as chat templates want them, not JSON text.

    Raises:
        Unfit: arguments that are no JSON object.
    """
    row: Row = {"role": turn.role, "content": turn.content}
    if turn.reasoning and reasoning:
        row[reasoning] = turn.reasoning
    if turn.tool_calls:
        row["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": read_arguments(record, call) if objects else call.arguments,
                },
            }
            for call in turn.tool_calls
        ]
    if turn.tool_call_id:
        row["tool_call_id"] = turn.tool_call_id
    if turn.name:
        row["name"] = turn.name
    return row


def write_functions(tools: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return descriptions of tools in OpenAI's form: a bare function is put into ``{"type": "function"}``."""
    return [
        {"type": "function", "function": tool} if "name" in tool and "function" not in tool and "type" not in tool
        else tool
        for tool in tools
    ]  # fmt: skip


def to_text(value: Any) -> str:
    """Return a value as JSON text, its letters as they are."""
    return json.dumps(value, ensure_ascii=False)


def find_answer(record: Record) -> tuple[tuple[Message, ...], Message]:
    """Return the turns before the answer that ends the record, and the answer.

    Raises:
        Unfit: it has no answer.
    """
    *before, last = resolve_calls(record)
    if last.role != "assistant" or not (last.content or last.tool_calls) or not before:
        raise Unfit(record, "it has no answer")
    return tuple(before), last


def find_rejected(record: Record) -> tuple[Message, ...]:
    """Return the rejected turns, which follow the turns before the answer.

    Raises:
        Unfit: it has no answer, or no rejected one.
    """
    if not record.rejected:
        raise Unfit(record, "a preference needs a rejected answer, and it has none")
    before, _ = find_answer(record)
    *_, last = worse = resolve_calls(Record(messages=(*before, *record.rejected)))[len(before) :]
    if last.role != "assistant":
        raise Unfit(record, "its rejected answer ends with no turn of the assistant")
    return worse
