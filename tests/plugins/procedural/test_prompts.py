"""The prompts that filial's own plugins write are recognised for what they ask."""

from __future__ import annotations

import importlib
import random

import pytest
from cpu_kit import bounded

from filial import PromptStrategy, Record
from filial_plugins.filters.evolved.equality import fill_prompt
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.generators.self_instruct.blocks import format_blocks
from filial_plugins.procedural import prompts
from filial_plugins.procedural.teacher import Oracle


def strategy(name: str) -> PromptStrategy:
    """The built-in strategy of this name."""
    module = importlib.import_module(f"filial_plugins.strategies.{name.replace('-', '_')}")
    found = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, PromptStrategy)]
    return next(kind for kind in found if kind is not PromptStrategy)()


@pytest.mark.parametrize("name", prompts.STRATEGY_CUES)
def test_strategies(name: str) -> None:
    record = Record(instruction="Reverse the list.", input="- red\n- blue")
    asked = prompts.recognise(strategy(name).prompt(record))
    assert asked == prompts.Evolve(
        name, "Reverse the list.\n\nInput:\n- red\n- blue", "Reverse the list.", "- red\n- blue"
    )


def test_strategies_without_input() -> None:
    asked = prompts.recognise(strategy("deepen").prompt(Record(instruction="Double the number. Use this: 4")))
    assert isinstance(asked, prompts.Evolve)
    assert (asked.instruction, asked.input) == ("Double the number. Use this: 4", "")


LISTED = "1. Reverse the list.\n2. Count the 3. items."
TOLD = ("Reverse the list.", "Count the 3. items.")


@pytest.mark.parametrize(
    ("style", "only", "count"), [("filial", False, 5), ("filial", True, 5), ("paper", False, 7), ("paper", True, 7)]
)
def test_self_instruct(style: str, only: bool, count: int) -> None:
    wording = SelfInstruct(style=style, only_classification=only).prompt_texts.propose
    text = wording.format(n=5, total=7, examples=LISTED, next=3)
    assert prompts.recognise(text) == prompts.Propose(TOLD, 3, count, completion=style == "paper")


def test_self_instruct_of_tasks_with_examples() -> None:
    tasks = [Record(instruction="Reverse the list.", input="a b", output="b a"), Record(instruction="Name a fruit.")]
    text = SelfInstruct(style="alpaca").prompt_texts.propose.format(n=5, total=7, examples=format_blocks(tasks), next=3)
    assert prompts.recognise(text) == prompts.Propose(("Reverse the list.", "Name a fruit."), 3, 5, blocks=True)


@pytest.mark.parametrize("label_first", [False, True])
def test_examples(label_first: bool) -> None:
    wordings = SelfInstruct().prompt_texts
    text = wordings.output_first if label_first else wordings.input_first
    asked = prompts.recognise(text.format(n=4, instruction="Reverse the list. The input is a bullet list."))
    assert asked == prompts.WriteExamples("Reverse the list. The input is a bullet list.", 4, label_first)


@pytest.mark.parametrize("label_first", [False, True])
def test_examples_after_those_of_other_tasks(label_first: bool) -> None:
    wordings = SelfInstruct(style="paper").prompt_texts
    text = wordings.output_first if label_first else wordings.input_first
    asked = prompts.recognise(text.format(n=4, instruction="Reverse the list."))
    assert asked == prompts.WriteExamples("Reverse the list.", 5, label_first, few_shot=True)


@pytest.mark.parametrize("style", ["filial", "paper"])
def test_the_question_about_classification(style: str) -> None:
    text = SelfInstruct(style=style).prompt_texts.classification.format(instruction="Reverse the list.")
    assert prompts.recognise(text) == prompts.Classify("Reverse the list.")


def test_equality() -> None:
    text = fill_prompt("Reverse the list.\n\nred blue", "Count the items.")
    assert prompts.recognise(text) == prompts.Compare("Reverse the list.\n\nred blue", "Count the items.")


@pytest.mark.parametrize("data", ["red blue", "- red\n- blue", "| item | count |\n| saw | 3 |", "1. red\n2. blue"])
@pytest.mark.parametrize("form", ["{}\n\n{}", "{}\n\nInput:\n{}", "{}\nInput: {}"])
def test_a_task_with_input(form: str, data: str) -> None:
    text = form.format("Reverse the list.", data)
    assert prompts.recognise(text) == prompts.Answer("Reverse the list.", data)


def test_a_task_that_only_looks_like_another_request_is_a_task() -> None:
    assert prompts.recognise("Write two examples of birds.") == prompts.Answer("Write two examples of birds.", "")
    assert isinstance(prompts.recognise("#Given Prompt#: is an odd phrase"), prompts.Answer)


PIECES = (
    *("#Given Prompt#:", "#Rewritten Prompt#:", "#First Prompt#:", "#Second Prompt#:", "[Question]", "[End]"),
    *("[Assistant's Answer]", "Task:", "Input:", "Write 3 examples", "2 new tasks", "1. a", "2.", "### Input:"),
    *("### Response:", "\n", "\n\n", "Reverse the list.", "red blue", "| item | count |", "- x", "[1", "²", "\ud800"),
    *("Is it classification?", "Class label:", "Output:", "###", "3. Instruction:", "a series of tasks", "20 tasks"),
)


def test_any_text_has_a_reply_and_a_long_one_soon() -> None:
    rng = random.Random(6)
    oracle = Oracle(noise=0.5)
    for _ in range(400):
        text = rng.choice(("", " ", "\n")).join(rng.choices(PIECES, k=rng.randrange(1, 14)))
        assert isinstance(oracle.respond(text, rng), str)
    with bounded():
        for piece in PIECES:
            oracle.respond(f"{piece}\n" * 40_000, rng)
            oracle.respond(f"{piece}\n" * 1_000, rng)
