"""What a finished run costs when it is run again: CPU seconds of the whole process, beside those of a Python that does
nothing and of ``filial --help``; and that it sends no request.

    python benchmarks/finished.py
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from endpoint import serving

from filial.storage import file_sha256

ROWS, TURNS = 5000, 5
RECIPE = """
teacher: {{use: openai, model: m, base_url: "{url}"}}
data: data.jsonl
stages:
  - evolve: {{strategies: [deepen, mutate]}}
  - filter: [novelty, length]
  - mix: {{use: weights}}
"""


def cpu(folder: Path, *command: str) -> float:
    """CPU seconds of a process, start and end included."""
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit((folder / "log").read_text()[-2000:])
    return used.ru_utime + used.ru_stime


def median(folder: Path, *command: str) -> float:
    return statistics.median(cpu(folder, *command) for _ in range(TURNS))


def main() -> int:
    filial = [sys.executable, "-m", "filial"]
    with serving() as endpoint, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "r.yaml").write_text(RECIPE.format(url=endpoint.url))
        rows = ({"instruction": f"Name {i} rivers and say why you chose them."} for i in range(ROWS))
        (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        first = cpu(folder, *filial, "run", "r.yaml")
        sent = endpoint.stats()["requests"]
        again = median(folder, *filial, "run", "r.yaml")
        nothing, usage = median(folder, sys.executable, "-c", "pass"), median(folder, *filial, "--help")
        start = time.process_time()
        for path in (folder / "data.jsonl", *(folder / "runs").rglob("stages/*/*")):
            file_sha256(path)
        reading = time.process_time() - start
        more = endpoint.stats()["requests"] - sent
    print(f"a run of {ROWS:,} records and {sent:,} requests: {first:.1f} s of CPU")
    print(f"the finished run again: {again:.2f} s, {reading:.2f} s of them to read and hash its files; {more} requests")
    print(f"python -c pass: {nothing:.2f} s; filial --help: {usage:.2f} s")
    return int(more > 0)


if __name__ == "__main__":
    sys.exit(main())
