"""Every benchmark that ends within a few minutes, one after the other: ``make bench``.

``demo_seeds.py`` (a quarter of an hour) is left out; run it by itself.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LONG = {"run.py", "demo_seeds.py"}


def main() -> int:
    """Run each in a process of its own; the exit code is the number that failed."""
    failed = 0
    for script in sorted(p for p in HERE.glob("*.py") if p.name not in LONG):
        print(f"\n=== {script.name}", flush=True)
        failed += subprocess.run([sys.executable, str(script)], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
