"""The editor schema takes what the checker takes, and refuses what an editor can know to be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import recipe_kit
from hypothesis import given
from hypothesis import strategies as st
from recipe_kit import with_one_part_replaced

from filial.contracts.errors import RecipeError
from filial.plugins import Manager
from filial.plugins.yaml import parse, parse_bytes
from filial.recipe import from_dict
from filial_plugins.commands.schema.recipe import recipe_schema

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))

manager, base = recipe_kit.manager, recipe_kit.base

GOOD: Any = parse("""
seed: 7
teacher: {use: remote, model: gpt-x}
stages:
  - generate: {use: invent, count: 3, seeds: seeds.jsonl}
  - evolve: {rounds: 2, strategies: [deepen, {use: "recipe_components.py:reverse", max_words: 30, weight: 2.5}]}
  - filter: [{use: harm, level: strict, high: open}, evolved]
  - filter: evolved
  - mix: {use: weights, weights: {a: 2}, total: 50, sources: {a: "hf:x/y"}}
template: alpaca
train: {use: sft, model: some/model, epochs: 1}
judge: {use: exact, data: "hf:x/z", against: [base]}
""").data


@pytest.fixture(scope="module")
def validator(manager: Manager) -> jsonschema.Draft202012Validator:
    schema = recipe_schema(manager)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_a_good_recipe_and_its_lock_fit(validator: Any, manager: Manager, base: Path) -> None:
    assert list(validator.iter_errors(GOOD)) == []
    resolved = from_dict(GOOD, manager, base=base).to_dict()
    assert list(validator.iter_errors(resolved)) == []


@pytest.mark.parametrize(
    "mistake",
    [
        {"sed": 1}, {"seed": "x"}, {"budget": {"request": 1}}, {"teacher": "remote"}, {"teacher": {"use": "remot"}},
        {"teacher": {"use": "remote", "model": "m", "temprature": 1}}, {"template": "alpaka"}, {"judge": []},
        {"teacher": {"use": "remote", "model": "m", "temperature": 3}}, {"train": {"use": "sft"}}, {"judge": "exact"},
        {"stages": [{"filtr": "harm"}]}, {"stages": [{"filter": "harm", "mix": "weights"}]}, {"stages": [{}]},
        {"stages": [{"evolve": {"strategies": ["revers"]}}]}, {"stages": [{"evolve": {}}]},
        {"stages": [{"filter": []}]},
        {"stages": [{"evolve": {"strategies": [{"use": "deepen", "weight": 0}]}}]}, {"template": {"name": "alpaca"}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_what_an_editor_can_know_is_refused(mistake: dict[str, Any], validator: Any) -> None:
    assert list(validator.iter_errors({**GOOD, **mistake}))


parts = st.sampled_from(
    [None, True, 0, 1, -1, 2.5, 10**20, "", "x", "harm", "deepen", "yes", [], ["harm"], {}, {"use": "harm"}, {"use": 1},
     {"use": "deepen", "weight": 1}, {"use": "weights"}, {"use": "invent", "count": 0}, "remote", "alpaca", "sft"]
)  # fmt: skip


@given(data=st.data())
def test_what_the_checker_takes_the_editor_takes(
    data: st.DataObject, validator: Any, manager: Manager, base: Path
) -> None:
    recipe = with_one_part_replaced(GOOD, parts, data)
    try:
        from_dict(recipe, manager, base=base)
    except RecipeError:
        return
    assert list(validator.iter_errors(recipe)) == []


def test_a_plugin_that_does_not_load_is_named_without_options(site: Any) -> None:
    site.dist("filial-broken", {"filial.filters": {"sad": "no_such_module_anywhere"}})
    check = jsonschema.Draft202012Validator(recipe_schema(site.manager()))
    assert check.is_valid({"stages": [{"filter": {"use": "sad", "anything": 1}}]})
    assert not check.is_valid({"stages": [{"filter": "happy"}]})


def test_a_bare_name_of_filials_means_filials_also_beside_another_of_that_name(site: Any, source: Any) -> None:
    sources = {"ours": source("x", body="ours: int = 1"), "theirs": source("x", body="theirs: int = 1")}
    site.dist("filial", {"filial.strategies": {"x": "ours"}}, {"ours": sources["ours"]})
    site.dist("filial-x", {"filial.strategies": {"x": "theirs"}}, {"theirs": sources["theirs"]})
    check = jsonschema.Draft202012Validator(recipe_schema(site.manager()))

    def fits(**strategy: Any) -> bool:
        return check.is_valid({"stages": [{"evolve": {"strategies": [strategy]}}]})

    assert fits(use="x", ours=2)
    assert fits(use="filial:x", ours=2)
    assert fits(use="filial-x:x", theirs=2)
    assert not fits(use="x", theirs=2)


def test_the_published_schema_is_that_of_the_built_ins() -> None:
    published = (ROOT / "schemas" / "recipe.schema.json").read_text(encoding="utf-8")
    made = msgspec.json.format(msgspec.json.encode(recipe_schema(Manager(no_plugins=True))), indent=2).decode()
    assert published == made + "\n", "write it anew: filial --no-plugins schema recipe > schemas/recipe.schema.json"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_the_published_schema_takes_every_example(path: Path) -> None:
    published = json.loads((ROOT / "schemas" / "recipe.schema.json").read_text(encoding="utf-8"))
    document = parse_bytes(path.read_bytes())
    assert document.faults == []
    assert [error.message for error in jsonschema.Draft202012Validator(published).iter_errors(document.data)] == []


def test_there_are_examples() -> None:
    assert RECIPES
