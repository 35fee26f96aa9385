"""The tokenizer of the small base model: byte-level BPE in which every word of the world is one piece.

Copying is what so small a model finds hardest, so each list item is a single piece, with and without the space in
front of it, and a blank line is one piece.  Any other text still works: it falls back to a few merges and to bytes.
Needs the package ``tokenizers``.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from . import lexicon
from .evolution import STRATEGIES, evolve
from .inputs import draw_input
from .pages import write_page
from .task import Task
from .wording import render
from .world import World, propose

SPECIAL = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")
PAD, END = 0, 3

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + '<|end|>' }}"
    "{% else %}{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

_PIECES = r"\n\n|\n| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s"
_MERGES = 60
"""Merges for words that are not in the vocabulary."""
_SAMPLES = 12_000
_RAREST = 8
"""A piece of the sample text that occurs less often than this is left to the merges."""


def _make_splitter() -> Any:
    split = pre_tokenizers.Split(Regex(_PIECES), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _draw_task(rng: random.Random) -> Task:
    world = World("full", holdout=False)
    task = propose(world, rng)
    for _ in range(rng.randrange(3)):
        evolved = evolve(task, rng.choice(tuple(STRATEGIES)), world, rng)
        task = evolved.task if evolved else task
    return task


def _draw_texts(rng: random.Random) -> list[str]:
    """Return pages, and instructions with inputs: the wordings are sampled so that their words are not shredded."""
    texts = [write_page(rng) for _ in range(_SAMPLES // 2)]
    while len(texts) < _SAMPLES:
        task = _draw_task(rng)
        texts.append(f"{render(task, rng)}\n\n{task.inline or draw_input(task, rng)}")
    return texts


def _list_lexicon_pieces() -> list[str]:
    """Return every word that can stand in data or answers, with and without a space; list items in capitals too."""
    items = [word for topic in lexicon.TOPICS.values() for word in topic.words]
    answers = [*lexicon.PLURALS.values(), *lexicon.PAST_FORMS.values(), *lexicon.CAPITALS.values()]
    answers += [*(name[:-1] for name in lexicon.CATEGORIES), "yes", "no", "even", "odd"]
    numbers = [str(number) for number in range(2 * lexicon.LARGEST_NUMBER + 1)]
    words = [*items, *(item.upper() for item in items), *answers, *numbers]
    return list(dict.fromkeys(form for word in words for form in (word, " " + word)))


def build() -> Any:
    """Build the tokenizer. Every call gives the same one."""
    texts = _draw_texts(random.Random(1))
    splitter = _make_splitter()
    small = Tokenizer(models.BPE())
    small.pre_tokenizer = splitter
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    size = len(SPECIAL) + len(alphabet) + _MERGES
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    small.train_from_iterator(texts, trainer)
    counts = Counter(piece for text in texts for piece, _ in splitter.pre_tokenize_str(text))
    wanted = [splitter.pre_tokenize_str(piece)[0][0] for piece in _list_lexicon_pieces()]
    wanted += sorted(piece for piece, count in counts.items() if count >= _RAREST)
    wanted += [piece for piece, _ in splitter.pre_tokenize_str("\n\n")]
    learned = sorted(small.get_vocab().items(), key=lambda pair: pair[1])
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys([*(p for p, _ in learned), *wanted]))}
    merges = _read_merges(small)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _read_merges(tokenizer: Any) -> list[tuple[str, str]]:
    return [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def make_config() -> dict[str, Any]:
    """Return the content of ``tokenizer_config.json``."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIAL[PAD],
        "eos_token": SPECIAL[END],
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
        "padding_side": "right",
        "chat_template": CHAT_TEMPLATE,
    }
