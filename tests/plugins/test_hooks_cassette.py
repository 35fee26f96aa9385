"""A run that records itself leaves a cassette that replays it, whatever happens to it on the way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from filial.cli import invoke
from filial.engine.run import Run
from filial.plugins import Manager
from filial.recipe import load
from filial_plugins.commands.key_bindings import allow_key
from filial_plugins.ledger.cassette import CassetteReader

TOY = Path(__file__).parents[1] / "core" / "toy.py"
RECIPE = """
seed: 1
hooks: {hooks}
teacher: {{use: echo{teacher}}}
stages:
  - generate: {{use: count, count: {count}, seeds: seeds.jsonl}}
  - evolve: {{strategies: [longer], eliminate: [{{use: short, words: 60}}]}}
"""
TAPE = Path("runs/r/cassette.jsonl")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """``run(hooks, count, teacher, *flags)``: a run of the toy teacher in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("seeds.jsonl").write_text('{"instruction": "Name a river."}\n')

    def start(*flags: str, hooks: str = "[cassette]", count: int = 10, teacher: str = "") -> int:
        Path("r.yaml").write_text(RECIPE.format(hooks=hooks, count=count, teacher=teacher))
        return invoke(["--plugin", str(TOY), "run", "r.yaml", *flags])

    return start


def held(path: Path = TAPE) -> dict[str, str]:
    """Question -> answer of everything in a cassette."""
    out = {}
    for entry in CassetteReader(path).entries():
        request, reply = entry.decode()
        out[json.loads(request)["messages"][-1]["content"]] = reply.text
    return out


def outcome(home: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(Path(home, "runs/r/stages").glob("*/*.jsonl"))]


def imported(home: str) -> int:
    return invoke(["ledger", "import", str(TAPE), "--home", home])


def test_what_was_recorded_replays_the_run_elsewhere(run: Any) -> None:
    assert run() == 0
    recorded = held()
    assert len(recorded) == 24
    assert recorded["task 0"] == "task 0 indeed"
    assert imported("new") == 0
    assert run("--home", "new", "--offline") == 0
    assert outcome("new") == outcome(".")
    assert held(Path("new") / TAPE) == recorded, "answers from the ledger are recorded too"


def test_it_holds_what_the_run_used_as_export_does(run: Any) -> None:
    run()
    assert invoke(["ledger", "export", "r", "-o", "exported.jsonl"]) == 0
    lines = {line for line in TAPE.read_text().splitlines() if "filial_cassette" not in line}
    assert lines == {line for line in Path("exported.jsonl").read_text().splitlines() if "filial_cassette" not in line}


def test_a_run_again_adds_nothing_and_one_with_more_only_what_is_new(run: Any) -> None:
    run()
    before = TAPE.read_bytes()
    shutil.rmtree("runs/r/stages")
    assert run() == 0
    assert TAPE.read_bytes() == before
    assert run(count=12) == 0
    assert TAPE.read_bytes().startswith(before)
    assert {"task 10", "task 11"} <= held().keys()
    questions = [row.partition('"checksum"')[0] for row in TAPE.read_text().splitlines() if '"key"' in row]
    assert len(questions) == len(set(questions))


@pytest.mark.parametrize("cut", [1, 30, 400, 10**9])
def test_a_line_torn_by_a_kill_is_mended_by_the_next_run(run: Any, cut: int) -> None:
    run()
    whole = held()
    os.truncate(TAPE, max(7, TAPE.stat().st_size - cut))
    assert imported("new") == (0 if cut == 1 else 2), "without its line break alone, a line is whole"
    shutil.rmtree("runs/r/stages")
    assert run() == 0
    assert held() == whole
    assert imported("other") == 0


def test_a_cassette_damaged_in_the_middle_is_told_of_and_left_alone(run: Any, caplog: Any) -> None:
    run()
    damaged = TAPE.read_bytes().replace(b"task 3 indeed", b"task 3 indeee")
    TAPE.write_bytes(damaged)
    shutil.rmtree("runs/r/stages")
    assert run() == 0
    (told,) = [r.getMessage() for r in caplog.records if r.name == "filial.plugins"]
    assert "its hook run_started raises UsageError: " in told
    assert "cassette.jsonl:" in told
    assert "the run goes on" in told
    assert TAPE.read_bytes() == damaged


def test_requests_that_failed_are_recorded_and_their_rows_are_lost_in_the_replay(run: Any) -> None:
    assert run(teacher=", fail_on: task 7") == 5
    failures = [entry.decode()[1].failure for entry in CassetteReader(TAPE).entries() if entry.failed]
    assert failures == ["broken: it fails here"]
    assert imported("new") == 0
    assert run("--home", "new", "--offline", teacher=", fail_on: task 7") == 5
    assert outcome("new") == outcome(".")


def test_an_answer_that_comes_after_a_failure_is_recorded_too(run: Any) -> None:
    Path("fail.txt").write_text("")
    assert run(teacher=", fail_on: task 7, fail_while: fail.txt") == 5
    assert [entry.failed for entry in CassetteReader(TAPE).entries()].count(True) == 1
    Path("fail.txt").unlink()
    assert run("--retry-lost", teacher=", fail_on: task 7, fail_while: fail.txt") == 0
    assert imported("new") == 0
    assert run("--home", "new", "--offline", teacher=", fail_on: task 7, fail_while: fail.txt") == 0
    assert outcome("new") == outcome(".")


@pytest.mark.parametrize("hooks", ["[cassette, redact]", "[redact, cassette]"])
def test_what_another_hook_masks_is_masked_in_it_in_whatever_order_they_are_named(run: Any, hooks: str) -> None:
    Path("seeds.jsonl").write_text('{"instruction": "Write to ann@mail.example."}\n')
    Path("r.yaml").write_text(
        f"hooks: {hooks}\nteacher: {{use: echo}}\ndata: seeds.jsonl\nstages:\n  - evolve: {{strategies: [longer]}}\n"
    )
    assert invoke(["--plugin", str(TOY), "run", "r.yaml"]) in (0, 5)
    assert "longer: Write to [email]." in held()
    assert "ann@" not in TAPE.read_text()


INSTEAD = """
from filial import Reply, hookimpl


@hookimpl
async def ask(request, proceed):
    return Reply(text="made up", key="f" * 32) if "task 3" in request.messages[-1].content else await proceed(request)
"""


def test_what_another_plugin_answers_is_no_answer_of_the_teacher(run: Any) -> None:
    Path("instead.py").write_text(INSTEAD)
    Path("r.yaml").write_text(RECIPE.format(hooks="[cassette]", count=10, teacher=""))
    assert invoke(["--plugin", str(TOY), "--plugin", "instead.py", "run", "r.yaml"]) == 0
    assert "task 2" in held()
    assert "task 3" not in held()


def test_a_recipe_that_asks_nobody_leaves_none(run: Any) -> None:
    Path("r.yaml").write_text("hooks: [cassette]\ndata: seeds.jsonl\nstages:\n  - filter: [{use: short, words: 90}]\n")
    assert invoke(["--plugin", str(TOY), "run", "r.yaml"]) == 0
    assert not TAPE.exists()


def test_its_file_has_the_name_that_the_recipe_gives_it(run: Any, capsys: Any) -> None:
    assert run(hooks="[{use: cassette, file: answers.jsonl}]") == 0
    assert len(held(Path("runs/r/answers.jsonl"))) == 24
    assert not TAPE.exists()
    for name in ("../out.jsonl", "/tmp/out.jsonl", "summary.json"):
        assert run(hooks=f"[{{use: cassette, file: {name}}}]") == 2
        assert "r.yaml:3:31: " in capsys.readouterr().err
    assert invoke(["plugins", "show", "cassette"]) == 0
    assert "file: string, default 'cassette.jsonl'" in capsys.readouterr().out


def test_two_runs_in_one_process_have_a_recorder_each(run: Any) -> None:
    """As when one run is started from a hook of the other."""
    run()
    runs = []
    for name in ("a", "b"):
        manager = Manager()
        manager.load_file(TOY)
        runs.append(Run(load(Path("r.yaml"), manager), manager, Path("."), name))
    first, second = runs
    first.folder.mkdir(parents=True)
    first.manager.hook.run_started(run=first.info())
    second.execute()
    assert len(held(second.folder / "cassette.jsonl")) == 24
    assert (first.folder / "cassette.jsonl").read_bytes() == b""
    first.manager.hook.run_finished(run=first.info(), error=None)


def test_no_key_is_in_it_nor_in_what_is_exported(run: Any, mock_llm: Any, config: Any, monkeypatch: Any) -> None:
    canary = "sk-canary-71c0ffee"
    monkeypatch.setenv("CANARY_KEY", canary)
    allow_key("CANARY_KEY", "127.0.0.1")
    server = mock_llm(echo_headers=1)
    Path("r.yaml").write_text(
        "hooks: [cassette]\n"
        f'teacher: {{use: openai, model: m, base_url: "{server.url}", api_key_env: CANARY_KEY, profile: vllm}}\n'
        "data: seeds.jsonl\nstages:\n  - evolve: {strategies: [longer]}\n"
    )
    assert invoke(["--plugin", str(TOY), "run", "r.yaml"]) in (0, 5)
    assert invoke(["ledger", "export", "-o", "all.jsonl"]) == 0
    assert held(Path("all.jsonl")) == held()
    assert len(held()) > 0
    for path in (TAPE, Path("all.jsonl")):
        assert canary not in path.read_text()
        assert "CANARY_KEY" not in path.read_text()
