"""The mix stage: how much of each task goes on, and in which order."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from filial import Drop, Field, InputFile, Mixer, Record, UsageError, seeded_rng
from filial.stages import (
    Expected,
    Manager,
    Records,
    Report,
    Stage,
    StageContext,
    StageSpec,
    blame_plugin,
    breach,
    build,
    format_value,
    is_number,
    provenance,
    read_inputs,
    wrong_type,
)
from filial_plugins.stages.calls import short_name

LEAST_RATE, MOST_RATE = 1e-100, 1e100
"""Bounds of a rate that is not 0: between them, sums and quotients of rates are finite."""


class Mix(Stage):
    """A mix stage."""

    works = "reduce"  # all records are drawn from and shuffled together
    kind, by_inputs, bounded = "mixers", ("sources",), True
    total: int | None = Field(None, description="Records in the mix. Default: as many as fit.", ge=1)
    by: Literal["task", "plugin", "round"] = Field(
        "task", description="What rates go by: the task, the plugin a record comes from, or its evolution round."
    )
    repeat: bool = Field(False, description="Repeat the records of a task that is too small for its share.")
    sources: dict[str, Annotated[InputFile, Field(description="Records of this task.")]] | None = Field(
        None, description="Files to add to the mix, by the name of their task.", min_length=1
    )

    @classmethod
    def starts(cls, given: dict[str, Any]) -> bool:
        """It can begin with its own sources."""
        return isinstance(given.get("sources"), dict)

    def limit_records(self, n: int) -> Self:
        """Mix at most so many."""
        return self.model_copy(update={"total": self.total and min(self.total, n)})

    async def run(self, stage: StageSpec, records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
        """Run a mix stage on the records of the one before and those of its sources."""
        (spec,), added = stage.components, list[Record]()
        for task, source in (self.sources or {}).items():
            added += [r.replaced(task=task) for r in read_inputs(source, base, manager, env, limit=stage.limit)]
        await mix_records([*records, *added], self, provenance(manager, spec), build(manager, spec, base), env)
        env.counters.entered -= len(added)  # they did not come from the stage before
        env.counters.made += len(added)
        return {}

    def expect(self, stage: StageSpec, entering: int, base: Path, manager: Manager) -> Expected:
        """Say what a mix stage would take and give."""
        (spec,) = stage.components
        return Expected(build(manager, spec, base).calls(entering), self.total or entering)


def shares(rates: dict[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to ``total`` and follow the rates, by largest remainder (ties by name).

    Raises:
        UsageError: all rates are zero.
    """
    exact = {name: Fraction(rate) for name, rate in rates.items()}
    if not (whole := sum(exact.values())):
        raise UsageError("all mixing rates are 0; nothing would be mixed")
    quotas = {name: rate * total / whole for name, rate in exact.items()}
    counts = {name: int(q) for name, q in quotas.items()}
    left = total - sum(counts.values())
    for name in sorted(quotas, key=lambda n: (counts[n] - quotas[n], n))[:left]:
        counts[name] += 1
    return counts


def group_of(record: Record, by: str) -> str:
    """What a mixer's rate is looked up under: the record's task, its plugin's name, or its round of evolution."""
    origin = record.origin
    return {"task": record.task, "plugin": short_name(origin.plugin), "round": str(origin.round)}[by]


async def mix_records(records: Records, settings: Mix, plugin: str, mixer: Mixer, env: StageContext) -> None:
    """Draw records task by task at the mixer's rates and shuffle them, by seed. They are held in memory for it.

    Without ``total`` as many as the rates allow without repeating any: the task that is scarcest for its rate is
    used up. With ``repeat`` a task too small for its share is repeated, else its share is all it has.
    """
    env.counters.entered = len(records)
    total, repeat, by = settings.total, settings.repeat, settings.by
    tasks: dict[str, list[Record]] = {}
    for record in records:
        tasks.setdefault(group_of(record, by), []).append(record)
    if not tasks:
        return
    rates = await _rates(mixer, {name: len(rows) for name, rows in tasks.items()}, by, plugin, env)
    if total is None:
        whole = sum(rates.values())
        total = min((int(len(tasks[n]) * whole / r + 1e-9) for n, r in rates.items() if r > 0), default=0)
    chosen: list[Record] = []
    for name, want in shares(rates, total).items():
        rows = list(tasks[name])
        seeded_rng(env.seed, env.stage, "draw", name).shuffle(rows)
        times, rest = divmod(want, len(rows)) if repeat else (0, min(want, len(rows)))
        for record in rows[rest:] if times == 0 else ():
            env.drop(Drop("not-drawn", f"{by} {name!r} was given {want:,} of {len(rows):,}"), plugin, record)
        drawn = rows * times + rows[:rest]
        env.counters.made += max(0, len(drawn) - len(rows))  # what comes again is made by mixing
        chosen += drawn
    seeded_rng(env.seed, env.stage, "order").shuffle(chosen)
    for record in chosen:
        env.keep(record)


async def _rates(mixer: Mixer, sizes: dict[str, int], by: str, plugin: str, env: StageContext) -> dict[str, float]:
    """The mixer's rate for every group.

    Raises:
        FilialError: the mixer failed, or gave something that is no rate.
        UsageError: it gives a rate to a group that there is not.
    """
    with blame_plugin(plugin, env.stage), closing(env.worker):
        rates = await env.worker.call(mixer.rates, dict(sizes))
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
