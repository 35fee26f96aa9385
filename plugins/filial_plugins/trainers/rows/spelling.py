"""How many bytes of text each token stands for, for tokenizers whose tokens spell the text and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Ints = np.ndarray[Any, np.dtype[np.int32]]

BLANK = "▁"  # what SentencePiece writes for a blank
UNCERTAIN = 1 << 20
"""The length of a token that spells nothing certain: no row with one has the length of its text."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """The tokens of one tokenizer.

    Attributes:
        widths: bytes per token id.
        blank: which tokens begin with a blank, where the tokenizer may put one before a text that is not in it; None
            where it never does.
        composes: the tokenizer brings text into Unicode's composed form (NFC) first.
    """

    widths: Ints
    blank: np.ndarray[Any, np.dtype[np.bool_]] | None
    composes: bool


def spelling_of(controls: Any) -> Spelling | None:
    """The spelling of a tokenizer's tokens; None where they do not spell the text byte by byte.

    They do for byte-level BPE, and for SentencePiece-like BPE that falls back to bytes. Text that holds `BLANK` itself
    is for the caller to set apart.
    """
    spec = json.loads(controls.copy.to_str())
    if spec["model"]["type"] != "BPE" or controls.greedy:
        return None
    decoder, normalizer = spec["decoder"] or {}, spec["normalizer"]
    if decoder.get("type") == "ByteLevel" and (normalizer is None or normalizer["type"] == "NFC"):
        widths = _widths(controls, dict.fromkeys(letters(), 1), len)
        return Spelling(widths, None, normalizer is not None)
    if _writes_blanks(spec):
        names = dict.fromkeys((f"<0x{byte:02X}>" for byte in range(256)), 1)
        widths = _widths(controls, names, lambda token: len(token.replace(BLANK, " ").encode()))
        blank = np.zeros(len(widths), dtype=bool)
        for token, i in controls.copy.get_vocab(with_added_tokens=True).items():
            blank[i] = token.startswith(BLANK)
        return Spelling(widths, blank, False)
    return None


def letters() -> list[str]:
    """The character a byte-level vocabulary writes for each byte (openai/gpt-2, src/encoder.py: printable Latin-1
    characters stand for themselves, the others for 256, 257, ... in order)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _widths(controls: Any, bytes_: dict[str, int], width: Any) -> Ints:
    """Bytes by id. ``bytes_`` names the 256 tokens of one byte; with all of them there, nothing is unknown."""
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


def _writes_blanks(spec: dict[str, Any]) -> bool:
    """Whether a tokenizer changes nothing in a text but blanks to `BLANK`, and perhaps puts one before it."""
    normalizer, cutter = spec["normalizer"], spec["pre_tokenizer"]
    steps = normalizer["normalizers"] if (normalizer or {}).get("type") == "Sequence" else [normalizer]
    for step in filter(None, steps):
        prepends = step["type"] == "Prepend" and step["prepend"] == BLANK
        replaces = step["type"] == "Replace" and step["pattern"] == {"String": " "} and step["content"] == BLANK
        if not (prepends or replaces):
            return False
    whole = cutter is None or (cutter["type"] == "Metaspace" and cutter["replacement"] == BLANK)
    return bool(spec["model"]["byte_fallback"]) and whole
