"""The filter `agreement`."""

from __future__ import annotations

from typing import Any

from filial import Drop, Keep, Message, Record, Reply
from filial.testing import FilterContract, context, run_async
from filial_plugins.filters.agreement import Agreement

HELLO = Message(role="user", content="Hi")


class TestContract(FilterContract):
    component = Agreement(draws=1)


def check_agreement(answers: list[str], output: str = "Paris.", **options: Any) -> tuple[Keep | Drop, list[Any]]:
    requests: list[Any] = []

    def say(request: Any) -> Reply:
        requests.append(request)
        return Reply(text=answers[request.draw - 1])

    record = Record(instruction="Name the capital.", input="France", output=output)
    return run_async(Agreement(draws=len(answers), **options).check(record, context(say))), requests


def test_agreement_asks_the_same_question_with_new_draws():
    result, requests = check_agreement(["paris", " Paris ", '"PARIS."'])
    assert result == Keep(scores={"agreement": 1.0})
    assert [r.draw for r in requests] == [1, 2, 3]
    assert {r.messages for r in requests} == {(Message(role="user", content="Name the capital.\n\nFrance"),)}


def test_agreement_drops_what_does_not_come_back():
    result, _ = check_agreement(["Paris", "Lyon", "Rome"])
    assert isinstance(result, Drop)
    assert (result.reason, result.answer) == ("disagreement", "Lyon")
    assert "1 of 3" in result.detail


def test_the_share_that_must_agree_is_an_option():
    assert check_agreement(["Paris", "Lyon", "Rome"], agree=0.3)[0] == Keep(scores={"agreement": 1 / 3})
    assert isinstance(check_agreement(["Paris", "Paris", "Rome"], agree=1.0)[0], Drop)


def test_agreement_needs_an_answer_and_asks_nothing_without():
    result, requests = check_agreement(["x"], output="")
    assert isinstance(result, Drop)
    assert (result.reason, requests) == ("no-answer", [])


def test_agreement_asks_for_the_last_turn_of_a_conversation():
    seen: list[Any] = []
    ctx = context(lambda request: seen.append(request.messages) or "Hello")
    assert run_async(
        Agreement(draws=1).check(Record(messages=(HELLO, Message(role="assistant", content="hello"))), ctx)
    ) == Keep(scores={"agreement": 1.0})
    assert seen == [(HELLO,)]


def test_nothing_is_left_of_it_where_no_answer_is_asked_for():
    assert Agreement().question_rules() is None


def test_agreement_asks_with_the_system_text_too():
    seen: list[Any] = []
    ctx = context(lambda request: seen.append(request.messages) or "b")
    record = Record(instruction="a", output="b", system="Be brief.")
    assert run_async(Agreement(draws=1).check(record, ctx)) == Keep(scores={"agreement": 1.0})
    assert seen == [(Message(role="system", content="Be brief."), Message(role="user", content="a"))]
