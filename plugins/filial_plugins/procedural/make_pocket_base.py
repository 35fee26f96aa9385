"""Make ``pocket_base``, the small base model that ships with the package.

Run ``python -m filial_plugins.procedural.make_pocket_base --out FOLDER`` (about 45 minutes on one core).  The text
comes from `filial_plugins.procedural.pages`; the loss is the plain next-token loss on every piece.  With the same
versions of torch and transformers on the same kind of processor the result is the same for the same number of steps.
The tokenizer is the one that ships, unless ``--new-tokenizer`` asks for one made from the sentences of today.
Needs ``torch``, ``transformers``, ``tokenizers`` and ``safetensors``.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from . import base_tokenizer
from .pages import write_page

HERE = Path(__file__).parent / "pocket_base"
ROWS, ROW_LENGTH = 22, 96
MATRIX_RATE, OTHER_RATE = 2e-2, 3e-3
"""Learning rates: Muon for the hidden matrices, AdamW for the rest."""
WARM_UP, CONSTANT_UNTIL, FINAL_SHARE = 0.02, 0.6, 0.02
"""Learning rate over the share of steps done: rise, hold, then fall linearly to a share of the peak."""


def make_model(vocabulary: int) -> LlamaForCausalLM:
    """Return the untrained model: 3 layers, width 96, 6 heads, tied embeddings."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=96,
            intermediate_size=288,
            num_hidden_layers=3,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            use_cache=False,
            pad_token_id=base_tokenizer.PAD,
            bos_token_id=None,
            eos_token_id=base_tokenizer.END,
            initializer_range=0.05,
        )
    )


def make_rows(tokenizer: Any, rng: random.Random) -> Iterator[list[int]]:
    """Yield rows of `ROW_LENGTH` token ids without end. Each begins with a new page; the end token separates pages."""
    while True:
        row: list[int] = []
        while len(row) < ROW_LENGTH:
            row += [*tokenizer.encode(write_page(rng)).ids, base_tokenizer.END]
        yield row[:ROW_LENGTH]


def make_optimizers(model: LlamaForCausalLM) -> list[tuple[torch.optim.Optimizer, float]]:
    """Return the optimizers with their peak learning rates."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        (torch.optim.Muon(matrices, lr=MATRIX_RATE, weight_decay=0.05), MATRIX_RATE),
        (torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0), OTHER_RATE),
    ]


def compute_rate_factor(done: float) -> float:
    """Return the share of the peak learning rate when ``done`` (0 to 1) of the steps are behind."""
    if done < CONSTANT_UNTIL:
        return min(1.0, done / WARM_UP + 1e-3)
    return max(FINAL_SHARE, (1 - done) / (1 - CONSTANT_UNTIL))


def save(model: LlamaForCausalLM, tokenizer: Any, folder: Path) -> None:
    """Save the model (half precision) and the tokenizer in the form that transformers' Auto classes load."""
    folder.mkdir(parents=True, exist_ok=True)
    half = LlamaForCausalLM(model.config).half()
    half.load_state_dict(model.state_dict())
    half.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save(str(folder / "tokenizer.json"))
    text = json.dumps(base_tokenizer.make_config(), indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")


def train(tokenizer: Any, steps: int, folder: Path, save_every: float) -> None:
    """Train for a number of steps on one thread; save every ``save_every`` seconds and at the end."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = make_model(tokenizer.get_vocab_size())
    count = sum(p.numel() for p in model.parameters())
    print(f"{tokenizer.get_vocab_size()} pieces, {count} parameters", flush=True)
    source, pairs = make_rows(tokenizer, random.Random(2)), make_optimizers(model)
    saved, average = time.monotonic(), 0.0
    for step in range(steps):
        for optimizer, peak in pairs:
            optimizer.param_groups[0]["lr"] = peak * compute_rate_factor(step / steps)
        batch = torch.tensor([next(source) for _ in range(ROWS)])
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, _ in pairs:
            optimizer.step()
            optimizer.zero_grad()
        average = loss.item() if step == 0 else 0.99 * average + 0.01 * loss.item()
        if step % 200 == 0:
            print(f"step {step} loss {average:.4f} cpu {time.process_time():.0f} s", flush=True)
        if time.monotonic() - saved > save_every:
            save(model, tokenizer, folder)
            saved = time.monotonic()
    save(model, tokenizer, folder)
    print(f"done: {steps} steps, loss {average:.4f}, {time.process_time():.0f} CPU seconds", flush=True)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=18_000, help="steps of 22 rows of 96 pieces")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write")
    parser.add_argument("--new-tokenizer", action="store_true", help="do not use the tokenizer that ships")
    parser.add_argument("--save-every", type=float, default=120.0, help="seconds between saves on the way")
    options = parser.parse_args()
    shipped = HERE / "tokenizer.json"
    tokenizer = base_tokenizer.build() if options.new_tokenizer else Tokenizer.from_file(str(shipped))
    train(tokenizer, options.steps, options.out, options.save_every)


if __name__ == "__main__":
    main()
