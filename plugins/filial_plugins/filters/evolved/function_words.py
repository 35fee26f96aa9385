"""English words that carry grammar and no content: articles, pronouns, prepositions and the like."""

from __future__ import annotations

import re
import unicodedata
from itertools import islice

_WORDS = """
a an the this that these those such
i me my mine myself we our ours ourselves you your yours yourself yourselves
he him his himself she her hers herself it its itself they them their theirs themselves
who whom whose which what
of in on at by for with from to into about above after against among as before below between down during off
out over per since through throughout till under until up via within
and or but nor so yet if then than because while when where whereas whether although though unless both either
neither
be am is are was were been being do does did doing have has had having
can could should will would
not no only own same too very just also here there again further once now any all each few more most other
some how why
ain ma mightn mustn needn o shan y
s t d ll m re ve don isn aren wasn weren hasn haven hadn doesn didn won wouldn shouldn couldn
"""
FUNCTION_WORDS = frozenset(_WORDS.split())
_REPLIES = frozenset(
    ("no", "neither", "either", "both", "all", "some", "any", "few", "most", "more", "each", "same", "mine", "now")
)
"""Those that answer a question by themselves, mostly how many, which or whether."""
_CHOICE = re.compile("[A-HJ-Z]")
_WORD = re.compile(r"[^\W_]+")


def says_nothing(text: str, *, with_function_words: bool = False) -> bool:
    """Return whether a text holds only blanks and punctuation, and English function words too if asked.

    Signs that stand for something (an emoji, an arrow, a currency) count as words; ASCII punctuation does not.
    """
    words = (word[0] in FUNCTION_WORDS for word in _WORD.finditer(text.lower()))
    if not all(with_function_words and known for known in words):
        return False
    return text.isascii() or not any(c > "\x7f" and unicodedata.category(c)[0] == "S" for c in text)


def is_short_reply(text: str) -> bool:
    """Return whether function words alone are a reply: "No, it is not.", "Both.", "D" of several choices."""
    words = [word[0] for word in islice(_WORD.finditer(text), 2)]
    if len(words) == 1:
        return words[0].lower() in _REPLIES or _CHOICE.fullmatch(words[0]) is not None
    return bool(words) and words[0].lower() == "no"
