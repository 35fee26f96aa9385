"""Held-out exams: what a model taught by the teacher has certainly not seen.

* ``paraphrase``: single operations in held wordings;
* ``evolved``: evolved instructions (constraints, input shapes, inline data, two or three steps) in held texts;
* ``composition``: two or three steps with a held pair of operations.

The records depend on nothing but this package: not on a run, its seed or its teacher's options.  Run
``python -m filial_plugins.procedural.exam FOLDER`` to write them again.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

from .evolution import STRATEGIES, evolve
from .holdout import has_held_pair, is_held_text, is_held_wording, is_taught_wording
from .inputs import compute_answer, draw_input
from .task import Task
from .wording import Style, WordingError, render
from .world import World, every_step_matters, propose

Record = dict[str, object]
"""A record with the fields instruction, input, output and tags."""

FOLDER = Path(__file__).parent / "heldout"
SIZE = 300
"""Records in each exam."""


def _make_tags(task: Task) -> list[str]:
    tags = [f"operation:{name}" for name in task.names] + [f"constraint:{name}" for name, _ in task.constraints]
    tags.append(f"steps:{len(task.steps)}")
    return [*tags, "shape:inline" if task.inline else f"shape:{task.shape}"]


def _make_record(task: Task, style: Style, rng: random.Random) -> Record | None:
    """Return the task as a record, or None if it cannot be put in this style."""
    try:
        instruction = render(task, rng, style)
    except WordingError:
        return None
    data = "" if task.inline else draw_input(task, rng)
    if data is None:
        return None
    return {"instruction": instruction, "input": data, "output": compute_answer(task, data), "tags": _make_tags(task)}


def _make_paraphrase(world: World, rng: random.Random) -> Record | None:
    return _make_record(propose(world, rng), Style(allowed=is_held_wording), rng)


def _draw_evolved_task(world: World, rng: random.Random) -> Task:
    task = propose(world, rng)
    for _ in range(rng.choice((1, 2))):
        found = evolve(task, rng.choice(tuple(STRATEGIES)), world, rng)
        task = found.task if found else task
    return task


def _make_evolved(world: World, rng: random.Random) -> Record | None:
    task = _draw_evolved_task(world, rng)
    if len(task.steps) == 1 and not task.constraints and not task.inline and task.shape == "plain":
        return None
    return _make_record(task, Style(allowed=is_taught_wording, fit=is_held_text), rng)


def _make_composition(world: World, rng: random.Random) -> Record | None:
    task = propose(world, rng)
    for _ in range(rng.choice((1, 1, 2))):
        found = evolve(task, "deepen", world, rng)
        task = found.task if found else task
    if not has_held_pair(task) or not every_step_matters(task, rng):
        return None
    return _make_record(task, Style(allowed=is_taught_wording), rng)


_EXAMS: dict[str, tuple[Callable[[World, random.Random], Record | None], World]] = {
    "paraphrase": (_make_paraphrase, World("core")),
    "evolved": (_make_evolved, World("core")),
    "composition": (_make_composition, World("core", holdout=False)),
}
NAMES = tuple(_EXAMS)
"""The exams by name."""


def make_exam(name: str, size: int = SIZE) -> list[Record]:
    """Make the records of an exam, with different instructions. Every call gives the same records."""
    make, world = _EXAMS[name]
    rng = random.Random(f"exam {name}")
    records: list[Record] = []
    seen: set[object] = set()
    while len(records) < size:
        record = make(world, rng)
        if record and record["instruction"] not in seen:
            seen.add(record["instruction"])
            records.append(record)
    return records


def to_json_lines(records: list[Record]) -> str:
    """Return records as JSON lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def write_exams(folder: Path = FOLDER) -> None:
    """Write every exam as ``NAME.jsonl`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (folder / f"{name}.jsonl").write_text(to_json_lines(make_exam(name)), encoding="utf-8")


if __name__ == "__main__":
    write_exams(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
