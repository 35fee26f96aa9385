"""CPU per candidate of the novelty filter against the loop of Self-Instruct, in one process, same decisions.

Run: ``python benchmarks/novelty.py [POOL ...]`` (default 1000 10000; add 50000 for filial alone). The loop is
``rouge_score`` against every text of the pool, as in bootstrap_instructions.py without its process pool. The
texts are made up: words drawn by Zipf's law, lengths like those of instructions, a third of the candidates
variations of a pool text so that both outcomes occur.
"""

from __future__ import annotations

import random
import sys
import time
from itertools import accumulate

from rouge_score.rouge_scorer import RougeScorer

from filial_plugins.filters.rouge_index import RougeIndex

VOCABULARY = [f"w{i}" for i in range(20_000)]
CUMULATED = list(accumulate(1 / (rank + 1) ** 0.9 for rank in range(len(VOCABULARY))))
LOOP_LIMIT = 20_000  # above this the loop is left out: it would take minutes


def text(rng: random.Random) -> str:
    """About 12 words, as an instruction has."""
    return " ".join(rng.choices(VOCABULARY, cum_weights=CUMULATED, k=max(3, int(rng.lognormvariate(2.5, 0.5)))))


def candidate(rng: random.Random, pool: list[str]) -> str:
    """Two of three times a new text, else a pool text with a third of its words changed."""
    if rng.random() < 2 / 3:
        return text(rng)
    return " ".join(w if rng.random() < 0.67 else rng.choice(VOCABULARY) for w in rng.choice(pool).split())


def main() -> None:
    rng = random.Random(0)
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    index, pool = RougeIndex(), list[str]()
    print(f"{'pool':>8} {'add µs':>8} {'filial µs':>10} {'loop µs':>12} {'ratio':>9}  rejected")
    for size in sorted(int(arg) for arg in sys.argv[1:] or ("1000", "10000")):
        more = [text(rng) for _ in range(size - len(pool))]
        begin = time.process_time()
        for one in more:
            index.add(one)
        added = (time.process_time() - begin) / max(1, len(more)) * 1e6
        pool += more

        asked = [candidate(rng, pool) for _ in range(500)]
        begin = time.process_time()
        found = [index.nearest(one) for one in asked]
        ours = (time.process_time() - begin) / len(asked) * 1e6
        rejected = sum(one is not None for one in found)
        if size > LOOP_LIMIT:
            print(f"{size:8,} {added:8.1f} {ours:10.1f} {'-':>12} {'-':>9}  {rejected} of {len(asked)}")
            continue
        few = max(2, 20_000 // size)
        begin = time.process_time()
        looped = [max(scorer.score(one, other)["rougeL"].fmeasure for other in pool) for one in asked[:few]]
        theirs = (time.process_time() - begin) / few * 1e6
        for one, best in zip(found, looped, strict=False):
            assert (one is None) == (best <= 0.7), "filial and rouge_score disagree"
            assert one is None or one.score == best, "filial names another score"
        row = f"{size:8,} {added:8.1f} {ours:10.1f} {theirs:12,.0f} {theirs / ours:8,.0f}×"
        print(f"{row}  {rejected} of {len(asked)}")


if __name__ == "__main__":
    main()
