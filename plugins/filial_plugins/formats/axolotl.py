"""The layouts of Axolotl's ``chat_template`` data sets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

from filial import Field, Format, Record, hookimpl
from filial.formats import Row, RowFormat, Unfit, add_extra
from filial_plugins.formats import layouts
from filial_plugins.formats.openai_chat import OpenAIChat
from filial_plugins.formats.preferences import Preferences

_HOLDS = ("messages", "system", "extra", "name", "call ids")
_OF_MESSAGES = ("tools", "tool_calls", "reasoning", "train")
_COLUMNS = ("messages", "chosen", "rejected", "tools", "id", "task", "label")

_SFT = """datasets:
  - path: {file}
    ds_type: json
    type: chat_template
    field_messages: messages
    message_field_training: train
    roles_to_train: [assistant]
    train_on_eos: turn"""
_DPO = """rl: dpo
datasets:
  - path: {file}
    ds_type: json
    split: train
    type: chat_template.default
    field_messages: messages
    field_chosen: chosen
    field_rejected: rejected"""


class Axolotl(layouts.Layout):
    """Axolotl's data sets of type ``chat_template``: messages, each perhaps with ``train``.

    With ``preference``, for ``rl: dpo``, the messages are the prompt, and ``chosen`` and ``rejected`` the two answers.
    ``auto``: by the first record. Tools, calls of tools, reasoning (``reasoning_content``) and extra columns are
    written. The configuration that reads a file is printed by ``filial convert``.
    Its rows are read as openai, unless it is named.
    """

    rows: Literal["auto", "messages", "preference"] = Field("auto", description="Which kind of rows to write.")
    keys = ("messages",)
    priority = -20
    holds = (*_HOLDS, *_OF_MESSAGES, "rejected")

    def find_reader(self, row: Row) -> RowFormat:
        """Return the format that reads rows of such a kind."""
        return Preferences() if "chosen" in row else OpenAIChat()

    def settle(self, record: Record) -> Self:
        """Return this format with the kind of rows that the first record needs."""
        rows = "preference" if record.rejected else "messages"
        return self.model_copy(update={"rows": rows}) if self.rows == "auto" else self

    def held(self) -> Collection[str]:
        """Return what such rows hold."""
        more = {"messages": _OF_MESSAGES, "preference": ("rejected",)}
        return self.holds if self.rows == "auto" else (*_HOLDS, *more[self.rows])

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield one row per record.

        Raises:
            Unfit: a record of another kind than the file, or content that the layout would lose.
        """
        stream = iter(records)
        for first in stream:
            write = _write_preference if self.settle(first).rows == "preference" else _write_messages
            for record in chain([first], stream):
                yield add_extra(record, write(record), _COLUMNS)

    def usage(self, file: Path, columns: Collection[str]) -> tuple[str, dict[str, Any]]:
        """Return the part of Axolotl's configuration that reads the file."""
        return (_DPO if "chosen" in columns else _SFT).format(file=layouts.to_text(str(file))), {}


def _write_messages(record: Record) -> Row:
    turns = layouts.resolve_calls(record)
    if not any(turn.role == "assistant" or turn.train for turn in turns):
        raise Unfit(record, "it has no answer, so nothing would be trained")
    messages = []
    for turn in turns:
        flag = {} if turn.train is None else {"train": turn.train}
        messages.append(layouts.write_chat_turn(turn, record, reasoning="reasoning_content") | flag)
    tools = {"tools": layouts.to_text(layouts.write_functions(record.tools))} if record.tools else {}
    return {"messages": messages, **tools}


def _write_preference(record: Record) -> Row:
    (before, chosen), rejected = layouts.find_answer(record), layouts.find_rejected(record)
    if len(rejected) > 1 or any(turn.tool_calls for turn in (*before, chosen, *rejected)):
        raise Unfit(record, "Axolotl's preferences hold two texts, no calls of tools; try trl")
    row: Row = {"messages": [layouts.write_chat_turn(turn, record) for turn in before]}
    sides = {"chosen": chosen, "rejected": rejected[0]}
    return {**row, **{key: layouts.write_chat_turn(turn, record) for key, turn in sides.items()}}


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("axolotl", Axolotl)
