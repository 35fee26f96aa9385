"""The data set of a run: records to train on, held-out records to judge with, and records that other exams contain.

Records are read once and written as they come. Two short hashes per record are kept until the held-out ones are chosen.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

from filial.contracts.context import seeded_rng
from filial.contracts.errors import UsageError
from filial.contracts.records import Question, Record, question_key, to_json
from filial.engine.build import Source
from filial.engine.commit import MANIFEST, LineWriter
from filial.engine.keys import spec_digest
from filial.formats.records import decode_fast
from filial.storage import canonical_json, digest, find_finished, write_errors, write_manifest

if TYPE_CHECKING:
    from filial.engine.run_context import RunContext
    from filial.recipe import JudgeSpec

Hashes = Sequence[int]
PARTS = ("train", "heldout", "contaminated")


def exam_records(run: RunContext, spec: JudgeSpec) -> list[Record]:
    """Return the records that a judge examines, in the file's order."""
    if spec.data == "heldout":
        with open(run.folder / "dataset" / "heldout.jsonl", "rb") as file:
            records = list(map(decode_fast, file))
        if spec.only is not None:
            records = [r for r in records if (r.origin.round > 0) == (spec.only == "evolved")]
    else:
        records = list(Source(spec.data, run.recipe.base, run.manager))
    return records[: spec.limit]


def dataset_key(run: RunContext, records: str) -> str:
    """Return what the data set depends on; ``records`` identifies the records of the last stage."""
    recipe = run.recipe
    exams = [spec_digest(spec.data, recipe.base) for spec in recipe.judges if spec.data != "heldout"]
    return digest(records, recipe.heldout, recipe.seed, exams)


def write_run_dataset(run: RunContext, records: Iterable[Record], key: str, folder: Path) -> dict[str, Any]:
    """Write the data set of a run by `write_dataset`. Questions of the judges' own files are not trained on."""
    exams = [exam_records(run, spec) for spec in run.recipe.judges if spec.data != "heldout"]
    asked = {question_key(record) for exam in exams for record in exam}
    return write_dataset(folder, records, run.recipe.heldout, run.recipe.seed, key, asked)


def choose_heldout(questions: Hashes, tasks: Hashes, heldout: int, seed: int, shown: Collection[int] = ()) -> set[int]:
    """Choose ``heldout`` records that are not trained on; return their positions.

    A record can be held out only if no other has the same question, so no training record answers it. Records that
    share their instruction with others are preferred: they test a trained task on new inputs.

    Args:
        questions: a number for each record's question. If two questions have the same number, neither is held out.
        tasks: likewise for its instruction; 0: there is none.
        shown: positions of records that are never held out, because questions of others show their answers (exemplars).

    Raises:
        UsageError: there are not enough such records, or nothing would be left to train on.
    """
    askers, left = Counter(questions), Counter(tasks)
    places = [i for i, question in enumerate(questions) if askers[question] == 1 and i not in shown]
    seeded_rng(seed, "heldout").shuffle(places)
    chosen: list[int] = []
    others: list[int] = []
    for i in places:
        if tasks[i] and left[tasks[i]] > 1 and len(chosen) < heldout:
            left[tasks[i]] -= 1
            chosen.append(i)
        else:
            others.append(i)
    chosen += others[: heldout - len(chosen)]
    if len(chosen) < heldout or len(chosen) >= len(questions):
        why = f"only {len(places)} of {len(questions)} have a unique question, and some must be left to train on"
        raise UsageError(f"heldout: {heldout} records cannot be held out: {why}; lower heldout or generate more")
    return set(chosen)


def write_dataset(
    folder: Path, records: Iterable[Record], heldout: int, seed: int, key: str, exams: Collection[Question] = ()
) -> dict[str, Any]:
    """Write ``train.jsonl`` and ``heldout.jsonl`` with a manifest, unless they exist for this key.

    A record with a question of ``exams`` is not trained on, because the exam would then measure memory: it is written
    to ``contaminated.jsonl``, so that train + heldout + contaminated equals the input.

    Raises:
        UsageError: as in `choose_heldout`; or the folder cannot be written.
        FilialError: the disk is full.
    """
    if (manifest := find_finished(folder / MANIFEST, key)) is not None:
        return manifest
    questions, tasks, contaminated, shown = array("Q"), array("Q"), set[int](), set[int]()
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        passing = TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
    with passing:
        for place, record in enumerate(records):
            with write_errors(folder):  # not around the records: reading them can fail, too
                passing.write(to_json(record) + b"\n")
            question = question_key(record) if heldout or exams else ()
            if question in exams:
                contaminated.add(place)
            elif heldout:
                shown.update([len(questions)] if "exemplar" in record.tags else [])
                questions.append(_hash(question))
                tasks.append(_hash(record.instruction) if record.instruction else 0)
        held = choose_heldout(questions, tasks, heldout, seed, shown) if heldout else set()
        with write_errors(folder):
            passing.seek(0)
            files = _write_parts(passing, folder, contaminated, held)
    rows = {name: files[f"{name}.jsonl"]["rows"] for name in PARTS}
    manifest = {"format": 1, "key": key, **rows, "files": files}
    write_manifest(folder / MANIFEST, manifest)
    return manifest


def _write_parts(passing: BinaryIO, folder: Path, contaminated: set[int], held: set[int]) -> dict[str, Any]:
    """Write each line to its file. Returns what a manifest says about the files."""
    with ExitStack() as stack:
        parts = {name: LineWriter(folder / f"{name}.jsonl") for name in PARTS}
        for lines in parts.values():
            stack.callback(lines.discard)  # once committed, there is nothing left to discard
        taught = 0
        for place, line in enumerate(passing):
            if place in contaminated:
                name = "contaminated"
            else:
                name = "heldout" if taught in held else "train"
                taught += 1
            parts[name].write(line[:-1])
        return {lines.path.name: lines.commit() for lines in parts.values()}


def _hash(value: Any) -> int:
    """Return a hash of eight bytes, never 0."""
    return int.from_bytes(hashlib.blake2b(canonical_json(value), digest_size=8).digest(), "little") or 1
