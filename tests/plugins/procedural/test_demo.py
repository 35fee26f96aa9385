"""The demo's recipe: same bytes whatever happens, no socket, a model that learns, and a text that says what it is."""

import copy
import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import kill_kit
import pytest
import yaml

from filial.commands import Run, from_dict
from filial.plugins import Manager, index
from filial_plugins.procedural import demo

RECIPE = yaml.safe_load(demo.PACKAGED.read_text())
REPOSITORY = Path(__file__).parents[3]


def data_only(tasks=120, **changes):
    """The demo's data stages, smaller."""
    recipe = {k: copy.deepcopy(v) for k, v in RECIPE.items() if k in ("seed", "teacher", "stages")}
    recipe["stages"][0]["generate"]["count"] = tasks
    recipe["teacher"] |= changes
    return recipe


def run(recipe, home, name):
    work = Run(from_dict(recipe, Manager(index()), name=name), Manager(index()), home, name)
    return work.execute()


def digests(home, name):
    """SHA-256 of every records.jsonl and drops.jsonl of a run."""
    stages = home / "runs" / name / "stages"
    return {
        str(f.relative_to(stages)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(stages.rglob("*.jsonl"))
    }


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    home = tmp_path_factory.mktemp("demo")
    summary = run(data_only(), home, "once")
    return home, summary, digests(home, "once")


def test_the_recipe_in_the_repository_is_the_one_that_is_shipped():
    assert (REPOSITORY / "recipes" / "demo.yaml").read_text() == demo.PACKAGED.read_text()


def test_every_stage_accounts_for_every_row_and_keeps_a_sensible_share(once):
    _, summary, _ = once
    for stage in summary["stages"]:
        assert stage["entered"] + stage["made"] == stage["out"] + stage["dropped"]
    generate, evolve, novel, *_ = summary["stages"]
    assert generate["out"] / generate["made"] > 0.35
    assert novel["out"] / novel["entered"] > 0.35
    assert set(evolve["survival"]) == {
        "add-constraints", "deepen", "concretize", "increase-reasoning",
        "complicate-input", "mutate", "extend-topic", "vary-method",
    }  # fmt: skip


def test_every_answer_of_a_noiseless_teacher_is_true(once):
    from filial_plugins.procedural.truth import truth

    home, _, _ = once
    lines = (home / "runs/once/stages/04-generate/records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    wrong = [r for r in records if truth(r["instruction"], r.get("input", "")) != r["output"]]
    assert len(records) > 500
    assert wrong == []


def test_no_training_record_asks_a_held_out_question(once):
    home, _, _ = once
    lines = (home / "runs/once/stages/04-generate/records.jsonl").read_text().splitlines()
    trained = {(r["instruction"], r.get("input", "")) for r in map(json.loads, lines)}
    for exam in ("paraphrase", "evolved", "composition"):
        rows = map(json.loads, (demo.HERE / "heldout" / f"{exam}.jsonl").read_text().splitlines())
        assert not [r for r in rows if (r["instruction"], r.get("input", "")) in trained], exam


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 64])
def test_same_seed_same_bytes_at_any_concurrency(once, tmp_path, concurrency):
    run(data_only(max_concurrency=concurrency), tmp_path, "again")
    assert digests(tmp_path, "again") == once[2]


BLOCKED = """
import socket
def refuse(*args, **kwargs): raise AssertionError("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.socket.bind = socket.socket.sendto = refuse
socket.create_connection = socket.getaddrinfo = refuse
"""
CHILD = """
import sys, yaml
from pathlib import Path
{before}
from filial.commands import Run, from_dict
from filial.plugins.discovery import index
from filial.plugins import Manager
manager = Manager(index())
{after}
Run(from_dict(yaml.safe_load({recipe!r}), manager, name="child"), manager, Path({home!r}), "child").execute()
"""


def child(home, recipe, before="", after=""):
    """The command of a process that runs a recipe."""
    return [
        sys.executable,
        "-c",
        CHILD.format(before=before, after=after, recipe=yaml.safe_dump(recipe), home=str(home)),
    ]


@pytest.mark.slow
def test_no_socket_is_opened(once, tmp_path):
    done = subprocess.run(child(tmp_path, data_only(), BLOCKED), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert digests(tmp_path, "child") == once[2]


@pytest.mark.slow
def test_kill_9_again_and_again_until_it_is_done_gives_the_same_bytes(tmp_path):
    recipe = data_only(tasks=15)
    whole, killed = (child(tmp_path / name, recipe, after=kill_kit.CODE) for name in ("whole", "killed"))
    assert len(list(kill_kit.kills(killed, random.Random(9), kill_kit.calls(whole) // 3))) > 2
    assert digests(tmp_path / "killed", "child") == digests(tmp_path / "whole", "child")


@pytest.mark.slow
@pytest.mark.train
def test_a_short_demo_learns_beyond_copying_and_says_what_it_is(tmp_path):
    """Thirty CPU seconds: the base scores nothing, the tuned model far more than its nearest neighbour."""
    pytest.importorskip("torch", reason="the demo trains a model")
    recipe = copy.deepcopy(RECIPE)
    recipe["stages"][0]["generate"]["count"] = 300
    recipe["heldout"] = 400
    del recipe["train"]["max_seconds"]
    recipe["train"] |= {"max_cpu_seconds": 30, "threads": 1}
    for judge in recipe["judge"]:
        judge["limit"] = 100
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(recipe))
    code = f"{BLOCKED}\nfrom filial.cli import main\nmain(['demo', {str(path)!r}, '--home', {str(tmp_path)!r}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "closed world" in done.stderr
    assert "nothing about quality" in done.stderr
    for heading in ("The funnel", "Survival", "unseen compositions", "plain prompts instead of chat tokens: 0 %"):
        assert heading in done.stdout
    exams = json.loads((tmp_path / "runs/demo/summary.json").read_text())["judge"]
    assert all(results["base"]["passed"] == 0 for results in exams.values())
    assert exams["seen"]["model"]["passed"] > 0.5
    assert exams["seen"]["model"]["passed"] > 3 * exams["seen"]["nearest"]["passed"]
