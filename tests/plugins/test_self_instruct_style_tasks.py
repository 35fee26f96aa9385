"""How each style of `self-instruct` reads tasks in a reply, and which it takes: each mend by its option, on a case of
our own."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from self_instruct_kit import reasons, records
from self_instruct_styles_kit import JOINT, Teacher, in_blocks, instructions, options, run

from filial import Drop
from filial_plugins.generators.self_instruct import blocks
from filial_plugins.generators.self_instruct.styles import BLOCKED

# reading tasks ------------------------------------------------------------------------------------------------------


def test_letter_case():
    said = " Translate NASA's memo for Ms. Öz.\n10. name one tree near Rome"
    kept = ["Translate NASA's memo for Ms. Öz.", "name one tree near Rome"]
    lowered = ["Translate nasa's memo for ms. öz.", "Name one tree near rome"]
    assert instructions(Teacher(said)) == kept
    assert instructions(Teacher(said), letter_case="capitalize") == lowered
    assert instructions(Teacher(said), "paper") == lowered
    assert instructions(Teacher(said), "paper", letter_case="keep") == kept


def test_a_numbered_list_inside_a_task():
    said = " Put these steps in order:\n1. peel the old potatoes\n2. boil some salted water\n10. Name one good tree."
    whole = ["Put these steps in order: 1. peel the old potatoes 2. boil some salted water", "Name one good tree."]
    cut = ["Put these steps in order:", "Peel the old potatoes", "Boil some salted water", "Name one good tree."]
    assert instructions(Teacher(said)) == whole
    assert [text.capitalize() for text in instructions(Teacher(said), cut_at="any")] == cut
    assert instructions(Teacher(said), "paper") == cut


def test_a_reply_that_says_the_number_again():
    said = "9. Name one good tree.\n10. Praise an old bridge warmly."
    assert instructions(Teacher(said)) == ["Name one good tree.", "Praise an old bridge warmly."]
    assert instructions(Teacher(said), "paper") == ["9. name one good tree.", "Praise an old bridge warmly."]


def test_hash_signs_inside_an_answer():
    heading = "### Result\nIt was ### good."
    said = in_blocks(("Write a short report on it.", "facts", heading), ("Name one good tree.", "<noinput>", "oak"))
    mended = records(run(options(**JOINT), Teacher(said)))
    assert [(r.instruction, r.input, r.output) for r in mended] == [
        ("Write a short report on it.", "facts", heading),
        ("Name one good tree.", "", "oak"),
    ]
    for generator, kept in (
        (options("alpaca"), [("Write a short report on it.", "")]),
        (options(**JOINT, cut_at="any"), []),
    ):
        items = run(generator, Teacher(said))
        assert [(r.instruction, r.output) for r in records(items)] == kept
        (first, *_) = [d for d in items if isinstance(d, Drop) and d.reason == "unreadable-task"]
        assert first.answer == said  # the rest of it and the next one, in one drop with the reply


@pytest.mark.parametrize(
    ("output", "kept"),
    [("so\n##", "so\n##"), ("so\n#", "so\n#"), ("C###", "C###"), ("oak\n###", "oak"), ("oak\n#### \n", "oak")],
)
def test_an_answer_that_ends_in_hash_signs(output, kept):
    """Three or more on a line of their own separate tasks; fewer, or behind a word, belong to the answer."""
    said = in_blocks(("Name one good tree.", "<noinput>", output))
    assert [r.output for r in records(run(options(**JOINT), Teacher(said)))] == [kept]


def test_blocks_as_chat_models_write_them():
    said = (
        "Sure, here they are:\n\n### 1. Instruction: Name one good tree.\n1. Input: <noinput>\n1. Output: oak\n\n"
        "**3. Instruction:** Put it in capitals now.\n**3. Input:** 3. Input: x\n**3. Output:**\n3. INPUT: X\n"
        "3. Output: again\n###\n4. Instruction: Has no answer at all"
    )
    items = run(options(**JOINT), Teacher(said))
    assert [(r.instruction, r.input, r.output) for r in records(items)] == [
        ("Name one good tree.", "", "oak"),
        ("Put it in capitals now.", "3. Input: x", "3. INPUT: X\n3. Output: again"),
    ]
    assert reasons(items)["unreadable-task"] == 1


text_line = st.from_regex(r"\A[a-z#][a-z0-9 .,#]{0,15}[a-z0-9]\Z")
text_block = st.lists(text_line, min_size=1, max_size=3).map("\n".join)


@given(st.lists(st.tuples(text_line, text_block, text_block), min_size=1, max_size=5))
def test_written_blocks_are_read_back(tasks):
    found = blocks.split_at_next(in_blocks(*tasks), 4, cut_off=False, no_input=())
    assert [(b.instruction, b.input, b.output) for b in found] == tasks


def test_a_reply_cut_at_the_token_limit():
    said = " Name one good tree.\n10. Praise an old bridge warmly.\n11. Tell me how the"
    for given_options, kept in (
        ({}, ["Name one good tree.", "Praise an old bridge warmly."]),
        ({"cut_reply": "drop"}, []),
        ({"style": "paper"}, []),
        ({"style": "paper", "cut_reply": "drop-last"}, ["Name one good tree.", "Praise an old bridge warmly."]),
    ):
        items = run(options(**given_options), Teacher(said, finish="length"))
        assert [r.instruction for r in records(items)] == kept
        assert reasons(items)["cut-off"] >= 1
    said = in_blocks(("Name one good tree.", "<noinput>", "oak"), ("Say how to get there.", "a map of", "Turn le"))
    for generator in (options("alpaca"), options(**JOINT)):
        assert [r.output for r in records(run(generator, Teacher(said, finish="length")))] == ["oak"]


def test_a_refusal():
    said = "I cannot help with that request, sorry."
    assert reasons(run(options(), Teacher(said)))["refused"] == 1
    assert instructions(Teacher(said), "paper") == [said.capitalize()]
    assert instructions(Teacher(said), refusals="read") == [said]


def test_faulty_examples_of_joint_tasks():
    said = in_blocks(("Say it once more.", "word", "word"), ("Name one good tree.", "<noinput>", ""))
    assert reasons(run(options(**JOINT), Teacher(said))) >= Counter({"output-is-input": 1, "empty-output": 1})
    kept = records(run(options("alpaca"), Teacher(said)))
    assert [(r.input, r.output) for r in kept] == [("word", "word"), ("", "")]
    assert records(run(options("alpaca", check_examples=True), Teacher(said))) == []


# which tasks are taken ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "option", "value"),
    [
        ("Write a programmer's diary entry.", "match_openings", "prefix"),
        ("Événement: say what it was.", "first_character", "ascii"),
        ("¿Qué hora es en Madrid ahora?", "first_character", "ascii"),
    ],
)
def test_tasks_that_the_programs_lose(task, option, value):
    assert instructions(Teacher(f" {task}")) == [task]
    given_options = {option: value}
    if option == "match_openings":
        given_options["blocked_openings"] = ("Write a program",)
    assert instructions(Teacher(f" {task}"), **given_options) == []
    assert instructions(Teacher(f" {task}"), "paper") == []


def test_words_of_scripts_without_blanks():
    task = "把下面的句子翻译成英文。"
    assert instructions(Teacher(f" {task}")) == [task]
    items = run(options(count_words="by-blanks"), Teacher(f" {task}"))
    assert reasons(items)["too-short"] == 1
    assert reasons(run(options("paper"), Teacher(f" {task}")))["too-short"] == 1


def test_copies_in_other_scripts():
    said = " 写 一首 关于 春天 的诗\n10. 写 一首 关于 春天 的诗"
    assert len(instructions(Teacher(said))) == 1
    assert len(instructions(Teacher(said), scripts="latin")) == 2
    assert len(instructions(Teacher(said), "paper", first_character="any")) == 2


def test_blocked_words_of_each_style():
    task = "Describe the music you like."
    assert instructions(Teacher(f" {task}")) == instructions(Teacher(f" {task}"), "paper") == [task]
    assert instructions(Teacher(f" {task}"), blocked=(*BLOCKED, "music")) == []
    assert reasons(run(options("alpaca"), Teacher(in_blocks((task, "<noinput>", "jazz")))))["blocked-word"] == 1
