"""Changing tasks by the eight strategies of instruction evolution."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .inputs import compute_answer, draw_input
from .lexicon import CATEGORIES, TOPICS
from .operations import InputError
from .task import PARAMETER_VALUES, SHAPES, Step, Task, random_constraint, random_step, topics_for
from .wording import can_ask
from .world import World, compose, every_step_matters, first_sound


@dataclass(frozen=True)
class EvolvedTask:
    """A changed task and how it is to be put (``asked`` as in `wording.render`)."""

    task: Task
    asked: bool | None = None
    explicit: bool = False


def add_constraint(task: Task, world: World, rng: random.Random) -> EvolvedTask | None:
    """Add one constraint on the form of the answer."""
    constraint = random_constraint(task, rng)
    return EvolvedTask(task.with_(constraints=(*task.constraints, constraint))) if constraint else None


def deepen(task: Task, world: World, rng: random.Random) -> EvolvedTask | None:
    """Add one operation."""
    deeper = compose(task, world, rng)
    return EvolvedTask(deeper) if deeper else None


def increase_reasoning(task: Task, world: World, rng: random.Random) -> EvolvedTask | None:
    """Add one or two operations, and write the steps out as numbered or ordered steps."""
    longer = compose(task, world, rng)
    if longer and rng.random() < 0.5:
        longer = compose(longer, world, rng) or longer
    return EvolvedTask(longer, explicit=True) if longer else None


def concretize(task: Task, world: World, rng: random.Random) -> EvolvedTask | None:
    """Write the data into the instruction, or narrow the topic to one family of things."""
    specific = task.topic == "words" and task.input_type == "N"
    if specific and (task.shape != "plain" or rng.random() < 0.35):
        narrower = task.with_(topic=rng.choice(tuple(CATEGORIES)))
        if world.admits(narrower) and every_step_matters(narrower, rng):
            return EvolvedTask(narrower)
    if task.inline or task.shape != "plain" or task.input_type == "T":
        return None
    data = draw_input(task, rng)
    return EvolvedTask(task.with_(inline=data)) if data else None


def complicate_input(task: Task, world: World, rng: random.Random) -> EvolvedTask | None:
    """Give the data as a JSON list, bullets or a table; a single word becomes an entry of a list."""
    if task.inline or task.shape != "plain" or task.input_type in ("T", "P"):
        return None
    shapes = [shape for shape in SHAPES[1:] if not (shape == "table" and TOPICS[task.topic].letter == "i")]
    changed = task.with_(shape=rng.choice(shapes))
    if task.input_type.isupper():
        return EvolvedTask(changed)
    picks = [random_step(op, rng) for op in world.table if op.gives == "element"]
    rng.shuffle(picks)
    found = first_sound((changed.with_(steps=(pick, *task.steps)) for pick in picks), world, rng)
    return EvolvedTask(found) if found else None


def _rebuild(task: Task, world: World, rng: random.Random, candidates: Iterable[Task]) -> EvolvedTask | None:
    """Return the first sound candidate, filled up to the number of steps and constraints of the given task where
    possible.
    """
    found = first_sound(candidates, world, rng)
    if found is None:
        return None
    for _ in range(len(task.steps) - 1):
        found = compose(found, world, rng) or found
    for _ in task.constraints:
        constraint = random_constraint(found, rng)
        found = found.with_(constraints=(*found.constraints, constraint)) if constraint else found
    return EvolvedTask(found)


def mutate(task: Task, world: World, rng: random.Random) -> EvolvedTask | None:
    """Replace the task by a rarer one about the same kind of data, with an operation that the task does not have."""
    shape = "table" if task.input_type == "T" else task.shape
    topic = task.topic or "words"
    letter = TOPICS[topic].letter
    table = [op for op in world.table if op.name not in task.names and letter in op.takes.lower()]
    table.sort(
        key=lambda op: rng.random() ** (1 / op.rarity), reverse=True
    )  # weighted random order: u ** (1 / weight), the rarer the sooner
    return _rebuild(task, world, rng, (Task((random_step(op, rng),), topic, (), shape) for op in table))


_RELATED = (
    {"order", "trim", "extend"}, {"pick"}, {"filter", "check"}, {"count", "table", "arithmetic"},
    {"words", "places", "calendar", "arithmetic"},
)  # fmt: skip
"""Families of operations that are close to one another."""


def extend_topic(task: Task, world: World, rng: random.Random) -> EvolvedTask | None:
    """Apply the same operation, or one of a related family, to another topic."""
    own = task.steps[0].operation
    related = set().union(*(group for group in _RELATED if own.family in group))
    others = [op for op in world.table if op.family in related and op.name != own.name]
    shape = "table" if task.input_type == "T" else task.shape
    same = [(task.steps[0], topic) for topic in topics_for(own)]
    other = [(random_step(op, rng), topic) for op in others for topic in topics_for(op)]
    rng.shuffle(same)
    rng.shuffle(other)
    pairs = same + other if rng.random() < 0.5 else other + same
    candidates = (Task((step,), topic, (), shape if topic else "plain") for step, topic in pairs if topic != task.topic)
    return _rebuild(task, world, rng, candidates)


_SAME_RESULT: dict[str, tuple[tuple[Step, ...], ...]] = {
    "first": ((Step("reverse"), Step("last")),),
    "last": ((Step("reverse"), Step("first")),),
    "drop_last": ((Step("reverse"), Step("drop_first"), Step("reverse")),),
    "drop_first": ((Step("reverse"), Step("drop_last"), Step("reverse")),),
    "largest": ((Step("sort_up"), Step("last")),),
    "smallest": ((Step("sort_up"), Step("first")),),
    "sort_down": ((Step("sort_up"), Step("reverse")),),
}
"""Operations and longer ways to the same result."""


def _find_other_ways(step: Step) -> list[tuple[Step, ...]]:
    ways = list(_SAME_RESULT.get(step.name, ()))
    if step.name == "nth":
        ordinals = PARAMETER_VALUES["n"]
        place = ordinals.index(step.parameters[0][1])
        rest = Step("nth", (("n", ordinals[place - 1]),)) if place else Step("first")
        ways.append((Step("drop_first"), rest))
    if step.name == "count_family":
        ways.append((Step("keep_family", step.parameters), Step("count")))
    return ways


def vary_method(task: Task, world: World, rng: random.Random, asked: bool = False) -> EvolvedTask | None:
    """Reach the same result by other steps, or ask for it by a question instead of an order."""
    options = []
    for i, step in enumerate(task.steps):
        for way in _find_other_ways(step):
            other = task.with_(steps=task.steps[:i] + way + task.steps[i + 1 :])
            if world.admits(other):
                options.append(other)
    if options and rng.random() < 0.6:
        return EvolvedTask(rng.choice(options))
    return EvolvedTask(task, asked=not asked) if asked or can_ask(task) else EvolvedTask(task)


STRATEGIES: dict[str, Callable[[Task, World, random.Random], EvolvedTask | None]] = {
    "add-constraints": add_constraint,
    "deepen": deepen,
    "concretize": concretize,
    "increase-reasoning": increase_reasoning,
    "complicate-input": complicate_input,
    "mutate": mutate,
    "extend-topic": extend_topic,
    "vary-method": vary_method,
}
"""The eight strategies by name; each gives None if it cannot change the task."""


def evolve(task: Task, strategy: str, world: World, rng: random.Random, asked: bool = False) -> EvolvedTask | None:
    """Change a task by a strategy; return None if the strategy cannot change it.

    ``asked`` says whether the given text was a question.
    """
    if strategy == "vary-method":
        return vary_method(task, world, rng, asked)
    found = STRATEGIES[strategy](task, world, rng)
    if found and found.task.inline and not _has_answer(found.task):
        return None
    return found


def _has_answer(task: Task) -> bool:
    try:
        compute_answer(task, "")
    except InputError:
        return False
    return True
