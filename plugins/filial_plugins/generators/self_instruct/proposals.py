"""Requests for new tasks: what they show, and which tasks a reply holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from filial import Context, Drop, Record, Reply, TeacherError, is_refusal
from filial_plugins.generators.self_instruct import blocks, lists, replied_lists
from filial_plugins.generators.self_instruct.blocks import Block
from filial_plugins.generators.self_instruct.styles import Settings


@dataclass(frozen=True, slots=True)
class Proposal:
    """One request for new tasks: its prompt, the number its list goes on with, the seeds it shows."""

    prompt: str
    first: int
    parents: tuple[str, ...]
    draw: int


@dataclass(slots=True)
class ProposalWriter:
    """Draws requests for new tasks. ``text`` is the prompt to fill in; ``sent`` counts how often each was sent."""

    chosen: Settings
    text: str
    seeds: Sequence[Record]
    sent: Counter[str] = field(default_factory=Counter)

    def draw(self, accepted: Sequence[Record], ctx: Context) -> Proposal:
        """Draw a request that shows accepted tasks (as many as there are, at most ``machine_examples``) and seeds,
        shuffled.

        A sample of seeds alone is in random order already (generate_instruction.py does not shuffle it either).
        """
        chosen = self.chosen
        machine = ctx.rng.sample(accepted, min(chosen.machine_examples, len(accepted)))
        wanted = chosen.seed_examples + chosen.machine_examples - len(machine)
        human = ctx.rng.sample(self.seeds, min(wanted, len(self.seeds)))
        tasks = [*machine, *human]
        if chosen.machine_examples:
            ctx.rng.shuffle(tasks)
        first = len(tasks) + 1
        listed = blocks.format_blocks(tasks) if chosen.joint else lists.format_list(tasks)
        total = len(tasks) + chosen.per_request
        prompt = self.text.format(n=chosen.per_request, total=total, examples=listed, next=first)
        draw = self.sent[prompt]  # with few seeds the same list may come again: another answer to it is wanted
        self.sent[prompt] += 1
        return Proposal(prompt, first, tuple(seed.id for seed in human if seed.id), draw)


def parse_reply(reply: Reply | TeacherError, first: int, chosen: Settings) -> Iterator[Block | Drop]:
    """Yield the tasks of a reply, and drops for what is no task. Without ``joint``, tasks have no input and no output.

    All unusable parts of a reply make one drop per reason, which carries the whole reply.
    """
    if isinstance(reply, TeacherError):
        yield Drop.from_error(reply)
        return
    if chosen.refusals == "drop" and is_refusal(reply.text):
        yield Drop("refused", "the teacher declined to propose tasks", answer=reply.text)
        return
    cut_off = reply.finish_reason == "length"
    if cut_off:
        lost = "all of a reply" if chosen.cut_reply == "drop" else "the last task of a reply"
        yield Drop("cut-off", f"{lost} that was cut at the token limit", answer=reply.text)
        if chosen.cut_reply == "drop":
            return
    found = (
        _parse_blocks(reply.text, first, cut_off, chosen)
        if chosen.joint
        else _parse_tasks(reply.text, first, cut_off, chosen)
    )
    if not found and not cut_off:
        yield Drop("empty", "no task in the reply", answer=reply.text)
    empty = broken = 0
    for block in found:
        empty += block.complete and not block.instruction
        broken += not block.complete
        if block.complete and block.instruction:
            yield block
    if empty:
        yield Drop("empty", f"{empty} numbers without a task", answer=reply.text)
    if broken and chosen.joint:
        yield Drop("unreadable-task", f"{broken} tasks without all of their parts", answer=reply.text)
    elif broken:
        yield Drop("unreadable-list", "it has marks of a list, but none that separates its tasks", answer=reply.text)


def _parse_blocks(text: str, first: int, cut_off: bool, chosen: Settings) -> list[Block]:
    cut = blocks.split_at_any if chosen.cut_at == "any" else blocks.split_at_next
    return [_apply_letter_case(block, chosen) for block in cut(text, first, cut_off, chosen.no_input)]


def _parse_tasks(text: str, first: int, cut_off: bool, chosen: Settings) -> list[Block]:
    if chosen.cut_at == "any":
        tasks = [Block(task) for task in lists.split_at_any(text)]
    else:
        tasks = replied_lists.split_at_next(text, first, chosen.per_request)
    return [_apply_letter_case(task, chosen) for task in (tasks[:-1] if cut_off else tasks)]


def _apply_letter_case(block: Block, chosen: Settings) -> Block:
    if chosen.letter_case == "keep":
        return block
    return Block(block.instruction.capitalize(), block.input, block.output, block.complete)
