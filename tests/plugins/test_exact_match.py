"""Exact match judges text, not layout, and only what it can compare."""

import asyncio

import pytest

from filial import Context, Message, Record, UsageError, Verdict
from filial_plugins.judges.exact_match import ExactMatch


def judged(record: Record, *answers: str, **options: bool) -> Verdict:
    return asyncio.run(ExactMatch(**options).judge(record, answers, Context(None)))


TEN = Record(id="r1", instruction="Count.", output="Ten  apples ")


@pytest.mark.parametrize(
    ("answer", "options", "passed"),
    [
        ("Ten  apples", {}, True),
        ("\n Ten  apples\n", {}, True),
        ("ten  apples", {}, False),
        ("ten  apples", {"case_sensitive": False}, True),
        ("Ten apples", {}, False),
        ("Ten\napples", {"normalize_whitespace": True}, True),
        ("Ten  apples.", {}, False),
        ("", {}, False),
    ],
)
def test_one_answer(answer: str, options: dict[str, bool], passed: bool) -> None:
    assert judged(TEN, answer, **options) == Verdict(float(passed), passed=passed)


def test_several_answers_score_the_share_that_matches() -> None:
    assert judged(TEN, "Ten  apples", "nine") == Verdict(0.5, passed=False)


def test_a_conversation_expects_its_last_answer() -> None:
    talk = Record(
        messages=(Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))
    )
    assert judged(talk, "d").passed
    assert not judged(talk, "b").passed


@pytest.mark.parametrize(
    "record", [Record(id="r1", instruction="x"), Record(id="r1", messages=(Message("user", "x"),))]
)
def test_without_an_expected_answer_there_is_nothing_to_judge(record: Record) -> None:
    with pytest.raises(UsageError, match="'r1' has no expected answer"):
        judged(record, "")
