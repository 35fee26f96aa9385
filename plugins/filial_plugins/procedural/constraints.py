"""Constraints on how an answer is written: capitals, JSON, separators, labels and the like.

A constraint is a pair (name, choice); ``choice`` is empty for constraints that have none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

from .grammar import capitalize_first, expand_all, fill, find_slots
from .operations import Value

Constraint = tuple[str, str]

SEPARATORS = {"dashes": " - ", "semicolons": "; ", "slashes": " / ", "commas": ", ", "the word and": " and "}
WRAPPERS = {"double quotes": '""', "square brackets": "[]", "parentheses": "()"}
LABELS = ("Answer", "Result", "Solution", "Reply")
ENDINGS = ("done", "over", "stop", "end")
_LIST_NAMES = ("items", "results", "entries", "parts")
_ASIDES = ("", "please ", "also, ", "and please ", "in the end, ")


@dataclass(frozen=True)
class FormatConstraint:
    """One kind of constraint.

    ``orders`` are whole imperative sentences, ``statements`` sentences of another form; ``{p}`` is the choice and
    ``{it}`` a word for the parts of a list.  ``notes`` label the same thing on the pretraining pages.
    """

    name: str
    orders: tuple[str, ...]
    statements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ("",)
    lists_only: bool = False

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Every sentence in lower case, ``{p}`` and ``{it}`` open."""
        plain = [aside + text for text in expand_all(self.orders) for aside in _ASIDES]
        return (*plain, *expand_all(self.statements))

    @cached_property
    def note_wordings(self) -> tuple[str, ...]:
        """Every label for the pretraining pages."""
        return expand_all(self.notes)


FORMAT_CONSTRAINTS: dict[str, FormatConstraint] = {
    kind.name: kind
    for kind in (
        FormatConstraint(
            "separator",
            ("[separate|join|divide] the {it} with {p}", "[use|put|place] {p} between the {it}"),
            ("the {it} [should|must] be separated with {p}", "there [should|must] be {p} between the {it}"),
            ("with {p}", "{p} between"),
            tuple(SEPARATORS),
            lists_only=True,
        ),
        FormatConstraint(
            "numbered",
            ("number the {it}", "[put|write] a number before each [item|entry]",
             "[make|return] a numbered list", "give each [item|entry] a number"),
            ("the {it} [should|must] be numbered",),
            ("numbered", "each with its number"),
            lists_only=True,
        ),
        FormatConstraint(
            "capitals",
            ("[write|give|return] the answer in [capital letters|uppercase|all caps]",
             "use [only |]capital letters for the answer"),
            ("the answer [should|must] be in [capital letters|uppercase|all caps]",
             "I want the answer in [capital letters|uppercase]"),
            ("in capital letters", "in capitals", "in uppercase"),
        ),
        FormatConstraint(
            "json",
            ("[return|give|format|write] the answer as [JSON|valid JSON]", "use JSON for the answer"),
            ("the answer [should|must] be [valid JSON|in JSON]", "I want the answer as JSON"),
            ("as JSON", "in JSON"),
        ),
        FormatConstraint(
            "wrapped",
            ("[put|wrap|write|place] the answer in {p}", "[use|put] {p} around the answer"),
            ("the answer [should|must] be in {p}", "I want the answer in {p}"),
            ("in {p}", "{p} around it"),
            tuple(WRAPPERS),
        ),
        FormatConstraint(
            "twice",
            ("[write|give|say|repeat] the answer twice", "[write|give] the answer two times"),
            ("the answer [should|must] appear twice", "I want the answer two times"),
            ("twice", "two times"),
        ),
        FormatConstraint(
            "label",
            ("[start|begin] [your|the] answer with the label {p}", "[write|put] the label {p} before the answer"),
            ("the answer [should|must] [start|begin] with the label {p}", "I want the label {p} before the answer"),
            ("label {p}", "after the label {p}"),
            LABELS,
        ),
        FormatConstraint(
            "ending",
            ("[end|finish] [your|the] answer with the word {p}", "[add|write|put] the word {p} after the answer"),
            ("the answer [should|must] [end|finish] with the word {p}", "I want the word {p} after the answer"),
            ("closing with {p}", "{p} after it"),
            ENDINGS,
        ),
    )
}  # fmt: skip

_CLASHES = {
    frozenset(pair)
    for pair in (
        ("json", "separator"), ("json", "numbered"), ("json", "wrapped"), ("json", "capitals"), ("json", "twice"),
        ("json", "label"), ("json", "ending"), ("numbered", "separator"), ("numbered", "twice"),
        ("wrapped", "twice"), ("twice", "ending"), ("twice", "label"), ("label", "ending"),
    )
}  # fmt: skip
MOST_CONSTRAINTS = 2


def can_add(name: str, present: tuple[Constraint, ...], result_type: str) -> bool:
    """Return whether a constraint of this kind makes sense beside those present, for an answer of ``result_type``."""
    have = {constraint[0] for constraint in present}
    if name in have or len(have) >= MOST_CONSTRAINTS or any(frozenset((name, other)) in _CLASHES for other in have):
        return False
    # Capitals are for words that also stand in lists: the base model knows no others in upper case.
    if FORMAT_CONSTRAINTS[name].lists_only and not result_type.isupper():
        return False
    return not (name == "capitals" and result_type in "Iity")


@cache
def _build_sentence_table() -> dict[str, Constraint]:
    known: dict[str, Constraint] = {}
    for kind in FORMAT_CONSTRAINTS.values():
        for sentence in kind.sentences:
            for choice in kind.choices:
                for part in _LIST_NAMES if "it" in find_slots(sentence) else ("",):
                    known[fill(sentence, {"p": choice, "it": part}).lower()] = (kind.name, choice)
    return known


def read_sentence(sentence: str) -> Constraint | None:
    """Return the constraint a sentence states, or None."""
    return _build_sentence_table().get(sentence.rstrip(".").lower())


def write_sentence(constraint: Constraint, choose: Callable[[tuple[str, ...]], str]) -> str:
    """Return a sentence that states the constraint; ``choose`` picks one of several texts."""
    name, choice = constraint
    sentence = fill(
        choose(FORMAT_CONSTRAINTS[name].sentences), lambda slot: choice if slot == "p" else choose(_LIST_NAMES)
    )
    return capitalize_first(sentence) + "."


def format_answer(value: Value, constraints: tuple[Constraint, ...]) -> str:
    """Return the text of an answer, written as the constraints demand (in whatever order they were stated)."""
    wanted = dict(constraints)
    if "json" in wanted:
        return json.dumps(value if isinstance(value, list) else {"answer": value})
    parts = [str(part) for part in value] if isinstance(value, list) else [str(value)]
    if "capitals" in wanted:
        parts = [part.upper() for part in parts]
    if "numbered" in wanted:
        parts = [f"{number}. {part}" for number, part in enumerate(parts, 1)]
    text = SEPARATORS.get(wanted.get("separator", ""), " ").join(parts)
    if "wrapped" in wanted:
        marks = WRAPPERS[wanted["wrapped"]]
        text = marks[0] + text + marks[1]
    if "twice" in wanted:
        text = f"{text} {text}"
    if "label" in wanted:
        text = f"{wanted['label']}: {text}"
    if "ending" in wanted:
        text = f"{text} {wanted['ending']}"
    return text
