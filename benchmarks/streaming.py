"""Streaming: peak memory and CPU of commands that name one plugin, at several numbers of records.

    python benchmarks/streaming.py [--records 100000 400000] [--evolved 5000 20000] [--json]

``filial filter length`` with every second record dropped, its drops kept, from and to filial JSON lines and from and to
Alpaca's rows; ``filial evolve`` with a teacher in the same process and its answers in a ledger. Records are made up,
about 200 bytes a line. Each command runs in a process of its own; the system tells its peak resident set when it ends.
The yardstick is a script that holds the rows of the same file in a list, as `json.loads` gives them, and writes them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from filial import Reply, Request, Teacher, hookimpl

WORDS = (
    *("river", "bridge", "number", "letter", "garden", "winter", "copper", "signal", "basket", "window", "market"),
    *("harbour", "pencil", "lantern", "ladder", "valley", "button", "timber", "saddle", "candle", "mirror"),
)
HOLD = "import json, sys; rows = [json.loads(line) for line in open(sys.argv[1])]; "
HOLD += "open(sys.argv[2], 'w').writelines(json.dumps(row) + '\\n' for row in rows)"
FILIAL = (sys.executable, "-m", "filial", "--plugin", __file__)


class Adder(Teacher):
    """Says what it is asked, and something more."""

    async def reply(self, request: Request) -> Reply:
        given = request.messages[-1].content.partition("#Given Prompt#:\n")[2].rpartition("\n\n#")[0]
        return Reply(text=f"{given or 'It is so.'} Say why.", prompt_tokens=9, completion_tokens=9, model="adder-1")


@hookimpl
def register_teachers(register: Callable[[str, type[Teacher]], None]) -> None:
    register("adder", Adder)


def make(path: Path, count: int, *, ids: bool) -> None:
    """So many lines, every second one with an answer too long for the filter; without ids they are Alpaca's rows."""
    rng = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            row = {"id": f"{rng.getrandbits(64):016x}"} if ids else {}
            row["instruction"] = f"Write {i} short words about the {' and the '.join(rng.sample(WORDS, 3))}."
            row["input"] = f"{rng.choice(WORDS)} {i}"
            row["output"] = " ".join(rng.choices(WORDS, k=10 + i % 2))
            file.write(json.dumps(row) + "\n")


def peak(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run a command. Returns its peak memory in MB and its CPU seconds."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}\n{said}")
    return used.ru_maxrss / 1024, used.ru_utime + used.ru_stime


def measure(counts: Sequence[int], evolved: Sequence[int]) -> dict[str, list[tuple[int, float, float]]]:
    """Figures by command: number of records, peak memory, CPU seconds."""
    drop, alpaca = ("filter", "length", "--max-output", "10"), ("--format", "alpaca", "--to", "alpaca")
    evolve = ("evolve", "deepen", "--eliminate", "none", "--teacher", "adder")
    found: dict[str, list[tuple[int, float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in counts:
            make(folder / "own.jsonl", count, ids=True)
            make(folder / "alpaca.jsonl", count, ids=False)
            for what, command in {
                "filter length": (*FILIAL, *drop, "own.jsonl", "-o", "out.jsonl"),
                "filter length, alpaca": (*FILIAL, *drop, "alpaca.jsonl", "-o", "out.jsonl", *alpaca),
                "rows in a list": (sys.executable, "-c", HOLD, "own.jsonl", "out.jsonl"),
            }.items():
                found.setdefault(what, []).append((count, *peak(command, folder)))
        for count in evolved:
            make(folder / "own.jsonl", count, ids=True)
            command = (*FILIAL, *evolve, "own.jsonl", "-o", "out.jsonl", "--home", str(folder / str(count)))
            found.setdefault("evolve", []).append((count, *peak(command, folder)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--evolved", type=int, nargs="*", default=[5_000, 20_000])
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    options = parser.parse_args()
    found = measure(options.records, options.evolved)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{'':24}{'records':>9}{'peak MB':>9}{'CPU s':>8}")
    for what, rows in found.items():
        for count, memory, seconds in rows:
            print(f"{what:24}{count:>9,}{memory:>9.1f}{seconds:>8.2f}")


if __name__ == "__main__":
    main()
