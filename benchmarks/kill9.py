"""kill -9 at random moments of a run with generate, evolve and filter, then the same command again until it is done.

Every finished output must have the same bytes as one that was never killed. What a kill costs is counted exactly: the
requests that the server got and whose answers the ledger does not hold, since those are sent again. They may be no
more than were in flight.

    python benchmarks/kill9.py 100
"""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from endpoint import Endpoint, serving

AT_ONCE = 16
RECIPE = """
seed: 7
teacher:
  use: openai
  model: m
  base_url: "{url}"
  max_concurrency: {at_once}
  usd_per_million: {{prompt: 0.15, completion: 0.6}}
budget: {{usd: 50}}
stages:
  - generate:
      {{use: self-instruct, count: 60, classification: skip, seeds: "pkg:filial_plugins/procedural/seeds.jsonl"}}
  - evolve: {{rounds: 2, strategies: [deepen, mutate, concretize]}}
  - filter: [novelty, length]
"""


@dataclass
class Home:
    """A folder with the recipe, and what running it there did to the server."""

    folder: Path
    endpoint: Endpoint
    lost: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "r.yaml").write_text(RECIPE.format(url=self.endpoint.url, at_once=AT_ONCE))
        self.endpoint.reset()

    def killed_after(self, seconds: float) -> bool:
        """Run and kill it; False if it had ended before."""
        process = self._started()
        time.sleep(seconds)
        hit = process.poll() is None
        process.kill()
        process.wait()
        time.sleep(0.1)  # the server still reads what had been sent to it
        if hit:
            self.lost.append(self.endpoint.stats()["requests"] - self._held() - sum(self.lost))
        return hit

    def finished(self) -> float:
        """Run to the end; seconds it took."""
        begin, process = time.monotonic(), self._started()
        if process.wait() != 0:
            raise SystemExit((self.folder / "log").read_text()[-2000:])
        return time.monotonic() - begin

    def outcome(self) -> dict[str, str]:
        """Checksums of all rows that were kept and dropped, and of the answers that were used."""
        files = sorted(f for f in (self.folder / "runs/r/stages").rglob("*.*") if f.name != "manifest.json")
        return {str(f.relative_to(self.folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    def _started(self) -> subprocess.Popen[bytes]:
        with open(self.folder / "log", "ab") as log:
            command = [sys.executable, "-m", "filial", "run", "r.yaml"]
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def _held(self) -> int:
        """How many answers the ledger holds."""
        path = self.folder / ".filial/ledger.sqlite"
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path)) as ledger:
            (tables,) = ledger.execute("select count(*) from sqlite_master where name='answers'").fetchone()
            return ledger.execute("select count(*) from answers").fetchone()[0] if tables else 0


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    rng, lost, outputs, wrong = random.Random(1), list[int](), 0, 0
    with serving(latency_ms=40, jitter_ms=40) as endpoint, tempfile.TemporaryDirectory() as name:
        whole = Home(Path(name) / "whole", endpoint)
        seconds = whole.finished()
        expected, sent = whole.outcome(), endpoint.stats()["requests"]
        print(f"never killed: {len(expected)} files, {sent:,} requests, {seconds:.1f} s", flush=True)
        while len(lost) < kills:
            home = Home(Path(name) / "killed", endpoint)
            while len(lost) + len(home.lost) < kills and home.killed_after(rng.uniform(0.3, seconds)):
                pass
            home.finished()
            outputs += 1
            wrong += home.outcome() != expected or endpoint.stats()["requests"] != sent + sum(home.lost)
            lost += home.lost
    print(
        f"{kills} kills over {outputs} runs: {outputs - wrong} of {outputs} gave the same bytes, asking nothing else\n"
        f"requests asked again per kill: {sum(lost) / kills:.1f} in the mean, {max(lost)} at most "
        f"({AT_ONCE} may be in flight)"
    )
    return int(wrong > 0 or max(lost) > AT_ONCE)


if __name__ == "__main__":
    sys.exit(main())
