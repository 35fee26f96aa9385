"""Judging: candidates answer the questions of an exam, a judge compares, and figures come of its verdicts.

Candidates are the trained model, the model it came from and whatever teachers a recipe names beside them. Each is asked
through a gateway of its own with the run's ledger, so that a judging that was cut off goes on where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from filial.contracts.checks import changed, lent
from filial.contracts.concurrency import in_order
from filial.contracts.context import Asker, Candidate
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Drop, Judge, Teacher, Trainer, Verdict
from filial.contracts.messages import Reply, Request
from filial.contracts.paths import resolve
from filial.contracts.plugin_errors import blamed, breach, wrong_type
from filial.contracts.records import Record, question_key
from filial.engine import interrupts
from filial.engine.build import build, provenance
from filial.engine.commit import ANSWERS, MANIFEST
from filial.engine.exams import Exam, TrainingRun, exam_records
from filial.engine.keys import asked_parts, component_parts, source_digest
from filial.engine.model_notes import registered_name, teacher_of
from filial.engine.stage import DropRow, StageContext, settled
from filial.engine.train import base_model, weights
from filial.engine.watchdog import Watchdog
from filial.gateway.budget import unknown_price
from filial.gateway.gateway import Gateway, stopping
from filial.plugins.options import named as named_files
from filial.storage import digest, file_sha256, kept, read_manifest, write_bytes, write_manifest

if TYPE_CHECKING:
    from filial.plugins.manager import Manager
    from filial.recipe import ComponentSpec, JudgeSpec

MODEL = "model"
"""What the figures call the trained model."""
Sitting = tuple[str, ...]
"""The candidates of one verdict, by name: one, or the model and a rival."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who can be a candidate: its name in the figures, ``dist:name`` of its teacher, and that.

    ``own``: a model that was trained here, or one in its form; it is asked as the training data are written, with no
    hook between.
    """

    name: str
    use: str
    teacher: Teacher
    own: bool = False

    @property
    def here(self) -> bool:
        """Whether asking it is known to cost nothing and to leave no machine."""
        price = self.teacher.price()
        return self.teacher.destination() is None and price is not None and price.prompt == price.completion == 0


def candidates(
    seats: Sequence[tuple[Answerer, Gateway]], env: StageContext, max_tokens: int | None
) -> Callable[[Record], list[Candidate]]:
    """What makes the candidates for a record; what they say is noted among the stage's answers."""

    def ask(gateway: Gateway, record: Record) -> Asker:
        async def asker(request: Request) -> Reply:
            if record.input and request.messages == record.prompt():
                request = msgspec.structs.replace(request, input=record.input)
            reply = await gateway.ask(request)
            env.answers.note(reply.key)
            return reply

        return asker

    def made(record: Record) -> list[Candidate]:
        return [Candidate(who.name, ask(gateway, record), max_tokens=max_tokens) for who, gateway in seats]

    return made


async def judged(
    judge: Judge, plugin: str, exam: Exam, seated: Callable[[Record], list[Candidate]], env: StageContext
) -> tuple[dict[str, Any], list[bytes]]:
    """Figures over the exam, and one JSON line per record with what was said and the verdict.

    A record for which a call failed for good, to a candidate or to the judge's own teacher, is not judged, whatever the
    judge makes of the failure: its line says why.

    Raises:
        FilialError: the judge failed or broke its contract.
    """

    async def one(record: Record) -> tuple[list[Candidate], Verdict | Drop]:
        present, copy = seated(record), lent(record)
        with blamed(plugin, env.stage, record):
            word = await settled(judge.judge(copy, present, env.context(exam.name, record.id)))
        if fault := changed(copy, record):
            raise breach(plugin, env.stage, fault, record)
        if failed := next((c.failed for c in present if c.failed), None):
            return present, Drop.failed(failed)
        if not isinstance(word, Verdict | Drop):
            raise wrong_type(plugin, env.stage, "judge", word, "Verdict", record)
        if fault := word.fault():
            raise breach(plugin, env.stage, fault, record)
        return present, word

    lines, scores, passed = [], [], Counter[bool]()
    async with aclosing(in_order(exam.records, one, env.window)) as verdicts:
        async for record, (present, word) in verdicts:
            lines.append(msgspec.json.encode(_line(record, present, word)))
            if isinstance(word, Verdict):
                scores.append(word.score)
                passed[bool(word.passed)] += word.passed is not None
    return {
        "records": len(exam.records), "judged": len(scores),
        "mean": sum(scores) / len(scores) if scores else None,
        "passed": passed[True] / passed.total() if passed.total() else None,
    }, lines  # fmt: skip


async def examine(
    judge: Judge, plugin: str, exam: Exam, seats: Sequence[tuple[Answerer, Gateway]], teacher: Gateway | None, *,
    stage: str, seed: int, max_tokens: int | None,
) -> tuple[dict[str, Any], list[bytes], list[bytes]]:  # fmt: skip
    """One sitting: its figures, a line per record, and the ledger keys of all that was said.

    Raises:
        FilialError: as `judged`.
    """
    env = StageContext(stage=stage, seed=seed, writer=Silent())
    gateways = [gateway for _, gateway in seats]
    if teacher is not None:
        env.ask = teacher.ask
        gateways.append(teacher)
    env.window = max(gateway.window for gateway in gateways)
    with ExitStack() as stopped:
        for gateway in gateways:
            stopped.enter_context(stopping(gateway))
        figures, lines = await judged(judge, plugin, exam, candidates(seats, env, max_tokens), env)
    return figures, lines, list(env.answers.lines())


def _line(record: Record, present: Sequence[Candidate], word: Verdict | Drop) -> dict[str, Any]:
    said = {candidate.name: [reply.text for reply in candidate.replies] for candidate in present}
    texts = next(iter(said.values())) if len(said) == 1 else []
    answers: dict[str, Any] = {"answer": texts[0]} if len(texts) == 1 else {"answers": said}
    row = {"id": record.id, "question": "\n\n".join(question_key(record)), "want": record.answer(), **answers}
    if isinstance(word, Drop):
        return {**row, "unjudged": word.reason, "detail": word.detail}
    detail = {"detail": word.detail} if word.detail else {}
    return {**row, "score": word.score, "passed": word.passed, **detail}


class Silent:
    """The writer of work that keeps and drops no records."""

    def keep(self, record: Record) -> None:
        raise AssertionError("a judge keeps no records")

    def drop(self, row: DropRow) -> None:
        raise AssertionError("a judge drops no records")


def sittings(spec: JudgeSpec, manager: Manager) -> list[Sitting]:
    """Who sits the exam of a judge: each candidate alone, or for a judge of pairs the model beside each rival."""
    pairs = manager.get("judges", spec.component.use).compares == 2  # type: ignore[attr-defined]
    return [(MODEL, name) for name in spec.rivals] if pairs else [(name,) for name in (MODEL, *spec.rivals)]


def label(sitting: Sitting) -> str:
    """What the figures call a sitting."""
    return " vs ".join(sitting)


def unjudged(figures: dict[str, Any]) -> int:
    """How many records of a sitting have no verdict."""
    return int(figures["records"] - figures["judged"])


def judging_key(run: TrainingRun, spec: JudgeSpec, sitting: Sitting, data: dict[str, Any], model: str) -> str:
    """What the figures of a sitting depend on: the trained model by its key, the judge, what it looks at, rivals as
    their answers are kept, and the `ask` hooks that stand before these."""
    base, manager = run.recipe.base, run.manager
    heldout = spec.data == "heldout"
    looked_at = data["files"]["heldout.jsonl"]["sha256"] if heldout else source_digest(spec.data, base)
    parts = component_parts((spec.component, *_teachers(spec, sitting)), base, manager)
    asked = asked_parts(run.recipe, manager) if manager.get("judges", spec.component.use).asks else {}
    shape = [spec.only, spec.limit, spec.max_new_tokens]
    rivals = [_identity(run, rival) for rival in _teachers(spec, sitting)]
    hooks = manager.ask_hooks() if rivals else []
    return digest(label(sitting), model, parts, asked, shape, looked_at, rivals, hooks)


def _identity(run: TrainingRun, rival: ComponentSpec) -> dict[str, Any]:
    """What the answers of a rival depend on. One that answers from the data set has none here: the key of the model
    speaks of that, and a plan has no data set to show it."""
    teacher: Teacher = build(run.manager, rival, run.recipe.base)
    with blamed(provenance(run.manager, rival), "judge"):
        own = teacher.identity() if teacher.for_dataset(run.folder / "dataset") is teacher else {}
    return {"use": run.manager.identity("teachers", rival.use), **own}


def _teachers(spec: JudgeSpec, sitting: Sitting) -> list[ComponentSpec]:
    """The teachers that a recipe names for rivals of a sitting."""
    return [rival for rival in spec.against if rival is not None and rival.name in sitting]


def judged_at(run: TrainingRun, spec: JudgeSpec, sitting: Sitting) -> Path:
    """The manifest of a sitting's figures. No name holds an ``@``, so that two sittings share no file."""
    return run.folder / "judge" / f"{spec.name}@{label(sitting).replace(' ', '-')}.json"


def answerer(run: TrainingRun, spec: JudgeSpec, name: str) -> Answerer:
    """A candidate of a judge, its teacher new."""
    recipe, manager = run.recipe, run.manager
    for rival in _teachers(spec, (name,)):
        teacher: Teacher = build(manager, rival, recipe.base)
        return Answerer(name, manager.identity("teachers", rival.use), teacher.for_dataset(run.folder / "dataset"))
    assert recipe.train is not None
    assert recipe.template is not None
    trainer: Trainer = build(manager, recipe.train, recipe.base)
    teacher = teacher_of(trainer, run.model if name == MODEL else Path(base_model(run)), manager)
    full = registered_name(manager, teacher)
    who = manager.identity("teachers", full) if full else manager.identity(teacher)
    return Answerer(name, who, teacher.for_template(build(manager, recipe.template, recipe.base)), own=True)


def facts(run: TrainingRun, name: str) -> dict[str, Any]:
    """What an own model's answers depend on, whatever its teacher knows of that: its bytes and the template."""
    recipe, manager = run.recipe, run.manager
    assert recipe.template is not None
    template = component_parts((recipe.template,), recipe.base, manager)
    trained = read_manifest(run.model / MANIFEST) if name == MODEL else None
    bytes_ = digest(trained["files"]) if trained else weights(base_model(run))
    return {"bytes": bytes_, "template": template}


def check_candidates(run: TrainingRun) -> None:
    """See, before a run trains, that its judges can ask whom they are to ask.

    Raises:
        FilialError: a trainer breaks its contract; or something that a teacher needs is not installed.
        UsageError: what a candidate costs is not known, but money is capped; or files of the base model are missing.
    """
    capped = run.recipe.budget.get("usd") is not None
    for spec in run.recipe.judges:
        for name in dict.fromkeys(name for sitting in sittings(spec, run.manager) for name in sitting):
            who = answerer(run, spec, name)
            run.manager.check_requirements(type(who.teacher))
            if who.own and name != MODEL:
                _check_files(run, spec, who)
            if capped and who.teacher.price() is None:
                raise UsageError(f"judge {spec.name}, {name}: {unknown_price(who.use)}")


def _check_files(run: TrainingRun, spec: JudgeSpec, who: Answerer) -> None:
    """See that the files are there from which a trainer has the model before training answer."""
    for _, path in named_files(type(who.teacher), who.teacher.model_dump(mode="json")):
        named = path.startswith("hf:") or path == base_model(run)  # what is no file may be on the hub
        if not named and not resolve(path, run.recipe.base).exists():
            why = f"no file {path}, from which {who.use} would answer for the untrained model"
            raise UsageError(f"judge {spec.name}, {who.name}: {why}; take {who.name!r} out of 'against'")


def judge_model(run: TrainingRun, data: dict[str, Any], model: str) -> dict[str, dict[str, Any]]:
    """The figures of every judge of the recipe, by sitting. ``model`` is the key of the trained model.

    They are kept in ``judge/``, so that a finished run repeated does not ask again.
    """
    figures: dict[str, dict[str, Any]] = {}
    due: dict[tuple[Any, ...], list[tuple[JudgeSpec, Sitting, str]]] = {}
    for spec in run.recipe.judges:
        figures[spec.name] = {}
        for sitting in sittings(spec, run.manager):
            key = judging_key(run, spec, sitting, data, model)
            manifest = kept(judged_at(run, spec, sitting), key)
            figures[spec.name][label(sitting)] = manifest and manifest["figures"]
            if manifest is None or (run.retry_lost and unjudged(manifest["figures"])):
                due.setdefault(_group(spec, sitting), []).append((spec, sitting, key))
    if due:
        interrupts.run(_sat(run, list(due.values()), figures), Watchdog(run.manager.owner, run.reporter.note))
    return figures


def _group(spec: JudgeSpec, sitting: Sitting) -> tuple[Any, ...]:
    """Sittings of the same candidates come after each other, so that a model in memory serves them all."""
    return (sitting, *(digest(teacher.use, teacher.options) for teacher in _teachers(spec, sitting)))


async def _sat(
    run: TrainingRun, groups: list[list[tuple[JudgeSpec, Sitting, str]]], figures: dict[str, dict[str, Any]]
) -> None:
    """Have what is due judged, group by group, and enter its figures."""
    async with AsyncExitStack() as stack:
        teacher = run.gateway()
        if teacher is not None:
            stack.push_async_callback(teacher.close)
        for group in groups:
            async with AsyncExitStack() as open_:
                first, sitting, _ = group[0]
                seats = []
                for name in sitting:
                    who = answerer(run, first, name)
                    gateway = run.opened(
                        who.use, who.teacher, counted=not who.here, hooked=not who.own,
                        facts=facts(run, name) if who.own else None,
                    )  # fmt: skip
                    open_.push_async_callback(gateway.close)
                    seats.append((who, gateway))
                for spec, _, key in group:
                    figures[spec.name][label(sitting)] = await _judging(run, spec, sitting, seats, teacher, key)


async def _judging(
    run: TrainingRun, spec: JudgeSpec, sitting: Sitting, seats: list[tuple[Answerer, Gateway]],
    teacher: Gateway | None, key: str,
) -> dict[str, Any]:  # fmt: skip
    """One sitting, kept: its figures, a line per record, and the ledger keys of all that was said."""
    judge: Judge = build(run.manager, spec.component, run.recipe.base)
    exam = Exam(spec.name, exam_records(run, spec))
    figures, lines, answers = await examine(
        judge, provenance(run.manager, spec.component), exam, seats, teacher,
        stage=f"judge {spec.name}", seed=run.recipe.seed, max_tokens=spec.max_new_tokens,
    )  # fmt: skip
    at = judged_at(run, spec, sitting)
    files = {f"{at.stem}.jsonl": lines, f"{at.stem}.{ANSWERS}": answers}
    for name, rows in files.items():
        write_bytes(at.parent / name, b"".join(row + b"\n" for row in rows))
    checked = {name: {"sha256": file_sha256(at.parent / name)} for name in files}
    write_manifest(at, {"format": 1, "key": key, "figures": figures, "files": checked})
    return figures
