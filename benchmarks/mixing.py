"""Mixing: records per CPU second and peak memory of `filial mix` over 50 files, beside `datasets` and TRL.

    python benchmarks/mixing.py [--records 200000 2000000] [--trl PYTHON] [--json]

Records are made up, about 300 bytes a line, in 50 files of different sizes. A mix of as many records at temperature 3
repeats those of small files; it is written as JSON lines, shuffled. Each program reads the same files and writes one
file, in a process of its own; the system tells its peak resident set and CPU time when it ends.

* ``datasets``: every file by ``load_dataset("json")``, then ``interleave_datasets`` with the same rates and repetition
  (``all_exhausted``), as many rows, ``to_json``.
* ``datasets, streamed``: the same with ``streaming=True``, rows shuffled in its buffer of 1,000.
* ``TRL``: `trl.get_dataset` of a `DatasetMixtureConfig`, which concatenates the files; then a shuffle, a selection of
  as many rows, and ``to_json``. PYTHON is that of an environment with trl: ``pip install trl``.

Planning alone: sizes of 1,800 tasks and 15 million records, in this process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from filial_plugins.mixers.temperature import Temperature
from filial_plugins.mixing.allocation import Sizes, allocate

FILES, TEMPERATURE = 50, 3
WORDS = (
    *("river", "bridge", "number", "letter", "garden", "winter", "copper", "signal", "basket", "window", "market"),
    *("harbour", "pencil", "lantern"),
)
DATASETS = """
import sys
from pathlib import Path
from datasets import disable_progress_bars, interleave_datasets, load_dataset
folder, total = Path(sys.argv[1]), int(sys.argv[2])
disable_progress_bars()
parts = [
    load_dataset("json", data_files=str(file), split="train", cache_dir=str(folder / "cache"))
    for file in sorted(folder.glob("part-*.jsonl"))
]
rates = [len(part) ** (1 / 3) for part in parts]
mixed = interleave_datasets(
    parts, probabilities=[rate / sum(rates) for rate in rates], seed=0, stopping_strategy="all_exhausted"
)
mixed.select(range(min(total, len(mixed)))).to_json(str(folder / "out.jsonl"))
"""
STREAMED = """
import json, sys
from itertools import islice
from pathlib import Path
from datasets import interleave_datasets, load_dataset
folder, total = Path(sys.argv[1]), int(sys.argv[2])
files = sorted(folder.glob("part-*.jsonl"))
rates = [sum(1 for _ in file.open("rb")) ** (1 / 3) for file in files]
parts = [load_dataset("json", data_files=str(file), split="train", streaming=True) for file in files]
mixed = interleave_datasets(
    parts, probabilities=[rate / sum(rates) for rate in rates], seed=0, stopping_strategy="all_exhausted"
).shuffle(seed=0, buffer_size=1000)
with open(folder / "out.jsonl", "w") as out:
    out.writelines(json.dumps(row) + "\\n" for row in islice(mixed, total))
"""
TRL = """
import sys
from pathlib import Path
from datasets import disable_progress_bars
from trl import DatasetMixtureConfig, get_dataset
from trl.scripts.utils import DatasetConfig
folder, total = Path(sys.argv[1]), int(sys.argv[2])
disable_progress_bars()
files = sorted(folder.glob("part-*.jsonl"))
mixed = get_dataset(DatasetMixtureConfig(
    datasets=[DatasetConfig(path="json", data_files=str(file), split="train") for file in files]
))["train"]
mixed.shuffle(seed=0).select(range(total)).to_json(str(folder / "out.jsonl"))
"""


def make(folder: Path, count: int) -> None:
    """Write so many records into the files, the last one 50 times as many as the first."""
    rng = random.Random(7)
    weights = range(1, FILES + 1)
    for number, weight in enumerate(weights):
        with (folder / f"part-{number:02}.jsonl").open("w", encoding="utf-8") as file:
            for i in range(count * weight // sum(weights)):
                row = {"id": f"{number}-{i}", "instruction": f"Write {i} words: {' '.join(rng.choices(WORDS, k=10))}."}
                file.write(json.dumps({**row, "output": " ".join(rng.choices(WORDS, k=20))}) + "\n")


def run(command: Sequence[str], folder: Path) -> tuple[float, float, int]:
    """Run a command. Returns its peak memory in MB, its CPU seconds, and how many records it wrote."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "HF_HOME": str(folder / "hub")}
    )
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)[:200]}: exit code {process.returncode}\n{said[-2000:]}")
    with (folder / "out.jsonl").open("rb") as file:
        count = sum(1 for _ in file)
    return used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, count


def filial_command(folder: Path, total: int) -> list[str]:
    """Return the command that mixes the files."""
    files = sorted(folder.glob("part-*.jsonl"))
    sources = {file.stem: str(file) for file in files}
    recipe = {"use": "temperature", "temperature": TEMPERATURE, "total": total, "repeat": True, "sources": sources}
    (folder / "recipe.yaml").write_text(json.dumps({"stages": [{"mix": recipe}]}))
    return [sys.executable, "-m", "filial", "run", str(folder / "recipe.yaml"), "--home", str(folder), "--name", "mix"]


def plan() -> float:
    """Return the CPU seconds that it takes to allot 1 million of 15 million records to 1,800 tasks."""
    rng = random.Random(7)
    sizes = {f"task-{i}": Sizes(rng.randrange(10, 16_600)) for i in range(1800)}
    begin = time.process_time()
    rates = Temperature(temperature=TEMPERATURE, maximum=30_000).rates({task: size.all for task, size in sizes.items()})
    allocate(rates, sizes, 1_000_000, cot_share=None)
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[200_000, 2_000_000])
    parser.add_argument("--trl", help="the Python of an environment with trl")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for count in options.records:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
            folder, total = Path(name), count
            make(folder, count)
            commands = {
                "filial": filial_command(folder, total),
                "datasets": [sys.executable, "-c", DATASETS, name, str(total)],
                "datasets, streamed": [sys.executable, "-c", STREAMED, name, str(total)],
                **({"TRL": [options.trl, "-c", TRL, name, str(total)]} if options.trl else {}),
            }
            for what, command in commands.items():
                out = folder / "out.jsonl"
                out.unlink(missing_ok=True)
                if what == "filial":
                    out.symlink_to(folder / "runs/mix/stages/01-mix/records.jsonl")
                memory, seconds, wrote = run(command, folder)
                figures = {"records": count, "wrote": wrote, "peak_mb": memory, "cpu_s": seconds}
                found.setdefault(what, []).append({**figures, "records_per_cpu_s": count / seconds})
    if options.json:
        print(json.dumps({"plan_cpu_s": plan(), **found}))
        return
    print(f"1,800 tasks, 15 million records: planned in {plan():.2f} CPU s")
    print(f"{'':20}{'records':>11}{'wrote':>11}{'peak MB':>9}{'CPU s':>8}{'records/CPU s':>15}")
    for what, rows in found.items():
        for row in rows:
            print(
                f"{what:20}{row['records']:>11,}{row['wrote']:>11,}{row['peak_mb']:>9.1f}{row['cpu_s']:>8.1f}"
                f"{row['records_per_cpu_s']:>15,.0f}"
            )


if __name__ == "__main__":
    main()
