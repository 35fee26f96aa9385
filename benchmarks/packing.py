"""Packing: how full the bins are and what it costs, beside best fit decreasing as textbooks have it.

    python benchmarks/packing.py [--rows 50000] [--repeats 5] [--store DIR]

Lengths are made up (log-normal above a template's floor, as instruction data is) or, with ``--store``, those of rows
that filial has prepared (a folder in ``.filial/prepared``). Both ways get the same lengths in one process, in turns.
The textbook's way gives the same bins in every epoch; filial's are drawn anew.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from bisect import bisect_left, insort
from pathlib import Path

from filial_plugins.trainers.rows.store import TokenStore
from filial_plugins.trainers.steps.packing import best_fit

FULL, MOST = 0.999, 0.1  # share of bins that must be full; CPU seconds for 50,000 rows


def made_up(rows: int) -> list[int]:
    """Lengths like those of instruction data; mean about 170."""
    rng = random.Random(0)
    return [min(1024, 42 + int(rng.lognormvariate(4.7, 0.7))) for _ in range(rows)]


def best_fit_decreasing(lengths: list[int], capacity: int) -> int:
    """The number of bins when each row, the longest first, goes to the fullest bin that has room (Johnson, 1974)."""
    rooms: list[int] = []
    bins = 0
    for size in sorted(lengths, reverse=True):
        at = bisect_left(rooms, size)
        room = rooms.pop(at) if at < len(rooms) else capacity
        bins += room == capacity
        if room > size:
            insort(rooms, room - size)
    return bins


def main() -> int:
    """Print a table; 1 if bins are not full, or took too long at the default size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    lengths = made_up(options.rows)
    if options.store:
        store = TokenStore.open(options.store)
        if store is None:
            raise SystemExit(f"{options.store}: no whole store of prepared rows")
        lengths = store.lengths.tolist()
    good = True
    print(f"{len(lengths):,} rows of {sum(lengths) / len(lengths):.0f} tokens")
    print(f"{'capacity':>8}  {'filial: full':>12} {'CPU s':>6}  {'textbook: full':>14} {'CPU s':>6}  {'ratio':>5}")
    for capacity in (1024, 2048, 4096):
        if max(lengths) > capacity:
            continue
        spent: dict[str, list[float]] = {"filial": [], "textbook": []}
        for epoch in range(options.repeats):
            begin = time.process_time()
            ours = len(best_fit(lengths, capacity, 0, epoch))
            middle = time.process_time()
            theirs = best_fit_decreasing(lengths, capacity)
            spent["filial"].append(middle - begin)
            spent["textbook"].append(time.process_time() - middle)
        full = {name: sum(lengths) / (capacity * bins) for name, bins in (("filial", ours), ("textbook", theirs))}
        cpu = {name: statistics.median(seconds) for name, seconds in spent.items()}
        print(
            f"{capacity:8,}  {full['filial']:12.3%} {cpu['filial']:6.3f}  {full['textbook']:14.3%} "
            f"{cpu['textbook']:6.3f}  {cpu['filial'] / cpu['textbook']:5.2f}"
        )
        good &= full["filial"] >= FULL and cpu["filial"] * 50_000 / len(lengths) <= MOST
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
