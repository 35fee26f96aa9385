"""Find words of the evolving prompt in the evolved text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

PHRASES = ("given prompt", "rewritten prompt", "created prompt")
"""What the published rule names; "created" is the word of the prompt in breadth."""

_BETWEEN = r"[\s_*#`\"'“”‘’-]*"
_HEADING = re.compile(
    r"#[\s_*]{0,3}(?:[^\W\d_]{1,20}[\s_*-]{1,3}){0,3}(?:prompt|instruction)s?[\s_*]{0,3}#|\bprompt#+(?!\d)",
    re.IGNORECASE,
)
_REWRITTEN = r"(?:re-?written|created|evolved)"
_OPENING = r"(?:(?:sure|certainly|of course|okay|here(?:['’]s| is)|this is|below is|the|my|your|our|an?|is)\b\W*){0,6}"
_NEW = r"(?:(?:brand[ -])?(?:new|next|final|second|original|harder|better|improved|revised|updated|modified|complex)"
_LABEL = re.compile(
    rf"\W*{_OPENING}(?:"
    rf"(?:{_NEW}|{_REWRITTEN})[\s*_]+){{0,3}}prompt\b"
    rf"(?:[\s*_,]*(?:\([^()\n]{{0,40}}\)|is|reads|would be|for you|as follows|version|{_REWRITTEN})){{0,3}}"
    r"|(?:[\w-]+\s+){0,4}version\s+of\s+the\s+prompt"
    rf"|{_REWRITTEN}[\s*_]+(?:instruction|question|task|version)"
    r")[\s*_\"'”]*(?:[:#=>\]]|-+\s)",
    re.IGNORECASE,
)
_OPENS = 400
"""Characters of a text in which a label can stand."""


def find_leak(text: str, phrases: Sequence[str] = PHRASES, *, labels: bool = True) -> str:
    """Return the words of an evolving prompt that a text holds; empty if it holds none.

    A phrase counts in any case, whatever blanks, underlines, quotes or hyphens stand between its words. With
    ``labels`` also counts a heading between number signs ("#New Prompt#"), and a label at the beginning of the text
    that announces a prompt ("Here is the new prompt:").
    """
    small = text.casefold()
    for phrase in phrases:
        # `in` is much faster than a pattern for an absent word, and this runs on every record.
        if phrase.split()[-1].casefold() in small and (found := _phrase_pattern(phrase).search(text)):
            return found[0]
    if not labels:
        return ""
    found = _LABEL.match(text[:_OPENS]) or ("#" in text and _HEADING.search(text)) or None
    return found[0].strip() if found else ""


@cache
def _phrase_pattern(phrase: str) -> re.Pattern[str]:
    words = (re.escape(word) for word in phrase.split())
    spelled = (rf"re-?{word[2:]}" if word.casefold().startswith("re") else word for word in words)
    return re.compile(rf"\b{_BETWEEN.join(spelled)}(?:s\b|\b)", re.IGNORECASE)


def keep_letters(text: str) -> str:
    """Return only the letters and digits of a text, in lower case, to compare words however they are written."""
    return re.sub(r"[\W_]+", "", text.casefold())
