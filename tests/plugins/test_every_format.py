"""Generating, evolving and filtering by one command on a user's own file, in every format that can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from filial.formats import read, write

SEEDS = "pkg:filial_plugins/procedural/seeds.jsonl"
FILES = {
    "a.jsonl": "auto", "a.jsonl.gz": "auto", "a.jsonl.zst": "auto", "a.parquet": "auto", "alpaca.json": "alpaca",
    "alpaca.jsonl": "alpaca", "sharegpt.json": "sharegpt", "chat.jsonl": "openai", "seeds.jsonl": "seeds",
}  # fmt: skip
TEACHER = ["--teacher", "procedural"]


@pytest.fixture(params=FILES)
def data(request, cli):
    """Ten tasks in a file of one format."""
    from filial import resolve

    tasks = [record for record in read(resolve(SEEDS)) if record.output]
    # A chat has no place for an input of its own, so these tasks hold it in the instruction.
    plain = [r for r in tasks if r.input and "\n" not in r.input]
    inline = [r.replaced(instruction=f"{r.instruction} Use this: {r.input}", input="") for r in plain]
    some = (inline if FILES[request.param] in ("sharegpt", "openai") else tasks)[:10]
    write(cli.folder / request.param, some, format=FILES[request.param])
    return request.param


def test_tasks_grow_from_it(cli, data):
    assert cli("generate", "self-instruct", data, "-o", "out.jsonl", "--count", "3", *TEACHER) == 0
    assert len(cli.rows("out.jsonl")) == 3


def test_it_is_evolved(cli, data):
    assert cli("evolve", "deepen", "mutate", data, "-o", "out.jsonl", "--rounds", "2", *TEACHER) == 0
    rounds = [row.get("origin", {}).get("round", 0) for row in cli.rows("out.jsonl")]
    assert rounds.count(0) == 10
    assert {1, 2} <= set(rounds)


def test_it_is_filtered(cli, data):
    assert cli("filter", "novelty", data, data, "-o", "out.jsonl", "--instances", "drop") == 0
    assert 1 <= len(cli.rows("out.jsonl")) <= 10
    assert all(row["reason"] == "too-similar" for row in cli.rows(Path("out.drops.jsonl")))
