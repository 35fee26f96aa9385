"""A run killed in the middle of a stage with `novelty` ends, when run again, in the bytes of one that was whole."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

OWN = '''
import os
import random
import signal

from filial import Filter, Keep, Reply, Strategy, Teacher, hookimpl

LEFT = int(os.environ.get("LEFT", "1000000"))


class Model(Teacher):
    """Writes one of fifty tasks, of which two at a time differ in their last word alone."""

    async def reply(self, request):
        number = sum(map(ord, request.messages[-1].content)) % 50
        words = random.Random(number // 2).sample("""WORDS""".split(), 7)
        return Reply(text=" ".join([*words, "over" if number % 2 else "under"]))


class Told(Strategy):
    """Ask for a task."""

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"Rewrite: {record.instruction}")
        return record.evolved(instruction=reply.text)


class Fuse(Filter):
    """Kill the process when so many records have come, as the environment says; in a run that is whole, never."""

    remembers = True

    def check(self, record, ctx):
        ctx.memory["seen"] = ctx.memory.get("seen", 0) + 1
        if ctx.memory["seen"] == LEFT:
            os.kill(os.getpid(), signal.SIGKILL)
        return Keep()


@hookimpl
def register_teachers(register):
    register("model", Model)


@hookimpl
def register_strategies(register):
    register("told", Told)


@hookimpl
def register_filters(register):
    register("fuse", Fuse)
'''
STAGES = {
    "01-filter": "- filter: [fuse, {use: novelty, against: [pool], files: [old.jsonl]}]",
    "01-evolve": "- evolve: {rounds: 2, strategies: [told], eliminate: [{use: novelty, instances: drop}, fuse]}",
}


WORDS = [
    "name",
    "river",
    "lake",
    "city",
    "poem",
    "song",
    "list",
    "bread",
    "stone",
    "table",
    "wind",
    "rain",
    "tree",
    "bird",
]


def texts(start: int, stop: int) -> list[str]:
    """Tasks of seven words; every third differs in one of them from the one before."""
    out = []
    for i in range(start, stop):
        words = random.Random(i - (i % 3 == 2)).sample(WORDS, 7)
        out.append(" ".join(words if i % 3 < 2 else [*words[:-1], "other"]))
    return out


class Project:
    """A folder with a recipe of one stage, and runs of it in processes of their own."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder, self.stage = folder, stage
        (folder / "own.py").write_text(OWN.replace("WORDS", " ".join(WORDS)))
        (folder / "r.yaml").write_text(f"teacher: {{use: model}}\ndata: data.jsonl\nstages:\n  {STAGES[stage]}\n")
        for name, tasks in (("data.jsonl", texts(0, 60)), ("old.jsonl", texts(30, 40))):
            lines = (json.dumps({"instruction": task, "output": "…"}) + "\n" for task in tasks)
            (folder / name).write_text("".join(lines))

    def run(self, name: str, left: int | None = None) -> int:
        command = [sys.executable, "-m", "filial", "--plugin", "own.py", "run", "r.yaml", "--name", name]
        environment = {**os.environ, **({} if left is None else {"LEFT": str(left)})}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True).returncode

    def bytes(self, name: str) -> dict[str, bytes]:
        stage = self.folder / "runs" / name / "stages" / self.stage
        return {file: (stage / file).read_bytes() for file in ("records.jsonl", "drops.jsonl")}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_the_middle_and_run_again_gives_the_same_bytes(tmp_path, stage):
    project = Project(tmp_path, stage)
    assert project.run("whole") == 0
    whole = project.bytes("whole")
    assert b"too-similar" in whole["drops.jsonl"]
    assert whole["records.jsonl"].count(b"\n") > 20
    for left in (2, 20):
        assert project.run("killed", left) == -signal.SIGKILL
    assert project.run("killed") == 0
    assert project.bytes("killed") == whole
