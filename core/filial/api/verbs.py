"""The verbs on records: generate, evolve, filter, mix."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypedDict, TypeVar, Unpack

from filial import recipe as recipes
from filial.api.plugins import Plugin, Plugins, beside, manager_of, plain, reporter_of
from filial.api.results import Result
from filial.api.sources import Source, plain_source
from filial.api.teachers import Answer, open_teacher
from filial.contracts.concurrency import TURN
from filial.contracts.errors import UsageError, spell_columns
from filial.contracts.records import Record
from filial.engine import interrupts
from filial.engine.build import read_inputs
from filial.engine.progress import Reporter
from filial.engine.stage import DropRow, StageContext, Writer
from filial.engine.verbs import run_stage
from filial.engine.watchdog import Watchdog
from filial.formats.catalogue import Spec
from filial.gateway.gateway import raise_stop_error

P = ParamSpec("P")
T = TypeVar("T")


class Options(TypedDict, total=False):
    """Options of every verb in addition to its own keys.

    ``teacher``: a component or a function; ``budget``: its caps (``{"usd": 1}``); ``home``: the folder whose
    ``.filial/`` stores the answers. ``plugins``: files to load as plugins. ``progress``: show progress. ``format``: of
    the records, as in `filial.load`.
    """

    teacher: Plugin | Answer | None
    seed: int
    budget: Mapping[str, float] | None
    home: str | Path
    plugins: Plugins
    progress: bool | Reporter
    format: Spec


class Rows(Writer, Protocol):
    """What goes through a stage: what it writes, and before that the records that enter, each by ``append``."""

    entering: Any


class _RowsInMemory:
    """What goes through a stage, in lists."""

    def __init__(self) -> None:
        self.entering, self.records, self.drops = list[Record](), list[Record](), list[DropRow]()
        self.keep, self.drop = self.records.append, self.drops.append


async def arun_verb(
    verb: str, body: Any, sources: Iterable[Source], *, tasks: Sequence[str] = (), limit: int | None = None,
    teacher: Plugin | Answer | None = None, seed: int = 42,
    budget: Mapping[str, float] | None = None, home: str | Path = ".", plugins: Plugins = (),
    progress: bool | Reporter = True, rows: Rows | None = None, format: Spec = "auto",
) -> Result:  # fmt: skip
    """Run one stage, ``{verb: body}`` as in a recipe, on the records of sources.

    Bad lines and rows become drops. ``tasks`` are what the records of each source are to have, where that is to be set.
    ``rows`` takes records and drops in the place of the result, which then has none: they need not fit into memory.

    Raises:
        RecipeError: lists every fault of the stage.
        FilialError: as in a command.
    """
    manager, said, base = manager_of(plugins), reporter_of(progress), Path.cwd()
    stage = recipes.stage_from_dict({verb: plain(body, manager)}, manager, name=verb, base=base)
    kept = _RowsInMemory()
    writer: Rows = kept if rows is None else rows
    entering = writer.entering
    env = StageContext(stage=verb, seed=seed, writer=writer, note=said.note)

    async def work() -> dict[str, Any]:
        async with open_teacher(teacher, manager, home, budget, said) as gateway:
            if gateway is not None:
                env.ask, env.window, env.price = gateway.ask, gateway.window, gateway.price
            with said.stage(verb, gateway.status if gateway else None) as env.on_progress:
                for place, source in enumerate(sources):
                    left = limit - len(entering) if limit else None
                    if left != 0:
                        given = plain_source(source, format)
                        how = {"format": format} if isinstance(given, list) else {}
                        for record in read_inputs(given, base, manager, env, left, **how):
                            entering.append(record.replaced(task=tasks[place]) if tasks else record)
                            env.counters.entered += 1
                            env.on_progress(env.counters)
                            if not env.counters.entered % TURN:
                                await asyncio.sleep(0)  # Ctrl-C, and whatever else waits for the loop
                with raise_stop_error(gateway):
                    report: dict[str, Any] = await run_stage(stage, entering, base, manager, env)
            return {"report": report, "teacher": asdict(gateway.spent) if gateway else {}}

    with spell_columns("source"):
        done = await Watchdog(manager.owner, said.note).watch(work())
    count = env.counters
    row = {
        "name": verb, "entered": count.entered, "made": count.made, "out": count.out,
        "dropped": count.dropped.total(), "reasons": dict(sorted(count.dropped.items())), **done["report"],
    }  # fmt: skip
    return Result({"seed": seed, "stages": [row], "teacher": done["teacher"]}, kept.records, kept.drops)


async def agenerate(
    seeds: Source | None, generator: Plugin, *, count: int | None = None, **options: Unpack[Options]
) -> Result:
    """Make records from seeds with a generator.

    Args:
        seeds: None for a generator that needs none.
        count: number of records, for a generator that has this option.
    """
    manager = options["plugins"] = manager_of(options.get("plugins", ()))
    body = beside(generator, manager, count=count)
    form = getattr(manager.get("generators", body["use"]), "seeds_format", "auto")
    if seeds is None and getattr(manager.get("generators", body["use"]), "needs_seeds", True):
        raise UsageError(f"the generator {body['use']} needs seeds; give it records or a file")
    return await arun_verb("generate", body, () if seeds is None else (plain_source(seeds, form),), **options)


async def aevolve(
    records: Source, *strategies: Plugin, rounds: int = 1, eliminate: Sequence[Plugin] | None = None,
    keep: str = "all", branch: int = 1, order: str = "random", answer: bool = True, **options: Unpack[Options],
) -> Result:  # fmt: skip
    """Evolve records with one strategy or several. The keys are those of an evolve stage.

    Args:
        rounds: evolutions of each record.
        eliminate: filters that decide whether an evolution has failed; None: the defaults of a recipe.
        keep: "all" generations, or the "last" one of each line.
        branch: children of each record per round.
        order: choose strategies at "random", or in turn, "fixed" or in "rotation".
        answer: ask the teacher to answer each evolved instruction.
    """
    body = {"strategies": list(strategies), "rounds": rounds, "keep": keep, "branch": branch, "order": order}
    body |= {"answer": answer} | ({} if eliminate is None else {"eliminate": list(eliminate)})
    return await arun_verb("evolve", body, (records,), **options)


async def afilter(records: Source, *filters: Plugin, **options: Unpack[Options]) -> Result:
    """Pass records through filters, one after the other."""
    return await arun_verb("filter", list(filters), (records,), **options)


async def amix(
    records: Source | Mapping[str, Source], mixer: Plugin = "weights", *, total: int | None = None, by: str = "task",
    repeat: bool = False, **options: Unpack[Options],
) -> Result:  # fmt: skip
    """Mix records at a mixer's rates. ``{task: records}`` sets the task of each record.

    Args:
        total: records in the mix; None: as many as possible.
        by: what defines the groups: the "task", the "plugin" a record comes from, or its "round".
        repeat: repeat the records of a task that is too small for its share.
    """
    manager = options["plugins"] = manager_of(options.get("plugins", ()))
    tasks, sources = (list(records), list(records.values())) if isinstance(records, Mapping) else ([], [records])
    body = beside(mixer, manager, total=total, by=by, repeat=repeat)
    return await arun_verb("mix", body, sources, tasks=tasks, **options)


def _sync(work: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Return the same function in synchronous form."""

    @wraps(work)
    def call(*args: P.args, **options: P.kwargs) -> T:
        return interrupts.run(work(*args, **options))

    call.__name__ = call.__qualname__ = work.__name__.removeprefix("a")
    return call


run_verb = _sync(arun_verb)
generate = _sync(agenerate)
evolve = _sync(aevolve)
filter = _sync(afilter)
mix = _sync(amix)
