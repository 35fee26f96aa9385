"""The layouts of TRL's data sets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

from filial import Field, Format, Message, Record, hookimpl
from filial.formats import Row, RowFormat, Unfit, add_extra
from filial_plugins.formats import layouts
from filial_plugins.formats.openai_chat import OpenAIChat
from filial_plugins.formats.preferences import Preferences
from filial_plugins.formats.prompts import Prompts

Rows = Literal["auto", "messages", "prompt-completion", "prompt", "preference", "unpaired-preference"]
_HOLDS = ("messages", "system", "tools", "tool_calls", "reasoning", "extra", "name", "call ids")
_HELD: dict[str, tuple[str, ...]] = {
    "messages": (), "prompt-completion": ("train",), "prompt": (), "preference": ("rejected",),
    "unpaired-preference": ("label",),
}  # fmt: skip
_RESERVED = (
    "chat_template_kwargs", "images", "input_ids", "labels", "text", "messages", "prompt", "completion", "chosen",
    "rejected", "label", "tools", "id", "task",
)  # fmt: skip
_USAGE = {
    "messages": 'TRL: SFTTrainer(train_dataset=load_dataset("json", data_files={file!r}, split="train"), '
    "args=SFTConfig(assistant_only_loss=True)); without assistant_only_loss prompts are trained as well",
    "prompt-completion": 'TRL: SFTTrainer(train_dataset=load_dataset("json", data_files={file!r}, split="train")); '
    "completions are trained, prompts are not",
    "prompt": 'TRL: GRPOTrainer(train_dataset=load_dataset("json", data_files={file!r}, split="train"), …)',
    "preference": 'TRL: DPOTrainer(train_dataset=load_dataset("json", data_files={file!r}, split="train"), …)',
    "unpaired-preference": 'TRL: KTOTrainer(train_dataset=load_dataset("json", data_files={file!r}, split="train"), …)',
}


class TRL(layouts.Layout):
    """The conversational data set types of TRL, for its trainers.

    ``messages`` and ``prompt-completion`` are for SFTTrainer, ``prompt`` for GRPOTrainer, ``preference`` for
    DPOTrainer, ``unpaired-preference`` for KTOTrainer. ``auto``: by the first record; with a rejected answer it is
    a preference, with a label an unpaired one, without an answer a prompt, otherwise messages. All records of a file
    have to be of its type. Tools, calls of tools, reasoning (``reasoning_content``) and extra columns are written.
    TRL has no marks of single turns: ``prompt-completion`` trains the last answer only, ``messages`` every answer.
    Rows that another format knows are read by that one, unless this one is named.
    """

    rows: Rows = Field("auto", description="Which type of data set to write.")
    priority = -22
    holds = (*_HOLDS, "train", "rejected", "label")

    def detect(self, sample: Sequence[Row]) -> int:
        """Return how many rows have the turns of one of TRL's types."""
        return sum(any(isinstance(row.get(key), list) for key in ("messages", "prompt", "chosen")) for row in sample)

    def find_reader(self, row: Row) -> RowFormat:
        """Return the format that reads rows of such a type."""
        return OpenAIChat() if "messages" in row else Preferences() if "chosen" in row else Prompts()

    def settle(self, record: Record) -> Self:
        """Return this format with the type that the first record has."""
        if self.rows != "auto":
            return self
        rows = (
            "preference" if record.rejected
            else "unpaired-preference" if record.label is not None
            else "messages" if any(turn.role == "assistant" for turn in record.turns())
            else "prompt"
        )  # fmt: skip
        return self.model_copy(update={"rows": rows})

    def held(self) -> Collection[str]:
        """Return what rows of this type hold."""
        return self.holds if self.rows == "auto" else (*_HOLDS, *_HELD[self.rows])

    def to_rows(self, records: Iterable[Record]) -> Iterator[Row]:
        """Yield one row per record.

        Raises:
            Unfit: a record of another type than the file, or content that the type would lose.
        """
        stream = iter(records)
        for first in stream:
            form = self.settle(first)
            for record in chain([first], stream):
                yield add_extra(record, form._write_row(record), _RESERVED)

    def _write_row(self, record: Record) -> Row:
        row = _ROWS[self.rows](record)
        if record.tools:
            row["tools"] = layouts.to_text(layouts.write_functions(record.tools))
        return row

    def usage(self, file: Path, columns: Collection[str]) -> tuple[str, dict[str, Any]]:
        """Return the trainer that takes the file."""
        kind = (
            "messages" if "messages" in columns
            else "preference" if "chosen" in columns
            else "unpaired-preference" if "label" in columns
            else "prompt-completion" if "completion" in columns
            else "prompt"
        )  # fmt: skip
        return _USAGE[kind].format(file=str(file)), {}


def _write_turns(turns: Iterable[Message], record: Record) -> list[Row]:
    return [layouts.write_chat_turn(turn, record, reasoning="reasoning_content", objects=True) for turn in turns]


def _write_messages(record: Record) -> Row:
    turns = layouts.resolve_calls(record)
    if not any(turn.role == "assistant" for turn in turns):
        raise Unfit(record, "it has no answer; rows: prompt is for prompts alone")
    return {"messages": _write_turns(turns, record)}


def _write_completion(record: Record) -> Row:
    before, answer = layouts.find_answer(record)
    if answer.train is False or any(turn.train and turn.role != "assistant" for turn in before):
        raise Unfit(record, "its marks of turns to train are other than its last answer alone; try axolotl")
    if any(turn.role == "assistant" and turn.train is not False for turn in before):
        raise Unfit(record, "prompt-completion trains the last answer only, and it has others; set rows: messages")
    return {"prompt": _write_turns(before, record), "completion": _write_turns([answer], record)}


def _write_prompt(record: Record) -> Row:
    turns = layouts.resolve_calls(record)
    if turns[-1].role == "assistant" and (turns[-1].content or turns[-1].tool_calls):
        raise Unfit(record, "it has an answer, which a prompt alone does not hold; set rows: messages")
    return {"prompt": _write_turns(turns[:-1] if turns[-1].role == "assistant" else turns, record)}


def _write_preference(record: Record) -> Row:
    before, answer = layouts.find_answer(record)
    prompt, chosen = _write_turns(before, record), _write_turns([answer], record)
    return {"prompt": prompt, "chosen": chosen, "rejected": _write_turns(layouts.find_rejected(record), record)}


def _write_unpaired(record: Record) -> Row:
    if record.label is None:
        raise Unfit(record, "an unpaired preference needs a label, and it has none")
    before, answer = layouts.find_answer(record)
    prompt, completion = _write_turns(before, record), _write_turns([answer], record)
    return {"prompt": prompt, "completion": completion, "label": record.label}


_ROWS: dict[str, Callable[[Record], Row]] = {
    "messages": _write_messages, "prompt-completion": _write_completion, "prompt": _write_prompt,
    "preference": _write_preference, "unpaired-preference": _write_unpaired,
}  # fmt: skip


@hookimpl
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    register("trl", TRL)
