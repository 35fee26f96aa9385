"""What a run would do, before anything is sent: each step, whether it is done, and who does it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from filial.contracts.errors import FilialError, TeacherError
from filial.contracts.kinds import Component
from filial.contracts.messages import Reply, Request
from filial.contracts.records import Record
from filial.engine import commit, judge
from filial.engine import train as tuning
from filial.engine.build import Source, build, provenance, read_seeds, seed_sources
from filial.engine.commit import MANIFEST
from filial.engine.run import records_key
from filial.engine.stage import Counters, DropRow, Records, Rows, StageContext, is_lost
from filial.engine.verbs import VERBS
from filial.gateway.budget import Budget, dollars
from filial.gateway.gateway import Proceed
from filial.gateway.ledger import Ledger, TeacherKeys, encode_request
from filial.plugins.discovery import OURSELVES
from filial.recipe.settings import Evolve, Generate
from filial.storage import kept, read_manifest

if TYPE_CHECKING:
    from filial.engine.run import Run
    from filial.engine.stage import Records
    from filial.recipe import ComponentSpec, JudgeSpec, StageSpec


EXACT, LIKELY, ROUGH = "exact", "likely", "rough"
PROMPT, ANSWER = 300, 300
"""Tokens of a request, where nothing better is known."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one step would take: records that enter, requests to send, answers that are there, tokens and US dollars of
    what is sent (None where the price is not known), and how sure that is."""

    records: int
    calls: int
    held: int
    tokens: int
    usd: float | None
    sure: str


class Estimator:
    """Goes through a run's steps in their order, each on what the one before would give.

    Use it as a context manager: it reads the ledger, if there is one.
    """

    def __init__(self, run: Run) -> None:
        self._run, recipe = run, run.recipe
        path = run.home / ".filial" / "ledger.sqlite"
        self._ledger = Ledger(path) if recipe.teacher and path.exists() else None
        self._prompter: Prompter | None = None
        self._usual: tuple[float, float] | None = None
        self._price = None
        self._wrap: Callable[[Proceed], Proceed] = lambda proceed: proceed
        if recipe.teacher is not None:
            teacher = recipe.teacher_of(run.manager)
            use = recipe.teacher.use
            keys = TeacherKeys(run.manager.identity("teachers", use), teacher.identity())
            self._prompter, self._price = Prompter(self._ledger, keys), teacher.price()
            if self._ledger is not None:
                self._ledger.recognize(keys, run.manager.claimants("teachers", use), dry=True)
                self._usual = self._ledger.usual(keys)
            self._wrap = partial(run.manager.hook.ask, teacher)
        self._records: Records | None = []
        if recipe.data:
            self._records = Source(recipe.data, recipe.base, run.manager, recipe.limit)
        self._count = len(self._records or ())

    def __enter__(self) -> Estimator:
        return self

    def __exit__(self, *error: object) -> None:
        if self._ledger is not None:
            self._ledger.close()

    @property
    def entering(self) -> str:
        """Checksum of the file whose records enter the next stage; empty for what the recipe names."""
        return self._records.sha256 if isinstance(self._records, Rows) else ""

    def done(self, rows: Records) -> Estimate:
        """A stage that is done: what it gave goes on."""
        entered, self._records, self._count = self._count, rows, len(rows)
        return Estimate(entered, 0, 0, 0, 0.0, EXACT)

    async def stage(self, stage: StageSpec[Any]) -> Estimate:
        """A stage that is to be done."""
        entered, base, manager = self._count, self._run.recipe.base, self._run.manager
        expected = VERBS[stage.verb].expect(stage, entered, base, manager)
        seen = await self._rehearsed(stage) if expected.calls else None
        self._records = seen.out if seen else None
        self._count = len(self._records) if self._records is not None else expected.out
        if seen is None:
            return self._estimate(entered, expected.calls, 0, None, ROUGH if expected.calls else EXACT)
        if not seen.missing:
            return self._estimate(
                entered, 0, round(seen.held / seen.share), 0.0, EXACT if seen.out is not None else LIKELY
            )
        held = round(seen.held / seen.share)
        left = max(expected.calls - held, seen.missing / seen.share)
        counted = expected.counted and self._usual is not None
        return self._estimate(entered, left, held, seen.prompt_tokens, LIKELY if counted else ROUGH)

    @property
    def records(self) -> Records:
        """What enters the next step, where all before it are done."""
        assert self._records is not None
        return self._records

    def judge(self, spec: JudgeSpec, records: int, left: list[judge.Sitting]) -> Estimate:
        """A judge on so many records, for the sittings that are left; candidates are asked once a record."""
        component: Component = build(self._run.manager, spec.component, self._run.recipe.base)
        told = self._estimate(records, component.calls(records) * len(left), 0, None, ROUGH)
        calls, tokens, usd = told.calls, told.tokens, told.usd
        for name in {name: None for sitting in left for name in sitting}:
            who = judge.answerer(self._run, spec, name)
            if not who.here:
                calls, tokens, price = calls + records, tokens + (PROMPT + ANSWER) * records, who.teacher.price()
                cost = price.cost(PROMPT * records, ANSWER * records) if price else None
                usd = None if usd is None or cost is None else usd + cost
        return Estimate(records, calls, 0, tokens, usd, ROUGH if calls else EXACT)

    @property
    def count(self) -> int:
        """Records that would leave the last step."""
        return self._count

    async def _rehearsed(self, stage: StageSpec[Any]) -> Rehearsal | None:
        """None where the records that enter are not known yet."""
        if self._records is None or self._prompter is None:
            return None
        return await rehearse(stage, self._records, self._run, self._prompter, self._wrap)

    def _estimate(self, entered: int, calls: float, held: int, prompt: float | None, sure: str) -> Estimate:
        usual = self._usual or (PROMPT, ANSWER)
        asked = calls * (prompt or usual[0])
        answered = calls * usual[1]
        usd = self._price.cost(round(asked), round(answered)) if self._price else (None if calls else 0.0)
        return Estimate(entered, round(calls), held, round(asked + answered), usd, sure)


def exam_size(run: Run, spec: JudgeSpec) -> int:
    """How many records a judge looks at."""
    recipe = run.recipe
    size = recipe.heldout if spec.data == "heldout" else len(Source(spec.data, recipe.base, run.manager))
    return min(size, spec.limit) if spec.limit else size


DONE, CHANGED, TO_DO = "done", "changed", "to do"


def plan_rows(run: Run) -> list[dict[str, Any]]:
    """One row per step: ``step``, ``state``, ``what``, ``plugins`` (``dist:name==version``) and, for all but the
    teacher, what it would take (`Estimate`'s fields). Nothing is sent and nothing is written.

    ``state`` is "done" when the step is whole and still fits the recipe, "changed" when it is whole but will be done
    again (something it depends on is another now, or a step before it is to be done and may give something else),
    else "to do".
    """
    with Estimator(run) as estimator:
        return asyncio.run(_planned(run, estimator))


async def _planned(run: Run, estimator: Estimator) -> list[dict[str, Any]]:
    recipe = run.recipe
    rows = [_row(run, "teacher", "", _teacher(run), [recipe.teacher])] if recipe.teacher else []
    state = DONE
    for stage, wanted in zip(recipe.stages, run.keys()[1:], strict=True):
        folder = run.folder / "stages" / stage.name
        manifest = commit.committed(folder, wanted.key, estimator.entering) if state == DONE else None
        what = _stage(stage)
        if manifest is not None:
            what += f"; {manifest['counts']['out']:,} records"
            lost = sum(n for reason, n in manifest["reasons"].items() if is_lost(reason))
            what += f"; {lost:,} lost, --retry-lost does that again" if lost else ""
            estimate = estimator.done(commit.rows(folder, manifest))
        else:
            state = CHANGED if read_manifest(folder / MANIFEST) else TO_DO
            estimate = await estimator.stage(stage)
        rows.append(_row(run, stage.name, state, what, stage.components, estimate))
    if recipe.train:
        data, key, model = dict[str, Any](), "", run.model / MANIFEST
        found = [judge.judged_at(run, s, sitting) for s in recipe.judges for sitting in judge.sittings(s, run.manager)]
        if state == DONE and any(path.exists() for path in (model, *found)):
            data = _dataset(run, estimator.records)
            key = tuning.training_key(run, data)
        template = recipe.template.use if recipe.template else "none"
        what = f"{recipe.train.use} on {recipe.model}, template {template}"
        plugins = [s for s in (recipe.train, recipe.template) if s]
        estimate = Estimate(estimator.count, 0, 0, 0, 0.0, EXACT)
        rows.append(_row(run, "train", _state(model, key), what, plugins, estimate))
        rows += [_judge(run, spec, estimator, data, key) for spec in recipe.judges]
    return rows


def _judge(run: Run, spec: JudgeSpec, estimator: Estimator, data: dict[str, Any], model: str) -> dict[str, Any]:
    """The row of a judge. ``model`` is the key of the model, trained or to be trained; empty where it is not known."""
    states, missing = {}, 0
    for sitting in judge.sittings(spec, run.manager):
        path = judge.judged_at(run, spec, sitting)
        states[sitting] = _state(path, judge.judging_key(run, spec, sitting, data, model) if model else "")
        if states[sitting] == DONE and (manifest := read_manifest(path)):
            missing += judge.unjudged(manifest["figures"])
    left = [sitting for sitting, state in states.items() if state != DONE]
    state = DONE if not left else CHANGED if CHANGED in states.values() else TO_DO
    size = exam_size(run, spec)
    estimate = estimator.judge(spec, size, left) if left else Estimate(size, 0, 0, 0, 0.0, EXACT)
    rivals = [rival for rival in spec.against if rival is not None]
    what = _judging(run, spec) + (f"; {missing:,} not judged, --retry-lost does that again" if missing else "")
    return _row(run, f"judge {spec.name}", state, what, [spec.component, *rivals], estimate)


def _state(manifest: Path, key: str) -> str:
    """What a run would find, by the key that it would want the manifest to have; empty: that cannot be known yet."""
    if key and kept(manifest, key) is not None:
        return DONE
    return CHANGED if read_manifest(manifest) is not None else TO_DO


def _dataset(run: Run, records: Records) -> dict[str, Any]:
    """The manifest of the data set that the run would train on. One that is not there is made elsewhere: it may hold
    the very bytes that the model was trained on."""
    key = tuning.dataset_key(run, records_key(run.keys(), records))
    if (found := kept(run.folder / "dataset" / MANIFEST, key)) is not None:
        return found
    with TemporaryDirectory(prefix="filial-") as folder:
        return tuning.write_dataset(run, records, key, Path(folder))


def _row(
    run: Run, step: str, state: str, what: str, components: Any, estimate: Estimate | None = None
) -> dict[str, Any]:
    plugins = [provenance(run.manager, c) for c in components]
    others = sorted({_owner(plugin) for plugin in plugins if not plugin.startswith(f"{OURSELVES}:")})
    brought = f" (from {', '.join(others)})" if others else ""
    row = {"step": step, "state": state, "what": what + brought, "plugins": plugins}
    return row | asdict(estimate) if estimate else row


def _owner(plugin: str) -> str:
    """``dist version`` of ``dist:name==version``."""
    named, _, version = plugin.partition("==")
    return f"{named.rpartition(':')[0]} {version}"


def _teacher(run: Run) -> str:
    """Who is asked, at which host, with which key by name, below which caps."""
    spec = run.recipe.teacher
    assert spec is not None
    teacher = run.recipe.teacher_of(run.manager)
    words = [_named(spec)]
    if place := teacher.destination():
        words += [f"host {place.host}", *([f"key from ${place.key}"] if place.key else [])]
    budget = Budget(**run.recipe.budget)
    caps = [f"{cap:,} {name}" for name in ("requests", "tokens") if (cap := getattr(budget, name))]
    caps += [dollars(budget.usd)] if budget.usd else []
    price = teacher.price()
    if caps or price is None or price.completion:
        words.append(f"at most {' and '.join(caps)}" if caps else "no cap on what it may cost (add budget: {usd: N})")
    if price is not None and price.completion:
        words.append(f"{dollars(price.prompt)} and {dollars(price.completion)} per million tokens ({price.source})")
    return ", ".join(words)


def _named(spec: ComponentSpec) -> str:
    model = spec.options.get("model")
    return f"{spec.use}, model {model}" if model else spec.use


def _stage(stage: StageSpec[Any]) -> str:
    """Who works in a stage, on what, and what it asks at most."""
    settings, kind = stage.settings, stage.components[0].kind
    names = ", ".join(spec.use for spec in stage.of(kind))
    if isinstance(settings, Evolve):
        rounds = f"{settings.rounds} round{'s' if settings.rounds > 1 else ''}"
        return f"{rounds} of {names}; a strategy and its answer are two requests"
    return f"{names} from {settings.seeds}" if isinstance(settings, Generate) and settings.seeds else names


def _judging(run: Run, spec: JudgeSpec) -> str:
    """Who judges on what, and beside the model whom: a rival's host and the name of its key, too."""
    rivals = []
    for rival, name in zip(spec.against, spec.rivals, strict=True):
        place = judge.answerer(run, spec, name).teacher.destination() if rival is not None else None
        words = [f"host {place.host}", *([f"key from ${place.key}"] if place.key else [])] if place else []
        rivals.append(f"{name} ({', '.join(words)})" if words else name)
    return f"{spec.component.use} on {spec.data}" + (f", against {' and '.join(rivals)}" if rivals else "")


SAMPLE = 1000
"""Records that a stage is rehearsed on; the rest is taken to be like them."""
PER_TOKEN = 4
"""Bytes of text to a token, about."""


@dataclass(slots=True)
class Prompter:
    """Answers from the ledger alone, and counts what it cannot."""

    ledger: Ledger | None
    keys: TeacherKeys
    held: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    """Tokens, about, of each prompt that was not answered, by its key."""

    async def ask(self, request: Request) -> Reply:
        try:
            asked = encode_request(request)
        except UnicodeEncodeError as err:
            raise TeacherError("not-unicode") from err
        if self.ledger is not None and (known := self.ledger.find(self.keys, asked)) is not None:
            self.held += 1
            return known
        tokens = sum(len(t.encode()) for m in request.messages for t in m.texts()) // PER_TOKEN
        self.missing[self.keys.key(asked)] = tokens
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
    stage: StageSpec[Any], records: Records, run: Run, prompter: Prompter, wrap: Callable[[Proceed], Proceed]
) -> Rehearsal:
    """Play a stage on the first `SAMPLE` records that enter it; nothing is sent or written.

    Raises:
        FilialError: it fails, and not for want of answers.
    """
    some = list(islice(records, SAMPLE))
    writer = Collected()
    env = StageContext(stage=stage.name, seed=run.recipe.seed, writer=writer, counters=Counters(entered=len(some)))
    env.ask, env.seeds = (
        wrap(prompter.ask),
        partial(read_seeds, seed_sources(run.recipe, stage.index), run.recipe.base, run.manager),
    )
    prompter.held, prompter.missing = 0, {}
    try:
        await VERBS[stage.verb].run(stage, some, run.recipe.base, run.manager, env)
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
