"""New tasks and examples of tasks, in each of the forms in which Self-Instruct asks for them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from . import noise, prompts
from .inputs import compute_answer, draw_input
from .operations import InputError
from .parser import parse
from .task import Task
from .weak_rewrites import REFUSALS
from .wording import Style, WordingError, render
from .world import World, propose

UNFIT = "Sorry, this input does not fit the task."
NO_PROPOSALS = "Sorry, I can only propose tasks of my small world, and none of these examples is one."
NO_EXAMPLES = "Sorry, I can only write examples for tasks of my small world."

_FEW_ANSWERS = ("parity", "family")
"""Operations whose answers come from a small, closed set, besides those that answer yes or no."""
_DRAWS_PER_EXAMPLE = 4
_DRAWS_PER_LABEL = 12
"""Inputs drawn for each example that is wanted: with labels first, every label has to come up among them."""


def is_classification(task: Task) -> bool:
    """Return whether the answer is always one of a few labels."""
    return task.result_type == "y" or task.names[-1] in _FEW_ANSWERS


@dataclass(frozen=True)
class Proposer:
    """Writes tasks and examples; ``noise`` is how often with a fault."""

    world: World
    style: Style
    noise: float

    def _draws_fault(self, rng: random.Random) -> bool:
        return rng.random() < self.noise

    def propose(self, request: prompts.Propose, rng: random.Random) -> str:
        """Return the tasks that continue a list, or blocks of task, input and output."""
        known = [text for text in request.examples if parse(text)]
        if not known:
            return NO_PROPOSALS
        if rng.random() < self.noise / 10:
            return rng.choice(REFUSALS)
        tasks = [rng.choice(known) if self._draws_fault(rng) else self._write_task(rng) for _ in range(request.count)]
        if request.blocks:
            return self._write_blocks(tasks, request.first, rng)
        listed = "\n".join(f"{number}. {task}" for number, task in enumerate(tasks, request.first))
        return listed.removeprefix(f"{request.first}.") if request.completion else listed

    def _write_task(self, rng: random.Random) -> str:
        while True:
            try:
                return render(propose(self.world, rng), rng, self.style)
            except WordingError:  # this task cannot be worded in this style; draw another
                continue

    def _write_blocks(self, tasks: list[str], first: int, rng: random.Random) -> str:
        """Write tasks as blocks.

        The first one continues the prompt, which ends with its number and ``Instruction:``.
        """
        blocks: list[str] = []
        for text in tasks:
            task, number = parse(text), first + len(blocks)
            pairs = list(self._make_pairs(task, 1, rng)) if task else []
            for data, output in pairs:
                opening = f"###\n{number}. Instruction:" if blocks else ""
                blocks.append(
                    f"{opening} {text}\n{number}. Input:\n{data or '<noinput>'}\n{number}. Output:\n{output}\n"
                )
        return "".join(blocks).rstrip("\n") or NO_PROPOSALS

    def classify(self, request: prompts.Classify, rng: random.Random) -> str:
        """Answer Yes or No; No for a task outside the world, too."""
        task = parse(request.instruction)
        yes = task is not None and is_classification(task)
        return "Yes" if yes != self._draws_fault(rng) else "No"

    def write_examples(self, request: prompts.WriteExamples, rng: random.Random) -> str:
        """Write examples of a task: numbered, or in the form of the few-shot prompt's other tasks."""
        task = parse(request.instruction)
        if task is None:
            return NO_EXAMPLES
        if request.label_first:
            return self._write_labelled(task, request, rng)
        blocks = []
        for number, (data, output) in enumerate(self._make_pairs(task, request.count, rng), 1):
            given = "" if task.inline else f"Input: {data}\n"
            blocks.append(f"Example {number}\n{given}Output: {output}")
        return "\n\n".join(blocks) or UNFIT

    def _make_pairs(self, task: Task, count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
        """Yield up to ``count`` different inputs, each with its answer; none if the task has no answer."""
        for data in [""] if task.inline else _draw_inputs(task, _DRAWS_PER_EXAMPLE * count, rng)[:count]:
            try:
                right = compute_answer(task, data)
            except InputError:
                return
            yield data, noise.make_faulty_text(right, rng) if self._draws_fault(rng) else right

    def _write_labelled(self, task: Task, request: prompts.WriteExamples, rng: random.Random) -> str:
        """Write examples with the label first, one of each label in turn. An answer of several lines is no label."""
        by_label: dict[str, list[str]] = {}
        for data in [""] if task.inline else _draw_inputs(task, _DRAWS_PER_LABEL * request.count, rng):
            try:
                by_label.setdefault(compute_answer(task, data), []).append(data)
            except InputError:  # the task has no answer for this input
                continue
        rows = [row for row in _alternate_labels(by_label) if "\n" not in row[0]][: request.count]
        blocks = []
        for number, (right, data) in enumerate(rows, 1):
            label = noise.make_faulty_text(right, rng).replace("\n", " ") if self._draws_fault(rng) else right
            given = f"\n{'' if request.few_shot else 'Input: '}{data}" if data else ""
            opening = "" if request.few_shot else f"Example {number}\n"
            blocks.append(f"{opening}Class label: {label}{given}")
        return ("\n" if request.few_shot else "\n\n").join(blocks) or UNFIT


def _alternate_labels(by_label: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Yield (label, input) pairs, one per label in turn, until no label has inputs left."""
    for i in range(max(map(len, by_label.values()), default=0)):
        yield from ((label, inputs[i]) for label, inputs in by_label.items() if i < len(inputs))


def _draw_inputs(task: Task, draws: int, rng: random.Random) -> list[str]:
    """Draw ``draws`` inputs and return the different ones."""
    found = (draw_input(task, rng) for _ in range(draws))
    return list(dict.fromkeys(data for data in found if data is not None))
