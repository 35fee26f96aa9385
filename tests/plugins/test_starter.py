"""``filial init``: what it writes is a recipe that stands, before and after the changes its comments propose."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from filial.formats import read
from filial.plugins import Manager
from filial.plugins.yaml import parse
from filial.recipe import load
from filial_plugins.starter import SCHEMA, command, read_files

NAMES = {"recipe.yaml", "seeds.jsonl", "open-seeds.jsonl", SCHEMA}


def init(folder: Path) -> Result:
    return CliRunner().invoke(command, [str(folder)], standalone_mode=False)


@pytest.fixture
def started(tmp_path: Path) -> Path:
    result = init(tmp_path / "new")
    assert result.exit_code == 0, result.output
    return tmp_path / "new"


def test_it_writes_a_recipe_without_faults(started: Path) -> None:
    assert {path.name for path in started.iterdir()} == NAMES
    recipe = load(started / "recipe.yaml", Manager(no_plugins=True))
    assert recipe.teacher is not None
    assert recipe.teacher.use == "procedural"
    assert [stage.verb for stage in recipe.stages] == ["generate", "evolve", "filter", "generate"]


def test_the_editor_finds_the_schema_and_the_schema_takes_the_recipe(started: Path) -> None:
    text = (started / "recipe.yaml").read_text()
    assert text.startswith(f"# yaml-language-server: $schema=./{SCHEMA}\n")
    written = json.loads((started / SCHEMA).read_text())
    assert list(jsonschema.Draft202012Validator(written).iter_errors(parse(text).data)) == []


def swapped(text: str) -> str:
    """The recipe after every line marked "real:" has taken the place of the line above it."""
    lines: list[str] = []
    for line in text.splitlines():
        before, mark, rest = line.partition("# real: ")
        if mark and not before.strip():
            lines[-1] = before + rest
        elif "these two lines" not in line and not line.strip().startswith("lr:"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def test_the_changes_it_proposes_give_a_recipe_without_faults(started: Path) -> None:
    path = started / "recipe.yaml"
    path.write_text(swapped(path.read_text()))
    recipe = load(path, Manager(no_plugins=True))
    assert recipe.teacher is not None
    assert recipe.teacher.use == "openai"
    assert recipe.stages[0].settings.seeds.file == "open-seeds.jsonl"
    assert recipe.model == "HuggingFaceTB/SmolLM2-135M"


@pytest.mark.parametrize("name", ["seeds.jsonl", "open-seeds.jsonl"])
def test_its_seeds_are_records_with_answers(started: Path, name: str) -> None:
    records = list(read(started / name, strict=True))
    assert len(records) >= 12
    assert all(record.output for record in records)


def test_open_seeds_are_of_the_form_that_self_instruct_reads() -> None:
    rows = [json.loads(line) for line in read_files()["open-seeds.jsonl"].splitlines()]
    assert [row["id"] for row in rows] == [f"seed_task_{n}" for n in range(len(rows))]
    assert all(set(row) == {"id", "name", "instruction", "instances", "is_classification"} for row in rows)
    assert any(row["is_classification"] for row in rows)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_it_overwrites_nothing_and_then_writes_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    result = init(tmp_path)
    assert result.exit_code != 0
    assert name in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = init(tmp_path / "file" / "inside")
    assert result.exit_code != 0
    assert "cannot be written" in str(result.exception)
