"""Reading with validation: records per second of CPU time on one core, beside plain JSON parsers.

    python benchmarks/reading.py [--records 100000] [--rounds 5] [--json]

Made-up instruction records of about 200 bytes a line are read by `filial.formats.read`, once with ids to compute and
once with ids given, and, in the same process, by bare ``json.loads`` and by ``json.loads`` with a reused `jsonschema`
validator of the published schema (on a tenth of the lines; it is that slow). The rounds take turns, so that a busy
machine slows all of them; the median round counts.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from jsonschema import Draft202012Validator

from filial.formats import read, write
from filial.formats.records import schema

WORDS = [
    "river",
    "bridge",
    "number",
    "letter",
    "garden",
    "winter",
    "copper",
    "signal",
    "basket",
    "window",
    "market",
    "harbour",
    "pencil",
    "lantern",
]


def make(path: Path, count: int) -> None:
    """``count`` lines of instruction, input and output."""
    rng = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            row = {
                "instruction": f"Write {i} short words about the {' and the '.join(rng.sample(WORDS, 3))}.",
                "input": f"{rng.choice(WORDS)} {i}",
                "output": " ".join(rng.choices(WORDS, k=10)),
            }
            file.write(json.dumps(row) + "\n")


def loads_only(path: Path) -> int:
    """Bare ``json.loads`` of every line."""
    count = 0
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
            count += 1
    return count


def loads_and_validate(path: Path, validator: Draft202012Validator) -> int:
    """``json.loads`` and a reused validator on every tenth line."""
    count = 0
    with path.open("rb") as file:
        for i, line in enumerate(file):
            if i % 10 == 0:
                validator.validate(json.loads(line))
                count += 1
    return count


def rate(work: Callable[[], int]) -> float:
    """Records per second of this process's CPU time."""
    start = time.process_time()
    count = work()
    return count / (time.process_time() - start)


def measure(records: int, rounds: int) -> dict[str, float]:
    """Median rates by name."""
    validator = Draft202012Validator(schema())
    with tempfile.TemporaryDirectory() as folder:
        plain, named = Path(folder, "plain.jsonl"), Path(folder, "named.jsonl")
        make(plain, records)
        write(named, read(plain))
        works: dict[str, Callable[[], int]] = {
            "filial, ids computed": lambda: sum(1 for _ in read(plain)),
            "filial, ids given": lambda: sum(1 for _ in read(named)),
            "filial, ids computed, all kept": lambda: len(list(read(plain))),
            "json.loads": lambda: loads_only(plain),
            "json.loads + jsonschema": lambda: loads_and_validate(plain, validator),
        }
        found: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(rounds):
            for name, work in works.items():
                found[name].append(rate(work))
        bytes_per_line = plain.stat().st_size / records
    return {"bytes per line": bytes_per_line, **{name: statistics.median(rates) for name, rates in found.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    options = parser.parse_args()
    figures = measure(options.records, options.rounds)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{options.records} lines of {figures.pop('bytes per line'):.0f} bytes, records/s of CPU time, one core")
    own = figures["filial, ids computed"]
    for name, found in figures.items():
        print(f"  {name:32s}{found:12,.0f}   filial with ids computed is {own / found:6.2f} times that")


if __name__ == "__main__":
    main()
