"""A byte-level BPE tokenizer, quick, by the words it has met.

Such a tokenizer cuts text into words by one regular expression and then works on each word alone, so what a word
becomes need be found out once: here words are cut by the same expression and looked up, and only new ones go to the
tokenizer's own model. Nothing promises that two engines read an expression alike; whoever uses this compares its ids
with the tokenizer's on the data at hand (`bulk`).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from typing import Any

from filial_plugins.trainers.rows.spelling import letters

LIMIT = 200_000
"""Words kept; a tenth of a gigabyte at most."""
LONGEST = 64
"""Characters of a word worth keeping."""

# The expression inside ByteLevel(use_regex=True), a constant of the format: openai/gpt-2, src/encoder.py (MIT).
GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
# What is left of a Unicode class in text that is ASCII.
_ASCII = {"L": "A-Za-z", "Lu": "A-Z", "Ll": "a-z", "N": "0-9", "Nd": "0-9", "Lt": "", "Lm": "", "Lo": "", "M": ""}
_Find = Callable[[str], list[str]]


class Words:
    """The words of one tokenizer and their ids.

    Args:
        copy: a ``tokenizers.Tokenizer`` for which `pattern_of` found an expression.
        pattern: that expression.
    """

    def __init__(self, copy: Any, pattern: str) -> None:
        import regex

        added = sorted((a.content for a in copy.get_added_tokens_decoder().values()), key=len, reverse=True)
        self._added = {content: _packed([copy.token_to_id(content)]) for content in added}
        self._cut = re.compile(f"({'|'.join(map(re.escape, added))})") if added else None
        self._any: _Find = regex.compile(pattern).findall
        self._plain = _ascii(pattern) or self._any
        self._ids = _Memo(copy.model).__getitem__

    def __call__(self, text: str) -> bytes:
        """The ids of a text, as packed int32."""
        if self._cut is None:
            return self._piece(text)
        pieces = self._cut.split(text)
        done = [self._piece(piece) if piece else b"" for piece in pieces[::2]]
        for i, name in enumerate(pieces[1::2]):
            done[i] += self._added[name]
        return b"".join(done)

    def _piece(self, text: str) -> bytes:
        find = self._plain if text.isascii() else self._any
        return b"".join(map(self._ids, find(text)))


def pattern_of(copy: Any) -> str | None:
    """The expression by which a tokenizer cuts words, if looking words up does what it does; else None."""
    spec = json.loads(copy.to_str())
    model, added = spec["model"], spec["added_tokens"]
    plain = not any(model.get(k) for k in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"))
    odd = any(a["lstrip"] or a["rstrip"] or a["single_word"] or a["normalized"] for a in added)
    if model["type"] != "BPE" or not plain or odd or (spec["normalizer"] or {"type": "NFC"})["type"] != "NFC":
        return None
    cutter = spec["pre_tokenizer"] or {}
    steps = cutter["pretokenizers"] if cutter.get("type") == "Sequence" else [cutter]
    *before, last = steps or [{}]
    if last.get("type") != "ByteLevel" or last["add_prefix_space"] or len(before) > 1:
        return None
    if not before:
        return GPT2 if last["use_regex"] else None
    split = before[0]
    isolated = split["type"] == "Split" and split["behavior"] == "Isolated" and not split["invert"]
    return split["pattern"].get("Regex") if isolated and not last["use_regex"] else None


class _Memo(dict[str, bytes]):
    """Packed ids per word; a new word goes to the model."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model, self._letters = model, letters()

    def __missing__(self, word: str) -> bytes:
        spelled = "".join(map(self._letters.__getitem__, word.encode()))
        ids = _packed([token.id for token in self._model.tokenize(spelled)])
        if len(word) <= LONGEST and len(self) < LIMIT:
            self[word] = ids
        return ids


def _packed(ids: list[int]) -> bytes:
    return struct.pack(f"<{len(ids)}i", *ids)


def _ascii(pattern: str) -> _Find | None:
    """The expression for ASCII text in Python's own, faster engine, where it can be said there."""
    parts = re.split(r"\\p\{(\w+)\}", pattern)
    if any(name not in _ASCII for name in parts[1::2]) or r"\P" in pattern:
        return None
    out = parts[0]
    for name, rest in zip(parts[1::2], parts[2::2], strict=True):
        within = out.rfind("[") > out.rfind("]")
        out += (_ASCII[name] if within else f"[{_ASCII[name]}]") + rest
    try:
        return re.compile(out, re.ASCII).findall
    except re.error:
        return None
