"""OpenAI chat: a list of messages per line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

from filial import Format, Message, Record, hookimpl
from filial.formats import Row, Unfit, add_extra
from filial_plugins.formats import layouts, names
from filial_plugins.formats.cells import BESIDE
from filial_plugins.formats.chats import ChatRows


class OpenAIChat(ChatRows):
    """Chat messages, as OpenAI's fine-tuning takes them: role and content of each turn.

    Content may be text or a list of parts. Calls of tools and their results, ``tools`` (or ``functions``), reasoning
    (``reasoning_content`` and other names) and marks of turns (``weight``, ``train`` and other names) are read. What
    turns say beyond that goes into ``extra`` as ``messages_extra``, other columns under their own names. Images, audio
    and video are refused.
    """

    talk: ClassVar = names.MESSAGES
    optional = (*names.MESSAGES, *BESIDE)
    priority = -4
    holds = ("messages", "system", "tools", "tool_calls", "train", "extra", "name", "call ids")

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield each record as chat messages, with its tools and its extra columns.

        A turn's ``train`` is the ``weight`` of an answer. Calls of tools and their answers are tied by ids, which are
        made up where a record has none.

        Raises:
            Unfit: content that the format would lose, or a call of a tool that cannot be read.
        """
        for record in records:
            row: Row = {"messages": [_write_turn(turn, record) for turn in layouts.resolve_calls(record)]}
            if record.tools:
                row["tools"] = layouts.write_functions(record.tools)
            yield add_extra(record, row, self.columns(row))


def _write_turn(turn: Message, record: Record) -> Row:
    if turn.train and turn.role != "assistant":
        raise Unfit(record, f"OpenAI's weights are of answers, and a turn of the {turn.role} is to be trained")
    weight = {} if turn.train is None or turn.role != "assistant" else {"weight": int(turn.train)}
    return {**layouts.write_chat_turn(turn, record), **weight}


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("openai", OpenAIChat)
