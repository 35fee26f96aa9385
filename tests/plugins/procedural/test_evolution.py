"""The eight strategies on tasks: each changes the task, or how it is asked, and what comes out can be answered."""

from __future__ import annotations

import random

import pytest

from filial_plugins.procedural import inputs
from filial_plugins.procedural.evolution import STRATEGIES, EvolvedTask, evolve
from filial_plugins.procedural.lexicon import TOPICS
from filial_plugins.procedural.operations import InputError
from filial_plugins.procedural.parser import parse, read_instruction
from filial_plugins.procedural.task import Task, is_sound
from filial_plugins.procedural.wording import render
from filial_plugins.procedural.world import World, propose


def evolved(strategy: str, count: int = 40, size: str = "core") -> list[tuple[Task, EvolvedTask]]:
    rng, world = random.Random(strategy), World(size)
    pairs: list[tuple[Task, EvolvedTask]] = []
    while len(pairs) < count:
        task = propose(world, rng)
        found = evolve(task, strategy, world, rng)
        if found:
            pairs.append((task, found))
    return pairs


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_a_strategy_makes_can_be_put_read_and_answered(strategy: str) -> None:
    rng = random.Random(1)
    for before, after in evolved(strategy):
        assert is_sound(after.task)
        text = render(after.task, rng, asked=after.asked)
        reading = read_instruction(text)
        assert reading is not None
        assert reading.task == after.task
        assert after.task.inline or inputs.draw_input(after.task, rng) is not None
        if after.asked is None:
            assert after.task != before
        else:
            assert reading.asked == after.asked


def test_add_constraints_adds_one() -> None:
    for before, after in evolved("add-constraints"):
        assert after.task.steps == before.steps
        assert len(after.task.constraints) == len(before.constraints) + 1


def test_deepen_composes_one_more_operation() -> None:
    for before, after in evolved("deepen"):
        assert len(after.task.steps) == len(before.steps) + 1
        assert set(before.steps) < set(after.task.steps)


def test_increase_reasoning_asks_for_steps_one_by_one() -> None:
    for before, after in evolved("increase-reasoning"):
        assert len(after.task.steps) in (len(before.steps) + 1, len(before.steps) + 2)
        assert after.explicit


@pytest.mark.parametrize("strategy", ["deepen", "increase-reasoning"])
def test_every_step_of_a_chain_matters(strategy: str) -> None:
    rng = random.Random(4)
    for _, after in evolved(strategy, 30):
        task = after.task
        data = [inputs.draw_value(task, rng) for _ in range(60)]
        for i in range(len(task.steps)):
            shorter = task.with_(steps=task.steps[:i] + task.steps[i + 1 :])
            if is_sound(shorter) and shorter.input_type == task.input_type:
                assert any(result(task, value) != result(shorter, value) for value in data), task


def result(task: Task, value: object) -> str | None:
    try:
        return inputs.answer_value(task, value)
    except InputError:
        return None


def test_concretize_gives_the_data_or_says_what_they_are() -> None:
    for before, after in evolved("concretize"):
        assert after.task.inline or after.task.topic != before.topic


def test_complicate_input_changes_the_shape_of_the_data() -> None:
    shapes = {after.task.shape for _, after in evolved("complicate-input")}
    assert shapes == {"json", "bullets", "table"}


def test_mutate_stays_with_the_kind_of_data_and_does_something_else() -> None:
    for before, after in evolved("mutate"):
        assert not set(before.names) & {after.task.names[0]}
        if before.topic:
            assert TOPICS[before.topic].letter == TOPICS[after.task.topic].letter


def test_mutations_do_not_drift_among_a_few_tasks() -> None:
    rng, world = random.Random(9), World()
    task = parse("Which day comes after this day?")
    assert task is not None
    found = {evolve(task, "mutate", world, rng) for _ in range(60)}
    assert len({after.task.names for after in found if after}) >= 6


def test_extend_topic_moves_to_another_topic() -> None:
    for before, after in evolved("extend-topic"):
        assert after.task.topic != before.topic


def test_vary_method_reaches_the_same_goal() -> None:
    rng, other_steps = random.Random(2), 0
    for before, after in evolved("vary-method", 80):
        data = inputs.draw_input(before, rng) or ""
        assert inputs.compute_answer(after.task, data) == inputs.compute_answer(before, data)
        other_steps += after.task.steps != before.steps
    assert other_steps > 3


def test_inline_data_stay_as_they_are_when_a_task_evolves_on() -> None:
    rng, world = random.Random(5), World()
    task = parse("Reverse the fruits. Use this list: apple kiwi plum")
    assert task is not None
    for strategy in ("add-constraints", "deepen", "increase-reasoning"):
        for _ in range(20):
            found = evolve(task, strategy, world, rng)
            if found:
                assert found.task.inline == "apple kiwi plum"
                assert inputs.compute_answer(found.task, "")
    assert evolve(task, "complicate-input", world, rng) is None
