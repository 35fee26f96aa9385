"""Judging a trained model on records it has not seen, beside the model it came from and a baseline that only copies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from filial.components import Drop, Judge, Verdict
from filial.executor import in_order
from filial.records import Record
from filial.stages.blame import blamed, wrong_type
from filial.stages.stage import DropRow, Surroundings, settled

Answerer = Callable[[Sequence[Record]], list[str]]


Question = tuple[str, ...]
"""What a record asks, for comparison (`asked`)."""


@dataclass(frozen=True, slots=True)
class Exam:
    """What a judge looks at: records with right answers, none of whose questions was trained on."""

    name: str
    records: list[Record]


def asked(record: Record) -> Question:
    """A record's question, for comparison: all that is said before its last answer.

    A single-turn record and a conversation of the same text ask the same question.
    """
    turns = record.turns()
    last = max((i for i, m in enumerate(turns) if m.role == "assistant"), default=len(turns))
    return tuple(m.content for m in turns[:last])


async def judged(
    judge: Judge, plugin: str, exam: Exam, answers: list[str], env: Surroundings
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
    row = {"id": record.id, "question": "\n\n".join(asked(record)), "want": _answer(record), "answer": answer}
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
            out.append(_answer(trained[best]) if best is not None else "")
        return out

    return answer


def _bag(record: Record) -> frozenset[str]:
    return frozenset(" ".join(asked(record)).lower().split())


def _answer(record: Record) -> str:
    """What a record answers to its question: its output, or the last turn of the assistant."""
    turns = [m.content for m in record.turns() if m.role == "assistant"]
    return turns[-1] if turns else ""


class Silent:
    """The writer of work that keeps and drops no records."""

    def keep(self, record: Record) -> None:
        raise AssertionError("a judge keeps no records")

    def drop(self, row: DropRow) -> None:
        raise AssertionError("a judge drops no records")
