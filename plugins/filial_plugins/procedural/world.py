"""The world a teacher lives in: which tasks it may put, how it proposes them, how it composes steps."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .holdout import has_held_pair
from .inputs import draw_input, draw_value, read_value
from .operations import InputError, Operation, Value, list_names, operations
from .task import MOST_STEPS, Task, answer_value, is_sound, random_step, topics_for

_SAMPLES = 6


@dataclass(frozen=True)
class World:
    """Which operations are proposed, and whether held pairs are kept out."""

    size: str = "core"
    holdout: bool = True

    @property
    def table(self) -> tuple[Operation, ...]:
        """The operations of this world."""
        return tuple(operations()[name] for name in list_names(self.size))

    def admits(self, task: Task) -> bool:
        """Return whether the teacher may put this task."""
        return is_sound(task) and not (self.holdout and has_held_pair(task))


def propose(world: World, rng: random.Random) -> Task:
    """Return a new task of one step; common operations come up more often than rare ones."""
    table = world.table
    while True:
        operation = rng.choices(table, [1 / (1 + op.rarity) for op in table])[0]
        task = Task((random_step(operation, rng),), rng.choice(topics_for(operation)))
        if world.admits(task) and draw_input(task, rng) is not None:
            return task


def _compute_answers(task: Task, values: list[Value]) -> list[str | None]:
    found: list[str | None] = []
    for value in values:
        try:
            found.append(answer_value(task, value))
        except InputError:
            found.append(None)
    return found


def every_step_matters(task: Task, rng: random.Random) -> bool:
    """Return whether the task has answers, and leaving out any step changes some of them."""
    if task.inline:
        try:
            values = [read_value(task.inline, task)]
        except InputError:
            return False
    else:
        values = [draw_value(task, rng) for _ in range(2 * _SAMPLES)]
    pairs = [(v, a) for v, a in zip(values, _compute_answers(task, values), strict=True) if a is not None]
    if len(pairs) < (1 if task.inline else _SAMPLES):
        return False
    kept, full = [value for value, _ in pairs], [text for _, text in pairs]
    for i in range(len(task.steps)):
        shorter = task.with_(steps=task.steps[:i] + task.steps[i + 1 :])
        comparable = len(task.steps) > 1 and is_sound(shorter) and shorter.input_type == task.input_type
        if comparable and _compute_answers(shorter, kept) == full:
            return False
    return True


def fit_constraints(task: Task) -> Task:
    """Return the task with only those constraints that still make sense."""
    kept: tuple[tuple[str, str], ...] = ()
    for constraint in task.constraints:
        if is_sound(task.with_(constraints=(*kept, constraint))):
            kept = (*kept, constraint)
    return task.with_(constraints=kept)


def first_sound(candidates: Iterable[Task], world: World, rng: random.Random) -> Task | None:
    """Return the first candidate that the world admits and in which every step matters, or None."""
    for candidate in candidates:
        task = fit_constraints(candidate)
        if world.admits(task) and every_step_matters(task, rng):
            return task
    return None


def compose(task: Task, world: World, rng: random.Random) -> Task | None:
    """Add one step before or after the present ones (only after them if the data are inline); None if no step fits."""
    if len(task.steps) >= MOST_STEPS:
        return None
    places = [(op, after) for op in world.table for after in (True, False) if op.name not in task.names]
    rng.shuffle(places)

    def candidates() -> Iterator[Task]:
        for operation, after in places:
            step = random_step(operation, rng)
            if after:
                yield task.with_(steps=(*task.steps, step))
            elif not task.inline:
                topic = "" if operation.takes in ("T", "P") else task.topic
                yield task.with_(steps=(step, *task.steps), topic=topic)

    return first_sound(candidates(), world, rng)
