"""Recognize refusals, count words, escape control characters. Public API, like the names in `filial`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_VERBS = (
    "help|assist|answer|comply|fulfil|fulfill|do (?:that|this|so)|write|rewrite|create|generate|provide|"
    "produce|process|complete|continue|support|engage|discuss|share|offer|respond|perform|access|see|open|give"
)
_APOLOGY = re.compile(
    r"\W*(?:(?:i['’]?m|i am)?\s*(?:very |so |really |truly )?sorry\b|(?:my )?apologies\b|i apologi[sz]e\b)",
    re.IGNORECASE,
)
_DECLINE = re.compile(
    r"\W*(?:as an? (?:ai|artificial intelligence|language model)\b"
    r"|(?:unfortunately,? |i['’]?m afraid(?: that)? )?(?:i|we)\s*"
    r"(?:cannot|can['’]?t|can not|could not|am unable to|['’]m unable to|am not able to|['’]m not able to|"
    rf"won['’]?t|will not|must decline to)\s+(?:\w+ly )?(?:{_VERBS})\b)",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Return whether a reply begins like a refusal ("Sorry, …", "I cannot help …").

    Only the beginning counts: a long answer that says sorry further down is an answer.
    """
    return declines(text) or _APOLOGY.match(text[:300]) is not None


def declines(text: str) -> bool:
    """Return whether a reply begins by declining ("I cannot help …", "As an AI …"); an apology alone does not count."""
    return _DECLINE.match(text[:300]) is not None


# Scripts without blanks between words: kana, Han, Thai, Lao, Khmer, Burmese.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def words(text: str) -> list[str]:
    """Split a text at blanks; in scripts without blanks, into characters."""
    return text.split() if text.isascii() else _WORD.findall(text)


def printable(text: str) -> str:
    """Make text from data safe for a terminal: control characters and bidirectional marks become escapes."""
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """Do the same with each line of a text."""
    return "\n".join(map(printable, text.split("\n")))


_UNSAFE = re.compile(
    "(\x1b\\[[0-9;?]*[A-Za-z])|[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def defuse(text: str, *, styles: bool) -> str:
    """Escape control characters but line breaks and tabs, and bidirectional marks, as JSON does. ``styles``: leave
    colours and cursor moves."""

    def escape(found: re.Match[str]) -> str:
        return found[0] if styles and found[1] else f"\\u{ord(found[0][0]):04x}{found[0][1:]}"

    return _UNSAFE.sub(escape, text)


def list_counts(counts: Mapping[str, int], most: int | None = None, blank: str = " ") -> str:
    """``too-similar 80, harm 16``, the largest first; behind the ``most`` largest what they lack to the sum of all, as
    ``others 7``."""
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    named = ranked if most is None or len(ranked) <= most + 1 else ranked[:most]
    if others := sum(n for _, n in ranked[len(named) :]):
        named = [*named, ("others", others)]
    return ", ".join(f"{printable(name)}{blank}{n:,}" for name, n in named)
