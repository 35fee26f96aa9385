"""What makes a stage be done again, and what does not; damage by hand; several runs at once."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOY = Path(__file__).parent / "toy.py"


@pytest.fixture
def project(cli):
    """A run that is done, with plugins, seeds and a source in its folder; ``asked()`` counts what a new run asks."""
    shutil.copy(TOY, cli.folder / "own.py")
    cli.write("seeds.jsonl", {"instruction": "Name a river."})
    cli.write("extra.jsonl", {"instruction": "Name a lake.", "output": "Garda"})
    (cli.folder / "r.yaml").write_text(
        "teacher: {use: echo, log: asked.log}\nstages:\n"
        "  - generate: {use: count, count: 10, seeds: seeds.jsonl}\n"
        "  - evolve: {strategies: [longer], eliminate: []}\n"
        "  - mix: {use: even, sources: {lakes: extra.jsonl}}\n"
    )
    assert run(cli) == []
    return cli


def run(cli, *options):
    """Run; returns the stages that were done before."""
    assert cli("--plugin", "own.py", "run", "r.yaml", *options, toy=False) == 0, cli.err
    return [line.partition(":")[0] for line in cli.err.splitlines() if "done before" in line]


ALL = ["01-generate", "02-evolve", "03-mix"]


def stages(cli):
    return {p.relative_to(cli.folder): p.read_bytes() for p in (cli.folder / "runs/r/stages").rglob("*.jsonl")}


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_nothing_changed_nothing_is_done(project):
    assert run(project) == ALL


@pytest.mark.parametrize(
    ("file", "old", "new", "left"),
    [
        ("own.py", "is_never_there", "", None),
        ("own.py", '"""Ask for a longer task."""', '"""Ask for a much longer task."""', []),
        ("seeds.jsonl", "river", "stream", []),
        ("extra.jsonl", "Garda", "Como", ["01-generate", "02-evolve"]),
        ("r.yaml", "strategies: [longer]", "strategies: [longer], keep: last", ["01-generate"]),
        ("r.yaml", "strategies: [longer]", "strategies: [{use: longer, weight: 3}]", ["01-generate"]),
        ("r.yaml", "strategies: [longer]", "strategies: [{use: longer, name: beta}]", ["01-generate"]),
        ("r.yaml", "strategies: [longer]", "strategies: [{use: longer, family: in-breadth}]", ["01-generate"]),
        ("r.yaml", "lakes:", "waters:", ["01-generate", "02-evolve"]),
        ("r.yaml", "teacher:", "seed: 7\nteacher:", []),
        ("r.yaml", "log: asked.log", "log: asked.log, fail_on: nothing-like-this", []),
        ("r.yaml", "log: asked.log", "log: asked.log, max_concurrency: 3, timeout: 9", ALL),
    ],
)
def test_a_change_redoes_its_stage_and_what_follows(project, file, old, new, left):
    if left is None:
        with open(project.folder / file, "a") as f:
            f.write("# a comment\n")
        left = []
    else:
        replace(project.folder / file, old, new)
    assert run(project) == left


def test_a_strategy_is_called_what_the_recipe_says_now(project):
    replace(project.folder / "r.yaml", "strategies: [longer]", "strategies: [{use: longer, name: alpha}]")
    run(project)
    replace(project.folder / "r.yaml", "name: alpha", "name: beta")
    assert run(project) == ["01-generate"]
    assert "02-evolve: runs again, because its plugins changed" in project.err
    manifest = json.loads((project.folder / "runs/r/stages/02-evolve/manifest.json").read_text())
    assert list(manifest["report"]["survival"]) == ["beta"]


def test_moving_the_project_or_naming_the_same_file_otherwise_redoes_nothing(project, monkeypatch):
    before = stages(project)
    moved = project.folder.parent / "moved"
    project.folder.rename(moved)
    monkeypatch.chdir(moved)
    project.folder = moved
    assert run(project) == ALL
    (moved / "data").mkdir()
    (moved / "seeds.jsonl").rename(moved / "data" / "tasks.jsonl")
    replace(moved / "r.yaml", "seeds: seeds.jsonl", f"seeds: {moved / 'data' / 'tasks.jsonl'}")
    assert run(project) == ALL
    assert stages(project) == before


def test_an_answer_is_asked_once_however_often_stages_are_redone(project):
    asked = (project.folder / "asked.log").read_text().splitlines()
    assert len(asked) == len(set(asked))
    replace(project.folder / "own.py", '"""Ask for a longer task."""', '"""Another text."""')
    run(project)
    assert (project.folder / "asked.log").read_text().splitlines() == asked


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda stage: (stage / "records.jsonl").unlink(), ["01-generate", "03-mix"]),
        (lambda stage: (stage / "drops.jsonl").write_text("{}"), ["01-generate", "03-mix"]),
        (lambda stage: (stage / "manifest.json").unlink(), ["01-generate", "03-mix"]),
        (lambda stage: (stage / "manifest.json").write_text("[]"), ["01-generate", "03-mix"]),
        (lambda stage: replace(stage / "manifest.json", '"made": ', '"made": 1'), ["01-generate", "03-mix"]),
        (lambda stage: shutil.rmtree(stage), ["01-generate", "03-mix"]),
        (lambda stage: shutil.rmtree(stage.parent), []),
        (lambda stage: (stage / "notes.txt").write_text("a user's own file"), ALL),
    ],
)
def test_what_a_hand_damages_is_done_again_with_the_same_bytes(project, damage, left):
    before, asked = stages(project), (project.folder / "asked.log").read_text()
    damage(project.folder / "runs/r/stages/02-evolve")
    assert run(project) == left
    assert stages(project) == before
    assert (project.folder / "asked.log").read_text() == asked


def test_real_manifests_fit_the_published_schema(project):
    from jsonschema import Draft202012Validator

    schema = json.loads((Path(__file__).parents[2] / "schemas" / "manifest.schema.json").read_text())
    validator = Draft202012Validator(schema)
    manifests = [json.loads(p.read_text()) for p in (project.folder / "runs/r/stages").rglob("manifest.json")]
    assert len(manifests) == 3
    for manifest in manifests:
        validator.validate(manifest)
        assert not validator.is_valid({**manifest, "more": 1})


def test_two_runs_of_one_name_at_once_and_two_of_other_names_with_one_ledger(project):
    replace(project.folder / "r.yaml", "log: asked.log", "log: other.log, hold: hold, fail_on: never")
    (project.folder / "hold").touch()
    command = [sys.executable, "-m", "filial", "--plugin", "own.py", "run", "r.yaml", "--name"]
    options = {"cwd": project.folder, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    names = ["x", "x", "y"]
    started = [subprocess.Popen([*command, name], **options) for name in names]
    while all(process.poll() is None for process in started):  # nobody is answered before one is refused
        time.sleep(0.01)
    (project.folder / "hold").unlink()
    ended = [(p.communicate(timeout=300)[1], p.returncode) for p in started]
    assert sorted(code for _, code in ended) == [0, 0, 2]
    (refused,) = [(err, name) for (err, code), name in zip(ended, names, strict=True) if code]
    assert refused[1] == "x"
    assert "in use by process" in refused[0]
    folder = project.folder / "runs"
    files = [Path("stages") / stage / "records.jsonl" for stage in ALL]
    assert all((folder / "x" / f).read_bytes() == (folder / "y" / f).read_bytes() for f in files)


def test_leftovers_of_a_killed_run_are_swept(project):
    left = project.folder / "runs/r/stages/02-evolve/.records.jsonl.99999.tmp"
    left.write_text("half")
    run(project)
    assert not left.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the in-the-way tests cover this")
def test_a_run_folder_that_cannot_be_written(project):
    (project.folder / "runs").chmod(0o500)
    assert project("--plugin", "own.py", "run", "r.yaml", "--name", "new", toy=False) == 2
    assert "cannot be written" in project.err
