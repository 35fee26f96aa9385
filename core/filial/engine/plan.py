"""What a run would do, before anything is sent: each step, whether it is done, and what it would need."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from filial.contracts.errors import FilialError, TeacherError, spell_columns
from filial.contracts.kinds import Component, Teacher
from filial.contracts.messages import Reply, Request
from filial.contracts.plugin_errors import blame_plugin
from filial.contracts.records import Record
from filial.engine import commit, dataset, interrupts, judge
from filial.engine import train as tuning
from filial.engine.build import Source, build, stage_context
from filial.engine.commit import MANIFEST
from filial.engine.keys import StepKey
from filial.engine.run import checksum, records_key
from filial.engine.stage import DropRow, Expected, Records, is_lost
from filial.engine.verbs import run_stage
from filial.engine.work import Job
from filial.gateway.ledger import Ledger, TeacherKeys, encode_request
from filial.plugins.discovery import STAGES
from filial.storage import find_finished, read_manifest

if TYPE_CHECKING:
    from filial.engine.run import Run
    from filial.recipe import ComponentSpec, JudgeSpec, StageSpec


DONE, CHANGED, TO_DO = "done", "changed", "to do"
EXACT, LIKELY, ROUGH = "exact", "likely", "rough"
PROMPT, ANSWER = 300, 300
"""Assumed tokens of a prompt and of an answer."""
PER_TOKEN = 4
"""Assumed bytes of text per token."""
SAMPLE = 1000
"""Maximum number of records in a rehearsal; the others are assumed to be similar."""


def plan_steps(run: Run) -> list[Step]:
    """Return the stages of a run, its training and its judges, in order. Nothing is sent and nothing is written.

    Raises:
        UsageError: the trainer cannot train the model.
    """
    tuning.check_base_model(run.recipe, run.manager)
    path = run.home / ".filial" / "ledger.sqlite"
    known = closing(Ledger(path)) if run.recipe.teacher and path.exists() else nullcontext()
    with spell_columns("recipe"), known as ledger:
        plan = _Plan(run, ledger)
        interrupts.run(plan.stages())
        if run.recipe.train:
            plan.training()
    return plan.steps


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one step would need: input records, requests, stored answers, tokens and US dollars (None if the price is
    not known), and how exact that is."""

    records: int
    calls: int = 0
    held: int = 0
    tokens: int = 0
    usd: float | None = 0.0
    sure: str = EXACT


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a run: its name, its text in the recipe, whether it is done, and what it would need.

    ``state`` is "done" if the step is complete and still matches the recipe; "changed" if it is complete but will run
    again (something it depends on has changed, or an earlier step will run and may give another result); otherwise "to
    do". ``out`` is the number of records of a finished stage. ``lost`` are rows lost to errors, or records without a
    verdict; a run repeats them if asked to.
    """

    name: str
    spec: StageSpec | ComponentSpec | JudgeSpec
    state: str
    estimate: Estimate
    out: int | None = None
    lost: int = 0


@dataclass(slots=True)
class Rehearsal:
    """The teacher of a rehearsed stage: answers from the ledger only, and counts missing answers. As the stage's writer
    it keeps the records."""

    ledger: Ledger | None
    keys: TeacherKeys
    held: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    """Approximate tokens of each prompt without an answer, by its key."""
    records: list[Record] = field(default_factory=list)

    async def ask(self, request: Request) -> Reply:
        """Return the answer from the ledger, or raise."""
        try:
            asked = encode_request(request)
        except UnicodeEncodeError as err:
            raise TeacherError("not-unicode") from err
        known = self.ledger.find(self.keys, asked) if self.ledger else None
        if known is not None and not known.failure:
            self.held += 1
            return known
        tokens = sum(len(t.encode()) for m in request.messages for t in m.texts()) // PER_TOKEN
        self.missing[self.keys.key(asked)] = tokens
        raise TeacherError("not-asked-yet")

    def keep(self, record: Record) -> None:
        """Keep a record."""
        self.records.append(record)

    def drop(self, row: DropRow) -> None:
        """Ignore a dropped record."""


class _Plan:
    """Goes through a run's steps in order, each with the expected results of the one before."""

    def __init__(self, run: Run, ledger: Ledger | None) -> None:
        self.steps: list[Step] = []
        self._run, self._ledger = run, ledger
        self._done = True  # all steps so far
        self._records: Records | None = run.data()  # None: not known before a step has run
        self._count = len(self._records)
        self._teacher: Teacher | None = None
        self._usual: tuple[float, float] | None = None
        if run.recipe.teacher is not None:
            self._teacher = run.recipe.build_teacher(run.manager)
            self._keys = TeacherKeys(run.teacher, self._teacher.identity())
            if ledger is not None:
                ledger.recognize(self._keys, run.manager.claimants("teachers", run.recipe.teacher.use), dry=True)
                self._usual = ledger.mean_tokens(self._keys)

    async def stages(self) -> None:
        """Plan the stages."""
        for stage, wanted in zip(self._run.recipe.stages, self._run.keys()[1:], strict=True):
            await self._stage(stage, wanted)

    async def _stage(self, stage: StageSpec, wanted: StepKey) -> None:
        folder, entered = self._run.stage_folder(stage), self._count
        manifest = None
        if self._done and self._records is not None:
            manifest = commit.find_commit(folder, wanted.key, checksum(self._records))
        if manifest is None:
            self._done = False
            state = CHANGED if read_manifest(folder / MANIFEST) else TO_DO
            self.steps.append(Step(stage.name, stage, state, await self._estimate_stage(stage)))
            return
        self._records = commit.stage_records(folder, manifest)
        self._count = len(self._records)
        lost = sum(n for reason, n in manifest["reasons"].items() if is_lost(reason))
        self.steps.append(Step(stage.name, stage, DONE, Estimate(entered), self._count, lost))

    async def _estimate_stage(self, stage: StageSpec) -> Estimate:
        """Estimate a stage that has to run. Its results enter the next one."""
        entered, records = self._count, self._records
        with blame_plugin(self._run.manager.provenance(STAGES, stage.verb), stage.name):
            expected: Expected = stage.settings.expect(stage, entered, self._run.recipe.base, self._run.manager)
        self._records, self._count = None, expected.out
        if not expected.calls:
            return Estimate(entered)
        if records is None or self._teacher is None:
            return self._cost(entered, expected.calls, ROUGH)
        some = list(islice(records, SAMPLE))
        seen = await self._rehearse(stage, some)
        share = len(some) / entered if entered else 1.0
        held = round(seen.held / share)
        if seen.missing:
            left = max(expected.calls - held, len(seen.missing) / share)
            prompt = sum(seen.missing.values()) / len(seen.missing)
            return self._cost(entered, left, LIKELY if expected.counted and self._usual else ROUGH, held, prompt)
        if share < 1:
            return Estimate(entered, held=held, sure=LIKELY)
        self._records, self._count = seen.records, len(seen.records)
        return Estimate(entered, held=held)

    async def _rehearse(self, stage: StageSpec, records: list[Record]) -> Rehearsal:
        """Rehearse a stage; nothing is sent or written.

        Raises:
            FilialError: it fails, and not because answers are missing.
        """
        run, seen = self._run, Rehearsal(self._ledger, self._keys)
        assert self._teacher is not None
        ask = run.manager.hook.ask(self._teacher, seen.ask)
        env = stage_context(Job.of(run.recipe, stage, run.manager), run.manager, writer=seen, ask=ask)
        try:
            await run_stage(stage, records, run.recipe.base, run.manager, env)
        except FilialError:
            if not seen.missing:
                raise  # it will fail again when it runs
        return seen

    def _cost(self, entered: int, calls: float, sure: str, held: int = 0, prompt: float | None = None) -> Estimate:
        """Return the cost of ``calls`` to the teacher; ``prompt``: tokens of each, if known."""
        usual, answer = self._usual or (PROMPT, ANSWER)
        asked, answered = calls * (prompt or usual), calls * answer
        price = self._teacher.price() if self._teacher else None
        usd = price.cost(round(asked), round(answered)) if price else (None if calls else 0.0)
        return Estimate(entered, round(calls), held, round(asked + answered), usd, sure)

    def training(self) -> None:
        """Plan training and judging."""
        run, recipe = self._run, self._run.recipe
        assert recipe.train is not None
        data, key, model = dict[str, Any](), "", run.model / MANIFEST
        found = [
            judge.figures_path(run, s, sitting) for s in recipe.judges for sitting in judge.sittings(s, run.manager)
        ]
        if self._done and self._records is not None and any(path.exists() for path in (model, *found)):
            data = _dataset(run, self._records)
            key = tuning.training_key(run, data)
        self.steps.append(Step("train", recipe.train, _state(model, key), Estimate(self._count)))
        for spec in recipe.judges:
            self._judge(spec, data, key)

    def _judge(self, spec: JudgeSpec, data: dict[str, Any], model: str) -> None:
        """Plan a judge. ``model`` is the key of the model, trained or not; empty if it is not known."""
        run, states, missing = self._run, dict[judge.Sitting, str](), 0
        for sitting in judge.sittings(spec, run.manager):
            path = judge.figures_path(run, spec, sitting)
            states[sitting] = _state(path, judge.judging_key(run, spec, sitting, data, model) if model else "")
            if states[sitting] == DONE and (manifest := read_manifest(path)):
                missing += judge.count_unjudged(manifest["figures"])
        left = [sitting for sitting, state in states.items() if state != DONE]
        state = DONE if not left else CHANGED if CHANGED in states.values() else TO_DO
        self.steps.append(Step(f"judge {spec.name}", spec, state, self._estimate_judge(spec, left), lost=missing))

    def _estimate_judge(self, spec: JudgeSpec, left: list[judge.Sitting]) -> Estimate:
        """Estimate the remaining sittings of a judge; candidates are asked once per record."""
        run, base = self._run, self._run.recipe.base
        records = run.recipe.heldout if spec.data == "heldout" else len(Source(spec.data, base, run.manager))
        records = min(records, spec.limit or records)
        if not left:
            return Estimate(records)
        judging: Component = build(run.manager, spec.component, base)
        own = self._cost(records, judging.calls(records) * len(left), ROUGH)
        calls, tokens, usd = own.calls, own.tokens, own.usd
        for name in {name: None for sitting in left for name in sitting}:
            who = judge.answerer(run, spec, name)
            if not who.here:
                calls, tokens, price = calls + records, tokens + (PROMPT + ANSWER) * records, who.teacher.price()
                cost = price.cost(PROMPT * records, ANSWER * records) if price else None
                usd = None if usd is None or cost is None else usd + cost
        return Estimate(records, calls, 0, tokens, usd, ROUGH if calls else EXACT)


def _state(manifest: Path, key: str) -> str:
    """Return the state that a run would find for the key; empty: it cannot be known yet."""
    if key and find_finished(manifest, key) is not None:
        return DONE
    return CHANGED if read_manifest(manifest) is not None else TO_DO


def _dataset(run: Run, records: Records) -> dict[str, Any]:
    """Return the manifest of the data set that the run would train on. If there is none, it is made in a temporary
    folder: its bytes may equal those the model was trained on."""
    key = dataset.dataset_key(run, records_key(run.keys(), records))
    if (found := find_finished(run.folder / "dataset" / MANIFEST, key)) is not None:
        return found
    with TemporaryDirectory(prefix="filial-") as folder:
        return dataset.write_run_dataset(run, records, key, Path(folder))
