"""Replay: an evolve stage all of whose answers are in the ledger, in records per second of CPU time, and its memory.

    python benchmarks/replay.py [--records 10000] [--many 100000] [--rounds 3] [--depth 1] [--json]

A recipe of four built-in strategies (of all eight, where ``--depth`` asks for more than one round of evolution), the
filter `evolved` and an answer for every child is run over made-up records
with a teacher in the same process, so the ledger holds two answers per record. Then the stage is removed and run again,
in a process of its own: nothing may be asked, and the bytes must be the same; and once more when all is done. What it
costs to read the same number of answers of the same length from a bare sqlite table and `json.loads` them, in that same
process, is the yardstick.
The peak memory is the process's own, and read when a quarter, half and all of the records of the large replay are done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filial import Reply, Request, Teacher, hookimpl
from filial.engine.progress import Reporter
from filial.engine.run import Run
from filial.engine.stage import Counters
from filial.plugins import Manager
from filial.recipe import load

WORDS = (
    *("river", "bridge", "number", "letter", "garden", "winter", "copper", "signal", "basket", "window", "market"),
    *("harbour", "pencil", "lantern", "ladder", "valley", "button", "timber", "saddle", "candle", "mirror"),
)
RECIPE = """
teacher: {{use: reciter}}
data: data.jsonl
stages:
  - evolve: {{rounds: {depth}, strategies: [{strategies}]}}
"""
IN_DEPTH = "deepen, add-constraints, concretize, increase-reasoning"
ALL = f"{IN_DEPTH}, complicate-input, mutate, extend-topic, vary-method"
STAGE = "runs/bench/stages/01-evolve"


def sentence(rng: random.Random, words: int) -> str:
    """So many words."""
    return " ".join(rng.choices(WORDS, k=words))


class Reciter(Teacher):
    """Evolves by a few words more, and answers in 60 words; always the same to the same."""

    async def reply(self, request: Request) -> Reply:
        question = request.messages[-1].content
        given = question.partition("#Given Prompt#:\n")[2].rpartition("\n\n#")[0]
        rng = random.Random(hashlib.sha256(question.encode()).digest())
        text = f"{given} Mind the {sentence(rng, 4)}." if given else f"It is {sentence(rng, 60)}."
        return Reply(text=text, prompt_tokens=len(question) // 4, completion_tokens=len(text) // 4, model="reciter-1")


@hookimpl
def register_teachers(register: Callable[[str, type[Teacher]], None]) -> None:
    register("reciter", Reciter)


class Watch(Reporter):
    """CPU time of the stage, and the peak memory (MB) when a quarter, half and all of its records were done."""

    def __init__(self, records: int) -> None:
        self.cpu, self.made, self.memory = 0.0, 0, dict[int, float]()
        self._marks = [records, records // 2, records // 4]

    @contextmanager
    def stage(self, name: str, status: Any = None) -> Iterator[Callable[[Counters], None]]:
        start = time.process_time()
        yield self._told
        self.cpu = time.process_time() - start

    def _told(self, counters: Counters) -> None:
        self.made = counters.made
        while self._marks and counters.made >= self._marks[-1]:
            self.memory[self._marks.pop()] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(folder: Path, records: int) -> tuple[Run, Watch]:
    """Run the recipe in a folder."""
    manager, watch = Manager(), Watch(records)
    manager.load_file(Path(__file__))
    work = Run(load(folder / "bench.yaml", manager), manager, folder, "bench", watch)
    work.execute()
    return work, watch


def yardstick(folder: Path) -> Callable[[], float]:
    """A bare table of the stage's answers; the function reads them all and returns the CPU seconds it took."""
    db = sqlite3.connect(folder / "bare.sqlite")
    db.execute("create table if not exists bare (key text primary key, reply text)")
    with open(folder / STAGE / "records.jsonl", "rb") as file:
        for row in map(json.loads, file):
            for key in row.get("origin", {}).get("answers", ()):
                reply = {"text": row["output"], "prompt_tokens": 9, "completion_tokens": 9, "model": "reciter-1"}
                db.execute("insert or ignore into bare values (?, ?)", (key, json.dumps(reply)))
    db.commit()
    keys = [key for (key,) in db.execute("select key from bare order by random()")]

    def read() -> float:
        start = time.process_time()
        for key in keys:
            (text,) = db.execute("select reply from bare where key=?", (key,)).fetchone()
            json.loads(text)
        return time.process_time() - start

    return read


def replay(folder: Path, records: int, measure: bool) -> dict[str, Any]:
    """Run the stage again from the ledger, in this process."""
    kept = {name: (folder / STAGE / name).read_bytes() for name in ("records.jsonl", "drops.jsonl")} if measure else {}
    bare = yardstick(folder)() if measure else 0.0
    shutil.rmtree(folder / STAGE)
    work, watch = run(folder, records)
    assert work.spent.requests == 0, f"{work.spent.requests} requests were sent"
    assert all((folder / STAGE / name).read_bytes() == data for name, data in kept.items()), "other bytes"
    start = time.process_time()
    again, _ = run(folder, records)
    finished = time.process_time() - start
    assert (again.spent.requests, again.spent.from_ledger) == (0, 0), "a finished run asked"
    return {
        "cpu": watch.cpu, "made": watch.made, "bare": bare, "memory": watch.memory, "again": finished,
        "reading": hashing(folder),
    }  # fmt: skip


def hashing(folder: Path) -> float:
    """CPU seconds of reading and hashing once every file that a finished run looks at."""
    start = time.process_time()
    for path in (folder / "data.jsonl", *(folder / STAGE).iterdir()):
        with open(path, "rb") as file:
            hashlib.file_digest(file, "sha256")
    return time.process_time() - start


def child(*arguments: object) -> dict[str, Any]:
    """This script in a process of its own; what it prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def filled(folder: Path, records: int, depth: int = 1) -> None:
    """A folder with a recipe, data, and a ledger that holds every answer."""
    recipe = RECIPE.format(depth=depth, strategies=ALL if depth > 1 else IN_DEPTH)
    (folder / "bench.yaml").write_text(recipe, encoding="utf-8")
    rng = random.Random(11)
    with open(folder / "data.jsonl", "w", encoding="utf-8") as file:
        for i in range(records):
            row = {"instruction": f"Tell {i} things about the {sentence(rng, 16)}.", "output": sentence(rng, 40)}
            file.write(json.dumps(row) + "\n")
    child("--fill", folder, "--records", records)


def measure(records: int, many: int, rounds: int, depth: int) -> dict[str, Any]:
    """Rates by median over the rounds, each in a fresh process; then memory, from one large replay."""
    with tempfile.TemporaryDirectory() as name:
        filled(Path(name), records, depth)
        found = [child("--replay", name, "--records", records) for _ in range(rounds)]
    figures: dict[str, Any] = {
        "records": found[0]["made"],
        "records per second of CPU": statistics.median(f["made"] / f["cpu"] for f in found),
        "CPU in bare reads": statistics.median(f["cpu"] / f["bare"] for f in found),
    }
    if many:
        with tempfile.TemporaryDirectory() as name:
            filled(Path(name), many)
            found = [child("--memory", name, "--records", many)]
        figures["peak MB after"] = found[0]["memory"]
    figures["finished"] = {"records": many or records, "cpu": found[-1]["again"], "reading": found[-1]["reading"]}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000, help="records of the large replay; 0 for none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--depth", type=int, default=1, help="rounds of evolution; above 1 by all eight strategies")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    for inner in ("--fill", "--replay", "--memory"):
        parser.add_argument(inner, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fill:
        _, watch = run(options.fill, options.records)
        print(json.dumps({"cpu": watch.cpu}))
    elif options.replay or options.memory:
        print(json.dumps(replay(options.replay or options.memory, options.records, bool(options.replay))))
    else:
        figures = measure(options.records, options.many, options.rounds, options.depth)
        print(json.dumps(figures) if options.json else told(figures))


def told(figures: dict[str, Any]) -> str:
    """The figures as lines of text."""
    lines = [
        f"replay of {2 * figures['records']:,} answers over {figures['records']:,} evolved records: "
        f"{figures['records per second of CPU']:,.0f} records/s of CPU, "
        f"{figures['CPU in bare reads']:.1f} times the CPU of bare sqlite reads with json.loads"
    ]
    memory = figures.get("peak MB after", {})
    lines += [f"  peak memory after {int(done):9,} records: {peak:5.0f} MB" for done, peak in memory.items()]
    again = figures["finished"]
    lines.append(
        f"  finished run of {again['records']:,} records again: {again['cpu']:.2f} s of CPU, "
        f"{again['reading']:.2f} s of them to read and hash its files"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
