"""How much of a cap on money is used, and that it is never passed: ten runs of a recipe with work for three times as
much, against a server that bills for what it was asked. Told is the share of the cap that the server billed.

    python benchmarks/budget.py
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from pathlib import Path

from endpoint import Endpoint, serving

from filial.contracts.errors import BudgetStop
from filial.engine.run import Run
from filial.plugins import Manager
from filial.recipe import load

CAP, RUNS, ROWS = 0.02, 10, 400
PROMPT, COMPLETION = 0.15, 0.6
RECIPE = """
seed: {seed}
teacher:
  use: openai
  model: m
  base_url: "{url}"
  max_tokens: {most}
  max_concurrency: 64
  usd_per_million: {{prompt: {prompt}, completion: {completion}}}
budget: {{usd: {cap}}}
data: data.jsonl
stages:
  - evolve: {{strategies: [deepen, mutate, concretize], eliminate: []}}
"""


def share(endpoint: Endpoint, seed: int, most: int) -> float:
    """Share of the cap that one run was billed; ``most`` bounds the tokens of an answer."""
    endpoint.reset()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"prompt": PROMPT, "completion": COMPLETION, "cap": CAP, "seed": seed, "most": most}
        (folder / "r.yaml").write_text(RECIPE.format(url=endpoint.url, **settings))
        rows = ({"instruction": f"Name {i} rivers and say why you chose them, {seed}."} for i in range(ROWS))
        (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        manager = Manager()
        with contextlib.suppress(BudgetStop):
            Run(load(folder / "r.yaml", manager), manager, folder, "r").execute()
            raise SystemExit("the run ended below its cap; nothing was shown")
    billed = endpoint.stats()["billed"]
    return (billed["prompt_tokens"] * PROMPT + billed["completion_tokens"] * COMPLETION) / 1e6 / CAP


def main() -> int:
    with serving(latency_ms=100, jitter_ms=100) as endpoint:
        shares = [share(endpoint, seed, 256) for seed in range(RUNS)]
        print(
            f"a cap of ${CAP}, 64 in flight, answers of at most 256 tokens, {RUNS} runs: "
            f"{100 * min(shares):.2f} to {100 * max(shares):.2f} % of it was billed"
        )
        wide = share(endpoint, RUNS, 4096)
        print(f"  with answers of up to 4,096 tokens, each set aside before it is sent: {100 * wide:.2f} %")
    return int(not 0.95 <= min(shares) <= max([*shares, wide]) <= 1)


if __name__ == "__main__":
    sys.exit(main())
