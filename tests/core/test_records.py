"""The record contract: fields, forms, views, children, and that what was written by 0.1 stays what it is."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filial import Constraint, Message, Origin, Record, Reply, Request, ToolCall, UsageError
from filial.contracts.records import Changes, Evolution, question_key, record_id, to_json
from filial.formats import Fault, read, write
from filial.formats.records import decode, encode
from filial.gateway.ledger import encode_request

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
CALL = ToolCall(id="c1", name="add", arguments='{"a":1}')
ADD = {"type": "function", "function": {"name": "add"}}
FULL = Record(
    instruction="How much?", output="2", system="Be brief.", reasoning="1 + 1", tools=(ADD,),
    rejected=(Message("assistant", "3", reasoning="1 + 2"),), label=True, extra={"lang": "en", "n": [1, {"x": None}]},
)  # fmt: skip
TALK = Record(
    messages=(
        Message("system", "Be brief."), Message("user", "1 + 1?", name="Ann"),
        Message("assistant", "", reasoning="a sum", tool_calls=(CALL,)), Message("tool", "2", tool_call_id="c1"),
        Message("assistant", "Two.", train=False), Message("user", "And 2 + 2?"), Message("assistant", "Four."),
    )
)  # fmt: skip


def lines(name: str) -> list[bytes]:
    return [line for line in (DATA / name).read_bytes().split(b"\n") if line]


@pytest.mark.parametrize("line", lines("records-0.1.jsonl"))
def test_lines_of_0_1_are_read_and_written_as_they_were_and_keep_their_ids(line: bytes) -> None:
    record = decode(line)
    assert to_json(record) == line
    stage = record.origin.stage or "read"
    assert record_id(record.content(), parents=record.origin.parents, stage=stage) == record.id


@pytest.mark.parametrize("line", lines("requests-0.1.jsonl"))
def test_requests_of_0_1_have_the_bytes_and_the_keys_that_their_answers_are_stored_under(line: bytes) -> None:
    row = json.loads(line)
    recorded = row["request"].encode()
    assert encode_request(msgspec.json.decode(recorded, type=Request)) == recorded
    key = hashlib.blake2b(digest_size=16)
    for part in (b'"procedural"', b'{"holdout":true,"noise":0.0,"seed":0,"world":"core"}', recorded):
        key.update(len(part).to_bytes(8, "little") + part)
    assert key.hexdigest() == row["key"]


def test_a_plain_message_is_written_without_the_fields_it_does_not_use() -> None:
    assert to_json(Record(messages=(Message("user", ""),))) == b'{"messages":[{"role":"user","content":""}]}'
    assert msgspec.json.encode(CALL) == b'{"id":"c1","name":"add","arguments":"{\\"a\\":1}"}'
    assert msgspec.json.encode(Message("assistant", "a", train=False)) == (
        b'{"role":"assistant","content":"a","train":false}'
    )


@pytest.mark.parametrize("record", [FULL, TALK])
def test_every_field_survives_writing_and_reading(record: Record, tmp_path: Path) -> None:
    named = record.replaced(id="r1")
    for name in ("a.jsonl", "a.jsonl.gz", "a.parquet"):
        write(tmp_path / name, [named])
        assert list(read(tmp_path / name)) == [named]


def test_the_fields_stand_in_their_order() -> None:
    assert Record.__struct_fields__ == (
        "id", "instruction", "input", "output", "system", "reasoning", "messages", "tools", "rejected", "label", "task",
        "scores", "tags", "constraints", "extra", "origin",
    )  # fmt: skip


def test_a_record_has_one_form() -> None:
    turn = (Message("user", "a"),)
    for name in ("instruction", "input", "output", "system", "reasoning"):
        with pytest.raises(ValueError, match="single-turn or a conversation, not both"):
            Record(messages=turn, **{name: "x"})
    with pytest.raises(ValueError, match="needs an instruction or messages"):
        Record(output="x", system="y")
    for both in ({"tools": (ADD,)}, {"rejected": turn}, {"label": False}, {"extra": {"a": 1}}):
        assert Record(messages=turn, **both).turns() == turn
        assert Record(instruction="a", **both).turns() == turn


@pytest.mark.parametrize("value", [float("nan"), (1, 2), {1: 2}, {"a": {"b": float("inf")}}])
def test_extra_that_is_no_json_is_refused_before_it_changes_in_silence(value: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        write(tmp_path / "a.jsonl", [Record(id="r", instruction="a", extra={"x": value})])
    with pytest.raises(UsageError, match="cannot be written as JSON"):
        write(tmp_path / "a.jsonl", [Record(id="r", instruction="a", tools=({"x": value},))])
    record = Record(instruction="a", extra={"x": [1, None, 2.5, "b", {"c": True}]})
    line, back = encode(record)
    assert decode(line) == back == record


# The views.


def test_what_is_asked_and_answered_in_either_form() -> None:
    asked = (Message("system", "Be brief."), Message("user", "How much?"))
    assert FULL.prompt() == asked
    assert (FULL.answer(), FULL.question()) == ("2", "How much?")
    assert FULL.turns() == (*asked, Message("assistant", "2", reasoning="1 + 1"))
    assert [m.content for m in TALK.prompt()] == ["Be brief.", "1 + 1?", "", "2", "Two.", "And 2 + 2?"]
    assert (TALK.answer(), TALK.question()) == ("Four.", "")
    given = Record(instruction="sort", input="2 1", output="1 2")
    assert given.prompt() == (Message("user", "sort\n\n2 1"),)


def test_marks_for_training_are_not_asked() -> None:
    assert {m.train for m in TALK.prompt()} == {None}
    assert TALK.prompt()[2].tool_calls == (CALL,)


def test_a_conversation_that_waits_for_an_answer_is_asked_as_a_whole() -> None:
    waiting = TALK.replaced(messages=TALK.messages[:-1])
    assert [m.content for m in waiting.prompt()] == [m.content for m in waiting.messages]
    assert waiting.answer() == ""
    assert waiting.with_answer("Four.") == TALK
    assert waiting.without_answer() == waiting
    assert question_key(waiting) == ("Be brief.", "1 + 1?", "", "2"), "what was taught an answer to is the question"


def test_a_new_answer_takes_the_place_of_the_old_one_and_of_what_was_said_of_it() -> None:
    new = FULL.with_answer("two", "counting")
    assert new == FULL.replaced(output="two", reasoning="counting", rejected=(), label=None)
    talk = TALK.replaced(label=False).with_answer("4", "counting")
    assert talk.messages == (*TALK.messages[:-1], Message("assistant", "4", reasoning="counting"))
    assert talk.label is None


words = st.text(max_size=3)
single = st.builds(
    Record, instruction=st.text(min_size=1, max_size=3), input=words, output=words, system=words, reasoning=words
)
message = st.builds(
    Message, st.sampled_from(["system", "user", "assistant", "tool"]), words, reasoning=words,
    train=st.sampled_from([None, True, False]),
)  # fmt: skip
talks = st.builds(lambda turns: Record(messages=tuple(turns)), st.lists(message, min_size=1, max_size=4))


@settings(deadline=None)
@given(st.one_of(single, talks), st.text(min_size=1, max_size=3), words)
def test_the_views_hold_together(record: Record, text: str, reasoning: str) -> None:
    answered = record.with_answer(text, reasoning)
    assert answered.answer() == text
    assert answered.turns()[-1] == Message("assistant", text, reasoning=reasoning)
    assert answered.prompt() == record.prompt() == record.without_answer().prompt()
    assert record.without_answer().answer() == ""
    assert record.without_answer().with_answer(text, reasoning) == answered
    marked = tuple(msgspec.structs.replace(m, train=None) for m in answered.turns())
    assert marked == (*answered.prompt(), answered.turns()[-1])


@settings(deadline=None)
@given(single)
def test_a_single_turn_record_is_the_conversation_of_its_turns(record: Record) -> None:
    talk = Record(messages=record.turns())
    assert (talk.prompt(), talk.answer(), question_key(talk)) == (
        record.prompt(), record.answer(), question_key(record)
    )  # fmt: skip


def test_only_what_a_single_turn_record_can_hold_becomes_one() -> None:
    asked, said = Message("user", "a"), Message("assistant", "b", reasoning="c")
    assert Record(messages=(asked, said)).single() == Record(instruction="a", output="b", reasoning="c")
    assert Record(messages=(asked, Message("assistant", ""))).single() == Record(instruction="a")
    for turns in (
        (Message("user", "a", name="Ann"), said), (asked, Message("assistant", "b", train=False)),
        (asked, Message("assistant", "b", tool_calls=(CALL,))), (Message("user", "a", reasoning="x"),),
    ):  # fmt: skip
        talk = Record(messages=turns)
        assert talk.single() is talk


# What makes two records the same text.


def test_each_new_text_makes_another_record_and_no_mark_does() -> None:
    plain = Record(instruction="a", output="b")
    others = [
        plain.replaced(system="s"), plain.replaced(reasoning="s"), plain.replaced(tools=(ADD,)),
        plain.replaced(rejected=(Message("assistant", "s"),)), Record(messages=plain.turns()),
    ]  # fmt: skip
    turns = [Message("user", "a"), Message("assistant", "b")]
    for i, change in [(1, {"reasoning": "s"}), (1, {"tool_calls": (CALL,)}), (0, {"name": "s"})]:
        changed = turns.copy()
        changed[i] = msgspec.structs.replace(turns[i], **change)
        others.append(Record(messages=tuple(changed)))
    ids = {record_id(record.content()) for record in [plain, *others]}
    assert len(ids) == len(others) + 1
    for mark in ({"label": False}, {"tags": ("x",)}, {"extra": {"a": 1}}, {"scores": {"x": 1.0}}):
        assert plain.replaced(**mark).content() == ("a", "", "b")


def test_texts_with_half_characters_have_ids_too() -> None:
    record = Record(instruction="a\ud800", system="\udfff", rejected=(Message("assistant", "\ud800"),))
    assert record_id(record.content())


def test_all_that_a_message_says() -> None:
    turn = Message("assistant", "", reasoning="why", tool_calls=(CALL,), name="bot")
    assert turn.texts() == ("", "why", "c1", "add", '{"a":1}', "bot")
    assert Message("user", "a").texts() == ("a",)


# Children and changes.


def test_a_child_inherits_the_question_and_not_what_belongs_to_the_answer() -> None:
    parent = FULL.replaced(id="p", scores={"x": 1.0}, tags=("t",), constraints=(Constraint("n", {}, "much"),))
    child = parent.evolved(instruction="How much more?")
    assert child == Record(
        instruction="How much more?", system="Be brief.", tools=(ADD,), tags=("t",), extra=FULL.extra,
        constraints=parent.constraints, origin=Origin(parents=("p",), round=1),
    )  # fmt: skip
    assert parent.evolved(instruction="x", output="y", label=False).output == "y"
    assert not parent.evolved(instruction="x").constraints
    assert parent.citing(Reply(text="", key="k")).origin.answers == ("k",)


def test_a_wrong_name_is_an_error_that_says_it() -> None:
    record = Record(instruction="a")
    for change in (record.evolved, record.replaced):
        with pytest.raises(TypeError, match=r"`Record` has no field 'instuction'"):
            change(instuction="b")
    with pytest.raises(TypeError, match=r"multiple values for keyword argument 'origin'"):
        record.evolved(origin=Origin())
    assert record.replaced(origin=Origin(round=2), id="x").id == "x"


def test_the_names_that_can_be_changed_are_those_of_a_record() -> None:
    fields = get_type_hints(Record)
    assert get_type_hints(Changes) == {name: fields[name] for name in Record.__struct_fields__}
    assert get_type_hints(Changes).items() - get_type_hints(Evolution).items() == {
        ("id", str), ("scores", dict[str, float]), ("origin", Origin)
    }  # fmt: skip


SNIPPET = """
from filial import Record

record = Record(instruction="a")
record.evolved(instruction="b", output="c", system="d", extra={"x": 1})
record.replaced(id="b", scores={"x": 1.0}, label=None)
record.evolved(instuction="b")
record.evolved(output=1)
record.evolved(scores={})
record.replaced(mesages=())
"""


@pytest.mark.slow
def test_a_wrong_name_or_type_is_an_error_for_type_checkers(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(SNIPPET)
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", tmp_path / "cache", plugin],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT / "core")}, capture_output=True, text=True,
    )  # fmt: skip
    said = [line.partition("plugin.py:")[2] for line in found.stdout.splitlines() if "error:" in line]
    assert [line.partition(":")[0] for line in said] == ["7", "8", "9", "10"], found.stdout + found.stderr
    assert 'Unexpected keyword argument "instuction"' in said[0]


def test_a_bad_line_says_where_in_its_own_terms() -> None:
    with pytest.raises(Fault) as fault:
        decode(b'{"instruction":"a","origin":{"round":-1}}')
    assert (fault.value.pointer, fault.value.message) == ("/origin/round", "Expected `int` >= 0")
