"""The generator `split-long`: nothing that was said is lost, no piece is too long, and all is accounted for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial import Drop, Message, Record
from filial.testing import GeneratorContract, context, run_async
from filial_plugins.generators.split_long import SplitLong


class TestSplitLongContract(GeneratorContract):
    component = SplitLong(max_tokens=12)


def talk(*lengths: int, roles: str = "ua", system: int = 0) -> Record:
    """Turns of so many words, by the roles' first letters (u, a, c: tool call, t: tool)."""
    names: dict[str, Any] = {"u": "user", "a": "assistant", "c": "tool_call", "t": "tool"}
    turns = [Message(names[roles[i % len(roles)]], " ".join([f"w{i}"] * n)) for i, n in enumerate(lengths)]
    opening = [Message("system", " ".join(["s"] * system))] if system else []
    return Record(id="c", messages=(*opening, *turns), task="chat", tags=("plugins",))


def split(record: Record, **options: Any) -> tuple[list[Record], list[Drop]]:
    generator = SplitLong(**{"tokens_per_word": 1, "turn_tokens": 0, **options})

    async def work() -> list[Record | Drop]:
        return [result async for result in generator.generate([record], context())]

    results = run_async(work())
    return [r for r in results if isinstance(r, Record)], [r for r in results if isinstance(r, Drop)]


def sizes(records: list[Record]) -> list[list[int]]:
    return [[len(m.content.split()) for m in r.messages] for r in records]


def test_a_conversation_that_fits_goes_on_as_it_is():
    record = talk(5, 5)
    kept, dropped = split(record, max_tokens=10)
    assert kept[0] is record
    assert dropped == []


def test_a_longer_one_is_split_between_exchanges_and_its_last_pair_is_not_lost():
    kept, dropped = split(talk(3, 3, 3, 3, 3, 3), max_tokens=12)
    assert sizes(kept) == [[3, 3, 3, 3], [3, 3]]
    assert {(r.task, r.tags, r.origin.parents) for r in kept} == {("chat", ("plugins",), ("c",))}
    assert [(d.reason, d.detail) for d in dropped] == [("split", "into 2 pieces")]


@pytest.mark.parametrize(("over_long", "left"), [("keep", [[1, 1], [9, 9], [1, 1]]), ("drop", [[1, 1], [1, 1]])])
def test_an_exchange_that_fits_nowhere_stands_alone_or_is_a_drop_of_its_own(over_long, left):
    kept, dropped = split(talk(1, 1, 9, 9, 1, 1), max_tokens=4, over_long=over_long)
    assert sizes(kept) == left
    assert [d.reason for d in dropped] == (["split"] if over_long == "keep" else ["exchange-too-long", "split"])


@pytest.mark.parametrize("lengths", [(9, 9, 1, 1), (1, 1, 9, 9)])
def test_the_first_and_the_last_pair_may_be_the_one_that_is_too_long(lengths):
    kept, _ = split(talk(*lengths), max_tokens=4)
    assert sizes(kept) == [list(lengths[:2]), list(lengths[2:])]


def test_one_exchange_alone_that_is_too_long_is_kept_as_it_is_or_dropped():
    record = talk(9, 9)
    kept, dropped = split(record, max_tokens=4)
    assert kept[0] is record
    assert not dropped
    kept, dropped = split(record, max_tokens=4, over_long="drop")
    assert not kept
    assert [(d.reason, d.record is record) for d in dropped] == [("exchange-too-long", True)]


def test_the_system_text_stands_before_every_piece_and_counts_there():
    kept, _ = split(talk(2, 2, 2, 2, system=3), max_tokens=7)
    assert sizes(kept) == [[3, 2, 2], [3, 2, 2]]
    assert all(r.messages[0].role == "system" for r in kept)


def test_calls_of_tools_stay_with_their_question():
    kept, _ = split(talk(1, 1, 1, 1, 1, 1, 1, 1, roles="ucta"), max_tokens=4)
    assert [[m.role for m in r.messages] for r in kept] == [["user", "tool_call", "tool", "assistant"]] * 2


def test_a_last_question_without_an_answer_is_left_out_and_told():
    kept, dropped = split(talk(1, 1, 1), max_tokens=10)
    assert sizes(kept) == [[1, 1]]
    assert [d.detail for d in dropped] == ["into 1 piece; a question without an answer is left out"]


@pytest.mark.parametrize("record", [
    Record(id="q", instruction="A question alone?"),
    Record(id="u", messages=(Message("user", "A question alone?"),)),
    Record(id="s", messages=(Message("system", "Be brief."),)),
    Record(id="e", messages=(Message("user", ""), Message("assistant", ""))),
])  # fmt: skip
def test_what_cannot_be_split_goes_on_as_it_is(record):
    kept, dropped = split(record, max_tokens=1)
    assert (kept, dropped) == ([record], [])


def test_characters_count_as_words_where_a_script_writes_no_blanks():
    turns = ("user", "你好吗"), ("assistant", "我很好"), ("user", "再见了"), ("assistant", "再见吧")
    record = Record(id="c", messages=tuple(Message(role, text) for role, text in turns))
    assert [len(r.messages) for r in split(record, max_tokens=6)[0]] == [2, 2]


def test_each_turn_costs_what_a_template_puts_round_it():
    assert len(split(talk(1, 1, 1, 1), max_tokens=28, turn_tokens=6)[0]) == 1
    assert len(split(talk(1, 1, 1, 1), max_tokens=27, turn_tokens=6)[0]) == 2


ROLES = st.sampled_from(["user", "assistant", "tool_call", "tool", "system"])
TURNS = st.lists(st.tuples(ROLES, st.text("ab \ud800", max_size=12)), min_size=1, max_size=12)


@given(TURNS, st.integers(1, 12), st.sampled_from(["keep", "drop"]))
def test_whatever_the_turns_all_but_unanswered_last_questions_comes_out_in_order(turns, most, over_long):
    record = Record(id="c", messages=tuple(Message(role, text) for role, text in turns))
    kept, dropped = split(record, max_tokens=most, over_long=over_long)
    assert sum(r is record for r in kept) + sum(d.record is record for d in dropped) == 1
    if over_long == "keep" and dropped:
        system = [record.messages[0]] if record.messages[0].role == "system" else []
        said = [m for r in kept for m in r.messages[len(system) :]]
        rest = list(record.messages[len(system) :])
        assert said == rest[: len(said)]
        assert all(m.role == "user" for m in rest[len(said) :])
        assert all(b.messages[len(system)].role == "user" for _, b in pairwise(kept))


def test_a_piece_keeps_what_belongs_to_the_whole_conversation():
    whole = talk(50, 50, 50, 50).replaced(extra={"lang": "en"}, label=False, tools=({"name": "f"},))
    pieces, _ = split(whole, max_tokens=100)
    assert len(pieces) == 2
    assert all((p.extra, p.label, p.tools) == (whole.extra, False, whole.tools) for p in pieces)
