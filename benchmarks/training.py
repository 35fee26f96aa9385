"""A training step: filial beside a bare loop, transformers' Trainer and TRL's SFTTrainer, on one thread.

    python benchmarks/training.py [--repeats 5] [--trl PYTHON]

The model is a Llama of 4 layers of 256 with a vocabulary of 32,000 and random weights; rows are made up, with the
lengths of instruction data (mean 245 tokens, one in eleven carries loss), and are eight to a step; packed ways have one
row of 1,024 tokens to a step.

* **per-step overhead**: filial's loop and a bare loop (same batches, nothing but forward, backward, clip and update)
  take turns, step by step, in one process; CPU seconds of the same steps are compared.
* **tokens per CPU second**, tokens being those of rows, without padding: each way in a process of its own, the first
  step left out; the same by **user time** alone, without what the system did; and the **peak memory** of that process,
  imports and all.

Every way must train the same number of tokens, and the loss of its first step must be the bare loop's for the same rows
(to 1e-4; in bfloat16 to 5e-3), or the script stops.

TRL stays out of filial's environment. Make one for it and name its Python with --trl (or FILIAL_TRL):

    python -m venv trl-environment
    trl-environment/bin/pip install trl==1.16.0 transformers==5.23.0 datasets==5.2.0 accelerate==1.15.0 torch

"TRL" is SFTTrainer with its defaults, which on a CPU too are bfloat16 autocast and gradient checkpointing.
"TRL, packed" has packing=True (best fit decreasing) without these two, so that its loss can be compared closely; they
hardly change its speed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from training_ways import ROUGH, ROWS, WAYS, Figures, bare, loop, made_up, rows


def overhead(folder: Path) -> Figures:
    """filial's CPU seconds over the bare loop's, for the same steps, taken in turns."""
    from filial_plugins.trainers.devices.threads import ThreadChooser
    from filial_plugins.trainers.state import Clock

    with ExitStack() as stack:
        store = rows(folder)
        trained, runner = loop(store, folder, stack)
        steps = [step for epoch in range(4) for step in runner.plan_steps(epoch)]
        other, pace, clock = bare(store, steps), ThreadChooser(torch, 1), Clock(trained.state)

        def ours() -> float:
            line = trained._run_step(next(these), 0.5, pace)
            trained.state.wall, trained.state.cpu = clock.wall, clock.cpu
            trained._log_step(line, last=False)
            return float(line["loss"])

        these = iter(steps)
        spent: dict[bool, list[float]] = {True: [], False: []}
        for k in range(len(steps)):
            losses = {}
            for filials in (True, False) if k % 2 else (False, True):  # neither always finds the caches warm
                start = time.process_time()
                losses[filials] = ours() if filials else next(other)
                spent[filials].append(time.process_time() - start)
            assert abs(losses[True] - losses[False]) < 1e-4, losses
    return {"ratio": statistics.median(a / b for a, b in zip(spent[True][1:], spent[False][1:], strict=True))}


def speed(way: str, folder: Path) -> Figures:
    """What the way says of itself, and its speed and memory (MB)."""
    tokens: list[int] = []
    marks: list[tuple[float, float]] = []

    def mark(count: int) -> None:
        tokens.append(count)
        marks.append((time.process_time(), os.times().user))

    figures = WAYS[way](folder, mark)
    cpu, user = (last - first for first, last in zip(marks[0], marks[-1], strict=True))
    rest = sum(tokens[1:])
    return figures | {"speed": rest / cpu, "user": rest / user, "peak": peak_memory(), "tokens": sum(tokens)}


def peak_memory() -> float:
    """MB; of this program alone, which ``ru_maxrss`` is not: it begins with what the parent held when it started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def apart(what: str, python: str = sys.executable) -> Figures:
    """One measurement, in a process of its own."""
    quiet = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    with tempfile.TemporaryDirectory(prefix="filial-") as home:
        done = subprocess.run(
            [python, __file__, "--one", what], env={**os.environ, **quiet, "HF_HOME": home}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def check(runs: dict[str, list[Figures]]) -> None:
    """All ways trained the same rows, and began with the loss that the bare loop has for the same rows."""
    lengths, _, answers = made_up()
    whole = (sum(lengths), sum(lengths) - sum(answers))
    print(f"{ROWS} rows of {whole[0] / ROWS:.0f} tokens, {whole[1] / whole[0]:.1%} of them trained")
    with tempfile.TemporaryDirectory(prefix="filial-") as name:
        store = rows(Path(name))
        for way, (run, *_) in runs.items():
            assert (run["tokens"], run["trained"]) == whole, (way, run, whole)
            loss = next(bare(store, [[[i] for i in run["first"]]]))
            assert abs(run["loss"] - loss) < (5e-3 if way in ROUGH else 1e-4), (way, run["loss"], loss)


def table(runs: dict[str, list[Figures]]) -> None:
    """Print medians, and how many times the speed of the others that is."""
    middles = {
        way: {key: statistics.median(r[key] for r in done) for key in ("speed", "user", "peak")}
        for way, done in runs.items()
    }
    print(f"{'':22}tokens per CPU second (range)  per user s  peak MB  x Trainer    x TRL  x TRL, packed")
    for way, done in runs.items():
        mine, speeds = middles[way], [r["speed"] for r in done]
        beside = [f"{mine['speed'] / middles[o]['speed']:.2f}" if o in middles else "-" for o in list(WAYS)[-3:]]
        print(
            f"{way:22}{mine['speed']:10,.0f} ({min(speeds):,.0f}-{max(speeds):,.0f})".ljust(53)
            + f"{mine['user']:10,.0f}{mine['peak']:9,.0f}{beside[0]:>11}{beside[1]:>9}{beside[2]:>15}"
        )


def bars(runs: dict[str, list[Figures]]) -> bool:
    """Print what filial must be beside TRL; whether it is."""
    kept = True
    for ours, others, key, bar in (
        ("filial", "TRL", "speed", 10), ("filial, packed", "TRL, packed", "speed", 5), ("filial", "TRL", "peak", 0.4),
    ):  # fmt: skip
        pairs = zip(runs[ours], runs[others], strict=True)
        ratio = statistics.median(a[key] / b[key] for a, b in pairs)
        good = ratio >= bar if key == "speed" else ratio <= bar
        print(f"{key} of {ours} : {others} = {ratio:.2f}; the bar is {bar}: {'reached' if good else 'MISSED'}")
        kept &= good
    for ours, others in (("filial", "TRL"), ("filial, packed", "TRL, packed")):
        ratio = statistics.median(a["user"] / b["user"] for a, b in zip(runs[ours], runs[others], strict=True))
        print(f"by user time alone, {ours} : {others} = {ratio:.2f}")
    return kept


def main() -> int:
    """Print a table; 1 if filial's overhead is above a tenth, or a bar beside TRL is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trl", metavar="PYTHON", default=os.environ.get("FILIAL_TRL"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        torch.set_num_threads(1)
        with tempfile.TemporaryDirectory(prefix="filial-") as name:
            print(json.dumps(overhead(Path(name)) if options.one == "overhead" else speed(options.one, Path(name))))
        return 0
    if not options.trl:
        print("TRL is not measured: give the Python of its environment with --trl (--help says how to make one)")
    ratio = statistics.median(apart("overhead")["ratio"] for _ in range(options.repeats))
    print(f"CPU seconds of a step, filial : bare loop (same steps, in turns): {ratio:.3f}", flush=True)
    pythons = {w: options.trl if w.startswith("TRL") else sys.executable for w in WAYS}
    runs: dict[str, list[Figures]] = {way: [] for way, python in pythons.items() if python}
    for turn in range(options.repeats):
        for way, done in runs.items():
            done.append(apart(way, pythons[way]))
        if turn == 0:
            check(runs)
    table(runs)
    kept = bars(runs) if options.trl else True
    return 0 if ratio <= 1.1 and kept else 1


if __name__ == "__main__":
    sys.exit(main())
