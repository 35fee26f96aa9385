"""What a model is judged by: records with right answers, none of whose questions it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from filial.contracts.context import RunInfo
from filial.contracts.records import Question, Record, question_key
from filial.engine.build import read
from filial.formats.records import decode_fast

if TYPE_CHECKING:
    from filial.contracts.kinds import Teacher
    from filial.engine.progress import Reporter
    from filial.gateway.gateway import Gateway
    from filial.plugins.manager import Manager
    from filial.recipe import JudgeSpec, Recipe


class TrainingRun(Protocol):
    """What training and judging use of a run: its recipe and plugins, its folders, who watches, how it asks."""

    @property
    def recipe(self) -> Recipe: ...
    @property
    def manager(self) -> Manager: ...
    @property
    def home(self) -> Path: ...
    @property
    def folder(self) -> Path: ...
    @property
    def model(self) -> Path: ...
    @property
    def reporter(self) -> Reporter: ...
    @property
    def retry_lost(self) -> bool: ...

    def info(self) -> RunInfo:
        """What hooks may read of the run."""

    def gateway(self) -> Gateway | None:
        """The run's teacher behind its gateway."""

    def opened(
        self, who: str, teacher: Teacher, *, counted: bool = True, hooked: bool = True,
        facts: dict[str, Any] | None = None,
    ) -> Gateway:  # fmt: skip
        """Another teacher behind a gateway."""


@dataclass(frozen=True, slots=True)
class Exam:
    """What a judge looks at."""

    name: str
    records: list[Record]


def read_rows(path: Path) -> list[Record]:
    """The records of a file the run wrote itself."""
    with open(path, "rb") as f:
        return list(map(decode_fast, f))


def exam_records(run: TrainingRun, spec: JudgeSpec) -> list[Record]:
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


def exam_questions(run: TrainingRun) -> set[Question]:
    """What the recipe's exams ask; no record that asks the same may be trained on."""
    files = [spec for spec in run.recipe.judges if spec.data != "heldout"]
    return {question_key(record) for spec in files for record in exam_records(run, spec)}
