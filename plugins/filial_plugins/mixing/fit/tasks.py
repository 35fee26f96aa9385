"""The records of the tasks: which are held out, and which ones a pilot trains on."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from filial import Record, UsageError
from filial.storage import replace_file
from filial_plugins.mixing.allocation import Sizes, allocate
from filial_plugins.mixing.drawing import Group, Pool
from filial_plugins.mixing.fit.simplex import Weights

_encoder = msgspec.json.Encoder(order="deterministic")


@dataclass(slots=True)
class Tasks:
    """What pilots train on, and how many records there are.

    Attributes:
        sizes: records of each task, with those that are held out, in the order of their names.
        held: how many of each are held out.
        pool: the others, without those whose question is held out.
        names: the tasks in the order of their names; held-out records of the first are in ``0.jsonl``, and so on.
    """

    sizes: dict[str, int]
    held: dict[str, int]
    pool: Pool

    @property
    def names(self) -> list[str]:
        """The tasks, in the order of their names."""
        return list(self.sizes)

    def available(self) -> dict[str, Sizes]:
        """Return how many records pilots can train on: with a chain of thought, and without."""
        found = {task: Sizes() for task in self.sizes}
        for (task, cot), count in self.pool.sizes().items():
            found[task] = Sizes(found[task].plain, count) if cot else Sizes(count, found[task].cot)
        return found

    async def write_training(self, file: Path, weights: Weights, total: int, cot_share: float | None) -> None:
        """Write what one pilot trains on; a task with fewer records than its share repeats them.

        The same records come first in every pilot: a larger share of a task adds to those of a smaller one.
        """
        found = allocate(weights, self.available(), total, repeat=True, cot_share=cot_share)
        wanted = {(one.task, one.cot): one.given for one in found}
        await _write(file, self.pool.draw(wanted, _leave))


async def hold_out(records: Pool, pool: Pool, folder: Path, share: float, most: int) -> Tasks:
    """Divide records by their draw keys: write those that are held out, one file per task, and put the others in a
    pool. A record whose question is held out elsewhere is in neither.

    Raises:
        UsageError: there is one task only, or a task has too few records.
    """
    groups, sizes = records.sizes(), dict[str, int]()
    for (task, _), count in sorted(groups.items()):
        sizes[task] = sizes.get(task, 0) + count
    if len(sizes) < 2:
        raise UsageError(
            f"there is one task only, {next(iter(sizes))!r}, so there is nothing to mix; give records of two or more"
        )
    held = {task: min(most, max(1, round(share * size))) for task, size in sizes.items()}
    asked: set[bytes] = set()
    folder.mkdir(parents=True, exist_ok=True)
    for number, task in enumerate(sizes):
        parts = {flag: groups.get((task, flag), 0) for flag in (False, True)}
        cot = round(held[task] * parts[True] / sizes[task])
        wanted = {(task, True): cot, (task, False): held[task] - cot}
        await _write(folder / f"{number}.jsonl", _note(records.draw(wanted, _leave), asked))

    def keep(group: Group, record: Record) -> None:
        if _hash_question(record) not in asked:
            pool.add(group, record)

    async for _ in records.draw({}, keep):
        pass
    there = {task for task, _ in pool.sizes()}
    for task, size in sizes.items():
        if task not in there:
            raise UsageError(
                f"task {task!r} has {size:,} records, and none is left to train on besides those that are held out; "
                "give more records, or a lower --held-out"
            )
    return Tasks(sizes, held, pool)


async def _note(records: AsyncIterator[Record], asked: set[bytes]) -> AsyncIterator[Record]:
    async for record in records:
        asked.add(_hash_question(record))
        yield record


def _hash_question(record: Record) -> bytes:
    text = "\x1f".join(message.content for message in record.prompt())
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _leave(group: Group, record: Record) -> None:
    """Do nothing with a record that is not drawn."""


async def _write(file: Path, records: AsyncIterator[Record]) -> None:
    with replace_file(file) as sink:
        async for record in records:
            sink.write(_encoder.encode(record) + b"\n")
