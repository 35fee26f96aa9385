"""A good recipe and one with eight mistakes, the plugins and files they name, and what comes of loading a recipe."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from index_kit import stages

from filial.contracts.errors import RecipeError
from filial.plugins import Manager
from filial.recipe import Recipe, loads

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
HEAD = "teacher: {use: remote, model: m}\ndata: seeds.jsonl\n"


@pytest.fixture(scope="module")
def manager() -> Manager:
    """A manager that has loaded the components of these recipes and nothing else."""
    made = Manager(stages())
    made.load_file(Path(__file__).parent / "core" / "recipe_components.py")
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the records that these recipes name."""
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
    """The faults of a recipe; none where it is good."""
    found = outcome(text, manager, base, *overrides)
    return found if isinstance(found, list) else []


def with_one_part_replaced(recipe: Any, parts: st.SearchStrategy[Any], data: st.DataObject) -> Any:
    """A copy of a recipe with one of ``parts`` in a place that ``data`` draws."""
    changed: Any = copy.deepcopy(recipe)
    part = changed
    while True:
        key = data.draw(st.sampled_from(list(part) if isinstance(part, dict) else list(range(len(part)))))
        if not isinstance(part[key], dict | list) or not part[key] or data.draw(st.booleans()):
            part[key] = data.draw(parts)
            return changed
        part = part[key]
