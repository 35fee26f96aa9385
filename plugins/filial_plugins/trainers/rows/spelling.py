"""The number of text bytes that each token stands for, for tokenizers whose tokens spell exactly the text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Ints = np.ndarray[Any, np.dtype[np.int32]]

SPACE_MARK = "▁"  # U+2581: what SentencePiece writes for a space
UNCERTAIN = 1 << 20
"""Width of a token whose text is unknown: so large that no row with one has the length of its text."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """The tokens of one tokenizer.

    Attributes:
        widths: (vocabulary,) bytes per token id.
        space_first: (vocabulary,) bool, which tokens start with a space, if the tokenizer may add one in front of a
            text; None if it never does.
        composes: whether the tokenizer converts text to Unicode's composed form (NFC) first.
    """

    widths: Ints
    space_first: np.ndarray[Any, np.dtype[np.bool_]] | None
    composes: bool


def find_spelling(controls: Any) -> Spelling | None:
    """Return the spelling of a tokenizer's tokens; None if they do not spell the text byte by byte.

    They do for byte-level BPE, and for SentencePiece-like BPE with byte fallback. The caller has to handle text that
    contains `SPACE_MARK` itself.
    """
    spec = json.loads(controls.copy.to_str())
    if spec["model"]["type"] != "BPE" or controls.greedy:
        return None
    decoder, normalizer = spec["decoder"] or {}, spec["normalizer"]
    if decoder.get("type") == "ByteLevel" and (normalizer is None or normalizer["type"] == "NFC"):
        widths = _measure_tokens(controls, dict.fromkeys(list_byte_characters(), 1), len)
        return Spelling(widths, None, normalizer is not None)
    if _only_marks_spaces(spec):
        names = dict.fromkeys((f"<0x{byte:02X}>" for byte in range(256)), 1)
        widths = _measure_tokens(controls, names, lambda token: len(token.replace(SPACE_MARK, " ").encode()))
        blank = np.zeros(len(widths), dtype=bool)
        for token, i in controls.copy.get_vocab(with_added_tokens=True).items():
            blank[i] = token.startswith(SPACE_MARK)
        return Spelling(widths, blank, False)
    return None


def list_byte_characters() -> list[str]:
    """Return the character that a byte-level vocabulary writes for each of the 256 bytes.

    Printable Latin-1 characters stand for themselves, the others for the code points 256, 257, ... in order
    (openai/gpt-2, src/encoder.py).
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _measure_tokens(controls: Any, bytes_: dict[str, int], width: Any) -> Ints:
    """Return the bytes of each token id.

    Args:
        bytes_: the 256 tokens of single bytes; if the vocabulary has them all, no text is unknown.
        width: returns the bytes of any other token.
    """
    copy = controls.copy
    vocabulary, added = copy.get_vocab(with_added_tokens=True), copy.get_added_tokens_decoder()
    out = np.full(max(vocabulary.values(), default=-1) + 1, UNCERTAIN, dtype=np.int32)
    for token, i in vocabulary.items():
        if i not in added:
            out[i] = bytes_.get(token) or width(token)
    for i, token in added.items():
        out[i] = len(token.content.encode())
    for content, i in controls.ids.items():
        out[i] = len(content.encode())
    if not bytes_.keys() <= vocabulary.keys() and copy.model.unk_token is not None:
        out[copy.token_to_id(copy.model.unk_token)] = UNCERTAIN
    return out


def _only_marks_spaces(spec: dict[str, Any]) -> bool:
    """Return whether a tokenizer changes only spaces, to `SPACE_MARK`, and may add one in front of a text."""
    normalizer, cutter = spec["normalizer"], spec["pre_tokenizer"]
    steps = normalizer["normalizers"] if (normalizer or {}).get("type") == "Sequence" else [normalizer]
    for step in filter(None, steps):
        prepends = step["type"] == "Prepend" and step["prepend"] == SPACE_MARK
        replaces = step["type"] == "Replace" and step["pattern"] == {"String": " "} and step["content"] == SPACE_MARK
        if not (prepends or replaces):
            return False
    whole = cutter is None or (cutter["type"] == "Metaspace" and cutter["replacement"] == SPACE_MARK)
    return bool(spec["model"]["byte_fallback"]) and whole
