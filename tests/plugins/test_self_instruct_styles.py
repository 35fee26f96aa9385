"""The three styles of `self-instruct`: the options each settles, what its requests show, and its command."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from self_instruct_kit import SEED_FILE, records
from self_instruct_styles_kit import BLOCK, JOINT, ONE, SEEDS, Teacher, instructions, options, run

import filial_plugins.generators.self_instruct as package
from filial import UsageError
from filial.cli import invoke
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.generators.self_instruct.styles import NAMES, TABLE

# the table ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", NAMES)
def test_a_style_settles_every_option_that_is_not_given(style):
    chosen = asdict(SelfInstruct(style=style).chosen)
    assert {name: chosen[name] for name in TABLE} == {name: row[NAMES.index(style)] for name, row in TABLE.items()}


def fits(name: str, style: str, value: Any) -> bool:
    return not (name in ("joint", "classification") and (style == "alpaca" or value is True))


CASES = [
    (name, style, value)
    for name, row in TABLE.items()
    for i, style in enumerate(NAMES)
    for value in row
    if value is not None and value != row[i] and fits(name, style, value)
]


@pytest.mark.parametrize(("name", "style", "value"), CASES)
def test_each_option_can_be_set_beside_any_style_and_changes_nothing_else(name, style, value):
    changed = asdict(SelfInstruct(style=style, **{name: value}).chosen)
    assert changed.pop(name) == value
    assert changed == {key: was for key, was in asdict(SelfInstruct(style=style).chosen).items() if key != name}


def test_every_row_of_the_table_is_an_option_that_says_what_each_style_has():
    for name, row in TABLE.items():
        said = SelfInstruct.model_fields[name].description
        assert all(f"{style} " in said.partition("By style: ")[2] for style in NAMES), name
        assert SelfInstruct.model_fields[name].default is None
        if isinstance(row[0], int) and not isinstance(row[0], bool):
            assert f"filial {row[0]}" in said


def test_each_option_has_its_line_in_the_docs():
    text = (Path(package.__file__).parents[4] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert [name for name in TABLE if f"`{name}" not in text] == []


# requests for tasks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "opening", "ending"),
    [
        ("filial", "Below is a list of tasks", "\n9."),
        ("paper", "Come up with a series of tasks:\n1. ", "\n9."),
        ("alpaca", "Write a numbered list of 20 tasks", "\n###\n4. Instruction:"),
    ],
)
def test_what_a_request_shows(style, opening, ending):
    teacher = Teacher("")
    run(options(style), teacher)
    text = teacher.asked["tasks"][0].messages[-1].content
    assert text.startswith(opening)
    assert text.endswith(ending)


def test_an_own_prompt_takes_the_place_of_one_and_must_show_what_is_needed():
    teacher = Teacher(ONE)
    own = {"propose_prompt": "{{go on}}\n{examples}\n{next}.", "input_first_prompt": "Do it.\n\nTask: {instruction}\n"}
    run(options(**own), teacher)
    assert teacher.asked["tasks"][0].messages[-1].content.startswith("{go on}\n1. ")
    assert teacher.asked["examples"][0].messages[-1].content == "Do it.\n\nTask: Name one good tree.\n"
    for wrong, why in (
        ({"propose_prompt": "{examples}"}, r"propose_prompt does not contain \{next\}"),
        ({"classification_prompt": "{instruction} {x}"}, "classification_prompt cannot be filled in"),
        ({"output_first_prompt": "{instruction} {"}, "write a brace twice"),
        ({"joint": True, "classification": "ask"}, "goes with joint: false"),
        ({"style": "alpaca", "only_classification": True}, "goes with joint: false"),
    ):
        with pytest.raises(ValueError, match=why):
            SelfInstruct(**wrong)


def test_rounds_are_whole_where_the_program_has_it_so():
    for given_options, sent in (({}, 1), ({"full_rounds": True}, 16), ({"style": "paper"}, 5)):
        teacher = Teacher(" Name the oldest tree of the town.")
        assert len(records(run(SelfInstruct(count=1, **given_options), teacher))) == 1
        assert len(teacher.asked["tasks"]) == sent


def test_only_classification_shows_only_such_seeds_and_asks_for_such_tasks():
    for style in ("filial", "paper"):
        teacher = Teacher("")
        run(options(style, only_classification=True), teacher)
        text = teacher.asked["tasks"][0].messages[-1].content
        assert "classification tasks" in text
        assert re.findall(r"^\d\. (\w+)", text, re.MULTILINE) in (["Rate", "Judge"], ["Judge", "Rate"])
    untagged = [seed for seed in SEEDS if not seed.tags]
    (error,) = run(options(only_classification=True), Teacher(""), untagged)
    assert isinstance(error, UsageError)
    assert "no seed tagged classification" in str(error)


def test_a_year_in_a_task_does_not_end_the_reply():
    said = " Sum up what changed in 2016. Use two lines.\n10. Name one good tree."
    assert instructions(Teacher(said)) == ["Sum up what changed in 2016. Use two lines.", "Name one good tree."]
    assert instructions(Teacher(said), stop=("16.",)) == ["Sum up what changed in 20"]
    assert instructions(Teacher(said), "paper") == ["Sum up what changed in 20"]
    price = BLOCK.format(4, "Say what it costs.", "a ticket", "$20. No more.")
    assert [r.output for r in records(run(options("alpaca"), Teacher(price)))] == ["$"]
    assert [r.output for r in records(run(options(**JOINT), Teacher(price)))] == ["$20. No more."]


@pytest.mark.parametrize("more", [["--style", "paper"], ["--style", "alpaca"], ["--joint"], ["--instances", "3"]])
def test_the_command_makes_exactly_count_records_in_every_style(more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["generate", "self-instruct", SEED_FILE, "-o", "o.jsonl", "--count", "60", "--teacher", "procedural"]
    assert invoke([*words, "-T", "noise=0.2", *more]) == 0
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 60
