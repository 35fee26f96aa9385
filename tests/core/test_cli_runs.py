"""check, plan and run: what they print, and the exit code of every way a run can end."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

TOY = Path(__file__).parent / "toy.py"

RECIPE = """
seed: 1
teacher: {{use: echo{teacher}}}
{more}
stages:
  - generate: {{use: count, count: 20, seeds: seeds.jsonl}}
  - evolve: {{rounds: 2, strategies: [longer], eliminate: [{{use: short, words: 60}}]}}
  - filter: [first]
"""


@pytest.fixture
def recipe(cli):
    cli.write("seeds.jsonl", {"instruction": "Name a river."})

    def write(teacher="", more=""):
        (cli.folder / "toy.yaml").write_text(RECIPE.format(teacher=teacher, more=more))
        return "toy.yaml"

    return write


def test_check_of_a_good_recipe(cli, recipe):
    assert cli("check", recipe()) == 0
    assert (cli.out, "no faults" in cli.err) == ("", True)
    assert cli("check", recipe(), "--json") == 0
    assert json.loads(cli.out) == {"ok": True, "faults": []}
    assert cli.files() == ["seeds.jsonl", "toy.yaml"]


def proposed(text):
    """The words of the command that is proposed at the end of what was told."""
    return shlex.split(text.strip().splitlines()[-1].partition("filial ")[2])


def test_what_check_proposes_is_the_recipe_as_it_was_checked(cli, recipe):
    shutil.copy(TOY, cli.folder / "my toy.py")
    assert cli("--plugin", "my toy.py", "check", recipe(), "--set", "seed=5", toy=False) == 0
    words = proposed(cli.err)
    assert words == ["--plugin", "my toy.py", "run", "toy.yaml", "--set", "seed=5"]
    assert cli(*words, "--json", toy=False) == 0
    assert json.loads(cli.out)["seed"] == 5


def test_what_a_run_proposes_next_keeps_plugins_name_and_home(cli, recipe):
    shutil.copy(TOY, cli.folder / "own.py")
    given = ["--name", "mine", "--home", "place"]
    top = ["--no-plugins", "--plugin", "own.py"]
    assert cli(*top, "run", recipe(), *given, "--limit", "4", toy=False) == 0
    assert proposed(cli.out) == [*top, "run", "toy.yaml", *given]
    assert cli(*proposed(cli.out), toy=False) == 0
    words = proposed(cli.out)
    assert words == [*top, "render", "alpaca", "place/runs/mine/stages/03-filter/records.jsonl"]
    assert cli(*words, toy=False) == 0


def test_check_tells_every_fault_with_its_place(cli, recipe):
    path = recipe(teacher=", dealy: 1", more="sede: 1")
    assert cli("check", path) == 2
    *faults, last = cli.err.splitlines()
    assert len(faults) == 2
    assert all(f.startswith("toy.yaml:") for f in faults)
    assert last == "2 faults"
    cli("check", path, "--json")
    told = json.loads(cli.out)
    assert (told["ok"], told["faults"]) == (False, faults)


def test_run_refuses_what_check_refuses_and_writes_nothing(cli, recipe):
    assert cli("run", recipe(more="sede: 1")) == 2
    assert "did you mean 'seed'" in cli.err
    assert cli.files() == ["seeds.jsonl", "toy.yaml"]


def test_a_run_prints_its_funnel_and_survival_within_80_columns(cli, recipe):
    assert cli("run", recipe(), "--name", "mine") == 0
    for word in ("01-generate", "why dropped", "fifth 4", "longer", "survived", "Teacher:", "Run: runs/mine"):
        assert word in cli.out
    tables = cli.out.partition("Next:")[0]  # behind it stands a command, as long as what was typed
    assert max(map(len, tables.splitlines())) <= 80
    assert "02-evolve: " in cli.err


def test_a_run_as_json_is_its_summary(cli, recipe):
    assert cli("run", recipe(), "--json") == 0
    assert json.loads(cli.out) == json.loads((cli.folder / "runs/toy/summary.json").read_text())


def test_set_changes_the_recipe_for_this_run(cli, recipe):
    assert cli("run", recipe(), "--json", "--set", "stages.generate.count=10", "--set", "seed=5") == 0
    told = json.loads(cli.out)
    assert (told["stages"][0]["made"], told["seed"]) == (10, 5)
    assert cli("run", recipe(), "--set", "stages.generate.conut=10") == 2
    assert "did you mean 'count'" in cli.err


def test_rows_lost_to_a_failing_teacher_are_exit_5_and_told(cli, recipe):
    assert cli("run", recipe(teacher=", fail_on: task 7")) == 5
    assert "teacher-broken" in cli.out
    assert "drops.jsonl" in cli.out


def test_a_bad_seed_line_is_exit_5_and_named_as_the_recipe_names_its_file(cli, recipe):
    path = recipe()
    with open(cli.folder / "seeds.jsonl", "a") as f:
        f.write("nonsense\n")
    assert cli("run", path) == 5
    (row,) = [r for r in cli.rows("runs/toy/stages/01-generate/drops.jsonl") if r["reason"] == "bad-line"]
    assert row["detail"].startswith("seeds.jsonl:2: ")
    assert row["answer"] == "nonsense"


def test_a_budget_stop_is_exit_3_and_prints_the_command_that_goes_on(cli, recipe):
    import shlex

    path = recipe(more="budget: {requests: 30}")
    assert cli("run", path, "--set", "seed=3", "--name", "a") == 3
    first, second = cli.err.splitlines()[-2:]
    assert first.startswith("Stopped: the budget of 30 requests is used up")
    words = shlex.split(second)
    assert words[0] == "filial"
    assert "seed=3" in words
    assert "budget.requests=60" in words
    for _ in range(4):
        if cli(*words[1:], toy=False) == 0:
            break
        words = shlex.split(cli.err.splitlines()[-1])
    assert "03-filter" in cli.out
    assert (cli.folder / "runs/a/summary.json").exists()


def test_a_plan_sends_and_writes_nothing_and_knows_what_is_done(cli, recipe):
    assert cli("plan", recipe()) == 0
    assert cli.files() == ["seeds.jsonl", "toy.yaml"]
    assert not (cli.folder / ".filial").exists()
    assert "to do" in cli.out
    assert max(map(len, cli.out.splitlines())) <= 80
    cli("run", recipe())
    assert states(cli, recipe()) == {"01-generate": "done", "02-evolve": "done", "03-filter": "done"}
    path = recipe()
    (cli.folder / path).write_text((cli.folder / path).read_text().replace("rounds: 2", "rounds: 3"))
    assert states(cli, path) == {"01-generate": "done", "02-evolve": "changed", "03-filter": "changed"}


def states(cli, path):
    assert cli("plan", path, "--json") == 0
    rows = json.loads(cli.out)
    assert rows[0]["step"] == "teacher"
    return {row["step"]: row["state"] for row in rows[1:]}


def test_a_plan_names_the_model_the_host_and_where_the_key_comes_from(cli, recipe, monkeypatch, config):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    recipe()
    assert cli("keys", "allow", "MY_KEY", "models.example") == 0
    (cli.folder / "toy.yaml").write_text(
        "teacher: {use: openai, model: m1, base_url: 'https://models.example:8000/v1', api_key_env: MY_KEY}\n"
        "data: seeds.jsonl\nstages:\n  - evolve: {strategies: [longer]}\n"
    )
    assert cli("plan", "toy.yaml") == 0
    for word in ("model m1", "host models.example:8000", "key from $MY_KEY", "no cap"):
        assert word in " ".join(cli.out.split())
    assert "sk-secret" not in cli.out + cli.err


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", " ", "a" * 101, "x\ny"])
def test_a_name_that_is_no_plain_folder_name_is_refused(cli, recipe, name):
    assert cli("run", recipe(), "--name", name) == 2
    assert cli.files() == ["seeds.jsonl", "toy.yaml"]


def test_a_recipes_file_name_gives_the_runs_name(cli, recipe):
    (cli.folder / recipe()).rename(cli.folder / "My recipe (v2).yaml")
    assert cli("run", "My recipe (v2).yaml") == 0
    assert (cli.folder / "runs" / "My-recipe-v2" / "summary.json").exists()


def test_home_holds_the_run_and_the_ledger(cli, recipe):
    assert cli("run", recipe(), "--home", "deep/er") == 0
    assert (cli.folder / "deep/er/runs/toy/summary.json").exists()
    assert (cli.folder / "deep/er/.filial/ledger.sqlite").exists()


def test_a_home_that_cannot_be_is_exit_2(cli, recipe):
    (cli.folder / "file").write_text("in the way")
    assert cli("run", recipe(), "--home", "file/home") == 2
    assert "file/home" in cli.err
    assert len(cli.err.strip().splitlines()) == 1
