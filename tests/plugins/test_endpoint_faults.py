"""A run against an endpoint that fails: what passes costs time and no row, what stays costs its own rows alone, and
where nobody is served any more the run stops, keeps what it has, and goes on later."""

from __future__ import annotations

import contextlib
import re
import shlex
import sqlite3
import threading

import pytest

pytestmark = pytest.mark.slow

RECIPE = """
teacher: {{use: openai, model: m, base_url: "{url}", timeout: {timeout}, max_retries: {retries}}}
data: data.jsonl
stages:
  - evolve: {{strategies: [deepen], answer: false, eliminate: []}}
"""
STAGE = "runs/r/stages/01-evolve"
MIX = {"p429": 0.1, "retry_after": 0.2, "p500": 0.05, "preset": 0.05, "pbadjson": 0.05}
WELL = dict.fromkeys(("p429", "p500", "pquota", "preset", "phang", "pbadjson", "p403"), 0.0)
WINDOW = 64
PATIENT = 300
"""Seconds in which every answer comes, however busy the machine is."""


@pytest.fixture
def recipe(cli):
    """``recipe(server, rows)``: a run of one request per row."""

    def write(server, rows, retries=6, timeout=PATIENT):
        cli.write("data.jsonl", *({"instruction": f"Name {i} rivers and say why."} for i in range(rows)))
        (cli.folder / "r.yaml").write_text(RECIPE.format(url=server.url, retries=retries, timeout=timeout))
        return "r.yaml"

    return write


def evolved(cli):
    return [row for row in cli.rows(f"{STAGE}/records.jsonl") if row.get("origin")]


def files(cli, home="."):
    return {name: (cli.folder / home / STAGE / name).read_bytes() for name in ("records.jsonl", "drops.jsonl")}


def held(cli):
    """How many answers the ledger holds."""
    with contextlib.closing(sqlite3.connect(cli.folder / ".filial/ledger.sqlite")) as ledger:
        return ledger.execute("select count(*) from answers").fetchone()[0]


def printed(text):
    """The words of the last command that was printed, behind ``filial``."""
    line = [line for line in text.splitlines() if "filial " in line][-1]
    return shlex.split(line[line.index("filial ") :])[1:]


def test_faults_that_pass_cost_no_row_and_change_no_byte(cli, recipe, mock_llm):
    server = mock_llm(**MIX)
    path = recipe(server, 500)
    assert cli("run", path, toy=False) == 0, cli.err
    assert len(evolved(cli)) == len({row["instruction"] for row in evolved(cli)}) == 500
    assert cli.rows(f"{STAGE}/drops.jsonl") == []
    stats = server.stats()
    assert (stats["answered"], stats["answered_again"]) == (500, 0)
    assert min(stats["outcome"][fault] for fault in ("p429", "p500", "preset", "pbadjson")) > 0
    tokens = int(re.search(r"at most ([\d,]+) tokens", cli.out)[1].replace(",", ""))
    assert tokens > sum(stats["billed"].values()), "what lost answers may have used is counted, and said"
    server.config(**WELL)
    assert cli("run", path, "--home", "unharmed", toy=False) == 0
    assert files(cli, "unharmed") == files(cli)


def test_requests_that_hang_are_given_up_and_cost_no_row(cli, recipe, mock_llm):
    """A busy machine may have others given up as well: that costs a request, and no row either."""
    server = mock_llm(phang=0.2)
    path = recipe(server, 20, timeout=3)
    assert cli("run", path, toy=False) == 0, cli.err
    assert len({row["instruction"] for row in evolved(cli)}) == 20
    assert cli.rows(f"{STAGE}/drops.jsonl") == []
    assert server.stats()["outcome"]["gone"] > 0
    server.config(**WELL)
    assert cli("run", path, "--home", "unharmed", "--set", f"teacher.timeout={PATIENT}", toy=False) == 0
    assert files(cli, "unharmed") == files(cli)


def test_faults_that_stay_cost_their_rows_alone_which_can_be_asked_for_once_that_is_mended(cli, recipe, mock_llm):
    server = mock_llm(sticky=1, p500=0.02, pbadjson=0.02)
    path = recipe(server, 500, retries=1)
    assert cli("run", path, toy=False) == 5
    lost = cli.rows(f"{STAGE}/drops.jsonl")
    assert len(evolved(cli)) + len(lost) == 500
    assert {row["reason"] for row in lost} == {"teacher-http-500", "teacher-malformed-answer"}
    for row in lost:
        assert row["record"]["instruction"].startswith("Name ")
        assert row.get("answer", "").startswith('{"id": "chatcmpl-') == (row["reason"] == "teacher-malformed-answer")
    for reason in ("teacher-http-500", "teacher-malformed-answer"):
        assert f"{reason} {sum(row['reason'] == reason for row in lost)}" in cli.out
    before = files(cli)
    assert cli(*printed(cli.out), toy=False) == 5, "where only such rows are left, too"
    assert files(cli) == before
    server.config(**WELL)
    server.reset()
    assert cli(*printed(cli.out), toy=False) == 0
    assert server.stats()["requests"] == len(lost)
    assert cli("run", path, "--home", "unharmed", toy=False) == 0
    assert files(cli, "unharmed") == files(cli)


def test_prompts_that_a_firewall_forbids_cost_their_rows_alone_and_name_them(cli, recipe, mock_llm):
    server = mock_llm(sticky=1, p403=0.02)
    path = recipe(server, 300)
    assert cli("run", path, toy=False) == 5, cli.err
    lost = cli.rows(f"{STAGE}/drops.jsonl")
    assert len(evolved(cli)) + len(lost) == 300
    assert {(row["reason"], row["detail"]) for row in lost} == {("teacher-forbidden", "request blocked")}
    assert all(row["record"]["instruction"].startswith("Name ") for row in lost)
    before = files(cli)
    assert cli(*printed(cli.out), toy=False) == 5, "where only such rows are left, too"
    assert files(cli) == before
    server.config(p403=0.0)
    assert cli(*printed(cli.out), toy=False) == 0
    assert len(evolved(cli)) == 300


def test_an_endpoint_that_is_not_there_stops_the_run_which_goes_on_when_it_is(cli, recipe, mock_llm):
    server = mock_llm()
    server.stop()
    assert cli("run", recipe(server, 40, retries=1), toy=False) == 4
    assert "cannot be reached" in cli.err
    assert not (cli.folder / STAGE / "drops.jsonl").exists()
    back = mock_llm(port=server.port)
    assert cli(*printed(cli.err), toy=False) == 0
    assert (len(evolved(cli)), back.stats()["requests"]) == (40, 40)


@pytest.mark.parametrize("death", ["gone", "p500", "preset", "phang", "pquota", "p403"])
def test_an_endpoint_that_dies_in_mid_run_costs_no_row_and_at_most_what_was_in_flight(cli, recipe, mock_llm, death):
    server = mock_llm(hold_after=100)
    path = recipe(server, 300, retries=1, timeout=1.5 if death == "phang" else PATIENT)

    def die():
        server.wait("answered", 100)
        server.stop() if death == "gone" else server.config(hold_after=-1, **{death: 1.0})

    killer = threading.Thread(target=die)
    killer.start()
    code = cli("run", path, toy=False)
    killer.join()
    assert code == 4
    assert not (cli.folder / STAGE / "drops.jsonl").exists()
    known = held(cli)
    if death == "gone":
        assert 100 - WINDOW <= known <= 100
        server = mock_llm(port=server.port)
    else:
        assert 100 <= known <= 100 + WINDOW
        assert death == "phang" or known == server.stats()["answered"]
        server.config(**WELL)
        server.reset()
    assert cli(*printed(cli.err), "--set", f"teacher.timeout={PATIENT}", toy=False) == 0
    assert (len(evolved(cli)), server.stats()["requests"]) == (300, 300 - known)


def test_an_empty_account_stops_the_run_at_once(cli, recipe, mock_llm):
    server = mock_llm(pquota=1.0)
    assert cli("run", recipe(server, 200), toy=False) == 4
    assert "you exceeded your current quota" in cli.err
    stats = server.stats()
    assert (stats["requests"] <= WINDOW + 2, stats["repeated"]) == (True, 0)


def test_a_wait_of_two_hours_stops_the_run_and_says_when_to_come_back(cli, recipe, mock_llm):
    server = mock_llm(p429=1.0, retry_after=7200)
    assert cli("run", recipe(server, 200), toy=False) == 4
    assert "asks to wait 120 minutes" in cli.err
    assert server.stats()["repeated"] == 0
    assert printed(cli.err) == ["run", "r.yaml"]
