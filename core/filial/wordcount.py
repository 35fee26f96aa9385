"""What counts as a word."""

from __future__ import annotations

import re

# Scripts that write no blanks between words: kana, Han, Thai, Lao, Khmer, Burmese.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def words(text: str) -> list[str]:
    """What stands between blanks; in scripts that write no blanks, every character."""
    return text.split() if text.isascii() else _WORD.findall(text)
