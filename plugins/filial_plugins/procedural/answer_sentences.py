"""The sentences of an answer that obeys constraints, and fillers up to the length asked for."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Any

FILLERS = (
    "It was read from left to right.",
    "Each part was looked at twice.",
    "Nothing was left out of it.",
    "The order of the words was kept.",
    "A friend would say the same.",
    "It takes only a moment to see.",
    "You may check it at any time.",
    "That much we know for sure.",
)
"""Sentences that hold no comma, digit, rare letter or word of the catalogue's lists."""
FOREIGN = {
    "Latin": "That much we know for sure.",
    "Cyrillic": "Это верный ответ на твой вопрос.",
    "Greek": "Αυτή είναι η σωστή απάντηση στην ερώτηση.",
    "Hangul": "이것이 질문에 대한 올바른 답입니다.",
    "Han": "这就是这个问题的正确答案。",
    "Kana": "これがただしいこたえです。",
    "Arabic": "هذا هو الجواب الصحيح عن السؤال.",
    "Devanagari": "यह इस प्रश्न का सही उत्तर है।",
}
_QUESTIONS = ("Does it fit?", "Can we say more?", "Do you agree?", "Shall we go on?", "Is it so?")
_CAPITALS = ("TRUE", "PLAIN", "SHORT", "EXACT", "FINAL", "SURE", "KNOWN")
_MARKED = ("this", "that", "these", "those", "here", "there", "both")
_OPEN = ("name", "town", "street", "date", "number", "friend", "day")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_BREAKING_MARKS = {
    "exclamation marks": "So it is!",
    "question marks": "Is it so?",
    "semicolons": "It is so; we know.",
    "parentheses": "It is so (we know).",
}
_MARKS = {"exclamation marks": "!", "question marks": "?", "semicolons": ";", "parentheses": "()"}


@dataclass(frozen=True)
class Orders:
    """What is asked for, type by type, which type is to be broken, and what draws among several ways."""

    args: dict[str, dict[str, Any]]
    broken: str
    style: random.Random

    def __contains__(self, name: str) -> bool:
        return name in self.args

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.args[name]

    def pick(self, *ways: str) -> str:
        """Return one of several ways to do something."""
        return self.style.choice(ways)

    def obeys(self, name: str) -> bool:
        """Return whether it is asked for and is to hold."""
        return name in self.args and name != self.broken

    def breaks(self, name: str) -> bool:
        """Return whether it is asked for and is not to hold."""
        return name in self.args and name == self.broken

    def amount(self, name: str) -> int:
        """Return how many to write: a number within the bounds, or just outside of them."""
        bounds: dict[str, int] = self.args[name]
        if self.breaks(name):
            return bounds["at_most"] + 1 if "at_most" in bounds else bounds["at_least"] - 1
        return bounds["at_least"] if "at_least" in bounds else bounds["at_most"]


def remove_forbidden(right: str, orders: Orders) -> str:
    """Return the right answer without the characters that must not stand in it."""
    if "no-commas" in orders:
        right = right.replace(",", "")
    if "exclude-marks" in orders:
        right = right.translate({ord(mark): None for mark in _MARKS[orders["exclude-marks"]["marks"]]})
    if orders.obeys("no-digits") or orders.breaks("number-count"):
        right = re.sub(r"\d+", lambda found: " ".join(_DIGITS[int(digit)] for digit in found[0]), right)
    return right


def write_sentences(right: str, orders: Orders) -> list[str]:
    """Return the sentence with the answer, and those that constraints on words, marks and small parts add."""
    said = [f"We get {right} as the answer."]
    said += _write_word_sentences(orders)
    for name, bank, form, sentence in (
        ("highlight-count", _MARKED, "**{}**", "Note {}."),
        ("placeholder-count", _OPEN, "[{}]", "Fill in {}."),
        ("capital-words", _CAPITALS, "{}", "We call it {}."),
        ("number-count", tuple(map(str, range(2, 9))), "{}", "We went from {}."),
    ):
        if name in orders:
            said.append(sentence.format(" and ".join(form.format(one) for one in bank[: orders.amount(name)])))
    if "question-count" in orders:
        said += _QUESTIONS[: orders.amount("question-count")]
    return said + _write_violation(orders)


def _write_word_sentences(orders: Orders) -> list[str]:
    said = []
    if "include-words" in orders:
        words = orders["include-words"]["words"]
        if orders.breaks("include-words"):
            words = [*words[:-1], orders.pick("more", f"{words[-1]}able", f"un{words[-1]}")]
        said.append(f"We bring in {' and '.join(words)}.")
    if orders.obeys("include-phrase"):
        said.append(f"It is so {orders['include-phrase']['phrase']}.")
    if "word-frequency" in orders:
        said.append(f"We say {' and '.join([orders['word-frequency']['word']] * orders.amount('word-frequency'))}.")
    return said


def _write_violation(orders: Orders) -> list[str]:
    """Return the sentences that break the constraint to be broken; empty if it is broken elsewhere."""
    name = orders.broken
    if name == "exclude-words":
        return [f"It is {orders[name]['words'][0]} so."]
    if name == "no-commas":
        return [orders.pick("Well, that is it.", "It is so，we know.", "It is so、we know.")]
    if name == "exclude-marks":
        return [_BREAKING_MARKS[orders[name]["marks"]]]
    if name == "no-digits":
        return [orders.pick("It took 2 of us.", "It took ٢ of us.", "It is the 1st.")]
    if name == "sentence-length":
        return [f"It goes {'on and ' * orders[name]['at_most']}on."]
    if name == "letter-frequency" and "at_most" in orders[name]:
        return [f"It sounds like {orders[name]['letter'] * (orders[name]['at_most'] + 1)}."]
    return []


def pad(said: list[str], orders: Orders) -> list[str]:
    """Return the sentences with enough fillers that the length obeys, or breaks, what is asked for."""
    said = list(said)
    if "word-count" in orders:
        goal = _find_goal(orders, "word-count")
        while len(" ".join(said).split()) < goal:
            said.append(get_filler(len(said)))
    if "character-count" in orders:
        goal = _find_goal(orders, "character-count")
        while len(" ".join(said)) < goal:
            said.append(get_filler(len(said)))
    if orders.obeys("letter-frequency") and "at_least" in orders["letter-frequency"]:
        letter, goal = orders["letter-frequency"]["letter"], orders["letter-frequency"]["at_least"]
        while " ".join(said).lower().count(letter) < goal:
            said.append(get_filler(len(said)))
    if orders.obeys("script"):
        said += _write_foreign(" ".join(said), orders["script"]["script"])
    elif orders.breaks("script"):
        said += orders.style.randrange(2) * [FOREIGN[orders["script"]["script"]]]
    if "sentence-count" in orders:
        said = fit_count(said, orders.amount("sentence-count"))
    return said


def _find_goal(orders: Orders, name: str) -> int:
    """Return the length up to which fillers are added; 0 if none are needed."""
    bounds: dict[str, int] = orders[name]
    if orders.breaks(name):
        return bounds["at_most"] + 1 if "at_most" in bounds else 0
    return bounds.get("at_least", 0)


def _write_foreign(text: str, script: str) -> list[str]:
    """Return enough sentences in a script that at most one letter in twenty of the answer is of another script."""
    other = sum(map(str.isalpha, text))
    own = sum(map(str.isalpha, FOREIGN[script]))
    return [FOREIGN[script]] * (20 * other // own + 1)


def get_filler(place: int) -> str:
    """Return a sentence that adds nothing to the answer."""
    return FILLERS[place % len(FILLERS)]


def fit_count(said: list[str], count: int) -> list[str]:
    """Return exactly ``count`` sentences: add fillers, or join the last sentences."""
    said = list(said)
    while len(said) < count:
        said.append(get_filler(len(said)))
    while len(said) > count:
        last = said.pop()
        said[-1] = f"{said[-1].rstrip('.')} and {last[0].lower()}{last[1:]}"
    return said


def spread(said: list[str], count: int) -> list[str]:
    """Split sentences into ``count`` pieces of at least one sentence each; the first piece takes the rest.

    Fillers are added if there are fewer sentences than pieces.
    """
    said = said + [get_filler(len(said) + i) for i in range(count - len(said))]
    rest = len(said) - count + 1
    return [" ".join(said[:rest]), *said[rest:]]
