"""Asks a teacher for examples of a task and sifts them: what `self-instruct` and `instances` share."""

from __future__ import annotations

from collections.abc import Iterable

from filial import Context, Drop, Record, Reply, TeacherError
from filial_plugins.generators.parsing import Example, examples
from filial_plugins.refusals import is_refusal

WINDOW = 1024
"""How many requests a generator has under way at most; the gateway lets through what the teacher can take."""

PROMPT = """Write {n} different examples for this task. An example is an input that the task could be given and
the correct output for it. Vary the inputs in content and length. If the task needs no input, leave the Input
line out. Use exactly this form:

Example 1
Input: (the input)
Output: (the output)

Task: {instruction}
"""


def faulty(found: Iterable[Example]) -> list[str]:
    """What is wrong with each example, "" if nothing: the instance filters of Self-Instruct, as reasons.

    From prepare_for_finetuning.py: no output; output equal to the input; input or output that ends with a colon
    (unfinished); then, among the rest, all of them if one input has two different outputs, and repeats. Examples
    without input may differ in output.
    """
    pairs = list(found)
    faults = [_fault(*pair) for pair in pairs]
    outputs: dict[str, set[str]] = {}
    for (given, output), fault in zip(pairs, faults, strict=True):
        if not fault and given:
            outputs.setdefault(given, set()).add(output)
    contradictory = any(len(some) > 1 for some in outputs.values())
    seen: set[Example] = set()
    for i, pair in enumerate(pairs):
        if faults[i]:
            continue
        faults[i] = "contradictory-examples" if contradictory else "repeated-example" if pair in seen else ""
        seen.add(pair)
    return faults


def _fault(given: str, output: str) -> str:
    if not output.strip():
        return "empty-output"
    if given == output:
        return "output-is-input"
    return "unfinished-example" if given.strip().endswith(":") or output.strip().endswith(":") else ""


async def ask_examples(task: Record, n: int, ctx: Context) -> list[Record | Drop]:
    """``n`` examples of a task from one request, as copies of ``task``; drops for what is no good.

    More than ``n`` are not taken. A failed call is a drop with the reason of its failure.
    """
    try:
        reply = await ctx.ask(PROMPT.format(n=n, instruction=task.instruction))
    except TeacherError as error:
        return [Drop.failed(error, task)]
    return _read(reply, task, n)


def _read(reply: Reply, task: Record, n: int) -> list[Record | Drop]:
    if is_refusal(reply.text):
        return [Drop("refused", "the teacher declined to write examples", reply.text, task)]
    pairs = examples(reply.text)[:n]
    if not pairs:
        return [Drop("unreadable-examples", "no 'Output:' line in the reply", reply.text, task)]
    results: list[Record | Drop] = []
    for (given, output), fault in zip(pairs, faulty(pairs), strict=True):
        record = task.replaced(input=given, output=output).citing(reply)
        results.append(Drop(fault, answer=reply.text, record=record) if fault else record)
    return results
