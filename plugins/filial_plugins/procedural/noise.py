"""Faults on purpose: what weak teachers do wrong, at a seeded rate, so that filters can be measured.

Whether a fault slipped in can always be told afterwards, because the truth is known
(`filial_plugins.procedural.truth`).
"""

from __future__ import annotations

import random

from .lexicon import NOUNS

REFUSALS = (
    "Sorry, I cannot help with that.",
    "I'm sorry, but I can't assist with this request.",
    "As an AI language model, I cannot do that.",
)
NON_ANSWERS = ("Sure.", "Okay.", "Here it is:", "...", "Could you please provide more details?")
LEAKS = ("#Rewritten Prompt#:\n{}", "Here is the rewritten prompt: {}", "{}\n#Given Prompt#: as above")


def wrong_answer(right: str, rng: random.Random) -> str:
    """A plausible answer that is not the right one: one word lost, doubled, moved or replaced, a number changed."""
    words = right.split(" ")
    while True:
        changed = list(words)
        place = rng.randrange(len(words))
        kind = rng.choice(("drop", "swap", "replace", "replace"))
        if kind == "drop" and len(words) > 1:
            del changed[place]
        elif kind == "swap" and len(words) > 1:
            other = rng.randrange(len(words))
            changed[place], changed[other] = changed[other], changed[place]
        elif words[place].isdigit():
            changed[place] = str(int(words[place]) + rng.choice((1, 2, 10)))
        else:
            changed[place] = _another(words[place], rng)
        text = " ".join(changed)
        if text != right:
            return text


def _another(word: str, rng: random.Random) -> str:
    opposites = {"yes": "no", "no": "yes", "odd": "even", "even": "odd"}
    if word in opposites:
        return opposites[word]
    other = rng.choice(NOUNS)
    return other.upper() if word.isupper() else other


def faulty_answer(right: str, rng: random.Random) -> str:
    """An answer as a weak teacher gives it: mostly wrong, sometimes a refusal or no answer at all."""
    kind = rng.random()
    if kind < 0.6:
        return wrong_answer(right, rng)
    return rng.choice(REFUSALS) if kind < 0.8 else rng.choice(NON_ANSWERS)


def faulty_rewrite(given: str, rewritten: str, rng: random.Random) -> str:
    """A rewritten prompt as a weak teacher gives it: unchanged, with the frame of the request leaked, or refused."""
    kind = rng.random()
    if kind < 0.4:
        return given
    return rng.choice(LEAKS).format(rewritten) if kind < 0.8 else rng.choice(REFUSALS)
