"""Pages: the plain declarative text on which the small base model is pretrained.

A page shows some data and then a few labelled facts about them::

    apple tiger red
    backwards: red tiger apple
    without the first, in capitals: TIGER RED

It holds no order, no question and no chat turn, and none of the wordings in which tasks are put.  The model that
has read such pages knows the words of the world and what can be said about data; it has never been told to do
anything.
"""

from __future__ import annotations

import random
from functools import cache

from . import inputs
from .constraints import FORMAT_CONSTRAINTS, Constraint, can_add
from .grammar import fill
from .lexicon import (
    CAPITALS,
    CATEGORIES,
    DAYS,
    LARGEST_NUMBER,
    MONTHS,
    NOUNS,
    OPPOSITES,
    PAST_FORMS,
    PEOPLE,
    PLURALS,
    TOPICS,
)
from .operations import InputError, Operation, Value, operations
from .task import SHAPES, Step, Task, answer_value, random_step

_HEADS: tuple[tuple[str, float], ...] = (
    ("words", 5.0), ("numbers", 4.5), ("animals", 0.3), ("fruits", 0.3), ("colors", 0.3), ("tools", 0.3),
    ("vehicles", 0.3), ("garments", 0.3), ("days", 0.5), ("months", 0.5), ("countries", 0.5),
    ("adjectives", 0.5), ("verbs", 0.5), ("table", 1.2), ("facts", 2.0),
)  # fmt: skip
"""What a page is about, and how often."""

_INDEX_SHARE = 0.2
"""Share of the data that stand in an index line (label -> data -> fact) and not at the head of a page."""

_PLACES = ("garden", "kitchen", "library", "shop", "office", "market", "museum")
_TIMES = ("in the morning", "in the evening", "after lunch", "on the weekend", "at noon", "today")
_MOODS = ("tired", "busy", "proud", "calm", "late", "early")


@cache
def _operations_taking(kind: str) -> tuple[Operation, ...]:
    """Return the operations that take the type.

    Core operations stand there three times, so they are drawn more often.
    """
    return tuple(op for op in operations().values() if kind in op.takes for _ in range(3 if op.core else 1))


def _write_story(rng: random.Random) -> str:
    who, place = rng.choice(PEOPLE), rng.choice(_PLACES)
    return rng.choice(
        (
            f"{who} was in the {place} {rng.choice(_TIMES)}.",
            f"The {place} was full of books and cards.",
            f"{who} and {rng.choice(PEOPLE)} were {rng.choice(_MOODS)} {rng.choice(_TIMES)}.",
            f"It was a {rng.choice(_MOODS)} day in the {place}.",
        )
    )


def _draw_steps(kind: str, value: Value, count: int, rng: random.Random) -> tuple[list[Step], str, Value]:
    """Return up to ``count`` steps that can be done with the value, the type they end in, and their result."""
    steps: list[Step] = []
    for _ in range(count):
        options = _operations_taking(kind)
        if not options:
            break
        step = random_step(rng.choice(options), rng)
        step = _fit_step(step, value, rng)
        if steps and step.name == steps[-1].name:
            continue
        try:
            result = step.operation.apply(value, **dict(step.parameters))
        except (InputError, IndexError, KeyError):  # the step does not fit this value; draw another
            continue
        kind, value = step.operation.result_type(kind), result
        steps.append(step)
    return steps, kind, value


def _fit_step(step: Step, value: Value, rng: random.Random) -> Step:
    """Return the step; a look-up in a table mostly gets a row that the table has."""
    if step.name == "look_up":
        return Step("look_up", (("xs", rng.choice(value)[0]),))
    return step


def _draw_constraint(kind: str, present: tuple[Constraint, ...], rng: random.Random) -> tuple[Constraint, ...]:
    name = rng.choice(tuple(FORMAT_CONSTRAINTS))
    if not can_add(name, present, kind):
        return present
    return (*present, (name, rng.choice(FORMAT_CONSTRAINTS[name].choices)))


def _write_label(steps: list[Step], constraints: tuple[Constraint, ...], rng: random.Random) -> str:
    notes = [fill(rng.choice(step.operation.note_wordings), dict(step.parameters)) for step in steps]
    notes += [fill(rng.choice(FORMAT_CONSTRAINTS[name].note_wordings), {"p": choice}) for name, choice in constraints]
    return ", ".join(notes) if rng.random() < 0.8 else ", then ".join(notes)


def _draw_fact(kind: str, value: Value, rng: random.Random) -> tuple[str, str] | None:
    """Return a label and what it says about the data, or None if the drawn steps say nothing about them."""
    steps, result, _ = _draw_steps(kind, value, rng.choice((0, 1, 1, 1, 1, 1, 2, 2, 2, 3)), rng)
    constraints: tuple[Constraint, ...] = ()
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2)) if steps else 1):
        constraints = _draw_constraint(result, constraints, rng)
    if not steps and not constraints:
        return None
    answer = answer_value(Task(tuple(steps), "", constraints), value)
    return _write_label(steps, constraints, rng), answer


def _write_facts(kind: str, value: Value, shape: str, lines: int, rng: random.Random) -> str:
    data = inputs.write_value(value, shape, rng)
    facts = [fact for fact in (_draw_fact(kind, value, rng) for _ in range(lines)) if fact]
    if facts and rng.random() < _INDEX_SHARE:
        label, answer = facts[0]
        return f"{label} -> {data} -> {answer}"
    return "\n".join([data, *(label + rng.choice((": ", "\n")) + answer for label, answer in facts)])


def _write_list_page(topic: str, rng: random.Random) -> str:
    words = TOPICS[topic].words
    size = rng.randint(inputs.SHORTEST, inputs.LONGEST)
    values: Value = rng.sample(words, size)
    kind = TOPICS[topic].letter.upper()
    if kind == "I":
        values = [int(word) for word in values]
    elif topic == "words" and rng.random() < 0.5:  # several of one family, so that families have something to do
        family = CATEGORIES[rng.choice(tuple(CATEGORIES))]
        values = list(dict.fromkeys([*values[:-2], *rng.sample(family, 3)]))[: inputs.LONGEST]
        rng.shuffle(values)
    shape = rng.choices(SHAPES, (5, 1.3, 1.3, 1.3 if kind != "I" else 0))[0]
    return _write_facts(kind, values, shape, rng.randint(4, 8), rng)


def _write_table_page(rng: random.Random) -> str:
    names = rng.sample(tuple(PLURALS.values()), rng.randint(3, 4))
    counts = rng.sample(range(1, inputs.LARGEST_COUNT + 1), len(names))
    return _write_facts("T", list(zip(names, counts, strict=True)), "table", rng.randint(2, 5), rng)


def _write_facts_page(rng: random.Random) -> str:
    """Return facts about single words and numbers, a few of them one below the other."""
    kinds: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("n", NOUNS), ("n", NOUNS), ("a", tuple(OPPOSITES)), ("v", tuple(PAST_FORMS)), ("c", tuple(CAPITALS)),
        ("d", DAYS), ("m", MONTHS), ("i", ()),
    )  # fmt: skip
    blocks = []
    for _ in range(rng.randint(3, 6)):
        kind, words = rng.choice(kinds)
        value: Value = rng.choice(words) if words else rng.randint(1, LARGEST_NUMBER)
        blocks.append(_write_facts(kind, value, "plain", rng.randint(1, 3), rng))
    return "\n".join(blocks)


def write_page(rng: random.Random) -> str:
    """Return one page of text."""
    topic = rng.choices([name for name, _ in _HEADS], [weight for _, weight in _HEADS])[0]
    if topic == "table":
        text = _write_table_page(rng)
    elif topic == "facts":
        text = _write_facts_page(rng)
    else:
        text = _write_list_page(topic, rng)
    return f"{_write_story(rng)}\n{text}" if rng.random() < 0.15 else text
