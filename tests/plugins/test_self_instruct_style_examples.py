"""How each style of `self-instruct` asks whether a task is classification and reads examples of it: each mend by its
option, on a case of our own."""

from __future__ import annotations

from typing import Any

import pytest
from self_instruct_kit import reasons, records
from self_instruct_styles_kit import ONE, Teacher, options, run

from filial import Reply, Request


@pytest.mark.parametrize(
    ("said", "lenient", "exact"),
    [
        ("Yes", True, True), (" yes\n", True, True), ("YES", True, True), ("Yes.", True, False),
        ("**Yes**", True, False), ("Yes, with two labels", True, False), ("No", False, False), ("", False, False),
        ("Yesterday", False, False), ("It is not", False, False),
    ],
)  # fmt: skip
def test_which_answers_say_yes(said, lenient, exact):
    for given_options, yes in (
        ({}, lenient), ({"accept_yes": "exact"}, exact), ({"style": "paper"}, exact),
        ({"style": "paper", "accept_yes": "lenient"}, lenient),
    ):  # fmt: skip
        teacher = Teacher(ONE, "Class label: oak\nInput: leaf\nOutput: done", yes=said)
        (record,) = records(run(options(**given_options), teacher))
        assert (record.tags == ("classification",), record.output == "oak") == (yes, yes)
        assert ("Class label:" in teacher.asked["examples"][0].messages[-1].content) == yes


def test_a_question_that_fails_for_good():
    items = run(options(), Teacher(ONE, yes=None))
    assert (records(items), reasons(items)["teacher-http-500"]) == ([], 1)
    for given_options in ({"failed_question": "pass"}, {"style": "paper"}):
        (record,) = records(run(options(**given_options), Teacher(ONE, yes=None)))
        assert record.tags == ()


def test_without_the_question_nothing_is_asked():
    teacher = Teacher(ONE)
    (record,) = records(run(options(classification="skip"), teacher))
    assert (teacher.asked["question"], record.tags, len(teacher.asked["examples"])) == ([], (), 1)


def pairs(said: str, yes: str = "No", style: str = "filial", **given: Any) -> list[tuple[str, str]]:
    items = run(options(style, **{"instances": 5, **given}), Teacher(ONE, said, yes=yes))
    return [(record.input, record.output) for record in records(items)]


def test_labels_inside_answers():
    said = "Example 1\nInput: letters\nOutput: See Example 7 of the book. Input: is a label there."
    assert pairs(said) == [("letters", "See Example 7 of the book. Input: is a label there.")]
    assert pairs(said, labels="anywhere") == [("letters", "See"), ("", "of the book.")]
    assert pairs(said, style="paper") == [("letters", "See"), ("", "of the book.")]
    said = "Class label: rude\nInput: Do not write Class label: here!\nClass label: kind\nInput: Hello."
    assert pairs(said, "Yes") == [("Do not write Class label: here!", "rude"), ("Hello.", "kind")]
    assert pairs(said, "Yes", labels="anywhere") == [
        ("Input: Do not write", "rude"), ("", "here!"), ("Input: Hello.", "kind"),
    ]  # fmt: skip


def test_labels_first_as_chat_models_write_them():
    said = "Example 1\n**Class label:** rude\n**Input:** Go.\nNow.\n\nExample 2:\nClass label: kind\nInput: none\n"
    assert pairs(said, "Yes") == [("Go.\nNow.", "rude"), ("", "kind")]


def test_several_examples_without_headers():
    said = "Input: a1\nOutput: b1\nInput: a2\nOutput: b2"
    assert pairs(said) == [("a1", "b1"), ("a2", "b2")]
    assert pairs(said, style="paper") == [("a1", "b1")]


def test_words_for_no_input():
    said = "Input: None\nOutput: b1"
    assert pairs(said) == [("", "b1")]
    assert pairs(said, style="paper") == pairs(said, no_input=()) == [("None", "b1")]


def test_which_of_many_examples():
    said = "".join(f"Example {i}\nInput: {i}\nOutput: {i if i == 1 else f'out {i}'}\n" for i in range(1, 9))
    assert [given for given, _ in pairs(said, instances=3)] == ["2", "3"]  # the first three, of which one is an echo
    drawn = pairs(said, instances=3, choose="sample")
    assert len(drawn) == 3
    assert pairs(said, style="paper") == pairs(said, instances=5, choose="sample")
    assert len({tuple(pairs(said, instances=3, choose="sample")) for _ in range(3)}) == 1


def test_a_cut_answer_costs_its_last_example():
    class Cut(Teacher):
        async def __call__(self, request: Request) -> Reply:
            reply = await super().__call__(request)
            return Reply(text=reply.text, finish_reason="length") if reply.text == self.examples else reply

    for style in ("filial", "paper"):
        items = run(options(style, instances=5), Cut(ONE, "Example 1\nInput: a\nOutput: b\nExample 2\nInput: c\nOutp"))
        assert [(r.input, r.output) for r in records(items)] == ([("a", "b")] if style == "paper" else [])
        assert reasons(items)["cut-off"] == 1
