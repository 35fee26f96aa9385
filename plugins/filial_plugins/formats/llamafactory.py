"""The ShareGPT layout as LLaMA-Factory reads it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

from filial import Field, Format, Record, hookimpl
from filial.formats import Row, RowFormat, Unfit, add_extra
from filial_plugins.formats import layouts
from filial_plugins.formats.preferences import Preferences
from filial_plugins.formats.sharegpt import ShareGPT, write_turn

_COLUMNS = ("conversations", "system", "tools", "chosen", "rejected", "label", "id", "task")

_ASKS, _ANSWERS = ("human", "observation"), ("gpt", "function_call")
_HOLDS = ("messages", "system", "tools", "tool_calls", "extra")
_HELD = {"conversation": (), "preference": ("rejected",), "feedback": ("label",)}


class LLaMAFactory(layouts.Layout):
    """ShareGPT as LLaMA-Factory reads it: turns that alternate, and ``system`` and ``tools`` beside them.

    With ``preference`` the last answer is ``chosen`` beside ``rejected``; with ``feedback``, for KTO, there is a
    ``label``. ``auto``: by the first record. Rows that LLaMA-Factory would skip are refused: turns that do not
    alternate, or no answer. Its file ``dataset_info.json`` needs an entry, which ``filial convert`` writes or prints.
    Its rows are read as sharegpt, unless it is named.
    """

    rows: Literal["auto", "conversation", "preference", "feedback"] = Field(
        "auto", description="Which kind of rows to write."
    )
    keys = ("conversations",)
    priority = -21
    holds = (*_HOLDS, "rejected", "label")

    def find_reader(self, row: Row) -> RowFormat:
        """Return the format that reads rows of such a kind."""
        return Preferences() if "chosen" in row else ShareGPT()

    def settle(self, record: Record) -> Self:
        """Return this format with the kind of rows that the first record needs."""
        rows = "preference" if record.rejected else "conversation" if record.label is None else "feedback"
        return self.model_copy(update={"rows": rows}) if self.rows == "auto" else self

    def held(self) -> Collection[str]:
        """Return what such rows hold."""
        return self.holds if self.rows == "auto" else (*_HOLDS, *_HELD[self.rows])

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield one row per record, each with the same columns.

        Raises:
            Unfit: a record of another kind than the file, or one that LLaMA-Factory would pass over or lose part of.
        """
        stream = iter(records)
        for first in stream:
            rows = self.settle(first).rows
            for record in chain([first], stream):
                yield add_extra(record, _write_row(record, rows), _COLUMNS)

    def usage(self, file: Path, columns: Collection[str]) -> tuple[str, dict[str, Any]]:
        """Return the entry in ``dataset_info.json``."""
        named = {"messages": "conversations", "system": "system", "tools": "tools"}
        more = {"kto_tag": "label"} if "label" in columns else {}
        if "chosen" in columns:
            more = {"chosen": "chosen", "rejected": "rejected"}
        ranking = {"ranking": True} if "chosen" in columns else {}
        return "", {"file_name": file.name, "formatting": "sharegpt", **ranking, "columns": {**named, **more}}


def _write_row(record: Record, rows: str) -> Row:
    turns = list(record.turns())
    system = turns.pop(0).content if turns[0].role == "system" else ""
    written = [write_turn(turn, record) for turn in turns]
    _check_order(record, written)
    tools = layouts.to_text(record.tools) if record.tools else ""
    if rows == "preference":
        rejected = layouts.find_rejected(record)
        if len(rejected) > 1:
            raise Unfit(record, "LLaMA-Factory's preferences have one rejected turn, and it has more")
        sides = {"chosen": written.pop(), "rejected": write_turn(rejected[0], record)}
        return {"conversations": written, **sides, "system": system, "tools": tools}
    if rows == "feedback":
        if record.label is None:
            raise Unfit(record, "feedback needs a label, and it has none")
        return {"conversations": written, "label": record.label, "system": system, "tools": tools}
    return {"conversations": written, "system": system, "tools": tools}


def _check_order(record: Record, turns: Sequence[Row]) -> None:
    """Refuse turns that LLaMA-Factory passes over without an error."""
    for number, turn in enumerate(turns):
        if turn["from"] not in (_ANSWERS if number % 2 else _ASKS):
            raise Unfit(record, f"LLaMA-Factory wants question and answer in turn, and {turn['from']} is out of order")
    if not turns or len(turns) % 2 or not turns[-1]["value"]:
        raise Unfit(record, "it has no answer")


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("llamafactory", LLaMAFactory)
