"""The demo's figures over several seeds: exact match per exam, before and after 240 CPU seconds of training.

Run: ``python benchmarks/demo_seeds.py [--seconds 240] [SEED ...]`` (default seeds 1 2 3). Each seed draws its own data,
order and held-out records. One thread; CPU seconds rather than wall clock, so that a busy machine gives the same
training. About five minutes a seed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import yaml

from filial.commands import Run, from_dict, grid
from filial.plugins import Manager, index

RECIPE = Path(__file__).parent.parent / "recipes" / "demo.yaml"


def figures(seed: int, seconds: float, home: Path) -> dict[str, Any]:
    """The summary of the demo with another seed and a bound in CPU seconds."""
    recipe = yaml.safe_load(RECIPE.read_text())
    recipe["seed"] = seed
    del recipe["train"]["max_seconds"]
    recipe["train"] |= {"max_cpu_seconds": seconds, "threads": 1}
    manager = Manager(index())
    return Run(from_dict(recipe, manager, name=f"seed-{seed}"), manager, home, f"seed-{seed}").execute()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--seconds", type=float, default=240.0)
    args = parser.parse_args()
    rows: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as home:
        for seed in args.seeds or [1, 2, 3]:
            summary = figures(seed, args.seconds, Path(home))
            train = summary["train"]
            did = f"{train['rows']:,} records, {train['steps']:,} steps, loss {train['loss']:.3f}"
            print(f"seed {seed}: {did}", flush=True)
            for exam, results in summary["judge"].items():
                for who, result in results.items():
                    rows.setdefault(exam, {}).setdefault(who, []).append(100 * result["passed"])
    table = [[exam, *(spread(by.get(who, [])) for who in ("base", "nearest", "model"))] for exam, by in rows.items()]
    print(f"\nexact match in %, mean and spread of {len(args.seeds)} seeds, {args.seconds:.0f} CPU seconds\n")
    print(grid(["judged on", "before", "nearest neighbour", "after"], table))


def spread(values: list[float]) -> str:
    """``97.1 (96.3 - 98.0)``."""
    return f"{statistics.mean(values):.1f} ({min(values):.1f} - {max(values):.1f})" if values else "-"


if __name__ == "__main__":
    main()
