"""CPU per candidate of the novelty decision against the loop of Self-Instruct, in one process, same decisions; and
what a pool of a million texts takes.

Run: ``python benchmarks/novelty.py [POOL ...] [--data FILE ...] [--words N] [--million]``. Pools are 1,000, 10,000
and 50,000 texts unless given. The loop is ``rouge_score`` against every text of the pool, as in
bootstrap_instructions.py without its process pool; above 20,000 texts it is left out.

Texts are made up: words drawn by Zipf's law, about ``--words`` of them. With ``--data`` they are the different
instructions of records in any format that filial reads; where a pool needs more, halves of two of them with two words
of a third. A third of the candidates are variations of a pool text, so that both outcomes occur.
"""

from __future__ import annotations

import argparse
import gc
import math
import random
import time
from collections.abc import Callable, Iterator
from itertools import accumulate, chain, islice, repeat
from pathlib import Path

from rouge_score.rouge_scorer import RougeScorer

from filial.formats import read
from filial_plugins.filters.novelty.index import Neighbour, RougeIndex

WORDS = [f"w{i}" for i in range(20_000)]
CUMULATED = list(accumulate(1 / (rank + 1) ** 0.9 for rank in range(len(WORDS))))
LOOP_LIMIT = 20_000  # above this the loop is left out: it would take minutes
CANDIDATES, ROUNDS, BATCH, MILLION = 400, 3, 1000, 1_000_000
Texts = Iterator[str]


def made_up(rng: random.Random, words: int) -> Texts:
    """Texts of about so many words; forever."""
    while True:
        length = max(3, int(rng.lognormvariate(math.log(words), 0.5)))
        yield " ".join(rng.choices(WORDS, cum_weights=CUMULATED, k=length))


def from_records(rng: random.Random, files: list[Path]) -> Texts:
    """The different instructions of the files, shuffled; then recombined ones, forever."""
    real = list(dict.fromkeys(r.instruction for r in chain.from_iterable(map(read, files)) if r.instruction.strip()))
    rng.shuffle(real)
    yield from real
    while True:
        a, b, c = (rng.choice(real).split() for _ in range(3))
        words = a[: len(a) // 2 + 1] + b[len(b) // 2 :]
        for _ in repeat(None, 2):
            words[rng.randrange(len(words))] = rng.choice(c)
        yield " ".join(words)


def varied(rng: random.Random, text: str) -> str:
    """The text with a third of its words replaced."""
    return " ".join(word if rng.random() < 0.67 else rng.choice(WORDS) for word in text.split())


def cpu(work: Callable[[], object], times: int) -> float:
    """Microseconds of CPU per one of so many things that the work does."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) / max(1, times) * 1e6


def add_all(index: RougeIndex, texts: list[str]) -> None:
    for text in texts:
        index.add(text, f"{len(index):016x}")


def ask(index: RougeIndex, asked: list[str]) -> tuple[float, list[Neighbour | None]]:
    """Microseconds per candidate, the median of some rounds, and the answers."""
    found: list[Neighbour | None] = []

    def all_of_them() -> None:
        found[:] = [index.find_nearest(text) for text in asked]

    return sorted(cpu(all_of_them, len(asked)) for _ in range(ROUNDS))[ROUNDS // 2], found


def loop(pool: list[str], asked: list[str], found: list[Neighbour | None]) -> float:
    """Microseconds per candidate of the original's loop, whose decisions must be the same."""
    scorer, best = RougeScorer(["rougeL"], use_stemmer=False), list[float]()

    def all_of_them() -> None:
        best.extend(max(scorer.score(text, other)["rougeL"].fmeasure for other in pool) for text in asked)

    taken = cpu(all_of_them, len(asked))
    for near, score in zip(found, best, strict=False):
        assert (near is None) == (score <= 0.7), "filial and rouge_score disagree"
        assert near is None or near.score == score, "filial names another score"
    return taken


def compare(sizes: list[int], texts: Texts, rng: random.Random) -> None:
    index, pool = RougeIndex(scripts="latin"), list[str]()
    print(f"{'pool':>10} {'words':>6} {'add µs':>8} {'filial µs':>10} {'loop µs':>12} {'ratio':>10}  rejected")
    for size in sorted(sizes):
        more = list(islice(texts, size - len(pool)))
        added = cpu(lambda more=more: add_all(index, more), len(more))
        pool += more
        asked = [varied(rng, rng.choice(pool)) if rng.random() < 1 / 3 else next(texts) for _ in range(CANDIDATES)]
        ours, found = ask(index, asked)
        words = sum(len(text.split()) for text in pool) / len(pool)
        row = f"{size:10,} {words:6.1f} {added:8.1f} {ours:10.1f} "
        if size <= LOOP_LIMIT:
            theirs = loop(pool, asked[: max(2, 20_000 // size)], found)
            row += f"{theirs:12,.0f} {theirs / ours:9,.0f}×"
        else:
            row += f"{'-':>12} {'-':>10}"
        print(f"{row}  {sum(near is not None for near in found)} of {len(asked)}", flush=True)


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def million(texts: Texts, rng: random.Random) -> None:
    """Memory of a million texts with their ids, beyond their UTF-8, and CPU to add and to ask."""
    asked = list(islice(texts, CANDIDATES))
    gc.collect()
    before, size, taken, index = resident(), 0, 0.0, RougeIndex()
    for _ in range(MILLION // BATCH):
        batch = list(islice(texts, BATCH))
        size += sum(len(text.encode()) for text in batch)
        taken += cpu(lambda batch=batch: add_all(index, batch), 1)
        asked[rng.randrange(len(asked))] = varied(rng, batch[0])
    ours, found = ask(index, asked)
    gc.collect()
    grown = resident() - before
    print(
        f"{MILLION:,} texts of {size / MILLION:.0f} bytes: {(grown - size) / 1e6:.0f} MB beyond the texts' own "
        f"{size / 1e6:.0f} MB; add {taken / MILLION:.1f} µs, ask {ours:,.0f} µs, "
        f"{sum(near is not None for near in found)} of {len(asked)} rejected"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pools", nargs="*", type=int, metavar="POOL")
    parser.add_argument("--data", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--words", type=int, default=12)
    parser.add_argument("--million", action="store_true")
    options = parser.parse_args()
    rng = random.Random(0)
    texts = from_records(rng, options.data) if options.data else made_up(rng, options.words)
    if options.million:
        million(texts, rng)
    else:
        compare(options.pools or [1000, 10_000, 50_000], texts, rng)


if __name__ == "__main__":
    main()
