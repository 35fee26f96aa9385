"""A task: up to three typed operations, constraints on the answer, the shape of the input, maybe inline data."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from .constraints import FORMAT_CONSTRAINTS, Constraint, can_add, format_answer
from .lexicon import CATEGORIES, NOUNS, PLURALS, TOPICS, add_article
from .list_operations import AMOUNTS, ORDINALS
from .number_operations import THRESHOLDS
from .operations import InputError, Operation, Value, operations

MOST_STEPS = 3
SHAPES = ("plain", "json", "bullets", "table")

PARAMETER_VALUES: dict[str, tuple[str, ...]] = {
    "n": ORDINALS,
    "m": AMOUNTS,
    "k": THRESHOLDS,
    "c": tuple(CATEGORIES),
    "x": NOUNS,
    "xs": tuple(PLURALS.values()),
    "an": tuple(add_article(name[:-1]) for name in CATEGORIES),
}
"""The values each parameter can have."""


@dataclass(frozen=True)
class Step:
    """One operation with its parameters, in the order in which the operation declares them."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def operation(self) -> Operation:
        """The operation itself."""
        return operations()[self.name]


@dataclass(frozen=True)
class Task:
    """What is to be done with which kind of input.  ``topic`` is empty for tables and word problems."""

    steps: tuple[Step, ...]
    topic: str = ""
    constraints: tuple[Constraint, ...] = ()
    shape: str = "plain"
    inline: str = ""

    @property
    def input_type(self) -> str:
        """The type letter of the input; raises `InputError` if the topic cannot be the first step's input."""
        takes = self.steps[0].operation.takes
        if takes in ("T", "P"):
            return takes
        letter = TOPICS[self.topic].letter if self.topic else "?"
        for candidate in (letter.upper(), letter):
            if candidate in takes:
                return candidate
        raise InputError(f"{self.steps[0].name} does not take {self.topic}")

    @property
    def types(self) -> tuple[str, ...]:
        """The type before each step and, last, that of the answer; raises `InputError` if the steps do not fit."""
        found = [self.input_type]
        for step in self.steps:
            found.append(step.operation.result_type(found[-1]))
        return tuple(found)

    @property
    def result_type(self) -> str:
        """The type letter of the answer before it is written out."""
        return self.types[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the operations, in order."""
        return tuple(step.name for step in self.steps)

    def with_(self, **changes: object) -> Task:
        """Return a copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def is_sound(task: Task) -> bool:
    """Return whether the types fit, and the constraints and the shape make sense for them."""
    try:
        result = task.result_type
    except InputError:
        return False
    if not 1 <= len(task.steps) <= MOST_STEPS:
        return False
    if task.shape != "plain" and (task.inline or not task.input_type.isupper() or task.input_type in "TP"):
        return False
    if task.shape == "table" and task.input_type == "I":
        return False
    if bool(task.topic) == (task.input_type in ("T", "P")):
        return False
    if task.topic not in ("", "words") and any(step.operation.mixed for step in task.steps):
        return False
    if task.topic == "colors" and task.names[0] == "plural":
        return False
    present = task.constraints
    return all(can_add(c[0], present[:i], result) for i, c in enumerate(present))


def execute(task: Task, value: Value) -> Value:
    """Return the result of the steps on a value that has been read; raises `InputError` if there is none."""
    for step in task.steps:
        value = step.operation.apply(value, **dict(step.parameters))
    return value


def answer_value(task: Task, value: Value) -> str:
    """Return the answer text for a value that has been read; raises `InputError` if there is none."""
    return format_answer(execute(task, value), task.constraints)


def topics_for(operation: Operation) -> list[str]:
    """Return the topics on which the operation can be the first step (an empty one for tables and word problems)."""
    if operation.takes in ("T", "P"):
        return [""]
    letters = operation.takes.lower()
    if operation.mixed:
        return ["words"]
    found = [name for name, topic in TOPICS.items() if topic.letter in letters]
    return [name for name in found if (operation.name, name) != ("plural", "colors")]


def random_step(operation: Operation, rng: random.Random) -> Step:
    """Return the operation with parameters drawn evenly."""
    return Step(operation.name, tuple((p, rng.choice(PARAMETER_VALUES[p])) for p in operation.parameters))


def random_constraint(task: Task, rng: random.Random) -> Constraint | None:
    """Return a constraint that can be added to the task, kinds drawn evenly; None if there is none."""
    result = task.result_type
    possible = [name for name in FORMAT_CONSTRAINTS if can_add(name, task.constraints, result)]
    if not possible:
        return None
    name = rng.choice(possible)
    return name, rng.choice(FORMAT_CONSTRAINTS[name].choices)
