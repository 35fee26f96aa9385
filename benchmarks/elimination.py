"""Elimination: precision and recall of each rule of the filter `evolved`, against the known truth.

    python benchmarks/elimination.py [--seeds 900] [--rounds 4] [--noise 0.2] [--json] [--show RULE]

Self-Instruct makes the seeds, the eight strategies evolve them, and the procedural teacher makes every fault the rules
are for, at a known rate. Which faults it put into a reply it can say afterwards (`ProceduralTeacher.faults`), and
whether two tasks are the same is decided in the closed world (`procedural.parser`), however that came about.

A rule catches a fault that is there; a drop for a fault that is not there is a false alarm. A fault is missed if the
attempt was kept, or dropped by a rule that is asked later; if a rule that is asked earlier was rightly first, the
fault counts for neither.

The faults come in the wordings of `procedural/weak_answers.py` and `weak_rewrites.py`, most of which were known when
the rules got their present form. Wordings written afterwards tell more about others: of 40 non-answers the rule knew
32, of 15 apologies 11, of 20 leaks 15. Of 20,000 published answers `non-answer` drops 19, 18 of them rightly.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from filial import Record, Request
from filial.commands import Run, from_dict, grid
from filial.gateway import Ledger
from filial.plugins import Manager, index
from filial_plugins.ledger.maintenance import read_entries
from filial_plugins.procedural.parser import parse
from filial_plugins.procedural.proposer import UNFIT
from filial_plugins.procedural.teacher import OUTSIDE, ProceduralTeacher

STRATEGIES = (
    *("add-constraints", "deepen", "concretize", "increase-reasoning", "complicate-input"),
    *("mutate", "extend-topic", "vary-method"),
)
ORDER = ("no-information-gain", "prompt-leak", "empty-answer", "apology", "non-answer")
"""The rules as they are asked; the teacher's verdict on information gain comes after all others."""
JUDGED = len(ORDER)
KINDS = {"leak": "prompt-leak", "empty": "empty-answer", "apology": "apology", "non-answer": "non-answer"}
"""The teacher's faults and the rules that are for them."""
SEEDS = "pkg:filial_plugins/procedural/seeds.jsonl"


@dataclass(frozen=True)
class Attempt:
    """One evolution: its parent, its child, the faults that are there, and the rule that dropped it, if any."""

    parent: Record
    child: Record
    faults: frozenset[str]
    dropped: str = ""
    judged: bool = False

    @property
    def turn(self) -> int:
        """When the rule that dropped it is asked; a kept attempt passed all."""
        return JUDGED + (not self.dropped) if self.judged or not self.dropped else ORDER.index(self.dropped)


@dataclass
class Score:
    """What became of one rule's faults, and its false alarms; some texts of each to look at."""

    caught: int = 0
    missed: list[Attempt] = field(default_factory=list)
    alarms: list[Attempt] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Share of the drops that were right; 1 if there were none."""
        return self.caught / (self.caught + len(self.alarms)) if self.caught or self.alarms else 1.0

    @property
    def recall(self) -> float:
        """Share of the faults that were caught; 1 if there were none."""
        return self.caught / (self.caught + len(self.missed)) if self.caught or self.missed else 1.0


def run(home: Path, seeds: int, rounds: int, noise: float, **options: Any) -> list[Attempt]:
    """Evolve with these options of `evolved`. Runs in one home share their answers."""
    name = "-".join(f"{k}-{v}" for k, v in options.items()) or "default"
    evolve = {"strategies": list(STRATEGIES), "rounds": rounds, "eliminate": [{"use": "evolved", **options}]}
    recipe = {
        "seed": 7,
        "teacher": {"use": "procedural", "noise": noise},
        "stages": [{"generate": {"use": "self-instruct", "count": seeds, "seeds": SEEDS}}, {"evolve": evolve}],
    }
    manager = Manager(index())
    work = Run(from_dict(recipe, manager, name="elimination"), manager, home, name)
    work.execute()
    return list(attempts(work.folder, home / ".filial" / "ledger.sqlite", ProceduralTeacher(noise=noise)))


def attempts(folder: Path, ledger: Path, teacher: ProceduralTeacher) -> Iterator[Attempt]:
    """Every attempt of the evolve stage that made a child."""
    answers = {entry.key: entry.decode() for entry in read_entries(Ledger(ledger))}
    stage = folder / "stages" / "02-evolve"
    kept = list(rows(stage / "records.jsonl"))
    records = {row["id"]: msgspec.convert(row, Record) for row in kept}
    for row in kept:
        child = records[row["id"]]
        if child.origin.stage == "02-evolve":
            yield Attempt(
                records[child.origin.parents[0]], child, faults(records, child, child.origin.answers, answers, teacher)
            )
    for row in rows(stage / "drops.jsonl"):
        if row["reason"] in ORDER:
            child = msgspec.convert(row["record"], Record)
            found = faults(records, child, row["answers"], answers, teacher)
            judged = row["detail"].startswith("the teacher")
            yield Attempt(records[row["parent"]], child, found, row["reason"], judged)


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a JSONL file."""
    with open(path, encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def faults(
    records: dict[str, Record], child: Record, keys: Any, answers: dict[str, Any], teacher: ProceduralTeacher
) -> frozenset[str]:
    """The rules whose faults are there in truth."""
    found = set()
    for key in keys:
        request, _ = answers[key]
        found |= {KINDS[kind] for kind in teacher.faults(msgspec.json.decode(request, type=Request)) if kind in KINDS}
    if child.output in (OUTSIDE, UNFIT):
        found.add("apology")
    if same(records[child.origin.parents[0]], child):
        found.add("no-information-gain")
    return frozenset(found)


def same(first: Record, second: Record) -> bool:
    """Whether two records state the same task with the same input."""
    tasks = parse(first.instruction), parse(second.instruction)
    if None in tasks:
        return first.question().lower().split() == second.question().lower().split()
    return tasks[0] == tasks[1] and first.input == second.input


def scored(tried: list[Attempt]) -> dict[str, Score]:
    """Each rule's score."""
    scores = {rule: Score() for rule in ORDER}
    for attempt in tried:
        if attempt.dropped and attempt.dropped not in attempt.faults:
            scores[attempt.dropped].alarms.append(attempt)
        for rule in attempt.faults:
            turn = JUDGED if rule == "no-information-gain" else ORDER.index(rule)
            if rule == attempt.dropped:
                scores[rule].caught += 1
            elif attempt.turn > turn or attempt.dropped not in attempt.faults:
                scores[rule].missed.append(attempt)
    return scores


VARIANTS: dict[str, dict[str, Any]] = {
    "the teacher is asked whether prompts are equal": {"equality": "ask"},
    "equal prompts are found by their text alone": {"equality": "off"},
    'every answer of function words is dropped, "no" too': {"equality": "ask", "function_words": "drop"},
    "every answer of function words stays": {"equality": "ask", "function_words": "keep"},
    "as published": {"style": "paper"},
}


def told(tried: list[Attempt]) -> str:
    """A table of the scores."""
    table = []
    for rule, score in scored(tried).items():
        there = score.caught + len(score.missed)
        counts = [f"{n:,}" for n in (there, score.caught, len(score.missed), len(score.alarms))]
        table.append([rule, *counts, f"{score.precision:.3f}", f"{score.recall:.3f}"])
    return grid(["rule", "faults", "caught", "missed", "false alarms", "precision", "recall"], table)


def shown(tried: list[Attempt], rule: str) -> str:
    """The different texts that a rule missed or dropped wrongly, the most frequent first."""
    score, lines = scored(tried)[rule], []
    of_question = rule in ("prompt-leak", "no-information-gain")
    for what, found in (("missed", score.missed), ("false alarm", score.alarms)):
        texts = Counter(a.child.question() if of_question else a.child.output for a in found)
        lines += [f"  {what} {n}: {text!r}" for text, n in texts.most_common()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=900)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--noise", type=float, default=0.2)
    parser.add_argument("--show", choices=ORDER, help="the texts this rule missed or dropped wrongly")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    args = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home:
        for what, options in VARIANTS.items():
            tried = run(Path(home), args.seeds, args.rounds, args.noise, **options)
            scores = scored(tried)
            figures[what] = {rule: {"precision": s.precision, "recall": s.recall} for rule, s in scores.items()}
            if not args.json:
                print(f"{what} ({len(tried):,} attempts)\n\n{told(tried)}\n", flush=True)
                print(shown(tried, args.show) if args.show else "")
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
