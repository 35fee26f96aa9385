"""A project from somebody else may hold links: no command writes through them into its user's files."""

import json
import os
from pathlib import Path

import pytest

RECIPE = """teacher: {use: echo, log: asked.txt}
data: data.jsonl
stages:
  - evolve: {strategies: [longer], eliminate: []}
"""
INSIDE = (
    "runs/r", "runs/r/.lock", "runs/r/recipe.lock.yaml", "runs/r/spend.sqlite", "runs/r/summary.json",
    "runs/r/cassette.jsonl", "runs/r/stages", "runs/r/stages/01-evolve", "runs/r/stages/01-evolve/records.jsonl",
    "runs/r/stages/01-evolve/manifest.json", "runs/r/dataset", "runs/r/dataset/train.jsonl", "runs/r/model",
    "runs/r/model/config.json", "runs/r/judge", "runs/r/judge/exact-match@model.json", ".filial/ledger.sqlite",
    ".filial/ledger.sqlite-wal", ".filial/prepared",
)  # fmt: skip
TARGETS = {"a file": "mine.txt", "a folder": "other", "nothing": "not-there"}


@pytest.fixture
def mine(tmp_path):
    """A user's own files, and a function that tells whether all are as they were."""
    (tmp_path / "mine.txt").write_text("precious")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".mine.tmp").write_text("precious")

    def found():
        files = {str(p.relative_to(tmp_path)): p for p in tmp_path.rglob("*") if "work" not in p.parts}
        return {name: p.read_text() if p.is_file() else None for name, p in files.items()}

    before = found()
    return tmp_path, lambda: found() == before


@pytest.fixture
def recipe(cli):
    cli.write("data.jsonl", *({"instruction": f"Name river {i}."} for i in range(3)))
    (cli.folder / "r.yaml").write_text(RECIPE)
    return "r.yaml"


def link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(os.path.relpath(target, place.parent.resolve()))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", INSIDE)
def test_a_run_refuses_a_link_where_it_would_write_before_it_writes_or_asks(cli, recipe, mine, name, target):
    folder, untouched = mine
    link(cli.folder / name, folder / TARGETS[target])
    before = cli.files()
    assert cli("run", recipe) == 2
    assert untouched()
    assert len(cli.err.strip().splitlines()) == 1
    assert f"{name} is a link to {folder / TARGETS[target]}" in cli.err
    assert cli.files() == before
    assert not (cli.folder / "asked.txt").exists()


def test_runs_and_the_ledger_may_lie_on_another_disk(cli, recipe, tmp_path):
    for name in ("runs", ".filial"):
        (tmp_path / "disk" / name).mkdir(parents=True)
        link(cli.folder / name, tmp_path / "disk" / name)
    assert cli("run", recipe) == 0
    assert f"runs is a link; this run is in {tmp_path / 'disk/runs/r'}" in cli.err
    assert (tmp_path / "disk/runs/r/summary.json").is_file()
    assert (tmp_path / "disk/.filial/ledger.sqlite").is_file()
    assert cli("run", recipe, "--json") == 0
    assert json.loads(cli.out)["teacher"]["requests"] == 0


def test_behind_a_link_no_folder_is_taken_over_that_is_no_runs(cli, recipe, mine):
    folder, _ = mine
    (folder / "r").mkdir()
    (folder / "r" / "summary.json").write_text("precious")
    link(cli.folder / "runs", folder)
    assert cli("run", recipe) == 2
    assert "contains files that are not of a run" in cli.err
    assert [p.name for p in (folder / "r").iterdir()] == ["summary.json"]
    assert not (cli.folder / "asked.txt").exists()
    assert cli("run", recipe, "--name", "new") == 0


def test_links_inside_a_finished_run_do_not_stop_it(cli, recipe):
    assert cli("run", recipe) == 0
    link(cli.folder / "runs/r/latest", cli.folder / "runs/r/stages")
    assert cli("run", recipe) == 0


@pytest.mark.parametrize(
    "command",
    [
        ("evolve", "longer", "data.jsonl", "-o", "o.jsonl", "--teacher", "echo"),
        ("ask", "echo", "Who?"),
        ("plan", "r.yaml"),
        ("ledger", "verify"),
        ("ledger", "prune", "--yes", "--teacher", "echo"),
    ],
)
def test_no_command_writes_a_ledger_through_a_link(cli, recipe, mine, command):
    folder, untouched = mine
    link(cli.folder / ".filial/ledger.sqlite", folder / "mine.txt")
    assert cli(*command) == 2
    assert "ledger.sqlite is a link to" in cli.err
    assert untouched()


def test_training_by_hand_prepares_no_data_through_a_link(cli, recipe, mine):
    folder, untouched = mine
    link(cli.folder / ".filial/prepared", folder / "other")
    options = ["--model", "pkg:filial_plugins/procedural/pocket_base", "-o", "m", "--template", "alpaca"]
    assert cli("train", "sft", "data.jsonl", *options) == 2
    assert "prepared is a link to" in cli.err
    assert untouched()


def test_the_output_that_a_user_names_may_be_a_link(cli, recipe):
    (cli.folder / "real.jsonl").write_text("")
    link(cli.folder / "o.jsonl", cli.folder / "real.jsonl")
    assert cli("evolve", "longer", "data.jsonl", "-o", "o.jsonl", "--teacher", "echo") == 0
    assert (cli.folder / "o.jsonl").is_symlink()
    assert (cli.folder / "real.jsonl").read_text()
