"""A recipe comes back whole, or with all its faults at once, each at its place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial.discovery import Index
from filial.errors import RecipeError
from filial.plugins import Manager
from filial.recipe import Recipe, from_dict, load, loads
from filial.yamlmarks import parse

GOOD = """\
seed: 7
teacher: {use: remote, model: gpt-x}
budget: {requests: 100}
stages:
  - generate: {use: invent, count: 3, seeds: seeds.jsonl}
  - evolve:
      rounds: 2
      strategies: [deepen, {use: reverse, max_words: 30, weight: 2.5}]
  - filter: [{use: harm, level: strict}, evolved]
  - mix: {use: weights, weights: {a: 2}, total: 50, sources: {a: more.jsonl}}
heldout: 5
template: {use: alpaca}
train: {use: sft, model: some/model, epochs: 1}
judge:
  - {use: exact, data: heldout, only: evolved, against: [base, nearest]}
  - {use: exact, data: more.jsonl, limit: 9}
"""

EIGHT = """\
seed: 42
sed: 7
teacher: {use: remote, model: gpt-x, temprature: 0.7}
stages:
  - generate: {use: invent, count: 0, seeds: seeds.jsonl}
  - evolve:
      strategies:
        - {use: revers}
        - {use: reverse, keep_inputs: true}
        - use: deepen
          max_words: lots
  - filter: [{use: harm, level: strickt}]
  - filtr: harm
"""


@pytest.fixture(scope="module")
def manager() -> Manager:
    made = Manager(Index())
    made.load_file(Path(__file__).with_name("recipe_kit.py"))
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "seeds.jsonl").write_text('{"instruction": "Say hi."}\n')
    (folder / "more.jsonl").write_text('{"instruction": "Say bye."}\n')
    return folder


def outcome(text: str, manager: Manager, base: Path, *overrides: str) -> Recipe | list[str]:
    """The recipe, or its faults: anything else that happens fails the test."""
    try:
        return loads(text, "r.yaml", manager, overrides, base=base)
    except RecipeError as err:
        return err.faults


def faults(text: str, manager: Manager, base: Path, *overrides: str) -> list[str]:
    found = outcome(text, manager, base, *overrides)
    return found if isinstance(found, list) else []


def test_a_good_recipe_comes_back_typed_and_complete(manager: Manager, base: Path) -> None:
    (base / "good.yaml").write_text(GOOD)
    recipe = load(base / "good.yaml", manager)
    assert (recipe.seed, recipe.heldout, recipe.model, recipe.base) == (7, 5, "some/model", base)
    assert recipe.budget == {"requests": 100}
    assert recipe.teacher is not None
    assert recipe.teacher.options["temperature"] == 0.7
    assert recipe.teacher.where.endswith("good.yaml:2:16")
    assert [stage.name for stage in recipe.stages] == ["01-generate", "02-evolve", "03-filter", "04-mix"]
    evolve = recipe.stages[1]
    assert evolve.settings == {"rounds": 2, "branch": 1, "keep": "all", "order": "random", "answer": True}
    assert [(c.use, c.settings["weight"]) for c in evolve.of("strategies")] == [("deepen", 1.0), ("reverse", 2.5)]
    assert [c.use for c in evolve.of("filters")] == ["evolved"]
    mix = recipe.stages[3].settings
    assert (mix["total"], mix["repeat"], mix["sources"]) == (50, False, {"a": "more.jsonl"})
    first, second = recipe.judges
    assert (first.name, first.data, first.only, first.against) == ("exact", "heldout", "evolved", ("base", "nearest"))
    assert (second.name, second.limit, second.against) == ("exact-2", 9, ())
    assert len(list(recipe.components())) == 12


def test_the_least_recipe_has_documented_defaults(manager: Manager, base: Path) -> None:
    recipe = from_dict({"data": "seeds.jsonl", "stages": [{"filter": "harm"}]}, manager, base=base)
    assert (recipe.seed, recipe.heldout, recipe.teacher, recipe.judges) == (42, 0, None, ())
    assert recipe.stages[0].components[0].options == {"level": "normal", "low": 0, "high": 10}


def test_the_lock_is_a_recipe_that_means_the_same(manager: Manager, base: Path) -> None:
    recipe = loads(GOOD, "r.yaml", manager, base=base)
    lock = recipe.lock(manager)
    assert "remote: recipe_kit.py:remote==" in lock
    again = loads(lock, "lock", manager, base=base)
    assert again.resolved() == recipe.resolved()
    assert again.lock(manager) == lock
    assert from_dict(recipe.resolved(), manager, base=base).resolved() == recipe.resolved()


def test_limits_of_the_teacher_are_no_part_of_its_identity(manager: Manager, base: Path) -> None:
    plain = loads(GOOD, "r", manager, base=base)
    slow = loads(GOOD, "r", manager, ["teacher.max_concurrency=1"], base=base)
    other = loads(GOOD, "r", manager, ["teacher.temperature=0"], base=base)
    assert plain.teacher_identity(manager) == slow.teacher_identity(manager)
    assert plain.teacher_identity(manager) != other.teacher_identity(manager)


def test_eight_mistakes_are_eight_faults_with_places_and_suggestions(manager: Manager, base: Path) -> None:
    assert faults(EIGHT, manager, base) == [
        "r.yaml:2:1: the recipe has no 'sed'; did you mean 'seed'?",
        "r.yaml:3:38: teacher 'remote' has no 'temprature'; did you mean 'temperature'?",
        "r.yaml:5:36: 0 is too small; the least is 1",
        "r.yaml:8:17: no strategy named 'revers'; did you mean 'reverse'?",
        "r.yaml:9:26: strategy 'reverse' has no 'keep_inputs'; did you mean 'keep_input'?",
        "r.yaml:11:22: 'lots' is not an integer",
        "r.yaml:12:33: 'strickt' is not one of strict, normal; did you mean 'strict'?",
        "r.yaml:13:5: no stage 'filtr'; did you mean 'filter'?",
    ]


def test_yaml_faults_and_recipe_faults_come_together(manager: Manager, base: Path) -> None:
    text = "seed: 1\nseed: 2\ndata: seeds.jsonl\nheldout: *x\ntemplate: !t {use: alpaca}\nstages: no\n"
    found = faults(text, manager, base)
    assert [line.split(": ")[0] for line in found] == ["r.yaml:2:1", "r.yaml:4:10", "r.yaml:5:11", "r.yaml:6:9"]


HEAD = "teacher: {use: remote, model: m}\ndata: seeds.jsonl\n"


LIST = "put it in brackets: [ ]"
NAME = "the name of a template belongs here, or {use: NAME, …}"
START = "paths start at the recipe's folder"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[1, 2]", "r.yaml:1:1: a recipe is a mapping of keys such as seed, teacher and stages, not a list"),
        ("seed: 1", "r.yaml:1:1: this recipe has no records to work on; add 'stages:' or 'data: FILE'"),
        (HEAD + "seed: '3'", "r.yaml:3:7: '3' is not an integer; write 3"),
        (HEAD + "seed: 1_000", "r.yaml:3:7: '1_000' is not an integer; write 1000"),
        (HEAD + "seed: 2.5", "r.yaml:3:7: 2.5 is not an integer"),
        (HEAD + "seed:", "r.yaml:3:6: the value is missing; an integer belongs here"),
        (HEAD + "seed: [1]", "r.yaml:3:7: an integer belongs here, not a list"),
        (HEAD + "budget: {request: 5}", "r.yaml:3:10: budget has no 'request'; did you mean 'requests'?"),
        (HEAD + "budget: {requests: 0}", "r.yaml:3:20: 0 is too small; the least is 1"),
        (HEAD + "template:", f"r.yaml:3:10: {NAME}"),
        (HEAD + "template: [alpaca]", f"r.yaml:3:11: {NAME}, not a list"),
        (HEAD + "template: {newline: 1}", "r.yaml:3:11: which template? add 'use: NAME'"),
        (HEAD + "template: {use: 3}", "r.yaml:3:17: use: 3 is not text; put it in quotes"),
        (HEAD + "stages: [filter]", "r.yaml:3:10: the stage 'filter' needs settings: write '- filter: {…}'"),
        (HEAD + "stages: [3]", "r.yaml:3:10: a stage is '- VERB: …', with one of generate, evolve, filter, mix, not 3"),
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
            "r.yaml:4:11: the evolve stage needs 'strategies' (What evolves records; one is drawn per try)",
        ),
        (
            HEAD + "stages:\n- evolve: [deepen]",
            "r.yaml:4:11: write 'strategies:' in front of this list, indented under 'evolve:'",
        ),
        (HEAD + "stages:\n- evolve: {strategies: []}", "r.yaml:4:24: the list is empty"),
        (HEAD + "stages:\n- evolve: {strategies: deepen}", f"r.yaml:4:24: 'deepen' is not a list; {LIST}"),
        (
            HEAD + "stages:\n- evolve: {strategies: [{use: deepen, weight: 0}]}",
            "r.yaml:4:47: 0 is too small; it must be more than 0",
        ),
        (
            HEAD + "stages:\n- evolve: {strategies: [{use: deepen, keep_input: yes}]}",
            "r.yaml:4:51: 'yes' is not true or false; write true",
        ),
        (HEAD + "stages:\n- filter: {use: harm, high: 1.5}", "r.yaml:4:29: 1.5 is not an integer or 'open'"),
        (HEAD + "stages:\n- filter: {use: harm, low: 11}", "r.yaml:4:11: filter 'harm': low is above high"),
        (
            HEAD + "stages:\n- filter: greedy",
            "r.yaml:4:11: filter 'greedy' fails on these options: KeyError: 'oops'",
        ),
        (HEAD + "stages:\n- filter: {use: evolved, x: 1}", "r.yaml:4:26: filter 'evolved' has no 'x'; it takes none"),
        (
            HEAD + "stages:\n- mix: {use: weights, weights: {a: much}}",
            "r.yaml:4:36: 'much' is not a number",
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
            "r.yaml:3:60: 'no' is not true or false; write false",
        ),
        (
            "stages:\n- filter: harm",
            "r.yaml:2:3: 'filter' has no records to start from; begin with 'generate' or add 'data: FILE'",
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
        ("data: deep/seeds.jsonl", f"r.yaml:1:7: no file 'deep/seeds.jsonl' and no folder 'deep'; {START}"),
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
        ("judge: [{use: exact, data: more.jsonl, only: evolved}]", "r.yaml:5:40: this goes with 'data: heldout' only"),
        ("judge: {use: exact, data: more.jsonl, against: [bse]}", "r.yaml:5:49: 'bse' is not one of base, nearest"),
        ("judge: {use: exact, data: more.jsonl, name: ../x}", "r.yaml:5:45: '../x' does not have the form"),
        ("judge: {use: clash, data: more.jsonl}", "r.yaml:5:14: judge 'clash' has an option 'limit'"),
        ("judge: [{use: exact, name: a, data: more.jsonl}, {use: exact, name: a, data: more.jsonl}]", "r.yaml:5:69: "),
    ],
)
def test_judges_are_checked_too(text: str, start: str, manager: Manager, base: Path) -> None:
    (fault,) = faults(TRAINED + text, manager, base)
    assert fault.startswith(start)


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
            from filial.errors import PluginError

            if name == "harm":
                raise PluginError("filial-broken 1.0 (entry point harm = filial_broken) does not load: ImportError: x")
            return manager.get(kind, name)

    broken = Broken(Index())
    (fault,) = faults(HEAD + "stages:\n- filter: [evolved, {use: harm, any: 1}]", broken, base)
    assert fault.startswith("r.yaml:4:27: filial-broken 1.0 (entry point harm")
    assert faults(HEAD + "stages:\n- filter: [evolved]", broken, base) == []


SECRETS = [
    "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", "hf_abcdefghijklmnopqrstuvwxyzABCDEF", "AKIAABCDEFGHIJKLMNOP",
    "ghp_abcdefghijklmnopqrstuvwxyzABCDEF0123", "Bearer abcdefghijklmnopqrstuvwxyz",
    "https://user:password@example.org/v1", "https://example.org/v1?api_key=abcdef",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "place", ["base_url: S", "api_key: S", "temperature: S", "max_retries: S", "api_key_env: S", "headers: [{a: S}]"]
)
def test_a_secret_is_refused_wherever_it_stands_and_never_repeated(
    place: str, secret: str, manager: Manager, base: Path
) -> None:
    text = "data: seeds.jsonl\nteacher: {use: remote, model: m, " + place.replace("S", f"'{secret}'") + "}\n"
    found = faults(text, manager, base)
    column = text.splitlines()[1].index(f"'{secret}'") + 1
    assert any(f.startswith(f"r.yaml:2:{column}: this ") and "environment variable" in f for f in found)
    assert not any(secret in f for f in found)


def test_a_key_under_a_telling_name_is_a_secret_though_its_form_is_unknown(manager: Manager, base: Path) -> None:
    text = "data: seeds.jsonl\nteacher: {use: remote, model: m, api_key: 0123456789abcdef0123456789abcdef}\n"
    (fault,) = faults(text, manager, base)
    assert "API key" in fault
    assert faults(text.replace("api_key:", "api_key_env:").replace("0123456789abcdef", "NAME_"), manager, base) == []


def test_a_secret_on_the_command_line_is_not_repeated(manager: Manager, base: Path) -> None:
    for text in (f"teacher.api_key={SECRETS[0]}", SECRETS[0], f"{SECRETS[0]}=1"):
        found = faults(GOOD, manager, base, text)
        assert found
        assert not any(SECRETS[0] in f for f in found)


@pytest.mark.parametrize(
    ("override", "where", "value"),
    [
        ("seed=9", ("seed",), 9),
        ("heldout=0x10", ("heldout",), 16),
        ("budget.requests=5", ("budget", "requests"), 5),
        ("stages.evolve.rounds=3", ("stages", 1, "evolve", "rounds"), 3),
        ("stages.1.evolve.rounds=4", ("stages", 1, "evolve", "rounds"), 4),
        ("stages.evolve.strategies.deepen.max_words=5", ("stages", 1, "evolve", "strategies", 0, "max_words"), 5),
        ("stages.evolve.strategies.1.max_words=6", ("stages", 1, "evolve", "strategies", 1, "max_words"), 6),
        ("stages.filter.harm.level=normal", ("stages", 2, "filter", 0, "level"), "normal"),
        ("stages.filter=[evolved]", ("stages", 2, "filter", 0, "use"), "evolved"),
        ("stages.mix.weights={a: 1, b: 2}", ("stages", 3, "mix", "weights"), {"a": 1.0, "b": 2.0}),
        ("judge.0.only=seed-level", ("judge", 0, "only"), "seed-level"),
        ("train.model=a=b", ("train", "model"), "a=b"),
    ],
)
def test_set_changes_one_value(override: str, where: tuple[Any, ...], value: Any, manager: Manager, base: Path) -> None:
    recipe = loads(GOOD, "r.yaml", manager, [override], base=base)
    found: Any = recipe.resolved()
    for step in where:
        found = found[step]
    assert found == value


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("stages.evolve.rounds=lots", "from --set stages.evolve.rounds: 'lots' is not an integer"),
        ("stages.evolve.rounds=0", "from --set stages.evolve.rounds: 0 is too small; the least is 1"),
        ("stages.filter.0.lvl=x", "from --set stages.filter.0.lvl: filter 'harm' has no 'lvl'; did you mean 'level'?"),
        ("stages.evolv.rounds=2", "from --set stages.evolv.rounds: stages has no 'evolv'; did you mean 'evolve'?"),
        ("stages.7.evolve=2", "from --set stages.7.evolve: stages has 4 items, counted from 0; there is no 7"),
        ("sead=2", "from --set sead: the recipe has no 'sead'; did you mean 'seed'?"),
        ("seed.x=2", "from --set seed.x: seed is 7, so there is no 'x' in it"),
        ("seed", "from --set seed: write PATH=VALUE, such as stages.evolve.rounds=2"),
        ("=2", "from --set: write PATH=VALUE, such as stages.evolve.rounds=2"),
        ("seed=", "from --set seed: the value is missing; an integer belongs here"),
        ("stages.filter=[harm, hram]", "from --set stages.filter: no filter named 'hram'; did you mean 'harm'?"),
        ("train.model=./nowhere", "from --set train.model: no file './nowhere'; paths start at the recipe's folder"),
    ],
)  # fmt: skip
def test_a_wrong_set_is_a_fault_that_says_so(override: str, fault: str, manager: Manager, base: Path) -> None:
    assert faults(GOOD, manager, base, override) == [fault]


def test_faults_of_set_and_file_come_together(manager: Manager, base: Path) -> None:
    found = faults(EIGHT, manager, base, "seed=x", "seed=y=z")
    assert len(found) == 9
    assert found[-1].startswith("from --set seed: ")


def test_files_that_are_no_recipe(manager: Manager, tmp_path: Path) -> None:
    for content, word in [(None, "No such file"), (b"", "empty"), (b"\xff", "UTF-8"), (b"a: [", "missing")]:
        path = tmp_path / "r.yaml"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(RecipeError) as caught:
            load(path, manager)
        assert len(caught.value.faults) == 1
        assert word in caught.value.faults[0]
        assert caught.value.exit_code == 2
    with pytest.raises(RecipeError, match="directory"):
        load(tmp_path, manager)
    with pytest.raises(RecipeError, match="larger than 1 MiB"):
        load("/dev/zero", manager)


def test_paths_start_at_the_recipe_not_at_the_caller(
    manager: Manager, base: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (base / "r.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert load(base / "r.yaml", manager).base == base


def test_a_message_holds_no_control_characters(manager: Manager, base: Path) -> None:
    text = HEAD + '"\\e[31m\\u202e": 1\ntemplate: "\\x9b31m"\nseed: "\\e]0;x\\a"\n'
    text += 'data: "pkg:\\e[2J/x"\nstages: [{filter: "\\e[31mx"}]\n'
    found = faults(text.replace("data: seeds.jsonl\n", ""), manager, base)
    assert len(found) == 5
    assert all(fault.isprintable() for fault in found)


@given(text=st.text(max_size=40))
def test_any_text_is_a_recipe_or_a_recipe_error(text: str, manager: Manager, base: Path) -> None:
    assert outcome(text, manager, base)


words = st.sampled_from(
    ["use", "stages", "generate", "evolve", "filter", "mix", "teacher", "train", "template", "judge", "data", "seeds",
     "budget", "requests", "strategies", "eliminate", "invent", "deepen", "harm", "remote", "sft", "alpaca", "exact",
     "weights", "model", "heldout", "seeds.jsonl", "sources", "against", "name", "pkg:", "pkg:.x/y", "hf:", "~nobody/x",
     "only", "total", "level", "a\0b", "seed", "limit", "~", "rounds", ""]
)  # fmt: skip
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=10,
)


paths = st.lists(words, min_size=1, max_size=4).map(".".join)


@given(data=junk, overrides=st.lists(st.text(max_size=12) | paths.map("{}=1".format), max_size=2))
def test_any_data_is_a_recipe_or_a_recipe_error(data: Any, overrides: list[str], manager: Manager, base: Path) -> None:
    found = outcome(json.dumps(data), manager, base, *overrides)
    assert isinstance(found, Recipe) or len(set(found)) == len(found) > 0


@given(st.data())
def test_a_good_recipe_with_one_part_replaced_fails_in_order_or_works(
    manager: Manager, base: Path, data: st.DataObject
) -> None:
    recipe: Any = copy.deepcopy(parse(GOOD).data)
    part = recipe
    while True:
        key = data.draw(st.sampled_from(list(part) if isinstance(part, dict) else list(range(len(part)))))
        if not isinstance(part[key], dict | list) or not part[key] or data.draw(st.booleans()):
            part[key] = data.draw(junk)
            break
        part = part[key]
    found = faults(json.dumps(recipe, indent=1), manager, base)
    places = [tuple(map(int, f.split(":")[1:3])) for f in found]
    assert places == sorted(places)


def test_a_plugin_that_only_has_hooks_is_loaded_by_its_name(tmp_path: Path, site: Any) -> None:
    code = "from filial import hookimpl\nseen = []\n@hookimpl\ndef run_started(run): seen.append(run)\n"
    site.dist("filial-watch", {"filial.hooks": {"watch": "filial_watch"}}, {"filial_watch": code})
    (tmp_path / "d.jsonl").write_text('{"instruction": "Name a river."}\n')
    manager = site.manager()
    recipe = loads("hooks: [watch]\ndata: d.jsonl\n", "r.yaml", manager, base=tmp_path)
    assert recipe.hooks == ("watch",)
    assert manager.hook.implemented("run_started")
    with pytest.raises(RecipeError, match=r"r\.yaml:1:9: .*did you mean 'watch'"):
        loads("hooks: [wach]\ndata: d.jsonl\n", "r.yaml", manager, base=tmp_path)
