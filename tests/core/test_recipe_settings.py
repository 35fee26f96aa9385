"""Settings are declared once: schema, flags, tables and faults all speak of the same keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import recipe_kit
from hypothesis import given
from hypothesis import strategies as st
from index_kit import stages
from recipe_kit import GOOD, HEAD, faults

from filial.plugins import Manager
from filial.plugins.yaml import parse
from filial.recipe import settings
from filial.recipe.settings import Settings, stage_class
from filial_plugins.commands.schema.recipe import recipe_schema
from filial_plugins.stages.evolve import Evolve, StrategyKeys
from filial_plugins.stages.generate import Generate
from filial_plugins.stages.mix import Mix

ROOT = Path(__file__).parents[2]
manager, base = recipe_kit.manager, recipe_kit.base

MODELS = (settings.Root, settings.Budget, settings.Train, settings.Judge, Generate, Evolve, StrategyKeys, Mix)
"""Not a filter stage, which is written as a list without a key; not a rival: a teacher, with keys of its own."""
KEYS = [(model, key) for model in MODELS for key in model.model_fields]


def properties(schema: Any) -> set[str]:
    """Every key that a schema speaks of."""
    if isinstance(schema, list):
        return set().union(*map(properties, schema))
    if not isinstance(schema, dict):
        return set()
    return {*schema.get("properties", {})}.union(*(properties(part) for part in schema.values()))


@pytest.mark.parametrize(("model", "key"), KEYS, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_every_key_is_in_the_schema_and_in_the_reference(model: type[Settings], key: str, manager: Manager) -> None:
    schema = recipe_schema(manager)
    about = schema["$defs"][model.kind] if model.kind else {"properties": schema["properties"]}
    assert key in properties(about)
    text = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    table = text.split(f"docs/build.py: {model.__name__} -->")[1].split("<!-- end -->")[0]
    assert re.search(rf"^\| `{key}` \|", table, re.M)


@pytest.mark.parametrize(("verb", "plugin"), [("evolve", "longer"), ("mix", "even"), ("generate", "count")])
def test_every_key_of_a_verb_is_a_flag(verb: str, plugin: str, cli: Any) -> None:
    assert cli(verb, plugin, "--help") == 0
    flags = set(re.findall(r"--([a-z-]+)", cli.out.split("\nOptions:\n")[1]))
    model = stage_class(Manager(stages()), verb)
    assert {key.replace("_", "-") for key in model.model_fields if key not in model.by_inputs} <= flags


@pytest.mark.parametrize(
    "text",
    [
        "budget: {usd: }", "budget:", "heldout:", "stages: [{mix: {use: weights, total: }}]",
        "stages: [{mix: {use: weights, sources: }}]", "stages: [{evolve: {strategies: [{use: shout, name: }]}}]",
        "stages: [{generate: {use: invent, keep_inputs: }}]", "stages: [{generate: {use: invent, seeds: }}]",
    ],
)  # fmt: skip
def test_a_key_without_a_value_is_a_fault(text: str, manager: Manager, base: Path) -> None:
    """A cap left empty, say, is no missing cap."""
    (fault,) = faults(HEAD + text, manager, base)
    assert "the value is missing" in fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("judge: {use: exact, data: more.jsonl, against: [base, base]}", "the list names something twice"),
        ("stages: [{mix: {use: weights, sources: {a: nope.jsonl}}}]", "no file 'nope.jsonl'"),
        ("heldout: 3.0", "3.0 should be a valid integer"),
        ("stages: [{filter: {use: harm, low: '3'}}]", "'3' should be a valid integer"),
        ("stages: [{evolve: {strategies: [shout], branch: 101}}]", "101 should be less than or equal to 100"),
    ],
)
def test_values_are_taken_as_they_stand(text: str, fault: str, manager: Manager, base: Path) -> None:
    assert any(fault in found for found in faults(HEAD + text, manager, base))


def leaves(data: Any, address: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The addresses of all that is neither a list nor a mapping."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [leaf for key, value in items for leaf in leaves(value, (*address, key))] or [address]


PLAIN = parse(GOOD).data


@given(place=st.sampled_from(leaves(PLAIN)), wrong=st.sampled_from([{"zz": 1}, [[]], -5, "\t", None, True]))
def test_a_fault_stands_where_the_mistake_is(place: Any, wrong: Any, manager: Manager, base: Path) -> None:
    """On the value, or on what it is part of; what else is wrong because of it comes beside."""
    recipe = json.loads(json.dumps(PLAIN))
    part = recipe
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = wrong
    text = json.dumps(recipe, indent=1)
    found = faults(text, manager, base)
    document = parse(text)
    around = [place[:n] for n in range(1, len(place) + 1)] + [(*place, "zz")]
    marks = {marks[part] for part in around for marks in (document.keys, document.values) if part in marks}
    assert not found or any(tuple(map(int, fault.split(":")[1:3])) in marks for fault in found)
