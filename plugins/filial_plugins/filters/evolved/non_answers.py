"""Tells a reply that puts off whoever asked from an answer.

Auto Evol-Instruct (Zeng et al., 2024, section 3.2) looks for three kinds of them; the program EvolKit has a regular
expression for each. Here every sentence of a reply is looked at: a reply is no answer if it is short and holds nothing
but talk about the request, that is, courtesies, promises, requests for input, questions back, words on what is
missing, and refusals. One sentence of another kind makes it an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from filial import declines
from filial_plugins.filters.evolved.small_talk import (
    ASIDE,
    ASKS_BACK,
    COURTESY,
    DEMAND,
    FILLER,
    INVITES_QUESTIONS,
    LACK,
    OPENING,
    PRAISE,
    PROMISE,
    PROMISE_AFTER_ASSENT,
    REQUEST,
    UNABLE,
)
from filial_plugins.texts import collapse_whitespace, count_words

LONGEST = 80
"""Words; a longer reply says more than that it has nothing to say."""

_BEFORE, _BEHIND = " *_\"“”'`#>-", " *_\"“”'`"
_QUESTION = re.compile(r"[^\W\d_][\w\s,;'\"()/&-]{2,200}\?")
_SENTENCE_END = re.compile(r"[.!?:…] ")


def is_non_answer(text: str, task: str = "") -> bool:
    """Return whether a reply asks for input, asks back, only announces an answer, or declines.

    A reply of questions alone is one too, unless the ``task`` is of a kind whose answer may be a question.
    """
    if declines(text):
        return True
    if len(text) > 20 * LONGEST:
        return False
    prompted, said = False, False
    for sentence in _split_sentences(collapse_whitespace(text).lower().replace("’", "'")):
        kind = _classify_sentence(sentence, prompted)
        if not kind and (not _QUESTION.fullmatch(sentence) or INVITES_QUESTIONS.search(task)):
            return False
        prompted = prompted or kind in ("promise", "praise")
        said = said or kind not in ("praise", "courtesy")
    return said and count_words(text) < LONGEST


def _split_sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a one-line text; lazily, since the first one mostly decides."""
    at = 0
    for end in (*(found.end() for found in _SENTENCE_END.finditer(text)), len(text)):
        if sentence := text[at:end].lstrip(_BEFORE).rstrip(_BEHIND):
            yield sentence
        at = end


def _classify_sentence(sentence: str, prompted: bool) -> str:
    """Return the kind of talk that a sentence is: promise, praise, courtesy or talk; "" if it may be an answer.

    ``prompted``: a promise or praise came before, so a question or a demand is meant for whoever asked.
    """
    rest, assents = sentence, False
    while found := OPENING.match(rest) or FILLER.match(rest):
        assents = assents or found.re is OPENING
        rest = rest[found.end() :].lstrip(" ,-")
    if assents and (not rest.strip(".!?:… ") or PROMISE_AFTER_ASSENT.match(rest)):
        return "promise"
    if any(pattern.match(rest) for pattern in (REQUEST, ASKS_BACK, LACK, UNABLE)):
        return "talk"
    for kind, pattern in (("praise", PRAISE), ("courtesy", COURTESY), ("courtesy", ASIDE), ("promise", PROMISE)):
        if pattern.match(rest):
            return kind
    return "talk" if (prompted or assents) and (_QUESTION.fullmatch(rest) or DEMAND.match(rest)) else ""
