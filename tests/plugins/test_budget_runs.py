"""A cap on money, held against the bill of the server itself: never passed, nearly all of it used, and remembered
whatever ends the run."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import subprocess
import sys
import threading

import pytest

pytestmark = pytest.mark.slow

PRICE = {"prompt": 0.15, "completion": 0.6}
WORST = 0.00026
"""US dollars that one request of the recipe can cost at most."""
RECIPE = """
seed: {seed}
teacher:
  use: openai
  model: m
  base_url: "{url}"
  max_tokens: 256
  max_concurrency: 64
  timeout: {timeout}
  usd_per_million: {{prompt: 0.15, completion: 0.6}}
budget: {{usd: {usd}}}
data: data.jsonl
stages:
  - evolve: {{strategies: [deepen, mutate], eliminate: []}}
"""


@pytest.fixture
def recipe(cli):
    """``recipe(server, usd, rows)``: a run of two requests per row."""

    def write(server, usd, rows=300, seed=1, timeout=300):
        cli.write("data.jsonl", *({"instruction": f"Name {i} rivers and say why."} for i in range(rows)))
        (cli.folder / "r.yaml").write_text(RECIPE.format(url=server.url, usd=usd, seed=seed, timeout=timeout))
        return "r.yaml"

    return write


def billed(server):
    """US dollars of all that the server was put to work on."""
    tokens = server.stats()["billed"]
    return (tokens["prompt_tokens"] * PRICE["prompt"] + tokens["completion_tokens"] * PRICE["completion"]) / 1e6


def told(cli):
    return json.loads((cli.folder / "runs/r/summary.json").read_text())["teacher"]


def printed(cli):
    """The words of the command that was printed last, behind ``filial``."""
    return shlex.split(cli.err.splitlines()[-1])[1:]


@pytest.mark.parametrize("seed", range(3))
def test_a_cap_of_two_cents_is_never_passed_and_nearly_all_used(cli, recipe, mock_llm, seed):
    """Whatever the machine is busy with, since nobody is answered before there are so many in flight."""
    server = mock_llm(latency_ms=20, jitter_ms=50, hold_after=0)

    def answer():
        server.wait("in_flight", 16)
        server.config(hold_after=-1)

    answering = threading.Thread(target=answer)
    answering.start()
    assert cli("run", recipe(server, 0.02, seed=seed), toy=False) == 3
    answering.join()
    assert 0.95 * 0.02 <= billed(server) <= 0.02
    assert "the budget of $0.0200 is used up" in cli.err


def test_nor_is_it_passed_where_paid_answers_are_lost_or_useless(cli, recipe, mock_llm):
    server = mock_llm(p500=0.05, preset=0.1, phang=0.02, pbadjson=0.1, pcut=0.05, plength=0.05, pempty=0.05)
    assert cli("run", recipe(server, 0.02, timeout=3), toy=False) == 3
    assert 0 < billed(server) <= 0.02


def test_the_printed_command_goes_on_and_what_was_spent_counts(cli, recipe, mock_llm):
    server = mock_llm()
    path = recipe(server, 0.004, rows=100)
    assert cli("run", path, toy=False) == 3
    spent, command = billed(server), printed(cli)
    assert cli("run", path, toy=False) == 3
    assert billed(server) - spent <= 0.004 - spent
    assert command == ["run", "r.yaml", "--set", "budget.usd=0.008"]
    caps = 1
    while cli(*command, toy=False) != 0:
        caps += 1
        assert 0.9 * 0.004 * 2**caps / 2 < billed(server) <= 0.004 * 2**caps / 2
        command = printed(cli)
    stats = server.stats()
    assert (stats["answered"], stats["repeated"]) == (200, 0)
    assert told(cli)["run_usd"] == pytest.approx(billed(server))
    assert told(cli)["usd"] < told(cli)["run_usd"]
    assert (
        f"; the whole run took {told(cli)['run_requests']:,} requests, {told(cli)['run_tokens']:,} tokens, " in cli.out
    )
    assert f" tokens, ${billed(server):.4f}." in cli.out


def test_answers_from_the_ledger_cost_nothing_and_are_reported_apart(cli, recipe, mock_llm):
    path = recipe(mock_llm(), 1.0, rows=20)
    assert cli("run", path, toy=False) == 0
    assert "Teacher: 40 requests, 0 answers from the ledger" in cli.out
    assert cli("run", path, "--name", "again", "--set", "budget.usd=0.000001", toy=False) == 0
    assert "Teacher: 0 requests, 40 answers from the ledger, 0 tokens." in cli.out
    assert not (cli.folder / "runs/again/spend.sqlite").exists()


def test_what_was_spent_survives_kill_9(cli, recipe, mock_llm):
    server = mock_llm(hold_after=0)
    path, rng = recipe(server, 0.04), random.Random(3)
    for _ in range(2):
        enough = server.stats()["answered"] + rng.randint(5, 80)
        server.config(hold_after=enough)
        process = subprocess.Popen([sys.executable, "-m", "filial", "run", path], cwd=cli.folder)
        server.wait("answered", enough)
        server.wait("in_flight", 1)
        process.kill()
        process.wait()
    server.config(hold_after=-1)
    assert cli("run", path, toy=False) == 3
    most = 64 * WORST
    assert 0.95 * 0.04 - 2 * most < billed(server) <= 0.04
    assert cli("run", path, "--set", "budget.usd=1", toy=False) == 0
    assert server.stats()["repeated"] <= 2 * 64
    counted_more = told(cli)["run_usd"] - billed(server)
    assert 0 < counted_more < 2 * most, "what was in flight at a kill counts with the most it could cost"


def test_where_the_answers_hold_no_counts_the_figures_are_the_most_it_can_be(cli, recipe, mock_llm):
    server = mock_llm(usage="none")
    path = recipe(server, 0.01)
    assert cli("run", path, toy=False) == 3
    assert billed(server) <= 0.01
    assert "(at most $0.0" in cli.err
    assert cli("run", path, "--set", "budget.usd=1", toy=False) == 0
    assert billed(server) < told(cli)["run_usd"]
    whole = r"the whole run took [\d,]+ requests, [\d,]+ tokens, at most \$0\.\d+; "
    assert re.search(r"at most [\d,]+ tokens, at most \$0\.\d+; " + whole, cli.out)
    assert f"; {told(cli)['estimated']:,} answers without complete token counts" in cli.out
    assert told(cli)["estimated"] > 0


def test_a_cap_on_money_is_refused_where_the_price_is_not_known(cli, recipe, mock_llm):
    path = recipe(mock_llm(), 1.0)
    text = (cli.folder / path).read_text()
    (cli.folder / path).write_text("".join(x for x in text.splitlines(True) if "usd_per_million" not in x))
    assert cli("check", path, toy=False) == 2
    line = 1 + (cli.folder / path).read_text().splitlines().index("budget: {usd: 1.0}")
    assert cli.err.startswith(f"r.yaml:{line}:10: ")
    assert "the price of the teacher 'openai' is not known" in cli.err
    assert cli("run", path, toy=False) == 2
    assert not os.path.exists(cli.folder / "runs")
