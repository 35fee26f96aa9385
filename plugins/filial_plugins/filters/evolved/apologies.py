"""Apologies instead of answers."""

from __future__ import annotations

import re

from filial_plugins.texts import count_words

_SORRY = re.compile(r"\bsorry\b", re.IGNORECASE)
_OPENING = re.compile(
    r"\W*(?:oh|hi|hello|no)?\W*(?:"
    r"(?:please |kindly )?(?:accept |excuse |forgive )?(?:my |our )?(?:sincere |sincerest |deepest )?apolog(?:y|ies)\b"
    r"|(?:i|we) (?:do |must |\w+ly )?apologi[sz]e\b|(?:please )?(?:forgive|pardon) me\b"
    r"|抱歉|很抱歉|非常抱歉|对不起|對不起|죄송|미안|申し訳|すみません|ごめん"
    r"|(?:je suis )?désolée?|lo siento|lo lamento|(?:es )?tut mir leid|entschuldigung|desculp|lamento|mi dispiace"
    r")",
    re.IGNORECASE,
)
"""How answers begin that apologise in other words and languages."""


def apologises(text: str, most: int, *, in_any_words: bool = True) -> bool:
    """Return whether a text apologises in fewer words than ``most``.

    The published rule counts the word "sorry" anywhere, and words between blanks. ``in_any_words``: a text that begins
    with another apology counts too, and in scripts without blanks each character is a word.
    """
    # `in` is much faster than a pattern for an absent word, and this runs on every record.
    sorry = "sorry" in text.casefold() and _SORRY.search(text)
    if in_any_words:
        return bool(sorry or _OPENING.match(text[:100])) and count_words(text) < most
    return bool(sorry) and len(text.split()) < most
