"""The mix stage: how much of each task goes on, and in which order."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from filial import Drop, Field, Mixer, Record, UsageError
from filial.formats import SourceSpec
from filial.stages import (
    Address,
    ComponentSpec,
    Expected,
    Manager,
    Part,
    Records,
    Report,
    Stage,
    StageContext,
    StageSpec,
    Word,
    blame_plugin,
    breach,
    build,
    format_value,
    is_number,
    provenance,
    read_inputs,
    wrong_type,
)
from filial_plugins.mixing.allocation import Allotment, Sizes, allocate
from filial_plugins.mixing.drawing import TURN, Group, Pool
from filial_plugins.mixing.mixture import Mixture
from filial_plugins.mixing.sources import Member, Submixture, flatten_sources, read_mixtures
from filial_plugins.stages.calls import short_name

LEAST_RATE, MOST_RATE = 1e-100, 1e100
"""Bounds of a rate that is not 0: between them, sums and quotients of rates are finite."""
_PLACE = re.compile(r":\d+:\d+$")
COT_TAG = "cot"
NAMED = 3
"""Groups that a sentence names; the table has all."""


class Mix(Stage):
    """A mix stage."""

    works = "reduce"  # all records are drawn from and shuffled together
    kind, by_inputs, bounded = "mixers", ("sources",), True
    total: int | None = Field(None, description="Records in the mix. Default: as many as possible.", ge=1)
    by: Literal["task", "plugin", "round"] = Field(
        "task", description="What defines the groups: the task, the plugin a record comes from, or its evolution round."
    )
    repeat: bool = Field(False, description="Repeat the records of a task that has fewer than its share.")
    stop: bool = Field(False, description="End the mix when the first task is used up, so that all shares are exact.")
    cot_share: float | None = Field(
        None, description="Share of records with a chain of thought: 0.1 for one in ten.", ge=0, le=1
    )
    cot_tag: Word = Field(COT_TAG, description="Tag of records with a chain of thought.")
    cot_tasks: list[str] = Field([], description="Tasks whose records all have a chain of thought.")
    sources: dict[str, Annotated[Member, Field(description="Records of this task, or a mixture.")]] | None = Field(
        None,
        description="Sources to add to the mix, by the name of their task; in place of one, {use: MIXER, sources: …}.",
        min_length=1,
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.repeat and self.stop:
            raise PydanticCustomError("together", "repeat and stop exclude each other; remove one")
        if self.cot_tasks and self.cot_share is None:
            raise PydanticCustomError("together", "cot_tasks says what cot_share counts; add cot_share, such as 0.1")
        if self.cot_tag != COT_TAG and self.cot_share is None:  # a lock file writes the default out
            raise PydanticCustomError("together", "cot_tag says what cot_share counts; add cot_share, such as 0.1")
        mixtures = [value for value in (self.sources or {}).values() if isinstance(value, Submixture)]
        if mixtures and self.by != "task":
            raise PydanticCustomError("together", "mixtures among the sources go with 'by: task' only")
        flatten_sources(self.sources or {})
        return self

    @classmethod
    def nested(cls, given: dict[str, Any]) -> Iterable[tuple[tuple[str, ...], Any, Part]]:
        """Return the mixers of mixtures among the sources."""
        return read_mixtures(given)

    def named_sources(self) -> list[SourceSpec]:
        """Return the sources of all tasks."""
        return list(flatten_sources(self.sources or {}).values())

    @classmethod
    def starts(cls, given: dict[str, Any]) -> bool:
        """Return whether it has its own sources."""
        return isinstance(given.get("sources"), dict)

    def limit_records(self, n: int) -> Self:
        """Limit the size of the mix."""
        return self.model_copy(update={"total": self.total and min(self.total, n)})

    async def run(self, stage: StageSpec, records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
        """Run a mix stage on the records of the stage before and those of its sources."""
        mixture = self._build(stage, base, manager)
        for spec in stage.components:
            if spec.options.get("maximum") == 0:  # as in seqio, but a reader would take it for a cap
                env.note(f"{spec.where or spec.name}: 'maximum: 0' means no maximum; leave the key out to say so")
        with closing(Pool(env.seed, env.stage)) as pool, closing(env.worker):
            env.counters.entered = await self.fill(pool, records)
            for task, source in flatten_sources(self.sources or {}).items():
                found = read_inputs(source, base, manager, env, limit=stage.limit)
                env.counters.made += await self.fill(pool, found, task)  # they did not come from the stage before
            return await mix_records(pool, self, mixture, env) if pool.sizes() else {}

    def _build(self, stage: StageSpec, base: Path, manager: Manager) -> Mixture:
        """Return the mixture of the sources; what else comes in is mixed beside these."""
        top, *nested = stage.components
        specs = {spec.path[len(top.path) :]: spec for spec in nested}

        def make(spec: ComponentSpec, address: Address, sources: Mapping[str, Any]) -> Mixture:
            members = dict[str, Mixture | None]()
            for name, value in sources.items():
                inside = (*address, "sources", name)
                members[name] = make(specs[inside], inside, value.sources) if isinstance(value, Submixture) else None
            mixer: Mixer = build(manager, spec, base)
            return Mixture(mixer, members, provenance(manager, spec), spec.where)

        return make(top, (), self.sources or {})

    async def fill(self, pool: Pool, records: Iterable[Record], task: str | None = None) -> int:
        """Put records into the pool, those of a source as its task. Returns how many."""
        count = 0
        for count, record in enumerate(records, 1):
            if count % TURN == 0:
                await asyncio.sleep(0)
            named = record if task is None or record.task == task else record.replaced(task=task)
            pool.add((group_of(named, self.by), self._is_cot(named)), named)
        return count

    def _is_cot(self, record: Record) -> bool:
        """Return whether a record counts for the share of chain of thought, if there is to be one."""
        return self.cot_share is not None and (self.cot_tag in record.tags or record.task in self.cot_tasks)

    def expect(self, stage: StageSpec, entering: int, base: Path, manager: Manager) -> Expected:
        """Estimate the records of a mix stage."""
        spec, *_ = stage.components
        return Expected(build(manager, spec, base).calls(entering), self.total or entering)


def group_of(record: Record, by: str) -> str:
    """Return the group of a record in a mix: its task, its plugin's name, or its evolution round."""
    if by == "task":
        return record.task
    return short_name(record.origin.plugin) if by == "plugin" else str(record.origin.round)


async def mix_records(pool: Pool, settings: Mix, mixture: Mixture, env: StageContext) -> Report:
    """Draw from the pool at the mixture's rates, by seed. Returns what each task gave.

    Without ``total`` as many as the rates allow without repeating any: the task that is scarcest for its rate is used
    up. A task that is too small for its share gives all it has, repeats it, or ends the mix (`allocate`).

    Raises:
        UsageError: a share of chain of thought that the records cannot give, or the mixer gives no rate to any.
    """
    by, sizes, plugin = settings.by, dict[str, Sizes](), mixture.plugin
    for (task, cot), count in sorted(pool.sizes().items()):
        there = sizes.get(task, Sizes())
        sizes[task] = Sizes(there.plain, count) if cot else Sizes(count, there.cot)
    with _put_place_first(mixture.where):
        if unknown := [task for task in settings.cot_tasks if task not in pool.tasks]:
            known = ", ".join(map(repr, sorted(pool.tasks)))
            raise UsageError(f"cot_tasks names {unknown[0]!r}, but the records have task {known}")
        for name in [name for name, member in mixture.members.items() if member and name in sizes]:
            raise UsageError(f"{name!r} is the name of a mixture and of a task; give one of them another name")
    reached = dict.fromkeys(mixture.tasks(), 0)
    others: dict[str, Mixture | None] = {task: None for task in sizes if task not in reached}
    whole = replace(mixture, members={**mixture.members, **others})

    async def rates_of(part: Mixture, counts: dict[str, int]) -> dict[str, float]:
        return await _rates(part, counts, by, env)

    rates = await whole.rates(reached | {task: size.all for task, size in sizes.items()}, rates_of)
    with _put_place_first(mixture.where):
        found = allocate(
            rates, sizes, settings.total, repeat=settings.repeat, stop=settings.stop, cot_share=settings.cot_share
        )
    wanted = {(one.task, one.cot): one.given for one in found}

    def leave(group: Group, record: Record) -> None:
        size = sizes[group[0]].cot if group[1] else sizes[group[0]].plain
        detail = f"{by} {group[0]!r} was given {wanted.get(group, 0):,} of {size:,}"
        env.drop(Drop("not-drawn", detail), plugin, record)

    report = _report(found, settings)
    if shortage := describe_shortage(report["mix"], by, _find_scarcest(found) if settings.stop else None):
        env.note(f"{env.stage}: {shortage}")
    env.counters.made += sum(one.repeated for one in found)  # what comes again is made by mixing
    async for record in pool.draw(wanted, leave):
        env.keep(record)
    return report


def _report(found: list[Allotment], settings: Mix) -> Report:
    """Say what each task was asked for, had, gave and repeated, and how much of all that holds a chain of thought."""
    lines: dict[str, Counter[str]] = {}
    for one in found:
        counts = {"asked": one.asked, "available": one.available, "given": one.given, "repeated": one.repeated}
        lines.setdefault(one.task, Counter()).update(counts)
    report: Report = {"mix": [{settings.by: task, **counts} for task, counts in lines.items()]}
    if settings.cot_share is not None:
        cot, total = (sum(one.given for one in found if one.cot or every) for every in (False, True))
        report["cot"] = {"asked_share": settings.cot_share, "given": cot, "of": total}
    return report


def _find_scarcest(found: list[Allotment]) -> Allotment | None:
    """Return what is used up first of what a mix was asked for, if anything is."""
    short = [one for one in found if one.asked > one.available]
    return min(short, key=lambda one: one.available / one.asked, default=None)


def describe_shortage(rows: list[dict[str, Any]], by: str, scarcest: Allotment | None = None) -> str:
    """Say what a mix cannot give of what was asked for, the largest gaps by name, in one sentence; empty if nothing.

    ``scarcest`` is what ended the mix, where it ends with the first that is used up.
    """
    asked, given = (sum(row[key] for row in rows) for key in ("asked", "given"))
    if given >= asked:
        return ""
    if scarcest is not None:
        kind = " with a chain of thought" if scarcest.cot else ""
        why = f"{by} {scarcest.task!r} is used up first: it has {scarcest.available:,} of {scarcest.asked:,}{kind}"
        return f"gives {given:,} of {asked:,} records: {why}; more of its records or a lower total would do"
    gaps = {row[by]: row["asked"] - row["given"] for row in rows if row["given"] < row["asked"]}
    short = sorted((row for row in rows if row[by] in gaps), key=lambda row: (-gaps[row[by]], row[by]))
    named = short if len(short) <= NAMED + 1 else short[:NAMED]
    parts = [f"{by} {row[by]!r} gives {row['given']:,} of {row['asked']:,}" for row in named]
    if rest := short[len(named) :]:
        parts.append(f"{len(rest):,} others lack {sum(gaps[row[by]] for row in rest):,}")
    return f"gives {given:,} of {asked:,} records: {', '.join(parts)}; more records, repeat or a lower total would do"


async def _rates(mixture: Mixture, sizes: dict[str, int], by: str, env: StageContext) -> dict[str, float]:
    """Return the rate of every member of a mixture.

    Raises:
        FilialError: the mixer failed, or gave something that is no rate.
        UsageError: it gives a rate to a group that does not exist.
    """
    plugin = mixture.plugin
    with _put_place_first(mixture.where), blame_plugin(plugin, env.stage):
        rates = await env.worker.call(mixture.mixer.rates, dict(sizes))
        if not isinstance(rates, dict):
            raise wrong_type(plugin, env.stage, "rates", rates, "a dict of numbers")
    for name, rate in rates.items():
        if not (is_number(rate) and (rate == 0 or LEAST_RATE <= rate <= MOST_RATE)):
            wanted = f"neither 0 nor a number from {LEAST_RATE:g} to {MOST_RATE:g}"
            raise breach(plugin, env.stage, f"rates gives {by} {name!r} the rate {format_value(rate)}, {wanted}")
    if unknown := sorted(set(rates) - set(sizes), key=str):
        known = ", ".join(map(repr, sorted(sizes)))
        raise UsageError(f"{plugin} gives a rate to {by} {unknown[0]!r}, but the records have {by} {known}")
    return {name: rates.get(name, 0.0) for name in sizes}


@contextmanager
def _put_place_first(where: str) -> Iterator[None]:
    """Put a mixer's place in a recipe's file, if it stands in one, in front of what is wrong with it."""
    try:
        yield
    except UsageError as err:
        if type(err) is not UsageError or not _PLACE.search(where):
            raise
        raise UsageError(f"{where}: {err}") from err
