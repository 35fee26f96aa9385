"""Reading with validation: records per second of CPU time on one core, beside plain parsers.

    python benchmarks/reading.py [--records 100000] [--rounds 5] [--json] [--array GIGABYTES]

Made-up instruction records of about 200 bytes a line are read by `filial.formats.read`, once with ids to compute and
once with ids given, and, in the same process, by bare ``json.loads`` and by ``json.loads`` with a reused `jsonschema`
validator of the published schema (on a tenth of the lines; it is that slow). The same records are read as Alpaca and
ShareGPT (lines and arrays) and as CSV, beside bare `csv.DictReader`. The rounds take turns, so that a busy machine
slows all of them; the median round counts.

``--array 5`` reads conversations from one JSON array of 5 GB instead, which is written to the temporary folder and
removed, and prints the growth of memory beside that of an array of a hundredth of the size.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import statistics
import subprocess
import sys
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


def make_foreign(plain: Path, folder: Path) -> dict[str, Path]:
    """The same records in other formats, by what the table calls them."""
    rows = [json.loads(line) for line in plain.open("rb")]
    alpaca = [{**row, "source": "made up"} for row in rows]
    talks = [
        {"id": str(i), "conversations": [{"from": "human", "value": row["instruction"]},
                                         {"from": "gpt", "value": row["output"]}]}
        for i, row in enumerate(rows)
    ]  # fmt: skip
    files: dict[str, Path] = {}
    for name, foreign in (("Alpaca", alpaca), ("ShareGPT", talks)):
        files[f"{name}, lines"] = folder / f"{name}.jsonl"
        files[f"{name}, lines"].write_text("".join(json.dumps(row) + "\n" for row in foreign), encoding="utf-8")
        files[f"{name}, an array"] = folder / f"{name}.json"
        files[f"{name}, an array"].write_text(json.dumps(foreign, indent=2), encoding="utf-8")
    files["CSV"] = folder / "table.csv"
    with files["CSV"].open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(alpaca[0]))
        writer.writeheader()
        writer.writerows(alpaca)
    return files


def dict_reader_only(path: Path) -> int:
    """Bare `csv.DictReader`."""
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file))


def make_array(path: Path, size: int) -> int:
    """One JSON array of conversations of about 8 KB, of ``size`` bytes; returns how many."""
    rng, count, written = random.Random(7), 0, 0
    talks = []
    for _ in range(50):
        turns = [{"from": ("human", "gpt")[i % 2], "value": " ".join(rng.choices(WORDS, k=120))} for i in range(10)]
        talks.append(json.dumps(turns))
    with path.open("wb") as file:
        file.write(b"[\n")
        while written < size:
            row = f'{{"id": "{count}", "conversations": {talks[count % 50]}}}'.encode()
            written += file.write((b",\n" if count else b"") + row)
            count += 1
        file.write(b"\n]\n")
    return count


def read_once(path: str) -> None:
    """Read a file in this process; prints how many records, CPU seconds, and MB of memory it took."""
    warm = Path(path).with_suffix(".warm.json")
    make_array(warm, 1000)
    sum(1 for _ in read(warm))
    warm.unlink()
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    count = sum(1 for _ in read(path, ids=False))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"count": count, "seconds": time.process_time() - start, "grown": grown / 1024}))


def measure_array(gigabytes: float) -> None:
    """Print what it takes to read a large array and a small one, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for size in (gigabytes / 100, gigabytes):
            path = Path(folder, "talks.json")
            made = make_array(path, int(size * 1e9))
            run = [sys.executable, __file__, "--read-once", str(path)]
            found = json.loads(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
            assert found["count"] == made
            print(
                f"{size:8.2f} GB  {made:10,} records  {found['seconds']:8.1f} CPU s  "
                f"{size * 1000 / found['seconds']:6.0f} MB/s  memory grows by {found['grown']:6.1f} MB"
            )
            path.unlink()


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
        for name, path in (foreign := make_foreign(plain, Path(folder))).items():
            works[name] = lambda path=path: sum(1 for _ in read(path))  # type: ignore[misc]
            next(read(path))  # plugins are imported once, whatever the number of records
        works["csv.DictReader"] = lambda: dict_reader_only(foreign["CSV"])
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
    parser.add_argument("--array", type=float, metavar="GIGABYTES", help="measure memory at an array of this size")
    parser.add_argument("--read-once", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read_once:
        return read_once(options.read_once)
    if options.array:
        return measure_array(options.array)
    figures = measure(options.records, options.rounds)
    if options.json:
        print(json.dumps(figures))
        return None
    print(f"{options.records} lines of {figures.pop('bytes per line'):.0f} bytes, records/s of CPU time, one core")
    own = figures["filial, ids computed"]
    for name, found in figures.items():
        print(f"  {name:32s}{found:12,.0f}   filial with ids computed is {own / found:6.2f} times that")
    return None


if __name__ == "__main__":
    main()
