"""A key that an endpoint repeats, in answers and in errors, is found in nothing that a run leaves or says."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing

import pytest

from filial_plugins.commands.key_bindings import allow_key

CANARY = "sk-canary/5f3a91c27e"
RECIPE = """
teacher: {{use: openai, model: m, base_url: "{url}", api_key_env: CANARY_KEY, profile: vllm, max_retries: 2}}
stages:
  - generate: {{use: self-instruct, count: 12, seeds: seeds.jsonl}}
  - evolve: {{strategies: [deepen, mutate]}}
  - filter: [length]
heldout: 2
"""
FAULTS = {"p429": 0.1, "p500": 0.1, "preset": 0.05, "pbadjson": 0.1, "pempty": 0.05, "plength": 0.05}


@pytest.fixture
def filial(tmp_path, config, monkeypatch):
    """``filial(*words)``: a command in a process of its own, with the key set and allowed to go to this machine."""
    monkeypatch.setenv("CANARY_KEY", CANARY)
    allow_key("CANARY_KEY", "127.0.0.1")
    home = tmp_path / "home"
    home.mkdir()

    def run(*words):
        return subprocess.run(
            [sys.executable, "-m", "filial", *words], cwd=home, capture_output=True, text=True, check=False,
            env={**os.environ, "HOME": str(home)},
        )  # fmt: skip

    return run


def holders(folder, text):
    """The files below a folder that hold a text, as it is or as JSON may write it; the ledger unpacked."""
    forms = [text.encode(), text.replace("/", "\\/").encode()]
    return [path for path in folder.rglob("*") if path.is_file() and any(f in contents(path) for f in forms)]


def contents(path):
    raw = path.read_bytes()
    if path.name == "ledger.sqlite":  # its answers are packed; other files hold texts as they are
        with closing(sqlite3.connect(path)) as ledger:
            rows = ledger.execute("select request, reply from answers").fetchall()
        raw += b"".join(zlib.decompress(blob) for row in rows for blob in row)
    return raw


@pytest.mark.slow
@pytest.mark.parametrize("sticky", [0, 1])
def test_a_key_that_comes_back_is_nowhere(filial, mock_llm, tmp_path, sticky):
    faults = FAULTS | {"p429": 0} if sticky else FAULTS  # a request that is always told to wait waits ten minutes
    server = mock_llm(echo_headers=1, words=30, retry_after=0.1, sticky=sticky, **faults)
    home = tmp_path / "home"
    seeds = ({"instruction": f"Name {n} {what} and say why."} for n, what in enumerate(("rivers", "hats", "songs")))
    (home / "seeds.jsonl").write_text("".join(json.dumps(seed) + "\n" for seed in seeds))
    (home / "r.yaml").write_text(RECIPE.format(url=server.url))
    done = filial("--debug", "run", "r.yaml")
    assert done.returncode in (0, 5), done.stderr
    outcome = server.stats()["outcome"]
    assert outcome["ok"] > 20
    assert min(outcome["p500"], outcome["pbadjson"]) > 0
    seen = {path.name for path in holders(home, "[Bearer [key]]")}
    assert {"ledger.sqlite", "records.jsonl", "drops.jsonl"} <= seen, "nothing was repeated"
    assert holders(tmp_path, CANARY) == []
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["p429", "p500", "pbadjson", "pcut", "pempty", "plength", "preset"])
def test_nor_is_it_in_what_a_failed_question_says(filial, mock_llm, tmp_path, fault):
    retry_after = 700 if fault == "p429" else 0.1  # more than a run waits: asked once
    server = mock_llm(echo_headers=1, retry_after=retry_after, sticky=1, **{fault: 1.0})
    flags = ["--model", "m", "--base-url", server.url, "--api-key-env", "CANARY_KEY", "--max-retries", "0"]
    done = filial("--debug", "ask", "openai", "Who?", *flags)
    assert done.returncode in (1, 4), done.stderr
    assert server.stats()["requests"] == 1
    assert CANARY not in done.stdout + done.stderr
    assert holders(tmp_path, CANARY) == []


def test_an_address_that_holds_a_secret_is_not_repeated(filial):
    for url in (f"https://me:{CANARY}@host.example/v1", f"https://host.example/v1?token={CANARY}"):
        done = filial("ask", "openai", "Who?", "--model", "m", "--base-url", url)
        assert done.returncode == 2
        assert "must not contain a user, password or query" in done.stderr
        assert CANARY not in done.stdout + done.stderr
