"""Asks a teacher for examples of tasks and sifts them: what `self-instruct` and `instances` share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from filial import Context, Drop, Record, Reply, TeacherError, in_order, is_refusal
from filial_plugins.generators.self_instruct.example_parser import (
    Example,
    find_faults,
    find_placeholders,
    parse_examples,
    parse_examples_anywhere,
    parse_labelled,
    parse_labelled_anywhere,
)
from filial_plugins.generators.self_instruct.styles import Prompts, Sampling, Settings

WINDOW = 1024
"""How many requests a generator has under way at most; the gateway lets through what the teacher can take."""
CLASSIFICATION = "classification"
"""The tag of tasks whose answer is one of a few labels, as the reader of seed tasks gives it."""

_YES = re.compile(r"\W*yes\b", re.IGNORECASE)


def says_yes(text: str, exact: bool) -> bool:
    """Return whether an answer says yes. ``exact``: only these three, as prepare_for_finetuning.py takes them."""
    return text.strip() in ("Yes", "yes", "YES") if exact else _YES.match(text) is not None


async def ask_teacher(prompt: str, how: Sampling, ctx: Context, draw: int = 0) -> Reply | TeacherError:
    """Ask the teacher.

    Return the reply, also one cut at the token limit, or the error of a call that failed for good.
    """
    try:
        return await ctx.ask(
            prompt, draw=draw, temperature=how.temperature, top_p=how.top_p, max_tokens=how.max_tokens, stop=how.stop,
            partial=True,
        )  # fmt: skip
    except TeacherError as error:
        return error


@dataclass(frozen=True)
class ExampleWriter:
    """Asks for the examples of a task, parses the replies and drops bad examples.

    First it asks whether the task is a classification task, unless the task is tagged so or the question is skipped.
    Then it asks for the examples; those of classification tasks are written label first, so that labels are balanced
    (Wang et al., 2023, section 2.2).
    """

    chosen: Settings
    texts: Prompts

    async def write(self, tasks: Sequence[Record], ctx: Context) -> list[list[Record | Drop]]:
        """Ask for the examples of each task; return copies of the task with input and output, and drops.

        The tasks are one batch. In the style ``paper``, one classification task in the batch lowers the token limit of
        all requests of the batch (generate_instances.py).
        """
        sorted_out = [
            found async for _, found in in_order(tasks, lambda task: self._tag_classification(task, ctx), len(tasks))
        ]
        labels = any(isinstance(task, Record) and CLASSIFICATION in task.tags for task in sorted_out)
        how = self.chosen.examples
        if labels and self.chosen.label_tokens:
            how = Sampling(how.temperature, how.top_p, self.chosen.label_tokens, how.stop)

        async def one(work: tuple[int, Record | Drop]) -> list[Record | Drop]:
            place, task = work
            return (
                [task] if isinstance(task, Drop) else await self._request_examples(task, how, ctx.derive("task", place))
            )

        return [found async for _, found in in_order(enumerate(sorted_out), one, len(tasks))]

    async def _tag_classification(self, task: Record, ctx: Context) -> Record | Drop:
        """Return the task, tagged if it is a classification task."""
        if CLASSIFICATION in task.tags or self.chosen.classification == "skip":
            return task
        prompt = self.texts.classification.format(instruction=task.instruction.strip())
        reply = await ask_teacher(prompt, self.chosen.question, ctx)
        if isinstance(reply, TeacherError):
            return task if self.chosen.failed_question == "pass" else Drop.from_error(reply, task)
        yes = says_yes(reply.text, exact=self.chosen.accept_yes == "exact")
        return task.replaced(tags=(*task.tags, CLASSIFICATION) if yes else task.tags).citing(reply)

    async def _request_examples(self, task: Record, how: Sampling, ctx: Context) -> list[Record | Drop]:
        text = self.texts.output_first if CLASSIFICATION in task.tags else self.texts.input_first
        reply = await ask_teacher(text.format(n=self.chosen.instances, instruction=task.instruction.strip()), how, ctx)
        if isinstance(reply, TeacherError):
            return [Drop.from_error(reply, task)]
        if self.chosen.refusals == "drop" and is_refusal(reply.text):
            return [Drop("refused", "the teacher declined to write examples", reply.text, task)]
        return self._select(task, reply, ctx)

    def parse(self, text: str, label_first: bool) -> list[Example]:
        """Return the pairs of input and output in a reply."""
        if self.chosen.labels == "anywhere":
            return parse_labelled_anywhere(text) if label_first else parse_examples_anywhere(text)
        return parse_labelled(text, self.chosen.no_input) if label_first else parse_examples(text, self.chosen.no_input)

    def _select(self, task: Record, reply: Reply, ctx: Context) -> list[Record | Drop]:
        label_first = CLASSIFICATION in task.tags
        pairs = self.parse(reply.text, label_first)
        if not pairs:
            label = "Class label:" if label_first else "Output:"
            return [Drop("unreadable-examples", f"no {label!r} line in the reply", reply.text, task)]
        results: list[Record | Drop] = []
        if reply.finish_reason == "length":
            given, output = pairs.pop()
            cut = task.replaced(input=given, output=output).citing(reply)
            results.append(Drop("cut-off", "the reply ends here, at the token limit", reply.text, cut))
        if self.chosen.choose == "first":
            pairs = pairs[: self.chosen.instances]
        marks = find_placeholders(self.texts.output_first if label_first else self.texts.input_first)
        faults = find_faults(pairs, marks) if self.chosen.check_examples else [""] * len(pairs)
        records = [task.replaced(input=given, output=output).citing(reply) for given, output in pairs]
        good = [i for i, fault in enumerate(faults) if not fault]
        drawn = set(ctx.rng.sample(good, self.chosen.instances) if len(good) > self.chosen.instances else good)
        for i, (record, fault) in enumerate(zip(records, faults, strict=True)):
            if i in drawn:
                results.append(record)
            elif fault:
                results.append(Drop(fault, answer=reply.text, record=record))
            else:
                most = f"{self.chosen.instances} of {len(good)} good examples of this task were drawn"
                results.append(Drop("surplus", most, record=record))
        return results
