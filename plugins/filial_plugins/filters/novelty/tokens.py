"""Tokens for comparing texts: those of ``rouge_score``, or tokens for every script."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

Scripts = Literal["all", "latin"]

_ASCII_WORD = re.compile("[a-z0-9]+")
# Scripts whose characters are words or syllables, or that write no blanks between words: Thai, Lao, Tibetan,
# Burmese, Khmer, kana, Bopomofo, Han, Hangul. (NFKC has composed Hangul and widened narrow kana.)
_ALONE = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u0f40-\u0f6c\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
# Latin letters in lower case, phonetic ones and modifiers with them.
_LATIN = (
    "a-z\u00aa\u00ba\u00df-\u00f6\u00f8-\u02ff\u1d00-\u1d25\u1d2c-\u1dbf\u1e00-\u1eff\u2184\u2c60-\u2c7f"
    "\ua722-\ua7ff\uab30-\uab64\uab66-\uab69"
)
_BLOCKS = (range(0x300, 0x3100), range(0xA600, 0xAC00), range(0xFB00, 0xFE30))
_MARKS = "".join(c for block in _BLOCKS for c in map(chr, block) if unicodedata.category(c)[0] == "M")
_PIECE = re.compile(rf"[{_ALONE}][{_MARKS}]*|[^\W_{_ALONE}](?:[^\W_{_ALONE}]|[{_MARKS}])*")
_LATIN_WORD = re.compile(rf"[{_LATIN}]+")
_OTHER_WORD = re.compile(rf"[{_ALONE}][{_MARKS}]*|(?:[^\W\d_{_ALONE}{_LATIN}][{_MARKS}]*)+")


def tokenize(text: str, scripts: Scripts = "all") -> list[str]:
    """Return the tokens of a text.

    ``scripts="latin"``: those of ``rouge_score`` without stemmer for every text, that is runs of a-z and 0-9 in
    the lower-cased text; a Chinese text has none.

    ``scripts="all"``: those of ``rouge_score`` for a text in the Latin script. A text is in another script if it
    holds more words of other scripts than of the Latin one, or no a-z and 0-9 at all; numbers do not count. Its
    tokens are, after NFKC (which makes one of narrow, wide and composed forms) and in lower case,

    * each character of Han, kana, Bopomofo, Thai, Lao, Tibetan, Burmese and Khmer, with the marks on it: these
      write no blanks between words. Each Hangul syllable too: Korean joins particles and endings to its words,
      so whole words of two similar sentences would seldom be equal;
    * of all other scripts (Cyrillic, Greek, Arabic, Hebrew, Devanagari, ..., and Latin) each run of letters,
      marks and digits;
    * where there is nothing of these, all characters but blanks.

    `count_words` also counts each character of the first group as one word.
    """
    lowered = text.lower()
    plain = _ASCII_WORD.findall(lowered)
    if scripts == "latin" or (plain and (text.isascii() or not _OTHER_WORD.search(lowered))):
        return plain
    normal = unicodedata.normalize("NFKC", text).lower()
    if plain and len(_OTHER_WORD.findall(normal)) <= len(_LATIN_WORD.findall(normal)):
        return plain
    return _PIECE.findall(normal) or [c for c in normal if not c.isspace()]
