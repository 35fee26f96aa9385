"""Small tokenizers of every kind, and what tokens spell by the vocabulary's own conventions."""

import json
import re
from collections.abc import Sequence
from itertools import groupby

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from filial.labels import Encoded

SPECIAL = ("<unk>", "<s>", "</s>", "<|im_end|>")
FORMAT_TOKENS = (
    "<|im_start|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>",
    "[INST]", "[/INST]", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>",
)  # fmt: skip
"""What the named formats of `chat` write, beside `SPECIAL`."""
CORPUS = [
    "### Response:yes it is :) no",
    "USER: what? ASSISTANT: yes, that is so",
    "é ü 東京 one two three",
    "a:b a:b e:x",
] * 20
WORDS = ("yes", "no", "it", "is", "Response:", "###", "Instruction:", "ASSISTANT:", "</s>x")


def wrapped(backend: Tokenizer, special: Sequence[str] = SPECIAL, **extra: object) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=list(special[3:]), clean_up_tokenization_spaces=False, **extra,
    )  # fmt: skip


def bos_first(backend: Tokenizer) -> Tokenizer:
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    return backend


def byte_level(use_regex: bool = True, bos: bool = False, special: Sequence[str] = SPECIAL) -> PreTrainedTokenizerFast:
    """GPT-2's kind; without ``use_regex`` tokens may reach across words."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=list(special), initial_alphabet=alphabet)
    backend.train_from_iterator(CORPUS, trainer)
    return wrapped(bos_first(backend) if bos else backend, special)


def sentencepiece(legacy: bool, special: Sequence[str] = SPECIAL) -> PreTrainedTokenizerFast:
    """Byte fallback and "▁" for blanks; the legacy kind puts one before every stretch of text."""
    teacher = Tokenizer(models.BPE())
    teacher.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    teacher.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=120))
    learned = json.loads(teacher.to_str())["model"]
    names = [*special, *(f"<0x{i:02X}>" for i in range(256)), *learned["vocab"]]
    backend = Tokenizer(
        models.BPE(
            {name: i for i, name in enumerate(dict.fromkeys(names))}, [tuple(m) for m in learned["merges"]],
            unk_token="<unk>", fuse_unk=True, byte_fallback=True,
        )
    )  # fmt: skip
    if legacy:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in special])
    return wrapped(bos_first(backend), special)


def word_level(special: Sequence[str] = SPECIAL) -> PreTrainedTokenizerFast:
    """A dozen words; all others are unknown."""
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *WORDS])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return wrapped(backend, special)


def spelled(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    """The text of tokens by the vocabulary's own conventions, control tokens included."""
    tokens = tokenizer.convert_ids_to_tokens(ids)
    if isinstance(tokenizer.backend_tokenizer.decoder, decoders.ByteLevel):
        special = set(tokenizer.all_special_tokens)
        return "".join(
            "".join(run) if control else decoders.ByteLevel().decode(list(run))
            for control, run in groupby(tokens, special.__contains__)
        )
    data = b""
    for token in tokens:
        byte = re.fullmatch("<0x([0-9A-F]{2})>", token)
        data += bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()
    return data.decode()


def labels_of(row: Encoded) -> list[int]:
    """The ids, with -100 for tokens without loss, as transformers takes them (not shifted)."""
    return [i if on else -100 for i, on in zip(row.ids, row.mask, strict=True)]


def trained_runs(tokenizer: PreTrainedTokenizerFast, row: Encoded) -> list[str]:
    """The text of each stretch of trained tokens."""
    return [spelled(tokenizer, row.ids[low:high]) for low, high in row.trained_ranges]
