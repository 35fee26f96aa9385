"""Judging: clean exams, figures that add up, and a copying baseline that is exactly the nearest neighbour."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial import FilialError, Judge, Message, Record, TeacherError, Verdict
from filial.contracts.records import question_key
from filial.engine.judge import Exam, Silent, judged, nearest
from filial.engine.stage import StageContext

WORDS = st.lists(st.sampled_from(["a", "B", "c", "dd", "e"]), min_size=1, max_size=5).map(" ".join)
RECORDS = st.lists(st.builds(lambda i, x, o: Record(instruction=i, input=x, output=o), WORDS, WORDS, WORDS), max_size=8)


class Same(Judge):
    """Right when equal; fails where told."""

    async def judge(self, record, answers, ctx):
        await asyncio.sleep(0.001 * (len(record.instruction) % 3))
        if "fail" in record.instruction:
            raise TeacherError("timeout", "too slow")
        if "crash" in record.instruction:
            raise ZeroDivisionError("a bug")
        if "nothing" in record.instruction:
            return None
        right = answers[0] == record.output
        return Verdict(float(right), right, "equal" if right else "")


class Grade(Judge):
    """Scores only."""

    async def judge(self, record, answers, ctx):
        return Verdict(float(len(answers[0])))


def verdicts(judge, records, answers):
    env = StageContext(stage="judge exam", seed=1, writer=Silent())
    figures, lines = asyncio.run(judged(judge, "d:j==1", Exam("exam", records), answers, env))
    return figures, [json.loads(line) for line in lines]


def talk(*texts):
    roles = ("user", "assistant") * len(texts)
    return Record(messages=tuple(Message(role=r, content=t) for r, t in zip(roles, texts, strict=False)))


def test_the_figures_are_shares_of_what_was_judged_in_the_order_of_the_exam():
    records = [Record(id=str(i), instruction=f"q{i}" + "!" * i, output="right") for i in range(5)]
    figures, lines = verdicts(Same(), records, ["right", "no", "right", "right", "no"])
    assert figures == {"records": 5, "judged": 5, "mean": 0.6, "passed": 0.6}
    assert [line["id"] for line in lines] == list("01234")
    assert lines[0] == {"id": "0", "question": "q0", "want": "right", "answer": "right", "score": 1.0, "passed": True,
                        "detail": "equal"}  # fmt: skip


def test_a_verdict_that_needs_a_failed_call_is_not_judged_and_says_why():
    records = [Record(id="a", instruction="fail", output="x"), Record(id="b", instruction="ok", output="x")]
    figures, lines = verdicts(Same(), records, ["x", "x"])
    assert (figures["records"], figures["judged"], figures["passed"]) == (2, 1, 1.0)
    assert (lines[0]["unjudged"], lines[0]["detail"]) == ("teacher-timeout", "too slow")
    assert "score" not in lines[0]


def test_a_judge_without_right_and_wrong_has_a_mean_and_no_share():
    figures, _ = verdicts(Grade(), [Record(instruction="a"), Record(instruction="b")], ["xx", "xxxx"])
    assert (figures["mean"], figures["passed"]) == (3.0, None)


def test_an_empty_exam_has_no_figures():
    figures, lines = verdicts(Same(), [], [])
    assert figures == {"records": 0, "judged": 0, "mean": None, "passed": None}
    assert lines == []


@pytest.mark.parametrize(("word", "cause"), [("crash", "ZeroDivisionError"), ("nothing", "not Verdict")])
def test_a_faulty_judge_is_named(word, cause):
    with pytest.raises(FilialError, match=rf"d:j==1.*judge exam.*{cause}"):
        verdicts(Same(), [Record(instruction=word)], ["x"])


def test_the_question_of_a_conversation_is_all_before_its_last_answer():
    assert question_key(talk("hi", "yes?", "name a river", "Po")) == ("hi", "yes?", "name a river")
    assert question_key(talk("hi")) == ("hi",)
    assert question_key(Record(instruction="sort", input="2 1", output="1 2")) == ("sort\n\n2 1",)
    assert question_key(Record(instruction="sort", input="2 1")) == question_key(talk("sort\n\n2 1", "1 2"))


@given(RECORDS, RECORDS)
def test_the_copying_baseline_is_the_nearest_neighbour_by_jaccard(trained, questions):
    def jaccard(one, other):
        a, b = (set(r.question().lower().split()) for r in (one, other))
        return len(a & b) / len(a | b)

    answers = nearest(trained)(questions)
    for record, answer in zip(questions, answers, strict=True):
        best = max(trained, key=lambda r: jaccard(record, r), default=None)
        if best is None or jaccard(record, best) == 0:
            assert answer == ""
        else:
            assert answer == best.output, "the first of the best"


def test_the_copying_baseline_copies_the_last_turn_of_a_conversation():
    trained = [talk("name a river", "Po", "and a lake", "Garda"), Record(instruction="sort words", output="done")]
    assert nearest(trained)([Record(instruction="name a lake and a river")]) == ["Garda"]
