"""Preparing records for training: filial beside TRL's SFTTrainer, same run, same rows.

    python benchmarks/preparation.py [--trl PYTHON] [--records 20000] [--repeats 5] [--data FILE] [--flat]

TRL gets prompts that are already rendered, in memory; filial reads the file, renders and writes its store, all of it
counted. Both give the same ids and labels, or the script stops. Every measurement is a process of its own; its CPU
time is that of preparing alone, its peak memory that of the whole process, and "above imports" what preparing added.

TRL stays out of filial's environment. Make one for it and name its Python with --trl (or FILIAL_TRL):

    python -m venv trl-environment
    trl-environment/bin/pip install trl==1.16.0 transformers==5.23.0 datasets==5.2.0 accelerate==1.15.0 torch

``--data FILE`` takes single-turn records from a file instead of made-up ones. Rows then differ where one token would
hold the end of a prompt and the beginning of its answer: filial cuts it, TRL does not. ``--flat`` prepares 50,000 and
500,000 made-up records and compares filial's memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate, islice, repeat
from pathlib import Path
from typing import Any

MAX_LENGTH = 4096  # nothing is cut, so that rows are the same
VOCABULARY, WORDS = 32_000, 60_000
SPECIAL = ["<|pad|>", "<|eos|>", "<|im_start|>", "<|im_end|>"]
CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
Row = dict[str, Any]


class Writer:
    """Made-up text with the word frequencies of language (Zipf's law)."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        parts = ["".join(p) for p in ((a, b) for a in "bcdfghklmnprstvwz" for b in "aeiou")]
        made = {"".join(self._rng.choices(parts, k=self._rng.randint(1, 4))) for _ in range(3 * WORDS)}
        words = sorted(made)
        self._rng.shuffle(words)
        self._words = words[:WORDS]
        self._weights = list(accumulate(1 / (rank + 3) for rank in range(len(self._words))))

    def text(self, shortest: int, longest: int) -> str:
        """Sentences of so many words in all, now and then with a number or an accent."""
        count = self._rng.randint(shortest, longest)
        words = self._rng.choices(self._words, cum_weights=self._weights, k=count)
        for at in range(0, count, 12):
            words[at] = words[at].capitalize()
            words[at - 1] += self._rng.choice([".", ".", "?", ":\n", ".\n\n"])
        if self._rng.random() < 0.3:
            words[count // 2] = self._rng.choice(["1984", "3.5", "naïve", "“so”", "(it's)"])
        return " ".join(words)

    def single(self) -> Iterator[Row]:
        """Records as Alpaca's are: two in five have an input."""
        while True:
            given = self.text(10, 60) if self._rng.random() < 0.4 else ""
            yield {"instruction": self.text(8, 25), "input": given, "output": self.text(10, 120)}

    def multi(self) -> Iterator[Row]:
        """Conversations of four exchanges."""
        roles = ("user", "assistant") * 4
        while True:
            yield {"messages": [{"role": role, "content": self.text(5, 60)} for role in roles]}


def make_tokenizer(folder: Path, texts: Iterator[str]) -> None:
    """A byte-level BPE tokenizer learned from some of the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|eos|>", pad_token="<|pad|>", additional_special_tokens=SPECIAL[2:]
    )
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)


def filial_side(work: Path, shape: str, limit: int) -> Row:
    """Prepare with filial. Runs in a process of its own."""
    from filial.labels import Encoder
    from filial_plugins.local.pretrained import load_tokenizer
    from filial_plugins.templates.alpaca import Alpaca
    from filial_plugins.templates.chat import Chat
    from filial_plugins.trainers.rows.cache import prepare_rows

    tokenizer = load_tokenizer(str(work / "tokenizer"))
    clock = Clock()
    template = (Alpaca() if shape == "single" else Chat()).bind(tokenizer)
    data = work / f"{shape}-{limit}.jsonl"
    store = prepare_rows(data, template, Encoder(tokenizer), MAX_LENGTH, "drop", work / "stores" / str(os.getpid()))
    figures = clock.read() | {"engine": store.engine}
    sha, labels = hashlib.sha256(), 0
    for row in store:
        mask = bytearray(len(row.ids))
        for at in row.trained_positions.tolist():
            mask[at] = 1
        labels += len(row.trained_positions)
        sha.update(row.ids.tobytes() + mask)
    return figures | {"rows": len(store), "tokens": store.tokens, "labels": labels, "digest": sha.hexdigest()[:16]}


def trl_side(work: Path, shape: str, limit: int) -> Row:
    """Prepare with TRL, as its trainer's constructor does. Runs in TRL's environment; filial is not imported."""
    import numpy as np
    import transformers
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import SFTConfig, SFTTrainer

    transformers.logging.set_verbosity_error()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    tiny = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    model = LlamaForCausalLM(tiny)
    with open(work / f"{shape}-{limit}.rendered.jsonl", encoding="utf-8") as f:
        dataset = Dataset.from_list([json.loads(line) for line in f])
    only = {"completion_only_loss": True} if shape == "single" else {"assistant_only_loss": True}
    config = SFTConfig(
        output_dir=str(work / "trl"), max_length=MAX_LENGTH, report_to="none", bf16=False, use_cpu=True, **only
    )
    clock = Clock()
    rows = SFTTrainer(model, config, train_dataset=dataset, processing_class=tokenizer).train_dataset
    figures = clock.read()
    sha, tokens, labels = hashlib.sha256(), 0, 0
    for row in rows:
        ids, mask = np.array(row["input_ids"], dtype="<i4"), np.array(row["labels"]) != -100
        sha.update(ids.tobytes() + mask.astype(np.uint8).tobytes())
        tokens, labels = tokens + len(ids), labels + int(mask.sum())
    return figures | {"rows": len(rows), "tokens": tokens, "labels": labels, "digest": sha.hexdigest()[:16]}


class Clock:
    """CPU of this process and its children, wall clock and memory, from its making on."""

    def __init__(self) -> None:
        self._memory, self._cpu, self._wall = self._peak(), self._used(), time.perf_counter()

    def read(self) -> Row:
        cpu, wall, peak = self._used() - self._cpu, time.perf_counter() - self._wall, self._peak()
        return {"cpu": cpu, "wall": wall, "peak": peak, "added": peak - self._memory}

    @staticmethod
    def _used() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in usages)

    @staticmethod
    def _peak() -> float:
        """Megabytes."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(work: Path, shape: str, count: int, records: Iterator[Row], rendered: bool = True) -> None:
    """The records as a file, and as TRL wants them: for single turns the prompt as filial writes it."""
    from filial import Record
    from filial_plugins.templates.alpaca import Alpaca

    template = Alpaca()
    with (
        open(work / f"{shape}-{count}.jsonl", "w", encoding="utf-8") as plain,
        open(work / f"{shape}-{count}.rendered.jsonl", "w", encoding="utf-8") as ready,
    ):
        for record in islice(records, count):
            plain.write(json.dumps(record, ensure_ascii=False) + "\n")
            if rendered and shape == "single":
                _, *prompt, answer, _ = template.render(Record(**record))
                record = {"prompt": "".join(span.text for span in prompt), "completion": answer.text}
            if rendered:
                ready.write(json.dumps(record, ensure_ascii=False) + "\n")


def measured(python: str, side: str, work: Path, shape: str, count: int) -> Row:
    """One measurement in a process of its own."""
    quiet = {"TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    with tempfile.TemporaryDirectory(dir=work) as home:
        done = subprocess.run(
            [python, __file__, "--side", side, "--work", str(work), "--shape", shape, "--records", str(count)],
            env={**os.environ, **quiet, "HF_HOME": home, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True,
            check=True,
        )  # fmt: skip
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(work: Path, shape: str, count: int, repeats: int, trl: str | None) -> None:
    """Medians of both sides, taken in turns, and their ratios."""
    sides = {"filial": sys.executable} | ({"trl": trl} if trl else {})
    runs: dict[str, list[Row]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, python in sides.items():
            runs[side].append(measured(python, side, work, shape, count))
    same = len({run["digest"] for side in runs.values() for run in side}) == 1
    for side, done in runs.items():
        speeds = sorted(count / run["cpu"] for run in done)
        middle = {key: statistics.median(run[key] for run in done) for key in ("cpu", "wall", "peak", "added")}
        print(
            f"{shape:>7} {side:>7} {count / middle['cpu']:9,.0f} ({speeds[0]:,.0f} - {speeds[-1]:,.0f}) "
            f"{count / middle['wall']:9,.0f} {middle['peak']:8.0f} {middle['added']:8.0f}  {done[0].get('engine', '')}",
            flush=True,
        )
    if trl:
        ratio = {k: statistics.median(a[k] / b[k] for a, b in zip(runs["trl"], runs["filial"], strict=True))
                 for k in ("cpu", "peak", "added")}  # fmt: skip
        print(
            f"{shape:>7} filial prepares {ratio['cpu']:.1f} x TRL's records per CPU second, with "
            f"{1 / ratio['peak']:.2f} of its peak memory ({1 / ratio['added']:.2f} above imports); "
            f"rows {'equal' if same else 'DIFFER'}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", metavar="PYTHON", default=os.environ.get("FILIAL_TRL"))
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--flat", action="store_true")
    for hidden in ("--side", "--shape", "--work"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side = filial_side if options.side == "filial" else trl_side
        print(json.dumps(side(Path(options.work), options.shape, options.records)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), options)


def run(work: Path, options: argparse.Namespace) -> int:
    """All comparisons asked for."""
    writer = Writer(0)
    rows = from_file(options.data) if options.data else writer.single()
    make_tokenizer(work / "tokenizer", (text for row in islice(rows, 8000) for text in row.values()))
    if options.flat:
        for count in (50_000, 500_000):
            write(work, "single", count, writer.single(), rendered=False)
            compare(work, "single", count, 1, None)
        return 0
    if not options.trl:
        print("TRL is not measured: give the Python of its environment with --trl (--help says how to make one)")
    print(f"{'':>15} {'records per CPU s':>20} {'per s':>16} {'peak MB':>8} {'added MB':>8}  engine")
    records = from_file(options.data) if options.data else writer.single()
    write(work, "single", options.records, records)
    compare(work, "single", options.records, options.repeats, options.trl)
    write(work, "multi", options.records, writer.multi())
    compare(work, "multi", options.records, options.repeats, options.trl)
    return 0


def from_file(path: Path) -> Iterator[Row]:
    """Single-turn records of a file, over and over."""
    from filial import formats

    rows = [
        {"instruction": r.instruction, "input": r.input, "output": r.output}
        for r in formats.read(path, bad=[])
        if r.output
    ]
    return (row for again in repeat(rows) for row in again)


if __name__ == "__main__":
    sys.exit(main())
