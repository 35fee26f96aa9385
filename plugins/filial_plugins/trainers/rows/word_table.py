"""A faster byte-level BPE tokenizer: a table from words to ids.

Such a tokenizer splits text into words by one regular expression and encodes each word alone, so the ids of a word need
to be computed once. Here text is split by the same expression and words are looked up; only new words go to the
tokenizer's own model. Two regex engines may read one expression differently, so the caller compares the ids with the
tokenizer's on the data at hand (`bulk_encoding`).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from typing import Any

from filial_plugins.trainers.rows.spelling import list_byte_characters

MAX_WORDS = 200_000
"""Words in the table; about 100 MB at most."""
MAX_WORD_LENGTH = 64
"""Characters of a word that is stored; longer words rarely come twice."""

# The expression inside ByteLevel(use_regex=True), a constant of the format: openai/gpt-2, src/encoder.py (MIT).
GPT2 = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
# The ASCII characters of Unicode classes.
_ASCII_CLASSES = {
    "L": "A-Za-z",
    "Lu": "A-Z",
    "Ll": "a-z",
    "N": "0-9",
    "Nd": "0-9",
    "Lt": "",
    "Lm": "",
    "Lo": "",
    "M": "",
}
_Find = Callable[[str], list[str]]


class WordTable:
    """The words of one tokenizer and their ids.

    Args:
        copy: a ``tokenizers.Tokenizer`` for which `find_pattern` returned an expression.
        pattern: that expression.
    """

    def __init__(self, copy: Any, pattern: str) -> None:
        import regex

        added = sorted((a.content for a in copy.get_added_tokens_decoder().values()), key=len, reverse=True)
        self._added = {content: _pack([copy.token_to_id(content)]) for content in added}
        self._cut = re.compile(f"({'|'.join(map(re.escape, added))})") if added else None
        self._find_any: _Find = regex.compile(pattern).findall
        self._find_ascii = _compile_ascii(pattern) or self._find_any
        self._ids = _WordIds(copy.model).__getitem__

    def __call__(self, text: str) -> bytes:
        """Return the ids of a text as int32 bytes."""
        if self._cut is None:
            return self._look_up(text)
        pieces = self._cut.split(text)
        done = [self._look_up(piece) if piece else b"" for piece in pieces[::2]]
        for i, name in enumerate(pieces[1::2]):
            done[i] += self._added[name]
        return b"".join(done)

    def _look_up(self, text: str) -> bytes:
        """Return the ids of a text without special tokens."""
        find = self._find_ascii if text.isascii() else self._find_any
        return b"".join(map(self._ids, find(text)))


def find_pattern(copy: Any) -> str | None:
    """Return the expression that splits text into words, if a table of words is exact for this tokenizer; else None."""
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


class _WordIds(dict[str, bytes]):
    """Ids per word as bytes; a missing word is encoded by the model."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model, self._letters = model, list_byte_characters()

    def __missing__(self, word: str) -> bytes:
        spelled = "".join(map(self._letters.__getitem__, word.encode()))
        ids = _pack([token.id for token in self._model.tokenize(spelled)])
        if len(word) <= MAX_WORD_LENGTH and len(self) < MAX_WORDS:
            self[word] = ids
        return ids


def _pack(ids: list[int]) -> bytes:
    return struct.pack(f"<{len(ids)}i", *ids)


def _compile_ascii(pattern: str) -> _Find | None:
    """Compile the expression for ASCII text with Python's own, faster engine; None if that cannot express it."""
    parts = re.split(r"\\p\{(\w+)\}", pattern)
    if any(name not in _ASCII_CLASSES for name in parts[1::2]) or r"\P" in pattern:
        return None
    out = parts[0]
    for name, rest in zip(parts[1::2], parts[2::2], strict=True):
        within = out.rfind("[") > out.rfind("]")
        out += (_ASCII_CLASSES[name] if within else f"[{_ASCII_CLASSES[name]}]") + rest
    try:
        return re.compile(out, re.ASCII).findall
    except re.error:
        return None
