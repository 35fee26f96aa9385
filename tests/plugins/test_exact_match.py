"""Exact match judges text, not layout, and only what it can compare."""

import pytest

from filial import Context, Message, Record, UsageError, Verdict
from filial.testing import JudgeContract, candidate, run_async
from filial_plugins.judges.exact_match import ExactMatch


class TestContract(JudgeContract):
    component = ExactMatch()


def judged(record: Record, answer: object, **options: bool) -> Verdict:
    return run_async(ExactMatch(**options).judge(record, [candidate(answer)], Context(None)))


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


def test_a_conversation_is_asked_up_to_its_last_answer_which_is_expected() -> None:
    talk = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))

    def answer(request):
        assert request.messages == talk[:3]
        return "d"

    assert judged(Record(messages=talk), answer).passed
    assert not judged(Record(messages=talk), "b").passed


@pytest.mark.parametrize(
    "record",
    [
        Record(id="r1", instruction="x"),
        Record(id="r1", messages=(Message("user", "x"),)),
        Record(id="r1", messages=(Message("assistant", "x"),)),
    ],
)
def test_without_a_question_and_its_answer_there_is_nothing_to_judge(record: Record) -> None:
    with pytest.raises(UsageError, match="'r1' has no expected answer"):
        judged(record, "")
