"""--set changes one value of a recipe; a wrong one is a fault that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import recipe_kit
from recipe_kit import EIGHT, GOOD, faults

from filial.plugins import Manager
from filial.recipe import loads

manager, base = recipe_kit.manager, recipe_kit.base


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
    found: Any = recipe.to_dict()
    for step in where:
        found = found[step]
    assert found == value


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("stages.evolve.rounds=lots", "from --set stages.evolve.rounds: 'lots' should be a valid integer"),
        ("stages.evolve.rounds=0", "from --set stages.evolve.rounds: 0 should be greater than or equal to 1"),
        ("stages.filter.0.lvl=x", "from --set stages.filter.0.lvl: filter 'harm' has no 'lvl'; did you mean 'level'?"),
        ("stages.evolv.rounds=2", "from --set stages.evolv.rounds: stages has no 'evolv'; did you mean 'evolve'?"),
        ("stages.7.evolve=2", "from --set stages.7.evolve: stages has 4 items, counted from 0; there is no 7"),
        ("sead=2", "from --set sead: the recipe has no 'sead'; did you mean 'seed'?"),
        ("seed.x=2", "from --set seed.x: seed is 7, so there is no 'x' in it"),
        ("seed", "from --set seed: write PATH=VALUE, such as stages.evolve.rounds=2"),
        ("=2", "from --set: write PATH=VALUE, such as stages.evolve.rounds=2"),
        ("seed=", "from --set seed: the value is missing; it should be a valid integer"),
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
