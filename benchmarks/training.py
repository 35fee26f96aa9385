"""A training step: filial beside a bare loop, transformers' Trainer and TRL's SFTTrainer, on one thread.

    python benchmarks/training.py [--repeats 5] [--trl PYTHON]

The model is a Llama of 4 layers of 256 with a vocabulary of 32,000 and random weights; rows are made up, with the
lengths of instruction data (mean 245 tokens, one in eleven carries loss), and are eight to a step; packed ways have one
row of 1,024 tokens to a step.

* **per-step overhead**: filial's loop and a bare loop (same batches, nothing but forward, backward, clip and update)
  take turns, step by step, in one process; CPU seconds of the same steps are compared.
* **tokens per CPU second**, tokens being those of rows, without padding: each way in a process of its own, the first
  step left out; and the **peak memory** of that process, imports and all.

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
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

if TYPE_CHECKING:  # TRL's environment has no filial
    from filial_plugins.trainers.loop import Loop
    from filial_plugins.trainers.sft import RowLessons
    from filial_plugins.trainers.store import TokenStore

Mark = Callable[[int], None]
Figures = dict[str, Any]

VOCABULARY, ROWS, STEP, LONGEST, PACKED, CLIP, RATE = 32_000, 24, 8, 512, 1024, 1.0, 2e-5


def model() -> Any:
    """The same weights every time."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, "num_attention_heads": 4}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=8192, **sizes)).train()


def made_up() -> tuple[list[int], np.ndarray, list[int]]:
    """Random tokens with the lengths of instruction data: lengths, all tokens, and where each row's answer begins."""
    rng, ids = random.Random(0), np.random.default_rng(0)
    lengths = [min(LONGEST, int(rng.lognormvariate(5.3, 0.6)) + 24) for _ in range(ROWS)]
    return (
        lengths,
        ids.integers(5, VOCABULARY, sum(lengths)),
        [n - max(2, int(n * rng.uniform(0.03, 0.14))) for n in lengths],
    )


def rows(folder: Path) -> TokenStore:
    """The rows as filial keeps them."""
    from filial_plugins.trainers.store import Account, Writer

    lengths, ids, answers = made_up()
    trained = [(i, begin, n) for i, (begin, n) in enumerate(zip(answers, lengths, strict=True))]
    with Writer(folder / "rows", VOCABULARY) as writer:
        writer.add(ids, np.array(lengths), np.array(trained))
        return writer.finish(Account(), "random")


def loop(store: TokenStore, folder: Path, stack: ExitStack, **options: Any) -> tuple[Loop, RowLessons]:
    """filial's loop, ready to run."""
    from filial import TrainContext
    from filial_plugins.templates.plain import Plain
    from filial_plugins.trainers.loop import Loop
    from filial_plugins.trainers.material import Material
    from filial_plugins.trainers.session import Session
    from filial_plugins.trainers.sft import SFT, RowLessons
    from filial_plugins.trainers.team import Team

    made = SFT(**{"batch_size": STEP, "threads": 1, "lr": RATE, "samples": 0, "schedule": "constant", **options})
    material = Material(None, Plain(), folder, store)
    session = Session(made, "sft", torch, Team(torch), TrainContext(0), model(), material, "random", folder / "out")
    lessons = RowLessons(session, stack)
    return Loop(made, session.model, torch, lessons, session.ctx, seed=0), lessons


def bare(store: TokenStore, steps: list[Any]) -> Iterator[float]:
    """Nothing but what a step needs, on batches made beforehand; gives the loss of each."""
    from filial_plugins.trainers.attention import NAME
    from filial_plugins.trainers.attention import attention as attending
    from filial_plugins.trainers.batching import flat

    network = model()
    update = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    batches = [flat([store[i] for rows in step for i in rows], torch, "cpu") for step in steps]
    with attending(network, NAME):
        for batch in batches:
            hidden = network.model(**batch.inputs()).last_hidden_state[0]
            logits = network.lm_head(hidden.index_select(0, batch.sources))
            loss = torch.nn.functional.cross_entropy(logits, batch.targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            update.step()
            update.zero_grad(set_to_none=True)
            yield loss.item()


def overhead(folder: Path) -> Figures:
    """filial's CPU seconds over the bare loop's, for the same steps, taken in turns."""
    from filial_plugins.trainers.clock import Clock
    from filial_plugins.trainers.pace import Pace

    with ExitStack() as stack:
        store = rows(folder)
        trained, lessons = loop(store, folder, stack)
        steps = [step for epoch in range(4) for step in lessons.steps(epoch)]
        other, pace, clock = bare(store, steps), Pace(torch, 1), Clock(trained.place)

        def ours() -> float:
            line = trained._advance(next(these), 0.5, pace)
            trained.place.wall, trained.place.cpu = clock.wall, clock.cpu
            trained._note(line, last=False)
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
    marks: list[float] = []

    def mark(count: int) -> None:
        tokens.append(count)
        marks.append(time.process_time())

    figures = WAYS[way](folder, mark)
    return figures | {"speed": sum(tokens[1:]) / (marks[-1] - marks[0]), "peak": peak_memory(), "tokens": sum(tokens)}


def peak_memory() -> float:
    """MB; of this program alone, which ``ru_maxrss`` is not: it begins with what the parent held when it started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def by_filial(folder: Path, mark: Mark, **options: Any) -> Figures:
    store = rows(folder)
    with ExitStack() as stack:
        trained, lessons = loop(store, folder, stack, epochs=1, **options)
        seen, losses = [0], []

        def progress(done: float, total: float, text: str) -> None:
            mark(trained.place.tokens - seen[0])
            seen[0] = trained.place.tokens
            losses.append(trained.place.loss)

        trained.ctx.progress = progress
        trained.run()
        first = [i for rows in lessons.steps(0)[0] for i in rows]
    return {"first": first, "loss": losses[0], "trained": store.trained_tokens}


def by_bare_loop(folder: Path, mark: Mark) -> Figures:
    store, losses = rows(folder), []
    steps = [[[i] for i in range(at, at + STEP)] for at in range(0, ROWS, STEP)]
    for step, loss in zip(steps, bare(store, steps), strict=True):
        mark(int(store.lengths[[i for rows in step for i in rows]].sum()))
        losses.append(loss)
    return {"first": list(range(STEP)), "loss": losses[0], "trained": store.trained_tokens}


def usual(folder: Path) -> dict[str, Any]:
    """Arguments of every trainer built on transformers'."""
    return {
        "output_dir": str(folder), "num_train_epochs": 1, "learning_rate": RATE, "lr_scheduler_type": "constant",
        "max_grad_norm": CLIP, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "use_cpu": True,
        "dataloader_num_workers": 0, "train_sampling_strategy": "sequential", "logging_first_step": True,
    }  # fmt: skip


def followed(trainer: Any, lengths: list[int], step: int, mark: Mark) -> float:
    """Train, telling the tokens of every step. Returns the loss of the first."""
    from transformers import TrainerCallback

    class Marks(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            mark(sum(lengths[(state.global_step - 1) * step : state.global_step * step]))

    trainer.add_callback(Marks())
    trainer.train()
    return float(trainer.state.log_history[0]["loss"])


def by_trainer(folder: Path, mark: Mark) -> Figures:
    """transformers' Trainer as most scripts use it: padded batches, the model's own loss."""
    from transformers import Trainer, TrainingArguments

    store = rows(folder)
    arguments = TrainingArguments(**usual(folder), per_device_train_batch_size=STEP, logging_steps=10)
    trainer = Trainer(model(), arguments, train_dataset=list(store), data_collator=right_padded)
    loss = followed(trainer, store.lengths.tolist(), STEP, mark)
    return {"first": list(range(STEP)), "loss": loss, "trained": store.trained_tokens}


def by_trl(folder: Path, mark: Mark, **options: Any) -> Figures:
    """TRL's SFTTrainer. Runs in TRL's environment; filial is not imported."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    lengths, ids, answers = made_up()
    each = [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1])]
    data = [{"input_ids": row, "labels": [-100] * n + row[n:]} for row, n in zip(each, answers, strict=True)]
    config = SFTConfig(**usual(folder), **{"per_device_train_batch_size": STEP, **options})
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    trainer = SFTTrainer(model(), config, train_dataset=Dataset.from_list(data), processing_class=tokenizer)
    made, step = list(trainer.train_dataset), config.per_device_train_batch_size
    first = []
    for row in made[:step]:  # packed ones are taken apart
        ends = [0, *np.cumsum(row.get("seq_lengths") or [len(row["input_ids"])]).tolist()]
        first += [each.index(row["input_ids"][a:b]) for a, b in pairwise(ends)]
    loss = followed(trainer, [len(row["input_ids"]) for row in made], step, mark)
    return {"first": first, "loss": loss, "trained": sum(n != -100 for row in made for n in row["labels"])}


def right_padded(batch: list[Any]) -> dict[str, Any]:
    """Rows padded to the longest, labels of -100 where there is no loss."""
    width = max(len(row.ids) for row in batch)
    ids, mask = np.zeros((2, len(batch), width), dtype=np.int64)
    labels = np.full((len(batch), width), -100)
    for i, row in enumerate(batch):
        ids[i, : len(row.ids)], mask[i, : len(row.ids)] = row.ids, 1
        labels[i, row.targets] = row.ids[row.targets]
    return {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy(mask),
        "labels": torch.from_numpy(labels),
    }


WAYS: dict[str, Callable[[Path, Mark], Figures]] = {
    "filial": by_filial,
    "filial, packed": lambda *a: by_filial(*a, packing="pack", batch_size=1, max_length=PACKED),
    "filial, padded": lambda *a: by_filial(*a, packing="off"),
    "filial, bfloat16": lambda *a: by_filial(*a, dtype="bfloat16"),
    "bare loop": by_bare_loop,
    "transformers Trainer": by_trainer,
    "TRL": by_trl,
    "TRL, packed": lambda *a: by_trl(
        *a, packing=True, max_length=PACKED, per_device_train_batch_size=1, bf16=False, gradient_checkpointing=False
    ),
}
ROUGH = {"filial, bfloat16", "TRL"}  # ways in bfloat16


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
    middles = {way: statistics.median(r["speed"] for r in done) for way, done in runs.items()}
    print(f"{'':22}tokens per CPU second (range)  peak MB  x Trainer    x TRL  x TRL, packed")
    for way, done in runs.items():
        speeds, peak = [r["speed"] for r in done], statistics.median(r["peak"] for r in done)
        beside = [f"{middles[way] / middles[o]:.2f}" if o in middles else "-" for o in list(WAYS)[-3:]]
        print(
            f"{way:22}{middles[way]:10,.0f} ({min(speeds):,.0f}-{max(speeds):,.0f})".ljust(53)
            + f"{peak:7,.0f}{beside[0]:>11}{beside[1]:>9}{beside[2]:>15}"
        )
    kept = bars(runs) if options.trl else True
    return 0 if ratio <= 1.1 and kept else 1


if __name__ == "__main__":
    sys.exit(main())
