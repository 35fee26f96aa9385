"""What it costs to start: ``filial --help`` and ``filial plugins`` beside a click program that does nothing.

Forty plugin packages are laid out on the path; one sleeps three seconds when imported, one calls ``sys.exit``.
Prints user + system CPU time of the child process (median and quartiles over N alternating runs) and the ratio to
the click program. Usage: ``python benchmarks/startup.py [N]`` (default 30).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

CORE = Path(__file__).parents[1] / "core"
PLUGINS = Path(__file__).parents[1] / "plugins"
LIMIT = 1.5

NOTHING = "import click\n@click.group()\ndef main():\n    'Do nothing.'\n@main.command()\ndef plugins(): pass\nmain()\n"
MODULE = '''from filial import Strategy, hookimpl
class S(Strategy):
    """Strategy {n}."""
    async def evolve(self, record, ctx):
        return record
@hookimpl
def register_strategies(register):
    register("bench-{n}", S)
'''


def lay_out(site: Path, count: int = 40) -> None:
    """Forty installed plugin packages, as pip would leave them."""
    for n in range(count):
        first = {0: "import time; time.sleep(3)\n", 1: "import sys; sys.exit(0)\n"}.get(n, "")
        (site / f"bench_{n}.py").write_text(first + MODULE.format(n=n))
        info = site / f"bench_{n}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: bench-{n}\nVersion: 1.0\nRequires-Dist: filial\n")
        (info / "entry_points.txt").write_text(f"[filial.strategies]\nbench-{n} = bench_{n}\n")


def cpu(command: list[str], env: dict[str, str]) -> float:
    """User + system seconds of one child process.

    Raises:
        RuntimeError: it fails.
    """
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
    pid = os.posix_spawn(command[0], command, env, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command[1:])[:200]} fails with status {status}")
    return usage.ru_utime + usage.ru_stime


def programs() -> dict[str, list[str]]:
    """What is measured: name -> arguments of the interpreter. The first is what the others are compared with."""
    filial = "import sys; sys.argv[0] = 'filial'; from filial.cli import main; main()"
    out = {
        "click program that does nothing": ["-c", NOTHING, "--help"],
        "the same, then discovery.index()": [
            "-c",
            f"from filial.plugins.discovery import index; index()\n{NOTHING}",
            "--help",
        ],
    }
    if find_spec("filial.cli"):
        out["filial --help"] = ["-c", filial, "--help"]
        out["filial plugins"] = ["-c", filial, "plugins"]
    return out


def main(runs: int) -> int:
    """Print the table. Returns 1 if a command of ours is above the limit."""
    too_slow = 0
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CORE), str(PLUGINS), folder])}
        sys.path[:0] = [str(CORE)]
        found = programs()
        for arguments in found.values():  # bytecode and page cache
            cpu([sys.executable, *arguments], env)
        times: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(runs):
            for name, arguments in found.items():
                times[name].append(1000 * cpu([sys.executable, *arguments], env))
    base = statistics.median(next(iter(times.values())))
    print(f"{'CPU time of the process, ms':34} {'median':>8} {'quartiles':>15} {'ratio':>7}")
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"{name:34} {middle:8.1f} {f'{low:.1f}-{high:.1f}':>15} {middle / base:7.2f}")
        too_slow |= name.startswith("filial") and middle > LIMIT * base
    return int(too_slow)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
