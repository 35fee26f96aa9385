"""The English of the closed world: what the teacher writes is read back as the very same task."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from filial_plugins.procedural import inputs, objects
from filial_plugins.procedural.evolution import STRATEGIES, evolve
from filial_plugins.procedural.grammar import expand, fill, find_slots
from filial_plugins.procedural.operations import InputError, list_names, operations
from filial_plugins.procedural.parser import parse, read_clauses, read_instruction
from filial_plugins.procedural.task import PARAMETER_VALUES, Task
from filial_plugins.procedural.wording import render
from filial_plugins.procedural.world import World, propose


def evolved_tasks(count: int, size: str, seed: int) -> list[Task]:
    """Tasks that went through up to three rounds of evolution."""
    rng, world = random.Random(seed), World(size, holdout=False)
    tasks = []
    while len(tasks) < count:
        task = propose(world, rng)
        for _ in range(rng.randrange(4)):
            found = evolve(task, rng.choice(tuple(STRATEGIES)), world, rng)
            task = found.task if found else task
        tasks.append(task)
    return tasks


@pytest.mark.parametrize("size", ["core", "full"])
def test_a_written_task_is_read_back_with_the_same_answer(size: str) -> None:
    rng = random.Random(7)
    for task in evolved_tasks(750, size, seed=len(size)):
        text = render(task, rng)
        again = parse(text)
        assert again == task, text
        data = "" if task.inline else inputs.draw_input(task, rng)
        assert data is not None, text
        assert inputs.compute_answer(again, data) == inputs.compute_answer(task, data)


def test_no_wording_can_be_taken_for_another_operation() -> None:
    rng = random.Random(0)
    for operation in operations().values():
        for asked in (False, True):
            for wording in operation.wordings(asked):
                values = {name: rng.choice(PARAMETER_VALUES.get(name, ("item",))) for name in find_slots(wording)}
                values |= {"o": "the result", "u": "item", "us": "items"}
                found = read_clauses(fill(wording, values))
                assert {clause.step.name for clause in found} == {operation.name}, wording


def test_tasks_of_each_operation_are_put_in_many_ways() -> None:
    rng, world = random.Random(3), World("core")
    texts = Counter(render(propose(world, rng), rng) for _ in range(1000))
    assert len(texts) > 900
    words = {word for text in texts for word in text.lower().split()}
    assert len(words) < 1200, "too many words for so small a model"


@pytest.mark.parametrize(
    ("instruction", "data", "answer"),
    [
        ("Reverse the fruits.", "apple kiwi plum", "plum kiwi apple"),
        ("Please remove the first animal.", "shark horse goose", "horse goose"),
        ("What is the largest number?", "3 29 14", "29"),
        ("Keep only the even numbers. Separate the items with dashes.", "3 4 8 9", "4 - 8"),
        ("How many saws are listed?", "| item | count |\n| gloves | 4 |\n| saws | 18 |", "18"),
        ("First name the last day and then write the day after it.", "Monday Friday", "Saturday"),
        ("Is there a tool?", "apple saw", "yes"),
        ("Is there a tool?", "apple goose", "no"),
        ("Count the items. You are given a JSON list.", '["red", "blue"]', "2"),
        ("Reverse the items. Return the answer as JSON.", "- red\n- blue", '["blue", "red"]'),
        ("Double the number. Use this: 12", "", "24"),
        ("Write the opposite of the adjective. Begin your answer with the label Result.", "hot", "Result: cold"),
        ("Tell me which city is the capital of this country.", "Peru", "Lima"),
    ],
)
def test_answers(instruction: str, data: str, answer: str) -> None:
    task = parse(instruction)
    assert task is not None
    assert inputs.compute_answer(task, data) == answer


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is love?",
        "Reverse.",
        "Reverse the list of presidents.",
        "Reverse the list and sing.",
        "Write the past tense of the country.",
        "Find the plural of it, then name its category.",
        "Keep only the even fruits.",
        "reverse the list " * 5000,
        "First " + "a, then " * 400 + ".",
    ],
)
def test_what_is_not_of_the_world_is_not_understood(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("instruction", "data"),
    [
        ("Double the number.", "apple"),
        ("Double the number.", "²"),
        ("What is the largest number?", "3 apple"),
        ("Keep only the fruits.", "red blue"),
        ("Keep only the fruits.", "Paris apple"),
        ("Name the fourth item.", "red blue"),
        ("Reverse the items.", ""),
        ("Reverse the items.", "[" * 100_000),
        ("Reverse the items.", '{"a": 1}'),
        ("How many saws are listed?", "| item | count |\n| saws | ² |"),
        ("How many saws are listed?", "no table"),
    ],
)
def test_an_input_that_does_not_fit_has_no_answer(instruction: str, data: str) -> None:
    task = parse(instruction)
    assert task is not None
    with pytest.raises(InputError):
        inputs.compute_answer(task, data)


def test_drawn_inputs_hold_three_to_six_items_and_known_numbers() -> None:
    rng = random.Random(1)
    for task in evolved_tasks(300, "core", seed=5):
        if task.inline or task.input_type in "TP" or task.input_type.islower():
            continue
        value = inputs.read_value(inputs.draw_input(task, rng) or "", task)
        assert 3 <= len(value) <= 6
        assert all(1 <= item <= 30 for item in value if isinstance(item, int))


def test_yes_and_no_come_up_about_equally_often() -> None:
    rng = random.Random(2)
    task = parse("Is there an animal?")
    assert task is not None
    answers = Counter(inputs.compute_answer(task, inputs.draw_input(task, rng) or "") for _ in range(400))
    assert 140 < answers["yes"] < 260


def test_units_agree_in_number() -> None:
    assert [objects.pluralize_unit(unit) for unit in ("day", "country", "entry", "item")] == [
        "days",
        "countries",
        "entries",
        "items",
    ]


def test_a_pattern_expands_to_all_its_texts() -> None:
    assert expand("[a|b] c[| d]") == ["a c", "a c d", "b c", "b c d"]


def test_the_two_worlds_have_the_operations_they_promise() -> None:
    core, full = list_names("core"), list_names("full")
    assert len(core) == 28
    assert len(full) == 42
    assert set(core) < set(full)


def test_a_question_is_known_as_one() -> None:
    asked, ordered = read_instruction("Which number is the largest?"), read_instruction("Find the largest number.")
    assert asked is not None
    assert ordered is not None
    assert asked.asked
    assert not ordered.asked
    assert asked.task == ordered.task
