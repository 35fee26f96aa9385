"""Faults on purpose, at a seeded rate, so that filters can be measured: the mistakes of weak teachers.

Each fault has a kind, and the teacher can say afterwards which it put into a reply (`ProceduralTeacher.faults`); the
reply itself does not tell.  Whether an answer is right, or two tasks are equal, can be checked without it
(`filial_plugins.procedural.truth`, `parser`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .lexicon import NOUNS
from .weak_answers import APOLOGIES, CHATTER, EMPTY, EXCUSES, NON_ANSWERS, SHORT_WORDS, THINGS
from .weak_rewrites import LEAKS, REFUSALS

ANSWER_FAULTS = {"wrong": 0.4, "apology": 0.15, "empty": 0.15, "non-answer": 0.2, "chatter": 0.1}
"""What an answer with a fault is, and how often.  ``chatter`` is the right answer after more than 80 words, "sorry"
among them: wrong to the letter, and still nothing that a rule about apologies should find."""

REWRITE_FAULTS = {"unchanged": 0.2, "reworded": 0.25, "leak": 0.35, "refused": 0.2}
"""What a rewritten prompt with a fault is, and how often.  ``reworded`` is the same task in other words."""

_PROMPT_PLACE = re.compile(r"(\{text\}|\{given\})")
_LONGEST_APOLOGY = 79
"""Words; from 80 on the published rule takes a text for an answer that happens to say sorry."""


class FaultyReply(NamedTuple):
    """A reply with a fault: the kind of the fault and the text."""

    kind: str
    text: str


def _draw_kind(table: dict[str, float], rng: random.Random) -> str:
    return rng.choices(list(table), list(table.values()))[0]


def make_faulty_answer(right: str, rng: random.Random) -> FaultyReply:
    """Return an answer as a weak teacher gives it."""
    kind = _draw_kind(ANSWER_FAULTS, rng)
    return FaultyReply(kind, _ANSWERS[kind](right, rng))


def make_faulty_rewrite(given: str, rewritten: str, reworded: str, rng: random.Random) -> FaultyReply:
    """Return a rewritten prompt as a weak teacher gives it; ``reworded`` is the given prompt in other words."""
    kind = _draw_kind(REWRITE_FAULTS, rng)
    if kind == "leak":
        return FaultyReply(kind, _make_leak(given, rewritten, rng))
    return FaultyReply(kind, {"unchanged": given, "reworded": reworded, "refused": rng.choice(REFUSALS)}[kind])


def make_faulty_text(right: str, rng: random.Random) -> str:
    """Return the text alone of an answer with a fault."""
    return make_faulty_answer(right, rng).text


def word_verdict(same: bool, rng: random.Random) -> str:
    """Say whether two prompts are equal, in words other than the two that the prompt asks for."""
    forms = (
        ("Equal", "equal", "Equal.", "**Equal**", "EQUAL", "They are equal.", "Equal. Both ask for the same thing.")
        if same
        else ("Not Equal", "not equal.", "NOT EQUAL", "Unequal", "They are not equal.", "**Not Equal**", "not-equal")
    )
    return rng.choice(forms)


def make_wrong_answer(right: str, rng: random.Random) -> str:
    """Return a plausible wrong answer: one word removed, swapped or replaced, or a number changed."""
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
            changed[place] = _replace_word(words[place], rng)
        text = " ".join(changed)
        if text != right:
            return text


def _replace_word(word: str, rng: random.Random) -> str:
    opposites = {"yes": "no", "no": "yes", "odd": "even", "even": "odd"}
    if word in opposites:
        return opposites[word]
    other = rng.choice(NOUNS)
    return other.upper() if word.isupper() else other


def _change_case(text: str, rng: random.Random) -> str:
    """Return the text as it is, or now and then all in capitals or in small letters."""
    return _draw_case_change(rng)(text)


def _draw_case_change(rng: random.Random) -> Callable[[str], str]:
    return rng.choices((str, str.upper, str.lower), (6, 1, 1))[0]


def _fill_form(forms: Sequence[str], rng: random.Random) -> str:
    return _change_case(rng.choice(forms).replace("{thing}", rng.choice(THINGS)), rng)


def _make_leak(given: str, rewritten: str, rng: random.Random) -> str:
    """Write a rewritten prompt that leaks the request's words; only the case of those words varies."""
    change = _draw_case_change(rng)
    prompts = {"{text}": rewritten, "{given}": given}
    return "".join(prompts.get(part) or change(part) for part in _PROMPT_PLACE.split(rng.choice(LEAKS)))


def _make_apology(right: str, rng: random.Random) -> str:
    """Write an apology.

    Mostly one sentence, every third one longer, up to one word below the published rule's limit.
    """
    text = _fill_form(APOLOGIES, rng)
    if rng.random() < 1 / 3:
        for sentence in rng.sample(EXCUSES, len(EXCUSES)):
            longer = f"{text} {sentence.replace('{thing}', rng.choice(THINGS))}"
            text = longer if len(longer.split()) <= _LONGEST_APOLOGY else text
    return text


def _make_empty(right: str, rng: random.Random) -> str:
    if rng.random() < 2 / 3:
        return rng.choice(EMPTY)
    words = rng.choices(SHORT_WORDS, k=rng.randint(1, 12))
    return _change_case(" ".join(words).capitalize(), rng) + rng.choice(("", ".", "...", "?"))


def _make_chatter(right: str, rng: random.Random) -> str:
    words = " ".join(CHATTER)
    return f"{words} So the answer is: {right}"


_ANSWERS: dict[str, Callable[[str, random.Random], str]] = {
    "wrong": make_wrong_answer,
    "apology": _make_apology,
    "empty": _make_empty,
    "non-answer": lambda right, rng: _fill_form(NON_ANSWERS, rng),
    "chatter": _make_chatter,
}
