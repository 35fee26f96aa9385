"""The eight strategies of Evol-Instruct: what the teacher is shown, and what becomes of its reply."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

import pytest

from filial import Drop, Message, PromptStrategy, Record, Reply
from filial.testing import StrategyContract, context, run_async
from filial_plugins.strategies.add_constraints import AddConstraints
from filial_plugins.strategies.complicate_input import IN_WORDS, ComplicateInput, Form
from filial_plugins.strategies.concretize import Concretize
from filial_plugins.strategies.deepen import Deepen
from filial_plugins.strategies.extend_topic import ExtendTopic
from filial_plugins.strategies.increase_reasoning import IncreaseReasoning
from filial_plugins.strategies.mutate import Mutate
from filial_plugins.strategies.prompt import Prompt
from filial_plugins.strategies.vary_method import VaryMethod

IN_DEPTH = {
    AddConstraints: "add one more constraint",
    Deepen: "increase the depth and breadth of the inquiry",
    Concretize: "replace general concepts with more specific",
    IncreaseReasoning: "explicitly ask for multiple-step reasoning",
    ComplicateInput: "put structured input data",
}
IN_BREADTH = {
    Mutate: "a rarer task of the same domain",
    ExtendTopic: "move to a related topic",
    VaryMethod: "reach the same goal by another method",
}
CUES = IN_DEPTH | IN_BREADTH
EACH = pytest.mark.parametrize("strategy", CUES, ids=lambda cls: cls.__name__)

PLAIN = Record(id="p1", instruction="Name three rivers.", output="Rhine, Nile, Ob", task="lists")
GIVEN = PLAIN.replaced(instruction="Sort these words.", input="pear, fig")


class TestAddConstraints(StrategyContract):
    component = AddConstraints()


class TestDeepen(StrategyContract):
    component = Deepen()


class TestConcretize(StrategyContract):
    component = Concretize()


class TestIncreaseReasoning(StrategyContract):
    component = IncreaseReasoning()


class TestComplicateInput(StrategyContract):
    component = ComplicateInput()


class TestMutate(StrategyContract):
    component = Mutate()


class TestExtendTopic(StrategyContract):
    component = ExtendTopic()


class TestVaryMethod(StrategyContract):
    component = VaryMethod()


class TestPrompt(StrategyContract):
    component = Prompt(text="Retell: {prompt}")


def evolve(strategy: PromptStrategy, record: Record, reply: str | Reply) -> Record | Drop:
    return run_async(strategy.evolve(record, context(lambda request: reply)))


@EACH
def test_a_strategy_says_its_own_sentence_and_no_other(strategy):
    said = strategy().prompt(GIVEN)
    assert [cls for cls, cue in CUES.items() if cue in said] == [strategy]


@EACH
def test_the_prompt_shows_the_task_and_ends_where_the_new_one_begins(strategy):
    end = "#Rewritten Prompt#:" if strategy in IN_DEPTH else "#Created Prompt#:"
    assert strategy().prompt(PLAIN).endswith(f"\n\n#Given Prompt#:\nName three rivers.\n\n{end}")
    shown = "#Given Prompt#:\nSort these words.\n\nInput:\npear, fig\n\n"
    assert strategy().prompt(GIVEN).endswith(shown + end)
    assert strategy.family == ("in-depth" if strategy in IN_DEPTH else "in-breadth")


@EACH
def test_the_limit_of_words_is_an_option(strategy):
    assert "at most 20 words" in strategy().prompt(PLAIN).lower().replace("\n", " ")
    assert "at most 7 words" in strategy(max_words=7).prompt(PLAIN).lower().replace("\n", " ")


def test_braces_in_a_task_are_only_text():
    record = PLAIN.replaced(instruction="Fill {name} and {0} into {{this}}.")
    assert record.instruction in Deepen().prompt(record)


@pytest.mark.parametrize(
    ("reply", "instruction", "given"),
    [
        (" Name three long rivers.\n", "Name three long rivers.", ""),
        ("Add them.\n\nInput:\n1, 2", "Add them.", "1, 2"),
        ("Add them.\n\nInput: 1, 2", "Add them.", "1, 2"),
        ("Add them.\nInput:\n1, 2", "Add them.", "1, 2"),
        ("Mend it.\n\nInput:\n  if x:\n    y\n\nInput:\nz", "Mend it.", "  if x:\n    y\n\nInput:\nz"),
        ("Say what Input: means in a form.", "Say what Input: means in a form.", ""),
        ("#Rewritten Prompt#: Name it.", "#Rewritten Prompt#: Name it.", ""),  # the filter `evolved` throws it out
    ],
)
def test_a_reply_is_an_instruction_and_maybe_an_input(reply, instruction, given):
    child = evolve(Deepen(), GIVEN, reply)
    assert isinstance(child, Record)
    assert (child.instruction, child.input, child.output, child.task) == (instruction, given, "", "lists")


def test_a_child_knows_its_parent_and_the_reply_it_comes_from():
    child = evolve(Mutate(), PLAIN.replaced(origin=PLAIN.evolved().origin), Reply(text="Name a lake.", key="k1"))
    assert isinstance(child, Record)
    assert (child.origin.parents, child.origin.round, child.origin.answers) == (("p1",), 2, ("k1",))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty-reply"),
        ("\n\nInput:\n1, 2", "empty-reply"),
        ("Sorry, I cannot rewrite this prompt.", "refused"),
        ("I’m sorry, but I can’t help with that.", "refused"),
        ("I cannot assist with this request.", "refused"),
    ],
)
def test_no_child_without_a_prompt(reply, reason):
    drop = evolve(Deepen(), PLAIN, reply)
    assert isinstance(drop, Drop)
    assert (drop.reason, drop.answer) == (reason, reply)


def test_a_conversation_is_not_evolved_and_costs_nothing():
    talk = Record(messages=(Message(role="user", content="Hi"),))
    ctx = context("Hello there.")
    drop = run_async(Deepen().evolve(talk, ctx))
    assert (drop.reason, ctx.replies) == ("conversation", [])


@pytest.mark.parametrize(
    "reply", ["\n" * 100_000, "Input:" * 20_000, "\ud800", "x" * 1_000_000, "\n \n Input:\n" * 9999]
)
def test_hostile_replies_never_raise(reply):
    assert isinstance(evolve(ComplicateInput(), GIVEN, reply), Record | Drop)


@EACH
def test_every_prompt_is_a_text_beside_its_strategy(strategy):
    text = Path(inspect.getfile(strategy)).with_suffix(".txt").read_text(encoding="utf-8")
    assert text == strategy.wording + "\n"
    assert text.count("{prompt}") == 1


@EACH
def test_a_recipe_may_give_another_text(strategy):
    assert strategy(text="Mine: {instruction}").prompt(PLAIN) == "Mine: Name three rivers."


def test_the_form_of_the_input_is_drawn_from_those_allowed():
    said = set()
    for key in range(40):

        def model(request):
            said.add(request.messages[0].content.partition("namely ")[2].partition(", and let")[0])
            return "Name it.\n\nInput:\n1,2"

        run_async(ComplicateInput(forms=("csv", "log")).evolve(PLAIN, context(model, key=("form", key))))
    assert said == {IN_WORDS["csv"], IN_WORDS["log"]}
    with pytest.raises(ValueError, match="forms"):
        ComplicateInput(forms=("hologram",))
    assert set(get_args(Form)) == set(IN_WORDS)


def test_a_byte_order_mark_is_no_part_of_a_strategys_text(tmp_path):
    (tmp_path / "p.txt").write_bytes("\ufeffRewrite: {prompt}".encode())
    strategy = Prompt(file=str(tmp_path / "p.txt"))
    assert strategy.prompt(PLAIN) == f"Rewrite: {PLAIN.instruction}"
