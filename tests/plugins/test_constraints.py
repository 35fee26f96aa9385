"""Checkable constraints from the strategy through the filter to the record file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from filial import Constraint, Drop, Keep, Message, Record
from filial.testing import FilterContract, StrategyContract, context, run_async
from filial_plugins.constraints.catalogue import CONSTRAINT_TYPES
from filial_plugins.filters.constraints import Constraints
from filial_plugins.strategies.add_constraints import AddConstraints

TASK = Record(id="r1", instruction="Say what a river is.", input="in Asia", output="Water.", task="geo")
NO_COMMAS = Constraint(type="no-commas", args={}, text="Use no commas.")
FEW_WORDS = Constraint(type="word-count", args={"at_most": 3}, text="Answer in at most 3 words.")
BOTH = Record(
    id="r2",
    instruction=f"Name rivers. {NO_COMMAS.text} {FEW_WORDS.text}",
    output="Ob Nile",
    constraints=(NO_COMMAS, FEW_WORDS),
)


class TestCheckable(StrategyContract):
    component = AddConstraints(checkable=True)


class TestConstraints(FilterContract):
    component = Constraints()
    records = (TASK, BOTH, BOTH.replaced(output="a, b"), BOTH.replaced(output="one two three four"))


def evolve(record, key=0, **options):
    ctx = context(lambda request: pytest.fail("a teacher was asked"), key=("test", key))
    return run_async(AddConstraints(checkable=True, **options).evolve(record, ctx))


def check(record, **options):
    return Constraints(**options).check(record, context(""))


def test_a_constraint_is_added_without_asking_anybody():
    child = evolve(TASK)
    (new,) = child.constraints
    assert child.instruction == f"Say what a river is. {new.text}"
    assert (child.input, child.output, child.task) == ("in Asia", "", "geo")
    assert child.origin.parents == ("r1",)
    assert new.type in CONSTRAINT_TYPES
    assert AddConstraints(checkable=True).calls(100) == 0
    assert AddConstraints().calls(100) == 100


def test_those_already_there_stay_and_the_new_one_is_last():
    child = evolve(BOTH)
    assert child.constraints[:2] == BOTH.constraints
    assert len(child.constraints) == 3
    assert child.instruction == f"{BOTH.instruction} {child.constraints[2].text}"


def test_a_chain_ends_where_nothing_is_left_or_enough_are_there():
    assert evolve(BOTH, per_record=2).reason == "no-constraint-left"
    assert evolve(BOTH, types=("no-commas", "word-count", "sentence-count")).reason == "no-constraint-left"


def test_only_the_types_of_the_recipe_are_drawn():
    types = ("no-digits", "title")
    assert {evolve(TASK, key, types=types).constraints[0].type for key in range(20)} == set(types)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"checkable": True, "types": ["bulet-count"]}, "did you mean bullet-count?"),
        ({"types": ["title"]}, "has an effect only with checkable: true"),
        ({"checkable": True, "text": "Harder: {prompt}"}, "remove one of them"),
    ],
)
def test_options_that_contradict_themselves_are_refused(options, said):
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        AddConstraints(**options)


def test_without_checkable_it_is_the_published_strategy():
    ctx = context("Say what a river is, in one sentence.")
    child = run_async(AddConstraints().evolve(TASK, ctx))
    assert child.instruction == "Say what a river is, in one sentence."
    assert child.constraints == ()


def test_a_record_without_constraints_passes_unscored():
    assert check(TASK) == Keep()
    assert check(TASK.replaced(output="")) == Keep()


def test_an_answer_that_holds_is_kept_with_its_scores():
    assert check(BOTH) == Keep(
        scores={
            "constraints_strict": 1.0, "constraints_strict_share": 1.0,
            "constraints_loose": 1.0, "constraints_loose_share": 1.0,
        }
    )  # fmt: skip


def test_a_drop_names_what_is_broken_and_has_the_scores_too():
    drop = check(BOTH.replaced(output="one two three four"))
    assert isinstance(drop, Drop)
    assert (drop.reason, drop.detail) == ("constraint-broken", "word-count: at most 3 words wanted, 4 found")
    assert drop.scores["constraints_strict"] == 0.0
    assert drop.scores["constraints_strict_share"] == 0.5
    both = check(BOTH.replaced(output="one, two, three, four"))
    assert both.detail == "no-commas: no commas wanted, 3 found; word-count: at most 3 words wanted, 4 found"


def test_loose_forgives_a_first_line_and_says_so_in_the_scores():
    chatty = BOTH.replaced(output="Sure, here are two:\nOb Nile")
    strict, loose = check(chatty), check(chatty, accept="loose")
    assert isinstance(strict, Drop)
    assert isinstance(loose, Keep)
    assert strict.scores == loose.scores
    assert (strict.scores["constraints_strict"], strict.scores["constraints_loose"]) == (0.0, 1.0)


def test_the_last_answer_of_a_conversation_counts():
    turns = (Message(role="user", content="Hi"), Message(role="assistant", content="a, b"))
    talk = Record(id="c", messages=turns, constraints=(NO_COMMAS,))
    assert check(talk).reason == "constraint-broken"


@pytest.mark.parametrize(
    ("constraint", "said"),
    [
        (Constraint(type="rhyme", args={}, text="Rhyme."), "no type of constraint 'rhyme'"),
        (Constraint(type="table", args={"columns": "two"}, text="A table."), "it takes columns: integer"),
    ],
)
def test_what_cannot_be_checked_is_not_waved_through(constraint, said):
    drop = check(BOTH.replaced(constraints=(NO_COMMAS, constraint)))
    assert drop.reason == "constraint-unknown"
    assert said in drop.detail


def test_an_unanswered_record_is_a_drop_of_its_own():
    drop = check(BOTH.replaced(output=" \n"))
    assert drop.reason == "no-answer"
    assert set(drop.scores.values()) == {0.0}


RECIPE = """
seed: 3
teacher: {use: procedural, noise: 0.3}
data: "pkg:filial_plugins/procedural/seeds.jsonl"
stages:
  - evolve: {strategies: [{use: add-constraints, checkable: true}], rounds: 2, keep: last, eliminate: []}
  - filter: [constraints]
"""


def test_a_recipe_evolves_checks_and_writes_types_and_arguments(cli):
    (cli.folder / "r.yaml").write_text(RECIPE)
    assert cli("run", "r.yaml", toy=False) == 0, cli.err
    folder = cli.folder / "runs/r"
    kept = [json.loads(line) for line in (folder / "stages/02-filter/records.jsonl").read_text().splitlines()]
    dropped = [json.loads(line) for line in (folder / "stages/02-filter/drops.jsonl").read_text().splitlines()]
    assert len(kept) > 10
    assert len(dropped) > 3
    for row in kept:
        assert len(row["constraints"]) == 2
        assert all(one["type"] in CONSTRAINT_TYPES and one["text"] in row["instruction"] for one in row["constraints"])
        assert row["scores"]["constraints_strict"] == 1.0
    assert {row["reason"] for row in dropped} == {"constraint-broken"}
    assert {row["record"]["scores"]["constraints_strict"] for row in dropped} == {0.0}
    stage = json.loads((folder / "summary.json").read_text())["stages"][1]
    mean = stage["scores"]["constraints_strict"]
    assert mean["n"] == len(kept) + len(dropped)
    assert mean["mean"] == pytest.approx(len(kept) / mean["n"])


PAGE = (Path(__file__).parents[2] / "docs" / "constraints.md").read_text(encoding="utf-8")


def test_the_recipe_of_the_page_runs(cli):
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.S | re.M)
    head = 'teacher: {use: procedural}\ndata: "pkg:filial_plugins/procedural/seeds.jsonl"\n'
    (cli.folder / "r.yaml").write_text(head + block)
    assert cli("run", "r.yaml", toy=False) == 0, cli.err
    assert "constraints_strict" in cli.out + cli.err


def test_the_record_of_the_page_is_one_that_passes(cli):
    (block,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.S | re.M)
    (cli.folder / "in.jsonl").write_text(block)
    assert cli("filter", "constraints", "in.jsonl", "-o", "out.jsonl", toy=False) == 0, cli.err
    (row,) = [json.loads(line) for line in (cli.folder / "out.jsonl").read_text().splitlines()]
    assert row["scores"]["constraints_strict"] == 1.0


def test_types_can_be_chosen_on_the_command_line(cli):
    cli.write("in.jsonl", {"instruction": "Put the items in reverse order.", "input": "shirt boat green"})
    flags = ["--checkable", "--types", "title", "--types", "no-commas", "--rounds", "2", "--teacher", "procedural"]
    assert cli("evolve", "add-constraints", "in.jsonl", "-o", "out.jsonl", *flags, toy=False) == 0, cli.err
    last = json.loads((cli.folder / "out.jsonl").read_text().splitlines()[-1])
    assert {one["type"] for one in last["constraints"]} == {"title", "no-commas"}


def test_where_no_answer_is_asked_for_constraints_nobody_knows_are_dropped_all_the_same():
    rules = Constraints().question_rules()
    known = Record(instruction="Say it.", constraints=(Constraint("word-count", {}, "Say it."),))
    result = rules.check(known, context())
    assert isinstance(result, Drop)
    assert result.reason == "constraint-unknown"
    assert rules.check(Record(instruction="Say it."), context()) == Keep()
