"""The ways to train that `training.py` compares: filial's, a bare loop's, transformers' and TRL's, on the same rows.

TRL's environment has no filial, so that is imported where it is needed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from filial_plugins.trainers.loop import Loop
    from filial_plugins.trainers.rows.store import TokenStore
    from filial_plugins.trainers.sft import CausalRunner

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
    from filial_plugins.trainers.rows.store import PreparationReport, StoreWriter

    lengths, ids, answers = made_up()
    trained = [(i, begin, n) for i, (begin, n) in enumerate(zip(answers, lengths, strict=True))]
    with StoreWriter(folder / "rows", VOCABULARY) as writer:
        writer.add(ids, np.array(lengths), np.array(trained))
        return writer.finish(PreparationReport(), "random")


def loop(store: TokenStore, folder: Path, stack: ExitStack, **options: Any) -> tuple[Loop, CausalRunner]:
    """filial's loop, ready to run."""
    from filial import TrainContext
    from filial_plugins.templates.plain import Plain
    from filial_plugins.trainers.devices.process_group import ProcessGroup
    from filial_plugins.trainers.loop import Loop
    from filial_plugins.trainers.rows.training_data import TrainingData
    from filial_plugins.trainers.session import Session
    from filial_plugins.trainers.sft import SFT, CausalRunner

    made = SFT(**{"batch_size": STEP, "threads": 1, "lr": RATE, "samples": 0, "schedule": "constant", **options})
    data = TrainingData(None, Plain(), folder, store)
    session = Session(made, "sft", torch, ProcessGroup(torch), TrainContext(0), model(), data, "random", folder / "out")
    runner = CausalRunner(session, stack)
    return Loop(made, session.model, torch, runner, session.ctx, seed=0), runner


def bare(store: TokenStore, steps: list[Any]) -> Iterator[float]:
    """Nothing but what a step needs, on batches made beforehand; gives the loss of each."""
    from filial_plugins.trainers.steps.attention import ROW_ATTENTION
    from filial_plugins.trainers.steps.attention import use_attention as attending
    from filial_plugins.trainers.steps.batches import collate_flat

    network = model()
    update = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.0, fused=True)
    batches = [collate_flat([store[i] for rows in step for i in rows], torch, "cpu") for step in steps]
    with attending(network, ROW_ATTENTION):
        for batch in batches:
            hidden = network.model(**batch.inputs()).last_hidden_state[0]
            logits = network.lm_head(hidden.index_select(0, batch.sources))
            loss = torch.nn.functional.cross_entropy(logits, batch.targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            update.step()
            update.zero_grad(set_to_none=True)
            yield loss.item()


def by_filial(folder: Path, mark: Mark, **options: Any) -> Figures:
    store = rows(folder)
    with ExitStack() as stack:
        trained, runner = loop(store, folder, stack, epochs=1, **options)
        seen, losses = [0], []

        def progress(done: float, total: float, text: str) -> None:
            mark(trained.state.tokens - seen[0])
            seen[0] = trained.state.tokens
            losses.append(trained.state.loss)

        trained.ctx.progress = progress
        trained.run()
        first = [i for rows in runner.plan_steps(0)[0] for i in rows]
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
        labels[i, row.trained_positions] = row.ids[row.trained_positions]
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
