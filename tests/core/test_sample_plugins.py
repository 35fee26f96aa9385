"""Third-party packages, really installed by pip: a good one works everywhere, a broken one costs only who names it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[1] / "sample"
BROKEN = {
    "args": ("args", "register_strategies(register, config) Argument(s) {'config'} are declared in the hookimpl"),
    "broken": ("broken", "does_not_exist"),
    "exits": ("exits", "SystemExit"),
    "liar": ("liar", "registers 'lier'"),
    "typo": ("typo", "did you mean 'register_strategies'"),
    "wrong": ("wrong", "not a subclass of filial.Strategy"),
}
"""Sample package -> the name it claims, and what the message must say; clash, heavy and segv have their own tests."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All twelve sample packages in one folder, as pip installs them."""
    folder = tmp_path_factory.mktemp("installed")
    sources = folder / "sources"  # pip builds in a copy, so that nothing is left in the tree
    shutil.copytree(SAMPLES, sources)
    packages = sorted(map(str, sources.iterdir()))
    assert len(packages) == 12
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    command += ["--no-deps", "--no-build-isolation", "--target", str(folder / "site"), *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "site"


@pytest.fixture
def filial(site, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id": "r1", "instruction": "Name a river."}\n')
    shutil.copy(Path(__file__).parent / "toy.py", tmp_path)

    def run(*args, **env):
        return subprocess.run(
            [sys.executable, "-m", "filial", *args], cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(site), **env},
        )  # fmt: skip

    run.folder = tmp_path
    return run


def evolve(filial, name, **env):
    args = [
        "--plugin",
        "toy.py",
        "evolve",
        name,
        "in.jsonl",
        "-o",
        "o.jsonl",
        "--teacher",
        "echo",
        "--eliminate",
        "none",
    ]
    return filial(*args, **env)


def test_all_are_listed_without_being_imported(filial):
    done = filial("plugins", "--json")
    assert done.returncode == 0
    listed = {(p["name"], p["from"]) for p in json.loads(done.stdout)}
    names = {"args", "broken", "table", "dedupe", "exits", "heavy", "liar", "pirate", "segv", "typo", "wrong"}
    assert {(name, f"filial-{name} 0.1.0") for name in names} <= listed
    assert any(name == "deepen" and "filial-clash" in owner for name, owner in listed)


def test_the_good_one_runs_from_the_command_line_with_its_option(filial):
    done = filial("evolve", "pirate", "--help")
    assert "--accent" in done.stdout
    assert "Which coast the pirate is from." in done.stdout
    args = ["evolve", "pirate", "in.jsonl", "-o", "o.jsonl", "--teacher", "echo", "--accent", "welsh"]
    done = filial("--plugin", "toy.py", *args, "--eliminate", "none")
    assert done.returncode == 0, done.stderr
    child = json.loads((filial.folder / "o.jsonl").read_text().splitlines()[1])
    assert child["instruction"].startswith("Retell this task as a welsh pirate would:")
    assert child["origin"]["plugin"] == "filial-pirate:pirate==0.1.0"


def test_the_good_one_runs_from_a_recipe(filial):
    (filial.folder / "r.yaml").write_text(
        "teacher: {use: echo}\ndata: in.jsonl\n"
        "stages:\n  - evolve: {strategies: [{use: pirate, accent: cornish}], eliminate: []}\n"
    )
    done = filial("--plugin", "toy.py", "run", "r.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stages"][0]["survival"]["pirate"]["1"]["kept"] == 1


def test_the_good_one_runs_in_processes_with_the_same_bytes(filial):
    rows = (f'{{"instruction": "Name {i} rivers."}}\n' for i in range(100))
    (filial.folder / "in.jsonl").write_text("".join(rows))
    (filial.folder / "r.yaml").write_text(
        "teacher: {use: echo}\ndata: in.jsonl\nstages:\n  - evolve: {strategies: [pirate, deepen], eliminate: []}\n"
    )
    for processes in ("0", "2"):
        args = ["run", "r.yaml", "--name", f"n{processes}", "--processes", processes]
        done = filial("--plugin", "toy.py", *args, FILIAL_BLOCK="filial-clash")
        assert done.returncode == 0, done.stderr
    for name in ("records.jsonl", "drops.jsonl", "manifest.json"):
        alone, shared = ((filial.folder / f"runs/n{n}/stages/01-evolve" / name).read_bytes() for n in (0, 2))
        assert shared == alone
    assert b"filial-pirate:pirate==0.1.0" in (filial.folder / "runs/n2/stages/01-evolve/records.jsonl").read_bytes()


def test_a_stage_of_another_package_runs_from_a_recipe(filial):
    (filial.folder / "in.jsonl").write_text('{"instruction": "Name a river."}\n' * 3)
    (filial.folder / "r.yaml").write_text("data: in.jsonl\nstages: [{dedupe: {}}]\n")
    assert filial("check", "r.yaml").returncode == 0
    done = filial("run", "r.yaml", "--json")
    assert done.returncode == 0, done.stderr
    (stage,) = json.loads(done.stdout)["stages"]
    assert (stage["name"], stage["out"], stage["reasons"]) == ("01-dedupe", 1, {"duplicate": 2})
    done = filial("--no-plugins", "check", "r.yaml")
    assert (done.returncode, "stage 'dedupe' of filial-dedupe 0.1.0 is left out by --no-plugins" in done.stderr) == (
        2,
        True,
    )


def test_a_format_reads_and_writes_files_that_are_called_after_it(filial):
    (filial.folder / "in.table").write_text("id,question,answer\nr1,2+2?,4\nr2,3+3?\n")
    done = filial("filter", "length", "in.table", "-o", "out.table", "--min-instruction", "1")
    assert (filial.folder / "out.table").read_text() == "instruction,input,output\n2+2?,,4\n", done.stderr
    assert "in.table:2: has 2 values" in (filial.folder / "out.table.drops.jsonl").read_text()
    done = filial("--no-plugins", "filter", "length", "in.table", "-o", "out.jsonl")
    assert done.returncode == 2
    assert "the format is not clear from the name" in done.stderr


@pytest.mark.parametrize("package", BROKEN)
def test_a_broken_one_costs_only_who_names_it_and_is_named_with_its_cause(filial, package):
    name, cause = BROKEN[package]
    done = evolve(filial, name)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert f"filial-{package} 0.1.0" in line
    assert cause in line
    assert "Traceback" not in done.stderr
    (filial.folder / "r.yaml").write_text(
        f"teacher: {{use: echo}}\ndata: in.jsonl\nstages:\n  - evolve:\n      strategies:\n        - {name}\n"
    )
    done = filial("--plugin", "toy.py", "check", "r.yaml")
    assert done.returncode == 2
    fault, count = done.stderr.strip().splitlines()
    assert fault.startswith("r.yaml:6:11: ")
    assert f"filial-{package} 0.1.0" in fault
    assert cause in fault
    assert count == "1 fault"
    assert f"entry point {name} = filial_{package}" in fault


def test_beside_all_the_broken_ones_everything_else_works(filial):
    assert evolve(filial, "pirate").returncode == 0
    assert evolve(filial, "mutate").returncode == 0
    assert filial("--help").returncode == 0


def test_a_name_of_filials_stays_filials_and_the_other_is_reached_by_its_distribution(filial):
    for name, plugin in (("filial-clash:deepen", "filial-clash:deepen=="), ("deepen", "filial:deepen==")):
        done = evolve(filial, name)
        assert done.returncode == 0, done.stderr
        child = json.loads((filial.folder / "o.jsonl").read_text().splitlines()[1])
        assert child["origin"]["plugin"].startswith(plugin)
    said = "warning: strategy 'deepen' means filial's own; write filial-clash:deepen for that of filial-clash 0.1.0\n"
    assert filial("plugins").stderr == said


def test_one_that_is_slow_to_import_costs_nothing_until_it_is_named(filial, site):
    with open(site / "filial_heavy.py", "a") as file:
        file.write('open("imported", "w").close()\n')
    assert filial("plugins").returncode == 0
    assert not (filial.folder / "imported").exists()
    assert evolve(filial, "heavy").returncode == 0
    assert (filial.folder / "imported").exists()


def test_one_that_kills_the_process_kills_only_who_names_it(filial):
    assert filial("plugins").returncode == 0
    assert evolve(filial, "pirate").returncode == 0
    done = evolve(filial, "segv")
    assert done.returncode < 0
    assert "Segmentation fault" in done.stderr
    assert 'filial_segv.py", line 6' in done.stderr
    assert not (filial.folder / "runs").exists()
