"""Examine candidates: they answer the questions of records, a judge gives verdicts, and figures are computed.

A run and ``filial judge`` both use `examine`. All requests go through a gateway, so answers are in the ledger and an
interrupted examination continues where it stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from filial.contracts.checks import copy_for_plugin, describe_change
from filial.contracts.concurrency import in_order
from filial.contracts.context import Asker, Candidate, Context
from filial.contracts.kinds import Drop, Judge, Verdict
from filial.contracts.messages import Reply, Request
from filial.contracts.plugin_errors import blame_plugin, breach, wrong_type
from filial.contracts.records import Record, question_key
from filial.engine.stage import AnswerKeys, await_result, raise_no_teacher
from filial.gateway.gateway import Gateway, raise_stop_error


@dataclass(frozen=True, slots=True)
class JudgedRecord:
    """One record: each candidate's answers, and the judge's verdict or why there is none."""

    record: Record
    texts: dict[str, list[str]]
    verdict: Verdict | Drop

    def line(self) -> bytes:
        """Encode as one line of JSON."""
        first = next(iter(self.texts.values()))
        alone = len(self.texts) == 1 and len(first) == 1
        row: dict[str, Any] = {
            "id": self.record.id, "question": "\n\n".join(question_key(self.record)), "want": self.record.answer(),
            **({"answer": first[0]} if alone else {"answers": self.texts}),
        }  # fmt: skip
        verdict = self.verdict
        if isinstance(verdict, Drop):
            row |= {"unjudged": verdict.reason, "detail": verdict.detail}
        else:
            row |= {"score": verdict.score, "passed": verdict.passed}
            row |= {"detail": verdict.detail} if verdict.detail else {}
        return msgspec.json.encode(row)


@dataclass(frozen=True, slots=True)
class Examination:
    """The result of an examination: the judged records in order, and the ledger keys of all answers.

    ``name`` is its name in the figures: the candidate, or the model and a rival.
    """

    name: str
    rows: list[JudgedRecord] = field(default_factory=list)
    answers: AnswerKeys = field(default_factory=AnswerKeys)

    def figures(self) -> dict[str, Any]:
        """Return the number of records, the number judged, the mean score and the share that passed."""
        verdicts = [row.verdict for row in self.rows if isinstance(row.verdict, Verdict)]
        passed = Counter(verdict.passed for verdict in verdicts if verdict.passed is not None)
        return {
            "records": len(self.rows), "judged": len(verdicts),
            "mean": sum(verdict.score for verdict in verdicts) / len(verdicts) if verdicts else None,
            "passed": passed[True] / passed.total() if passed else None,
        }  # fmt: skip


def join_names(candidates: Iterable[str]) -> str:
    """Return the name of an examination of these candidates in the figures."""
    return " vs ".join(candidates)


async def examine(
    records: Sequence[Record], candidates: Mapping[str, Gateway], judge: Judge, plugin: str, *,
    name: str, seed: int, stage: str = "judge", teacher: Gateway | None = None, max_tokens: int | None = None,
) -> Examination:  # fmt: skip
    """Let a judge compare the candidates' answers to records.

    If a call to a candidate or to the judge's own teacher fails for good, the record is not judged, even if the judge
    catches the error.

    Args:
        candidates: name in the figures -> gateway of the candidate.
        plugin: the judge as ``dist:name==version``, for errors.
        name: random numbers depend on it, on ``seed`` and on ``stage``; errors name the examination by ``stage``.
        teacher: the judge's own teacher.
        max_tokens: maximum tokens of an answer, unless the judge sets another.

    Raises:
        FilialError: the judge failed or broke its contract, or a gateway stops the run.
    """
    done = Examination(join_names(candidates))
    gateways = [*candidates.values(), *([teacher] if teacher else [])]

    def asker(gateway: Gateway, record: Record | None = None) -> Asker:
        async def ask(request: Request) -> Reply:
            if record is not None and record.input and request.messages == record.prompt():
                request = msgspec.structs.replace(request, input=record.input)
            return await done.answers.ask(gateway.ask, request)

        return ask

    async def judge_record(record: Record) -> JudgedRecord:
        present = [Candidate(who, asker(each, record), max_tokens=max_tokens) for who, each in candidates.items()]
        context = Context(asker(teacher) if teacher else raise_no_teacher, key=(seed, stage, name, record.id))
        verdict = await _verdict(judge, plugin, stage, record, present, context)
        return JudgedRecord(record, {one.name: [reply.text for reply in one.replies] for one in present}, verdict)

    with ExitStack() as stopped:
        for gateway in gateways:
            stopped.enter_context(raise_stop_error(gateway))
        window = max(gateway.window for gateway in gateways)
        async with aclosing(in_order(records, judge_record, window)) as rows:
            async for _, row in rows:
                done.rows.append(row)
    return done


async def _verdict(
    judge: Judge, plugin: str, stage: str, record: Record, present: Sequence[Candidate], context: Context
) -> Verdict | Drop:
    """Return the judge's checked verdict, or a drop if an answer is missing."""
    copy = copy_for_plugin(record)
    with blame_plugin(plugin, stage, record):
        verdict = await await_result(judge.judge(copy, present, context))
    if fault := describe_change(copy, record):
        raise breach(plugin, stage, fault, record)
    if failed := next((candidate.failed for candidate in present if candidate.failed), None):
        return Drop.from_error(failed)
    if not isinstance(verdict, Verdict | Drop):
        raise wrong_type(plugin, stage, "judge", verdict, "Verdict", record)
    if fault := verdict.fault():
        raise breach(plugin, stage, fault, record)
    return verdict
