"""Make ``pocket_t5``, an untrained T5 for the task files: ``python -m filial_plugins.tasks.make_pocket_t5``.

Needs ``torch``, ``transformers`` and ``tokenizers``. With the same versions the result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filial_plugins.generators.from_fields.catalogue import built_in_types
from filial_plugins.tasks.make_tasks import TASKS, make_rows

HERE = Path(__file__).with_name("pocket_t5")
PAD, END, SEED = 0, 1, 1
PIECES = 1200
WORDS = r"\n\n|\n| ?\p{L}+| ?[0-9]| ?[^\s\p{L}0-9]+|\s"
"""What is never joined to one piece: words, with a blank in front; digits; other signs; line breaks."""


def read_texts() -> Iterator[str]:
    """Yield the texts that the tokenizer is made from: those of the task files and of the templates."""
    for kind in built_in_types().values():
        for template in kind.templates:
            yield from (template.input, template.target, template.input_prefix, template.target_prefix, "OPTIONS:\n- a")
    for name in TASKS:
        for row in make_rows(name):
            for cell in row.values():
                yield from cell if isinstance(cell, list) else [cell]


def make_tokenizer() -> Any:
    """Return a byte-level BPE tokenizer that ends every text, as T5's does."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES, special_tokens=["<pad>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator(read_texts(), trainer)
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>")


def make_model(pieces: int) -> Any:
    """Return the untrained model: 2 + 2 layers, width 64, 4 heads, tied embeddings."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(SEED)
    config = T5Config(
        vocab_size=pieces, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, dropout_rate=0.0,
        feed_forward_proj="gated-gelu", decoder_start_token_id=PAD, pad_token_id=PAD, eos_token_id=END,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).half()


def main() -> None:
    """Write tokenizer and model."""
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(HERE)
    make_model(len(tokenizer)).save_pretrained(HERE)


if __name__ == "__main__":
    main()
