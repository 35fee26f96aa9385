"""A recipe's faults are told all at once, each at its place and in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import recipe_kit
from index_kit import stages
from recipe_kit import EIGHT, HEAD, faults

from filial.contracts.errors import PluginError
from filial.plugins import Manager

manager, base = recipe_kit.manager, recipe_kit.base


def test_eight_mistakes_are_eight_faults_with_places_and_suggestions(manager: Manager, base: Path) -> None:
    assert faults(EIGHT, manager, base) == [
        "r.yaml:2:1: the recipe has no 'sed'; did you mean 'seed'?",
        "r.yaml:3:38: teacher 'remote' has no 'temprature'; did you mean 'temperature'?",
        "r.yaml:5:36: 0 should be greater than or equal to 1",
        "r.yaml:8:17: no strategy named 'revers'; did you mean 'reverse'?",
        "r.yaml:9:26: strategy 'reverse' has no 'keep_inputs'; did you mean 'keep_input'?",
        "r.yaml:11:22: 'lots' should be a valid integer",
        "r.yaml:12:33: 'strickt' should be 'strict' or 'normal'; did you mean 'strict'?",
        "r.yaml:13:5: no stage named 'filtr'; did you mean 'filter'?",
    ]


def test_yaml_faults_and_recipe_faults_come_together(manager: Manager, base: Path) -> None:
    text = "seed: 1\nseed: 2\ndata: seeds.jsonl\nheldout: *x\ntemplate: !t {use: alpaca}\nstages: no\n"
    found = faults(text, manager, base)
    assert [line.split(": ")[0] for line in found] == ["r.yaml:2:1", "r.yaml:4:10", "r.yaml:5:11", "r.yaml:6:9"]


NAME = "the name of a template belongs here, or {use: NAME, …}"
STAGE = "a stage is '- VERB: …', with one of evolve, filter, generate, mix"
START = "paths start at the recipe's folder"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[1, 2]", "r.yaml:1:1: a recipe is a mapping of keys such as seed, teacher and stages, not a list"),
        ("seed: 1", "r.yaml:1:1: this recipe has no records to work on; add 'stages:' or 'data: FILE'"),
        (HEAD + "seed: '3'", "r.yaml:3:7: '3' should be a valid integer"),
        (HEAD + "seed: 1_000", "r.yaml:3:7: '1_000' should be a valid integer"),
        (HEAD + "seed: 2.5", "r.yaml:3:7: 2.5 should be a valid integer"),
        (HEAD + "seed:", "r.yaml:3:6: the value is missing; it should be a valid integer"),
        (HEAD + "seed: [1]", "r.yaml:3:7: this should be a valid integer, not a list"),
        (HEAD + "budget: {request: 5}", "r.yaml:3:10: budget has no 'request'; did you mean 'requests'?"),
        (HEAD + "budget: {requests: 0}", "r.yaml:3:20: 0 should be greater than or equal to 1"),
        (HEAD + "template:", f"r.yaml:3:10: {NAME}"),
        (HEAD + "template: [alpaca]", f"r.yaml:3:11: {NAME}, not a list"),
        (HEAD + "template: {newline: 1}", "r.yaml:3:11: which template? add 'use: NAME'"),
        (HEAD + "template: {use: 3}", "r.yaml:3:17: use: 3 should be text (in quotes)"),
        (HEAD + "stages: [filter]", f"r.yaml:3:10: {STAGE}, not 'filter'"),
        (HEAD + "stages: [3]", f"r.yaml:3:10: {STAGE}, not 3"),
        (HEAD + "stages:\n- filter: []", "r.yaml:4:11: the list is empty; name a filter"),
        (
            HEAD + "stages:\n- evolve:\n  strategies: [deepen]",
            "r.yaml:5:3: 'strategies' stands beside 'evolve', not in it; indent it further",
        ),
        (
            HEAD + "stages:\n- filter: harm\n  mix: weights",
            "r.yaml:5:3: the stage 'filter' ends before 'mix'; begin the next one with '- '",
        ),
        (
            HEAD + "stages:\n- evolve: {round: 2, strategies: [deepen]}",
            "r.yaml:4:12: the evolve stage has no 'round'; did you mean 'rounds'?",
        ),
        (
            HEAD + "stages:\n- evolve: {rounds: 2}",
            "r.yaml:4:11: the evolve stage needs 'strategies' (The strategies; one is drawn per attempt)",
        ),
        (
            HEAD + "stages:\n- evolve: [deepen]",
            "r.yaml:4:11: write 'strategies:' in front of this list, indented under 'evolve:'",
        ),
        (
            HEAD + "stages:\n- evolve: {strategies: []}",
            "r.yaml:4:24: at least 1 item here, not 0",
        ),
        (HEAD + "stages:\n- evolve: {strategies: deepen}", "r.yaml:4:24: 'deepen' should be a list ([ ])"),
        (
            HEAD + "stages:\n- evolve: {strategies: [{use: deepen, weight: 0}]}",
            "r.yaml:4:47: 0 should be greater than 0",
        ),
        (
            HEAD + "stages:\n- evolve: {strategies: [{use: deepen, keep_input: yes}]}",
            "r.yaml:4:51: 'yes' should be true or false",
        ),
        (HEAD + "stages:\n- filter: {use: harm, high: 1.5}", "r.yaml:4:29: 1.5 should be a valid integer or 'open'"),
        (HEAD + "stages:\n- filter: {use: harm, low: 11}", "r.yaml:4:11: filter 'harm': low is above high"),
        (
            HEAD + "stages:\n- filter: greedy",
            "r.yaml:4:11: filter 'greedy' fails on these options: KeyError: 'oops'",
        ),
        (HEAD + "stages:\n- filter: {use: evolved, x: 1}", "r.yaml:4:26: filter 'evolved' has no 'x'; it takes none"),
        (
            HEAD + "stages:\n- mix: {use: weights, weights: {a: much}}",
            "r.yaml:4:36: 'much' should be a valid number",
        ),
        (
            "data: seeds.jsonl\nstages:\n- evolve: {strategies: [shout]}",
            "r.yaml:3:11: this asks a teacher, but the recipe names none; add a line 'teacher: {use: NAME, …}'",
        ),
        (
            "teacher: {use: remote, model: m}\nstages:\n- generate: {use: invent}",
            "r.yaml:3:13: the first stage has nothing to start from; add 'seeds: FILE'",
        ),
        (
            "teacher: {use: remote, model: m}\nstages:\n- generate: {use: invent, seeds: seeds.jsonl, keep_inputs: no}",
            "r.yaml:3:60: 'no' should be true or false",
        ),
        (
            "stages:\n- filter: harm",
            "r.yaml:2:3: 'filter' has no records to start from; begin with a stage that makes some or add 'data: FILE'",
        ),
        (
            "teacher: {model: m}\ndata: seeds.jsonl",
            "r.yaml:1:10: which teacher? add 'use: NAME'",
        ),
        ("teacher: remote\ndata: seeds.jsonl", "r.yaml:1:10: teacher 'remote' needs 'model' (Name of the model)"),
        (
            HEAD + "train: {use: sft, model: x/y}",
            "r.yaml:3:1: training needs a template; add a line 'template: {use: NAME}'",
        ),
        (
            HEAD + "judge: {use: exact, data: more.jsonl}",
            "r.yaml:3:1: there is no model to judge; add 'train:', or judge a finished model with 'filial judge'",
        ),
        ("data: sedes.jsonl", "r.yaml:1:7: no file 'sedes.jsonl'; did you mean 'seeds.jsonl'?"),
        ("data: deep/seeds.jsonl", f"r.yaml:1:7: no file 'deep/seeds.jsonl'; {START}"),
        ("data: pkg:json/nope.txt", "r.yaml:1:7: no file 'pkg:json/nope.txt' in that package"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_fault_in_plain_words(text: str, fault: str, manager: Manager, base: Path) -> None:
    found = faults(text, manager, base)
    if "keep_inputs: no" in text:  # two mistakes: the first stage has no inputs, and no is no boolean
        assert len(found) == 2
        assert fault in found
    else:
        assert found == [fault]


TRAINED = HEAD + "template: alpaca\ntrain: {use: sft, model: x/y}\n"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("judge: {use: exact, data: heldout}", "r.yaml:5:27: no record is kept back"),
        ("judge: {use: exact}", "r.yaml:5:8: judge 'exact' needs 'data'"),
        ("judge: exact", "r.yaml:5:8: judge 'exact' needs 'data'"),
        ("judge: []", "r.yaml:5:8: no judge is named"),
        ("judge: [{use: exact, data: more.jsonl, only: evolved}]", "r.yaml:5:46: this goes with 'data: heldout' only"),
        ("judge: {use: exact, data: more.jsonl, against: [bse]}", "r.yaml:5:49: no rival 'bse'; did you mean 'base'?"),
        ("judge: {use: exact, data: more.jsonl, against: [nearst]}", "r.yaml:5:49: no teacher named 'nearst'; did you"),
        ("judge: {use: exact, data: more.jsonl, against: [base, base]}", "r.yaml:5:48: the list names something twice"),
        ("judge: {use: exact, data: more.jsonl, against: [{use: remote, model: m, modl: n}]}", "r.yaml:5:73: teacher "),
        (
            "judge: {use: exact, data: more.jsonl, against: [nearest, {use: nearest, name: nearest}]}",
            "r.yaml:5:79: another is called 'nearest' already",
        ),
        (
            "judge: {use: exact, data: more.jsonl, against: "
            "[{use: remote, model: a}, {use: remote, model: b}, {use: remote, model: c, name: remote-2}]}",
            "r.yaml:5:129: another is called 'remote-2' already",
        ),
        (
            "judge: [{use: exact, data: more.jsonl}, {use: exact, data: more.jsonl, limit: 1}, "
            "{use: exact, data: more.jsonl, name: exact-2}]",
            "r.yaml:5:120: another is called 'exact-2' already",
        ),
        ("judge: {use: pairs, data: more.jsonl}", "r.yaml:5:8: this judge compares pairs, so name a rival"),
        ("judge: {use: crowd, data: more.jsonl}", "r.yaml:5:8: judge 'crowd' compares 3 candidates"),
        ("judge: {use: exact, data: more.jsonl, name: ../x}", "r.yaml:5:45: '../x' should match pattern"),
        ("judge: {use: clash, data: more.jsonl}", "r.yaml:5:14: judge 'clash' has an option 'limit'"),
        ("judge: [{use: exact, name: a, data: more.jsonl}, {use: exact, name: a, data: more.jsonl}]", "r.yaml:5:69: "),
    ],
)
def test_judges_are_checked_too(text: str, start: str, manager: Manager, base: Path) -> None:
    (fault,) = faults(TRAINED + text, manager, base)
    assert fault.startswith(start)


def test_a_model_that_nobody_can_ask_is_not_to_be_judged(manager: Manager, base: Path) -> None:
    text = TRAINED.replace("sft", "mute")
    assert faults(text, manager, base) == []
    (fault,) = faults(text + "judge: {use: exact, data: more.jsonl}", manager, base)
    assert fault.startswith("r.yaml:5:1: the trainer does not say how its models are asked, so none can be judged")


def test_a_rival_s_price_is_known_where_money_is_capped(manager: Manager, base: Path) -> None:
    text = TRAINED.replace("use: remote, model: m", "use: nearest") + "budget: {usd: 1}\n"
    judge = "judge: {use: exact, data: more.jsonl, against: [nearest, %s]}"
    assert faults(text + judge % "base", manager, base) == []
    (fault,) = faults(text + judge % "{use: remote, model: m}", manager, base)
    assert "this caps money, but the price of the teacher 'remote' is not known" in fault


def test_what_needs_no_teacher_asks_for_none(manager: Manager, base: Path) -> None:
    text = "data: seeds.jsonl\nstages:\n- evolve: {strategies: [shout], answer: false}\n- filter: harm\n"
    assert faults(text, manager, base) == []
    assert len(faults(text.replace("shout", "deepen"), manager, base)) == 1


def test_a_mix_may_bring_the_first_records(manager: Manager, base: Path) -> None:
    assert faults("stages:\n- mix: {use: weights, sources: {a: seeds.jsonl, b: 'hf:some/data'}}\n", manager, base) == []
    assert len(faults("stages:\n- mix: {use: weights, sources: {a: x.jsonl, b: y.jsonl}}\n", manager, base)) == 2


def test_a_broken_plugin_costs_only_the_recipe_that_names_it(manager: Manager, base: Path) -> None:
    """A stand-in manager whose one filter cannot be loaded: the fault stands where the name stands."""

    class Broken(Manager):
        def get(self, kind: str, name: str) -> Any:
            if name == "harm":
                raise PluginError("filial-broken 1.0 (entry point harm = filial_broken) does not load: ImportError: x")
            return manager.get(kind, name)

    broken = Broken(stages())
    (fault,) = faults(HEAD + "stages:\n- filter: [evolved, {use: harm, any: 1}]", broken, base)
    assert fault.startswith("r.yaml:4:27: filial-broken 1.0 (entry point harm")
    assert faults(HEAD + "stages:\n- filter: [evolved]", broken, base) == []


def test_a_message_holds_no_control_characters(manager: Manager, base: Path) -> None:
    text = HEAD + '"\\e[31m\\u202e": 1\ntemplate: "\\x9b31m"\nseed: "\\e]0;x\\a"\n'
    text += 'data: "pkg:\\e[2J/x"\nstages: [{filter: "\\e[31mx"}]\n'
    found = faults(text.replace("data: seeds.jsonl\n", ""), manager, base)
    assert len(found) == 5
    assert all(fault.isprintable() for fault in found)
