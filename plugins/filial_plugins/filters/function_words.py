"""English words that carry grammar and no content: articles, pronouns, prepositions and the like."""

from __future__ import annotations

import re

_WORDS = """
a an the this that these those such
i me my mine myself we our ours ourselves you your yours yourself yourselves
he him his himself she her hers herself it its itself they them their theirs themselves
who whom whose which what
of in on at by for with from to into about above after against among as before below between down during off
out over per since through throughout till under until up via within
and or but nor so yet if then than because while when where whereas whether although though unless both either
neither
be am is are was were been being do does did doing done have has had having
can could should will would
not no only own same too very just also here there again further once now any all each few more most other
some how why
s t d ll m re ve don isn aren wasn weren hasn haven hadn doesn didn won wouldn shouldn couldn
"""
FUNCTION_WORDS = frozenset(_WORDS.split())
_WORD = re.compile(r"\w+")


def says_nothing(text: str, *, with_function_words: bool = False) -> bool:
    """Whether a text holds only blanks and ASCII punctuation, and function words too if asked."""
    if not text.isascii():
        return False
    words = _WORD.finditer(text.lower().replace("_", " "))
    return all(with_function_words and word[0] in FUNCTION_WORDS for word in words)
