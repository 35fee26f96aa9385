"""Reading what teachers write: lists of new tasks, examples of one; and what is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial_plugins.generators.self_instruct import example_parser
from filial_plugins.generators.self_instruct.example_parser import Example, find_faults
from filial_plugins.generators.self_instruct.instruction_screen import Screen
from filial_plugins.generators.self_instruct.lists import split_at_next
from filial_plugins.generators.self_instruct.styles import BLOCKED, NO_INPUT, TABLE

OPENINGS = TABLE["blocked_openings"][0]

task = st.from_regex(r"\A[A-Za-z][a-zA-Z ,]{0,20}[a-z.?]\Z")


@given(st.lists(task, min_size=1, max_size=10), st.integers(2, 12), st.sampled_from(["bare", "repeat", "restart"]))
def test_a_written_list_is_read_back(tasks, first, style):
    number = 1 if style == "restart" else first
    lines = [f"{number + i}. {text}" for i, text in enumerate(tasks)]
    if style == "bare":
        lines[0] = f" {tasks[0]}"
    assert split_at_next("\n".join(lines), first) == [" ".join(text.split()) for text in tasks]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (" Do this.\n10. Do that.", ["Do this.", "Do that."]),
        ("Here are new tasks:\n\n9. Do this.\n\n10. Do that.\n\nEnjoy!", ["Do this.", "Do that."]),
        ("Sure!\n1. Do this.\n2. Do that.", ["Do this.", "Do that."]),
        (" Order these:\n1. ham\n2. egg\n10. Do that.", ["Order these: 1. ham 2. egg", "Do that."]),
        ("9) Do this.\n10) Do that.", ["Do this.", "Do that."]),
        (" What was new in 2016.\n10. Add 3.5 to 4.", ["What was new in 2016.", "Add 3.5 to 4."]),
        (" Do this.\n11. Do that.\n12. Rest.", ["Do this.", "Do that.", "Rest."]),
        (
            " Say what came\n12. and what came after it.\n10. Do that.",
            ["Say what came 12. and what came after it.", "Do that."],
        ),
        (" Do this.\n10. Do that.\n13. and\n12. Rest.", ["Do this.", "Do that. 13. and", "Rest."]),
        (" Do this\nand that.", ["Do this and that."]),
        ("", [""]),
    ],
)
def test_lists_as_models_write_them(said, wanted):
    assert split_at_next(said, 9) == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Translate NASA's report to French.", None),
        ("Write a programmer's biography in verse.", None),
        ("Write a program to sort a list.", "blocked-word"),
        ("Let us GO TO the zoo today.", "blocked-word"),
        ("Explain what a subplot is for.", None),
        ("Plot the figures of last year.", "blocked-word"),
        ("¿Qué hora es en Madrid ahora?", None),
        ("把下面的句子翻译成英文。", None),
        ("«Quote» this line for me please.", "starts-with-punctuation"),
        ("Only three words", "too-short"),
    ],
)
def test_screening(text, reason):
    fault = Screen(4, 150, BLOCKED, OPENINGS).find_fault(text)
    assert (fault and fault[0]) == reason


def examples(text: str) -> list[Example]:
    return example_parser.parse_examples(text, NO_INPUT)


def test_screening_without_lists_blocks_no_word():
    assert Screen(1, 9, (), ()).find_fault("Draw a map.") is None


# reading examples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Example 1\nInput: a\nOutput: b\n\nExample 2\nInput: c\nOutput: d", [("a", "b"), ("c", "d")]),
        ("Example 1\nInput:\nl1\n\nl2\nOutput:\no1\n\no2\n", [("l1\n\nl2", "o1\n\no2")]),
        ("Example 1\nOutput: free text", [("", "free text")]),
        ("Output: free text", [("", "free text")]),
        ("Input: a\nOutput: b\nInput: c\nOutput: d", [("a", "b"), ("c", "d")]),
        ("**Example 1**\n**Input:** a\n**Output:** b", [("a", "b")]),
        ("### Example 1:\nInput 1: a\nOutput 1: b", [("a", "b")]),
        ("Sure:\n\nExample 1\nInput: <noinput>\nOutput: b", [("", "b")]),
        ("Example 1\nText: x\nOutput: see Example 3 and Output: too", [("Text: x", "see Example 3 and Output: too")]),
        ("Example 1\nInput: a", []),
        ("no form at all", []),
    ],
)
def test_examples_as_models_write_them(said, wanted):
    assert examples(said) == wanted


line = st.from_regex(r"\A[a-z0-9][a-z0-9 .,#]{0,15}[a-z0-9]\Z")
block = st.lists(line, min_size=1, max_size=3).map("\n".join)


@given(st.lists(st.tuples(st.one_of(st.just(""), block), block), min_size=1, max_size=5))
def test_written_examples_are_read_back(pairs):
    said = "\n\n".join(
        f"Example {i}\n" + (f"Input: {given}\n" if given else "") + f"Output: {output}"
        for i, (given, output) in enumerate(pairs, 1)
    )
    assert examples(said) == pairs


@pytest.mark.parametrize(
    ("pairs", "faults"),
    [
        ([("q", "x"), ("q", "y"), ("r", "z")], ["contradictory-examples"] * 3),
        ([("", "x"), ("", "y")], ["", ""]),
        ([("q", "x"), ("q", "x")], ["", "repeated-example"]),
        (
            [("q:", "x"), ("r", "y: "), ("s", "s"), ("t", " ")],
            ["unfinished-example"] * 2 + ["output-is-input", "empty-output"],
        ),
        ([("q", "x"), ("q", "q")], ["", "output-is-input"]),
    ],
)
def test_faulty_examples(pairs, faults):
    assert find_faults(pairs) == faults
