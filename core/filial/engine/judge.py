"""Judging a trained model on records it has not seen, beside the model it came from and a baseline that only copies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from filial.contracts.concurrency import in_order
from filial.contracts.kinds import Drop, Judge, Template, Verdict
from filial.contracts.plugin_errors import blamed, wrong_type
from filial.contracts.records import Question, Record, question_key
from filial.engine import interrupts
from filial.engine.build import build, provenance, read
from filial.engine.commit import ANSWERS
from filial.engine.stage import DropRow, StageContext, settled
from filial.engine.train import base_model, judged_at, judging_key, read_rows
from filial.gateway.gateway import stopping
from filial.local import models
from filial.storage import file_sha256, kept, write_bytes, write_manifest

if TYPE_CHECKING:
    from filial.engine.run import Run
    from filial.recipe import JudgeSpec


Answerer = Callable[[Sequence[Record]], list[str]]


@dataclass(frozen=True, slots=True)
class Exam:
    """What a judge looks at: records with right answers, none of whose questions was trained on."""

    name: str
    records: list[Record]


async def judged(
    judge: Judge, plugin: str, exam: Exam, answers: list[str], env: StageContext
) -> tuple[dict[str, Any], list[bytes]]:
    """Figures over the exam, and one JSON line per record with the answer and the verdict.

    A record whose verdict needed a teacher call that failed is not judged: its line says why.

    Raises:
        FilialError: the judge failed or broke its contract.
    """

    async def one(pair: tuple[Record, str]) -> Verdict | Drop:
        record, answer = pair
        with blamed(plugin, env.stage):
            word = await settled(judge.judge(record, [answer], env.context(exam.name, record.id)))
            if not isinstance(word, Verdict | Drop):
                raise wrong_type(plugin, env.stage, "judge", word, "Verdict")
        return word

    lines, scores, passed = [], [], Counter[bool]()
    pairs = list(zip(exam.records, answers, strict=True))
    async with aclosing(in_order(pairs, one, env.window)) as verdicts:
        async for (record, answer), word in verdicts:
            lines.append(msgspec.json.encode(_line(record, answer, word)))
            if isinstance(word, Verdict):
                scores.append(word.score)
                passed[bool(word.passed)] += word.passed is not None
    return {
        "records": len(exam.records), "judged": len(scores),
        "mean": sum(scores) / len(scores) if scores else None,
        "passed": passed[True] / passed.total() if passed.total() else None,
    }, lines  # fmt: skip


def _line(record: Record, answer: str, word: Verdict | Drop) -> dict[str, Any]:
    row = {"id": record.id, "question": "\n\n".join(question_key(record)), "want": record.answer(), "answer": answer}
    if isinstance(word, Drop):
        return {**row, "unjudged": word.reason, "detail": word.detail}
    detail = {"detail": word.detail} if word.detail else {}
    return {**row, "score": word.score, "passed": word.passed, **detail}


def nearest(trained: list[Record]) -> Answerer:
    """The copying baseline: the answer of the training record whose words overlap most (Jaccard; first on ties).

    It knows the data and nothing else, so what a model has beyond it was learned.
    """
    bags = [_bag(r) for r in trained]
    holders: dict[str, list[int]] = defaultdict(list)
    for i, bag in enumerate(bags):
        for word in sorted(bag):
            holders[word].append(i)

    def answer(records: Sequence[Record]) -> list[str]:
        out = []
        for record in records:
            bag = _bag(record)
            shared = Counter(i for word in bag for i in holders.get(word, ()))
            best = min(shared, key=lambda i: (-shared[i] / (len(bag) + len(bags[i]) - shared[i]), i), default=None)
            out.append(trained[best].answer() if best is not None else "")
        return out

    return answer


def _bag(record: Record) -> frozenset[str]:
    return frozenset(" ".join(question_key(record)).lower().split())


class Silent:
    """The writer of work that keeps and drops no records."""

    def keep(self, record: Record) -> None:
        raise AssertionError("a judge keeps no records")

    def drop(self, row: DropRow) -> None:
        raise AssertionError("a judge drops no records")


def judge_model(run: Run, data: dict[str, Any], model: str) -> None:
    """Every judge of the recipe: the model, its base and the copying baseline on the same records. ``model`` is the
    key of the trained model."""
    if not run.recipe.judges:
        return
    assert run.recipe.template is not None
    template: Template = build(run.manager, run.recipe.template, run.recipe.base)
    run.summary["judge"] = {}
    for spec in run.recipe.judges:
        exam = Exam(spec.name, exam_records(run, spec))
        answerers: dict[str, Answerer] = {"model": _model(run.model, template, spec.max_new_tokens)}
        if "base" in spec.rivals:
            answerers["base"] = _model(Path(base_model(run)), template, spec.max_new_tokens)
        if "nearest" in spec.rivals:
            answerers["nearest"] = _nearest(run.folder / "dataset" / "train.jsonl")
        run.summary["judge"][spec.name] = {
            who: _judged(run, spec, exam, who, answer, judging_key(run, spec, who, data, model))
            for who, answer in answerers.items()
        }


def exam_questions(run: Run) -> set[Question]:
    """What the recipe's exams ask; no record that asks the same may be trained on."""
    files = [spec for spec in run.recipe.judges if spec.data != "heldout"]
    return {question_key(record) for spec in files for record in exam_records(run, spec)}


def exam_records(run: Run, spec: JudgeSpec) -> list[Record]:
    """The records a judge looks at, in the file's order."""
    if spec.data == "heldout":
        records = read_rows(run.folder / "dataset" / "heldout.jsonl")
        if spec.only == "seed-level":
            records = [r for r in records if r.origin.round == 0]
        elif spec.only == "evolved":
            records = [r for r in records if r.origin.round > 0]
    else:
        records = list(read(spec.data, run.recipe.base, run.manager, strict=True))
    return records[: spec.limit] if spec.limit else records


def _model(folder: Path, template: Template, max_new_tokens: int) -> Answerer:
    def answer(records: Any) -> list[str]:
        return models.answer(folder, list(records), template, max_new_tokens=max_new_tokens)

    return answer


def _nearest(trained: Path) -> Answerer:
    def answer(records: Any) -> list[str]:
        return nearest(read_rows(trained))(records)

    return answer


def _judged(run: Run, spec: JudgeSpec, exam: Exam, who: str, answer: Answerer, key: str) -> dict[str, Any]:
    """One answerer's figures, kept in ``judge/`` so that a finished run repeated does not ask again."""
    at = judged_at(run, spec, who)
    if (manifest := kept(at, key)) is not None:
        return dict(manifest["figures"])
    folder, file = at.parent, f"{spec.name}-{who}.jsonl"
    figures, lines, used = interrupts.run(_asked(run, spec, exam, answer(exam.records)))
    files = {file: lines, f"{spec.name}-{who}.{ANSWERS}": used}
    for name, rows in files.items():
        write_bytes(folder / name, b"".join(row + b"\n" for row in rows))
    checked = {name: {"sha256": file_sha256(folder / name)} for name in files}
    body = {"format": 1, "key": key, "figures": figures, "files": checked}
    write_manifest(at, body)
    return figures


async def _asked(
    run: Run, spec: JudgeSpec, exam: Exam, answers: list[str]
) -> tuple[dict[str, Any], list[bytes], list[bytes]]:
    """Figures, a line per record, and the ledger keys of what the judge was told."""
    judge: Judge = build(run.manager, spec.component, run.recipe.base)
    gateway = run.gateway()
    env = StageContext(stage=f"judge {spec.name}", seed=run.recipe.seed, writer=Silent())
    try:
        if gateway is not None:
            env.ask, env.window = gateway.ask, gateway.window
        with stopping(gateway):
            figures, lines = await judged(judge, provenance(run.manager, spec.component), exam, answers, env)
        return figures, lines, list(env.answers.lines())
    finally:
        if gateway is not None:
            await gateway.close()
