"""Whatever is given for a recipe, it is one or it is told what is wrong with it, in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import recipe_kit
from hypothesis import given
from hypothesis import strategies as st
from recipe_kit import GOOD, faults, outcome, with_one_part_replaced

from filial.plugins import Manager
from filial.plugins.yaml import parse
from filial.recipe import Recipe

manager, base = recipe_kit.manager, recipe_kit.base


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
    recipe = with_one_part_replaced(parse(GOOD).data, junk, data)
    found = faults(json.dumps(recipe, indent=1), manager, base)
    places = [tuple(map(int, f.split(":")[1:3])) for f in found]
    assert places == sorted(places)
