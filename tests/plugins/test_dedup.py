"""The filter `dedup`: what is a copy, and what is not."""

from __future__ import annotations

import unicodedata

import pytest

from filial import Context, Drop, Keep, Message, Record, ToolCall
from filial.testing import FilterContract
from filial_plugins.filters.dedup import Dedup

TASK = Record(id="a", instruction="Tả con bò.", input="Ngắn thôi.", output="Con bò có bốn chân.", system="Be brief.")
TALK = Record(
    messages=(
        Message(role="system", content="Be brief."),
        Message(role="user", content="Tả con bò.\n\nNgắn thôi."),
        Message(role="assistant", content="Con bò có bốn chân."),
    )
)
CALLS = TALK.replaced(
    messages=(
        Message(role="user", content="Wie spät?"),
        Message(
            role="tool_call", content="", tool_calls=(ToolCall(id="1", name="clock", arguments='{"zone": "CET"}'),)
        ),
        Message(role="tool", content="9:00", tool_call_id="1"),
        Message(role="assistant", content="Neun."),
    ),
    tools=({"name": "clock"},),
)


class TestContract(FilterContract):
    component = Dedup()


def kept(filter: Dedup, *records: Record) -> list[bool]:
    ctx = Context(None)
    return [isinstance(filter.check(record, ctx), Keep) for record in records]


def with_turn(record: Record, place: int, turn: Message) -> Record:
    return record.replaced(messages=(*record.messages[:place], turn, *record.messages[place + 1 :]))


COPIES = {
    "itself": TASK,
    "another id, other marks": TASK.replaced(id="b", tags=("new",), scores={"x": 1.0}, task="t", extra={"row": 2}),
    "decomposed": TASK.replaced(instruction=unicodedata.normalize("NFD", TASK.instruction)),
    "zero-width": TASK.replaced(output="\ufeffCon bò\u200b có bốn chân."),
    "full-width and line breaks": TASK.replaced(input="Ｎgắn\u00a0 thôi.\r\n"),
    "a conversation": TALK,
    "not trained": with_turn(TALK, 2, Message(role="assistant", content=TASK.output, train=False)),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_dropped(name):
    assert kept(Dedup(), TASK, COPIES[name]) == [True, False]
    assert kept(Dedup(), COPIES[name], TASK) == [True, False]


def test_a_call_with_another_id_is_a_copy():
    call = ToolCall(id="2", name="clock", arguments='{"zone": "CET"}')
    assert kept(Dedup(), CALLS, with_turn(CALLS, 1, Message(role="tool_call", content="", tool_calls=(call,)))) == [
        True, False,
    ]  # fmt: skip


WORSE = (Message(role="assistant", content="Con bò."),)
OTHERS = {
    "an accent": (TASK, TASK.replaced(instruction="Tả con bơ.")),
    "a capital": (TASK, TASK.replaced(output="con bò có bốn chân.")),
    "a power": (Record(instruction="5² = ?"), Record(instruction="52 = ?")),
    "the input": (TASK, TASK.replaced(input="")),
    "the answer": (TASK, TASK.replaced(output="Nó ăn cỏ.")),
    "the system text": (TASK, TASK.replaced(system="")),
    "the reasoning": (TASK, TASK.replaced(reasoning="Bò là gì?")),
    "the label": (TASK.replaced(label=True), TASK.replaced(label=False)),
    "what was rejected": (TASK, TASK.replaced(rejected=WORSE)),
    "chosen and rejected": (
        TASK.replaced(rejected=WORSE),
        TASK.replaced(output=WORSE[0].content, rejected=(Message(role="assistant", content=TASK.output),)),
    ),
    "who speaks": (TALK, with_turn(TALK, 1, Message(role="assistant", content=TALK.messages[1].content))),
    "where a turn ends": (
        Record(messages=(Message(role="user", content="a b"),)),
        Record(messages=(Message(role="user", content="a"), Message(role="user", content="b"))),
    ),
    "arguments of a call": (
        CALLS,
        with_turn(
            CALLS, 1,
            Message(role="tool_call", content="", tool_calls=(ToolCall(name="clock", arguments='{"zone": "GMT"}'),)),
        ),
    ),
    "tools": (CALLS, CALLS.replaced(tools=())),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_says_something_else_stays(name):
    assert kept(Dedup(), *OTHERS[name]) == [True, True]


def test_by_question_another_answer_does_not_count():
    other = TASK.replaced(id="b", output="Nó ăn cỏ.", reasoning="Bò là gì?")
    assert kept(Dedup(by="question"), TASK, other, TALK, TASK.replaced(input="")) == [True, False, False, True]


def test_a_drop_names_the_first_copy():
    ctx = Context(None)
    dedup = Dedup()
    dedup.check(TASK, ctx)
    assert dedup.check(TASK.replaced(id="b"), ctx) == Drop("duplicate", "the same record as a")


@pytest.mark.parametrize("text", ["\ud800", "x" * 1_000_000, "\x00", " ", "🎉"])
def test_strange_texts_never_raise(text):
    record = Record(instruction=text, output=text)
    assert kept(Dedup(), record, record) == [True, False]


def test_one_word_on_the_command_line_and_in_a_recipe(cli):
    rows = [{"instruction": f"Say {i % 3}.", "output": f"{i % 3}"} for i in range(7)]
    cli.write("in.jsonl", *rows)
    assert cli("filter", "dedup", "in.jsonl", "-o", "out.jsonl") == 0
    assert [row["output"] for row in cli.rows("out.jsonl")] == ["0", "1", "2"]
    assert {row["reason"] for row in cli.rows("out.drops.jsonl")} == {"duplicate"}
    (cli.folder / "r.yaml").write_text("data: in.jsonl\nstages:\n- filter: dedup\n")
    assert cli("run", "r.yaml", "--name", "r") == 0
    assert len(cli.rows("runs/r/stages/01-filter/records.jsonl")) == 3
