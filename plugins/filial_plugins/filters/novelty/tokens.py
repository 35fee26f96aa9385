"""Tokens for comparing texts: those of ``rouge_score``, or tokens for every script."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from filial_plugins.texts import normalize_characters

Scripts = Literal["all", "latin"]

_ASCII_WORD = re.compile("[a-z0-9]+")
# Scripts whose characters are words or syllables, or that write no blanks between words: Thai, Lao, Tibetan, Burmese,
# Khmer, Tai, Balinese, Javanese, kana, Bopomofo, Yi, Han, Hangul; Tangut, Nushu. (NFKC has composed Hangul and widened
# narrow kana.)
_ALONE = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u0f40-\u0f6c\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
    "\u1950-\u1974\u1980-\u19c9\u1a20-\u1a54\u1b05-\u1b33\u1b45-\u1b4c"
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\ua984-\ua9b2\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaaaf\uaab1-\uaac2"
    "\uac00-\ud7a3\uf900-\ufaff"
)
_ALONE_ABOVE = "\U00016fe0-\U00018cff\U0001b000-\U0001b2ff\U00020000-\U0003ffff"


def _list_marks(*blocks: range) -> str:
    return "".join(c for block in blocks for c in map(chr, block) if unicodedata.category(c)[0] == "M")


_MARKS = _list_marks(range(0x300, 0x3100), range(0xA600, 0xAC00), range(0xFB00, 0xFE30))
_MARKS_ABOVE = _list_marks(range(0x10A00, 0x12000), range(0x16A00, 0x16FF0), range(0x1E000, 0x1E950))


def _make_piece(alone: str, marks: str) -> re.Pattern[str]:
    """Return the pattern of a token: a character that is one by itself, with its marks, or a run of others."""
    return re.compile(rf"[{alone}][{marks}]*|[^\W_{alone}]+(?:[{marks}]+[^\W_{alone}]*)*")


# Of characters above U+FFFF a pattern tries range after range, so they have one of their own.
_PIECE, _PIECE_ABOVE = _make_piece(_ALONE, _MARKS), _make_piece(_ALONE + _ALONE_ABOVE, _MARKS + _MARKS_ABOVE)
_ABOVE = re.compile("[\U00010000-\U0010ffff]")  # most often an emoji, which is no word
_WORD_ABOVE = re.compile(rf"[^\W\0-\uffff]|[{_MARKS_ABOVE}]")
_WORD_BEYOND_ASCII = re.compile(rf"[^\W\0-\x7f]|[{_MARKS}]")


def tokenize(text: str, scripts: Scripts = "all") -> list[str]:
    """Return the tokens of a text.

    ``scripts="latin"``: those of ``rouge_score`` without stemmer for every text, that is runs of a-z and 0-9 in
    the lower-cased text; a Chinese text has none, and of "Élan" there is "lan".

    ``scripts="all"``: the same for a text in ASCII. Of any other text, after `normalize_characters` and in lower
    case,

    * each character of Han, kana, Bopomofo, Thai, Lao, Tibetan, Burmese and Khmer, with the marks on it: these
      write no blanks between words. Each Hangul syllable too: Korean joins particles and endings to its words,
      so whole words of two similar sentences would seldom be equal;
    * of all other scripts (Latin, Cyrillic, Greek, Arabic, Hebrew, Devanagari, ...) each run of letters, marks and
      digits.

    Where there is nothing of these, the tokens are all characters but blanks, in any script.
    """
    if scripts == "latin":
        return _ASCII_WORD.findall(text.lower())
    normal = normalize_characters(text).lower()
    if normal.isascii() or not _WORD_BEYOND_ASCII.search(normal):  # dashes, quotes and the like alone
        pattern = _ASCII_WORD
    else:
        above = _ABOVE.search(normal) and _WORD_ABOVE.search(normal)
        pattern = _PIECE_ABOVE if above else _PIECE
    return pattern.findall(normal) or [c for c in normal if not c.isspace()]
