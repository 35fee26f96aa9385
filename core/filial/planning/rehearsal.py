"""A stage played with the answers that are there: what the ledger holds already, and what would have to be sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from filial.asking.gateway import Proceed
from filial.errors import FilialError, TeacherError
from filial.ledger import Addresses, Ledger, encode_request
from filial.records import Record
from filial.stages.assemble import run_stage, seeds_of
from filial.stages.rows import Records
from filial.stages.stage import Books, DropRow, Surroundings
from filial.teaching import Reply, Request

if TYPE_CHECKING:
    from filial.recipe import StageSpec
    from filial.run import Run

SAMPLE = 1000
"""Records that a stage is rehearsed on; the rest is taken to be like them."""
PER_TOKEN = 4
"""Bytes of text to a token, about."""


@dataclass(slots=True)
class Prompter:
    """Answers from the ledger alone, and counts what it cannot."""

    ledger: Ledger | None
    addresses: Addresses
    held: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    """Tokens, about, of each prompt that was not answered, by its key."""

    async def ask(self, request: Request) -> Reply:
        try:
            asked = encode_request(request)
        except UnicodeEncodeError as err:
            raise TeacherError("not-unicode") from err
        key = self.addresses.key(asked)
        if self.ledger is not None and (known := self.ledger.get(key)) is not None:
            self.held += 1
            return known
        self.missing[key] = sum(len(m.content.encode()) for m in request.messages) // PER_TOKEN
        raise TeacherError("not-asked-yet")


@dataclass(slots=True)
class Collected:
    """The writer of a stage that leaves no files."""

    records: list[Record] = field(default_factory=list)

    def keep(self, record: Record) -> None:
        self.records.append(record)

    def drop(self, row: DropRow) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of it: ``share`` of the records took part; ``out`` is what the stage gives, where every answer was
    there and all took part; ``prompt_tokens`` is the mean of the prompts that were not answered."""

    held: int
    missing: int
    share: float
    prompt_tokens: float
    out: list[Record] | None


async def rehearse(
    stage: StageSpec, records: Records, run: Run, prompter: Prompter, wrap: Callable[[Proceed], Proceed]
) -> Rehearsal:
    """Play a stage on the first `SAMPLE` records that enter it; nothing is sent or written.

    Raises:
        FilialError: it fails, and not for want of answers.
    """
    some = list(islice(records, SAMPLE))
    writer = Collected()
    env = Surroundings(stage=stage.name, seed=run.recipe.seed, writer=writer, books=Books(entered=len(some)))
    env.ask, env.seeds = wrap(prompter.ask), partial(seeds_of, run.recipe, stage.index)
    prompter.held, prompter.missing = 0, {}
    try:
        await run_stage(stage, some, run.recipe.base, run.manager, env)
    except FilialError:
        if not prompter.missing:
            raise  # it fails all the same when it runs
        writer.records = []
    missing = prompter.missing
    whole = not missing and len(some) == len(records)
    return Rehearsal(
        prompter.held, len(missing), len(some) / len(records) if len(records) else 1.0,
        sum(missing.values()) / len(missing) if missing else 0.0, writer.records if whole else None,
    )  # fmt: skip
