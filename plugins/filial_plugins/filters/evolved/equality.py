"""The judge of information gain: what a teacher is asked about two prompts, and what its reply means."""

from __future__ import annotations

import re

from filial_plugins.prompt_files import read_prompt

PROMPT = read_prompt(__file__, "equality.txt")
"""What is asked, with ``{first}`` and ``{second}`` for the prompts (Evol-Instruct, appendix G, in our own words)."""

_PLACE = re.compile(r"\{(first|second)\}")
_SENTENCE_END = re.compile(r"[.;!\n]")
_WORD = re.compile(r"[a-z]+")
_DENIED = re.compile(r"\b(?:not|non|n['’]?t(?: be| quite)?)[\W_]{1,3}equal|\bun-?equal")
_DOUBT = frozenset(
    {"no", "not", "non", "un", "never", "neither", "nor", "isn", "aren", "different", "differ", "cannot", "hardly"}
    | {"if", "whether", "unequal", "or"}
)
"""Words that change, or may change, the meaning of a sentence with "equal"."""


def fill_prompt(first: str, second: str, prompt: str = PROMPT) -> str:
    """Return the prompt with both texts in their places; placeholders inside the texts are not replaced."""
    texts = {"first": first, "second": second}
    return _PLACE.sub(lambda place: texts[place[1]], prompt)


def says_equal(text: str) -> bool:
    """Return whether a judge's reply means equal. "Not Equal", "unequal", "Equal? No" and doubtful replies do not.

    The first sentence with the word "equal" decides; explanations may follow, but none that takes it back.
    """
    text = text.lower()
    if _DENIED.search(text):
        return False
    for sentence in _SENTENCE_END.split(text):
        words = set(_WORD.findall(sentence))
        if "equal" in words:
            return not words & _DOUBT
    return False
