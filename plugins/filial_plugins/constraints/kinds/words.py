"""Types about which words, letters, marks and scripts an answer uses."""

from __future__ import annotations

from filial_plugins.constraints.checkers import MARKS, SCRIPTS
from filial_plugins.constraints.constraint_type import (
    AMOUNT,
    ConstraintType,
    amounts,
    both,
    nothing,
    one_of,
    option,
    phrase,
    phrases,
    some_of,
)

INCLUDED = ("because", "often", "cause", "effect", "simple", "together", "careful", "different", "finally", "useful")
"""Words that go into an answer about anything; none of them is in the other lists or in a phrase below."""
EXCLUDED = ("very", "really", "also", "many", "important", "however", "various", "make", "actually", "simply", "thing")
REPEATED = ("clear", "point", "step", "detail", "second", "idea", "place", "whole")
IN_PASSING = ("as far as we can tell", "in other words", "on the other hand", "at first sight", "for the most part")
COMMON, RARE = "aeiorst", "jqxz"
_SCRIPTS = tuple(name for name in SCRIPTS if name != "Latin")

WORDS = (
    ConstraintType(
        "include-words",
        (phrases("words"),),
        some_of("words", INCLUDED, 1, 3),
        (
            "Use {words} in your answer.",
            "Your answer must contain {words}.",
            "Make sure that {words} can be found in the answer.",
            "Work {words} into what you write.",
        ),
        needs=("latin",),
    ),
    ConstraintType(
        "include-phrase",
        (phrase("phrase"),),
        one_of("phrase", IN_PASSING),
        (
            "Use the phrase {phrase} somewhere in your answer.",
            "The answer must contain the words {phrase}, in this order.",
            "Work the expression {phrase} into your answer.",
            "Somewhere in your answer, write {phrase}.",
        ),
        needs=("latin",),
    ),
    ConstraintType(
        "exclude-words",
        (phrases("words"),),
        some_of("words", EXCLUDED, 1, 3),
        (
            "Do not use {words}.",
            "Avoid {words} in your answer.",
            "Your answer must not contain {words}.",
            "Write the answer without {words}.",
        ),
    ),
    ConstraintType(
        "word-frequency",
        (phrase("word"), AMOUNT),
        both(one_of("word", REPEATED), amounts(least=range(2, 5), exact=range(2, 4))),
        (
            "Use the word {word} {amount} times.",
            "The word {word} should appear {amount} times in your answer.",
            "Let the word {word} come up {amount} times.",
            "Mention the word {word} {amount} times in all.",
        ),
        needs=("latin",),
    ),
    ConstraintType(
        "letter-frequency",
        (phrase("letter"), AMOUNT),
        lambda rng: (
            {"letter": rng.choice(COMMON), "at_least": rng.randint(40, 60)}
            if rng.random() < 0.5
            else {"letter": rng.choice(RARE), "at_most": rng.randint(3, 5)}
        ),
        (
            "Use the letter {letter} {amount} times.",
            "The letter {letter}, large or small, should appear {amount} times.",
            "In your answer the letter {letter} must occur {amount} times.",
            "Let the letter {letter} turn up {amount} times in all.",
        ),
        claims=("letters",),
        needs=("latin", "length"),
    ),
    ConstraintType(
        "no-commas",
        (),
        nothing,
        (
            "Use no commas.",
            "Do not put a single comma into your answer.",
            "Write the answer without commas.",
            "Your answer must be free of commas.",
        ),
        claims=("commas",),
    ),
    ConstraintType(
        "exclude-marks",
        (option("marks", tuple(MARKS)),),
        one_of("marks", tuple(MARKS)),
        (
            "Use no {marks}.",
            "Write your answer without {marks}.",
            "There should be no {marks} in the answer.",
            "Avoid {marks} altogether.",
        ),
        claims=("marks",),
        needs=("questions",),
    ),
    ConstraintType(
        "no-digits",
        (),
        nothing,
        (
            "Use no digits: write numbers as words.",
            "Write every number in words, without any digit.",
            "There should be no digit in your answer; spell numbers out.",
            "Spell out all numbers and use no digits.",
        ),
        claims=("digits",),
    ),
    ConstraintType(
        "upper-case",
        (),
        nothing,
        (
            "Write everything in capital letters.",
            "Use upper case only.",
            "Your whole answer should be in capitals.",
            "Give the answer in upper-case letters throughout.",
        ),
        claims=("case", "capitals"),
    ),
    ConstraintType(
        "lower-case",
        (),
        nothing,
        (
            "Write everything in small letters.",
            "Use lower case only.",
            "Your whole answer should be in lower case, without any capital.",
            "Give the answer in lower-case letters throughout.",
        ),
        claims=("case", "capitals"),
    ),
    ConstraintType(
        "script",
        (option("script", tuple(SCRIPTS)),),
        one_of("script", _SCRIPTS),
        (
            "Write your answer in the {script} script.",
            "Use the {script} script for the whole answer.",
            "Answer in a language that is written in the {script} script, and use that script.",
            "The letters of your answer should be of the {script} script.",
        ),
        claims=("latin", "length", "layout", "case", "capitals", "letters", "start", "end", "bold", "brackets"),
        needs=("questions",),
    ),
)
