"""What faults cost: the same 500 requests to an endpoint that answers all and to one that fails one in four.

Both go through a whole recipe, in the same process, in turns. Told are the good rows, the CPU time of the faulty run in
that of the one without faults, and the seconds it took.

    python benchmarks/faults.py
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from endpoint import Endpoint, serving

from filial.engine.run import Run
from filial.plugins import Manager
from filial.recipe import load

ROWS, ROUNDS, TIMEOUT = 500, 3, 10.0
MIX = {"p429": 0.1, "retry_after": 1.0, "p500": 0.05, "preset": 0.05, "phang": 0.02, "pbadjson": 0.05}
WELL = dict.fromkeys(("p429", "p500", "preset", "phang", "pbadjson"), 0.0)
RECIPE = """
teacher: {{use: openai, model: m, base_url: "{url}", timeout: {timeout}}}
data: data.jsonl
stages:
  - evolve: {{strategies: [deepen], answer: false, eliminate: []}}
"""


@dataclass
class Figures:
    """Of one run: rows that were made, requests that this took, CPU and wall seconds."""

    good: int
    requests: int
    cpu: float
    wall: float


def run(endpoint: Endpoint, label: str, faults: dict[str, float]) -> Figures:
    """The recipe on rows of its own."""
    endpoint.reset(**faults)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "r.yaml").write_text(RECIPE.format(url=endpoint.url, timeout=TIMEOUT))
        rows = ({"instruction": f"{label}: name {i} rivers and say why you chose them."} for i in range(ROWS))
        (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        manager = Manager()
        work = Run(load(folder / "r.yaml", manager), manager, folder, "r")
        cpu, wall = time.process_time(), time.monotonic()
        (stage,) = work.execute()["stages"]
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        return Figures(stage["out"] - ROWS, endpoint.stats()["requests"], cpu, wall)


def main() -> int:
    with serving(latency_ms=50) as endpoint:
        run(endpoint, "warm", WELL)
        well, faulty = [], []
        for turn in range(ROUNDS):
            well.append(run(endpoint, f"well {turn}", WELL))
            faulty.append(run(endpoint, f"faulty {turn}", MIX))
    ratios = [bad.cpu / good.cpu for bad, good in zip(faulty, well, strict=True)]
    for name, figures in (("no faults", well), ("10 % 429, 5 % 500, 5 % reset, 2 % hang, 5 % bad JSON", faulty)):
        requests, cpu, wall = (statistics.median(getattr(f, of) for f in figures) for of in ("requests", "cpu", "wall"))
        print(f"{name}: {min(f.good for f in figures)} of {ROWS} rows good; medians of {ROUNDS}:")
        print(f"  {requests:,.0f} requests, {cpu:.2f} s of CPU, {wall:.1f} s")
    print(f"CPU with faults: {statistics.median(ratios):.2f} x (from {min(ratios):.2f} to {max(ratios):.2f})")
    return int(min(f.good for f in [*well, *faulty]) < ROWS)


if __name__ == "__main__":
    sys.exit(main())
