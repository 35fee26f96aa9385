"""Every benchmark that ends within a few minutes, one after the other: ``make bench``.

``demo_seeds.py``, ``kill9.py`` and ``mix_fit.py`` (a quarter of an hour or more each) are left out; run them by
themselves.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LEFT_OUT = {"run.py", "endpoint.py", "training_ways.py", "demo_seeds.py", "kill9.py", "mix_fit.py"}
ONCE = {"training.py": ["--repeats", "1"]}  # medians of five, with TRL, take a quarter of an hour


def main() -> int:
    """Run each in a process of its own; the exit code is the number that failed."""
    failed = 0
    for script in sorted(p for p in HERE.glob("*.py") if p.name not in LEFT_OUT):
        print(f"\n=== {script.name}", flush=True)
        failed += subprocess.run([sys.executable, str(script), *ONCE.get(script.name, [])], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
