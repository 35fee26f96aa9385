"""Ledgers filled with made-up answers or by a run of the toy teacher, changed behind their back, and verified."""

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest

from filial import Message, Reply, Request
from filial.gateway import Ledger, TeacherKeys, encode_request

LEDGER = ".filial/ledger.sqlite"
RECIPE = """
seed: {seed}
teacher: {{use: echo}}
stages:
  - generate: {{use: count, count: {count}, seeds: seeds.jsonl}}
  - evolve: {{strategies: [longer], eliminate: [{{use: short, words: 60}}]}}
"""


def fill(path, count, use="echo", identity=None, words=3, known=True):
    """Store so many answers; returns key -> reply."""

    async def all_at_once():
        with closing(Ledger(path)) as ledger:
            who = TeacherKeys(use, {"model": "m1"} if identity is None else identity)
            if known:
                ledger.store_teacher(who)
            asked = [
                encode_request(Request(messages=(Message(role="user", content=f"{use} {i} {'why ' * words}"),)))
                for i in range(count)
            ]
            puts = (
                ledger.put(
                    who.key(a), who.identity, a, Reply(text=f"{i} is {use}", prompt_tokens=2, completion_tokens=3)
                )
                for i, a in enumerate(asked)
            )
            return {reply.key: reply for reply in await asyncio.gather(*puts)}

    return asyncio.run(all_at_once())


@pytest.fixture
def book(cli):
    """The path of the ledger in the command line's folder."""
    return cli.folder / LEDGER


@pytest.fixture
def run(cli):
    """``run(name, count)``: a run of the toy teacher with so many tasks."""

    def start(name="toy", count=10, seed=1, *flags):
        cli.write("seeds.jsonl", {"instruction": "Name a river."})
        (cli.folder / "toy.yaml").write_text(RECIPE.format(seed=seed, count=count))
        return cli("run", "toy.yaml", "--name", name, *flags)

    return start


def change(path, statement, *values):
    """Change one row behind the ledger's back."""
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(statement, values).rowcount == 1


def verified(cli):
    """The exit code of ``filial ledger verify`` and what it tells."""
    code = cli("ledger", "verify", "--json")
    return code, json.loads(cli.out)
