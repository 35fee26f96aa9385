"""Answers with a schema: checked in any case, asked for once more when they do not fit, never passed on wrong."""

import asyncio
import json

import pytest

from filial import TeacherError, UsageError
from filial.contracts.messages import read_json
from filial.contracts.structured import fault_of_answer
from filial.testing import context

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 10}},
    "required": ["score"],
    "additionalProperties": False,
}


def ask(*answers, schema=SCHEMA):
    ctx = context(list(answers))
    return asyncio.run(ctx.ask("Rate it.", schema=schema)), ctx


@pytest.mark.parametrize(
    "text", ['{"score": 7}', ' {"score":7}\n', '```json\n{"score": 7}\n```', '```\n{"score": 7}```']
)
def test_an_answer_that_fits_is_asked_for_once(text):
    reply, ctx = ask(text)
    assert reply.json() == {"score": 7}
    assert len(ctx.replies) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seven", "it is not JSON"), ('{"score": 11}', "at /score: 11 is greater than the maximum of 10"),
        ('{"score": "7"}', "at /score: '7' is not of type 'integer'"), ("{}", "at the top: 'score' is a required"),
        ('{"score": 7} or so', "it is not JSON"), ("", "it is not JSON"), ("[" * 5000, "it is not JSON"),
    ],
)  # fmt: skip
def test_one_that_does_not_fit_is_asked_for_again_with_what_was_wrong(text, told):
    seen = []

    def answer(request):
        seen.append(request)
        return text if len(seen) == 1 else '{"score": 3}'

    ctx = context(answer)
    reply = asyncio.run(ctx.ask("Rate it.", schema=SCHEMA))
    assert reply.json() == {"score": 3}
    first, second = seen
    assert first.schema == second.schema == SCHEMA
    assert [m.role for m in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1].content == text
    assert told in second.messages[2].content
    assert '"maximum":10' in second.messages[2].content


def test_twice_wrong_is_a_failure_with_the_second_answer():
    with pytest.raises(TeacherError, match="schema-mismatch: at /score") as caught:
        ask('{"score": 0}', '{"score": 99}')
    assert caught.value.answer == '{"score": 99}'
    assert not caught.value.retry


def test_a_schema_that_is_none_is_refused_before_anything_is_asked():
    ctx = context("x")
    with pytest.raises(UsageError, match="is not a JSON Schema"):
        asyncio.run(ctx.ask("Rate it.", schema={"type": "strnig"}))
    assert ctx.replies == []


def test_reading_agrees_with_json_on_what_is_json():
    for value in (None, True, 1, -2.5, "a\u2028b", [1, {"x": []}], {"": ""}):
        assert read_json(json.dumps(value)) == value
    with pytest.raises(ValueError, match="not JSON"):
        read_json("NaN")


def test_no_fault_means_the_value_fits():
    assert fault_of_answer('{"score": 10}', SCHEMA) == ""
    assert fault_of_answer("3", {"type": "number"}) == ""
