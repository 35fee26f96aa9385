"""Packing: how full the bins are and what it costs, beside rows in their order and a textbook's best fit decreasing.

    python benchmarks/packing.py [--rows 50000] [--repeats 5] [--store DIR]

Lengths are made up (log-normal above a template's floor, as instruction data is) or, with ``--store``, those of rows
that filial has prepared (a folder in ``.filial/prepared``). All ways get the same lengths in one process, in turns.
filial must take as many bins as the textbook's sorted list does.
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
from filial_plugins.trainers.steps.packing import pack_best_fit

FULL, MOST = 0.99, 0.1  # share of all room that must be full; CPU seconds for 50,000 rows


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


def in_order(lengths: list[int], capacity: int) -> int:
    """The number of bins when a row that does not fit into the last bin begins another."""
    bins = room = 0
    for size in lengths:
        if size > room:
            bins, room = bins + 1, capacity
        room -= size
    return bins


def main() -> int:
    """Print a table; 1 if there are other bins than the textbook's, bins are not full, or it took too long."""
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
    print(f"{'capacity':>8}  {'in order':>8}  {'filial':>8} {'CPU s':>6}  {'textbook':>8} {'CPU s':>6}  {'ratio':>5}")
    for capacity in (1024, 2048, 4096, 8192):
        if max(lengths) > capacity:
            continue
        spent: dict[str, list[float]] = {"filial": [], "textbook": []}
        for epoch in range(options.repeats):
            begin = time.process_time()
            ours = len(pack_best_fit(lengths, capacity, 0, epoch))
            middle = time.process_time()
            theirs = best_fit_decreasing(lengths, capacity)
            spent["filial"].append(middle - begin)
            spent["textbook"].append(time.process_time() - middle)
            good &= ours == theirs
        full, textbook, plain = (
            sum(lengths) / (capacity * bins) for bins in (ours, theirs, in_order(lengths, capacity))
        )
        cpu = {name: statistics.median(seconds) for name, seconds in spent.items()}
        print(
            f"{capacity:8,}  {plain:8.3%}  {full:8.3%} {cpu['filial']:6.3f}  {textbook:8.3%} {cpu['textbook']:6.3f}  "
            f"{cpu['filial'] / cpu['textbook']:5.2f}"
        )
        good &= full >= FULL and cpu["filial"] * 50_000 / len(lengths) <= MOST
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
