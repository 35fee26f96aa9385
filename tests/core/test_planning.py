"""A plan: what would be asked and what that would cost, less what the ledger holds, and how sure that is."""

import json

import pytest

RECIPE = """
seed: 1
teacher: {{use: echo{teacher}}}
data: data.jsonl
stages:
  - evolve: {{rounds: {rounds}, strategies: [longer], eliminate: []}}
  - filter: [short]
"""


@pytest.fixture
def recipe(cli):
    def write(records=10, rounds=1, teacher=""):
        cli.write("data.jsonl", *({"instruction": f"Name river number {i}."} for i in range(records)))
        (cli.folder / "toy.yaml").write_text(RECIPE.format(rounds=rounds, teacher=teacher))
        return "toy.yaml"

    return write


def plan(cli, path):
    assert cli("plan", path, "--json") == 0, cli.err
    return {row["step"]: row for row in json.loads(cli.out)}


def figures(row):
    return row["records"], row["calls"], row["held"], row["sure"]


def test_before_anything_is_asked_all_of_it_is_to_be_sent(cli, recipe):
    rows = plan(cli, recipe(records=10, rounds=3))
    assert figures(rows["01-evolve"]) == (10, 60, 0, "rough")
    assert rows["01-evolve"]["usd"] is None
    assert (rows["02-filter"]["calls"], rows["02-filter"]["usd"]) == (0, 0.0)
    assert not (cli.folder / ".filial").exists()


def test_what_is_done_costs_nothing_and_is_exact(cli, recipe):
    assert cli("run", recipe()) == 0
    rows = plan(cli, recipe())
    assert figures(rows["01-evolve"])[1:] == (0, 0, "exact")
    assert figures(rows["02-filter"])[1:] == (0, 0, "exact")
    assert cli("plan", "toy.yaml") == 0
    assert "No requests are needed." in cli.out


def test_one_record_more_costs_that_record_and_the_run_asks_just_that(cli, recipe):
    assert cli("run", recipe(records=10)) == 0
    before = json.loads((cli.folder / "runs/toy/summary.json").read_text())["teacher"]["requests"]
    records, calls, held, sure = figures(plan(cli, recipe(records=11))["01-evolve"])
    assert (records, held, sure) == (11, before, "likely")
    assert calls >= 2
    assert cli("run", "toy.yaml") == 0
    asked = json.loads((cli.folder / "runs/toy/summary.json").read_text())["teacher"]
    assert asked["from_ledger"] == before
    assert asked["requests"] <= 2


def test_what_the_ledger_holds_is_found_in_another_run_too(cli, recipe):
    assert cli("run", recipe(), "--name", "first") == 0
    rows = plan(cli, recipe())
    assert rows["01-evolve"]["calls"] == 0
    assert rows["01-evolve"]["held"] > 0
    assert rows["01-evolve"]["sure"] == "exact"


def test_another_model_holds_nothing(cli, recipe):
    assert cli("run", recipe()) == 0
    rows = plan(cli, recipe(teacher=", fail_on: never"))
    assert figures(rows["01-evolve"]) == (10, 20, 0, "rough")


def test_tokens_go_by_what_this_teacher_usually_answers(cli, recipe):
    assert cli("run", recipe()) == 0
    row = plan(cli, recipe(records=40))["01-evolve"]
    assert row["calls"] > 30
    assert 3 <= row["tokens"] / row["calls"] <= 60, "the toy's answers have three tokens"


def test_a_plan_calls_a_strategy_by_the_name_in_the_recipe(cli):
    cli.write("data.jsonl", {"instruction": "Name a river."})
    strategies = "[{use: longer, name: stretch}, longer]"
    told = f"data: data.jsonl\nteacher: {{use: echo}}\nstages: [{{evolve: {{strategies: {strategies}}}}}]\n"
    (cli.folder / "r.yaml").write_text(told)
    assert cli("plan", "r.yaml") == 0, cli.err
    assert "1 round of stretch, longer;" in cli.out


def test_a_plan_leaves_every_file_as_it_was(cli, recipe):
    assert cli("run", recipe()) == 0
    path = recipe(records=12)
    before = {p: p.read_bytes() for p in cli.folder.rglob("*") if p.is_file() and ".filial" not in p.parts}
    plan(cli, path)
    assert {p: p.read_bytes() for p in cli.folder.rglob("*") if p.is_file() and ".filial" not in p.parts} == before
