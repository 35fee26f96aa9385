"""The data set of a run: what is trained on, and what is kept back to judge by.

Records pass by once and are written as they come; of each, two short hashes are remembered until it is decided which
ones are kept back.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from filial.contracts.context import seeded
from filial.contracts.errors import UsageError
from filial.contracts.records import Question, Record, question_key, to_json
from filial.engine.commit import MANIFEST, Lines
from filial.storage import canonical, kept, write_errors, write_manifest

PARTS = ("train", "heldout", "contaminated")


class Questions:
    """What records ask, as they pass by, and which of them can be kept back.

    Eight bytes of hash stand for a text. Should two texts share them, a record that could be kept back is not.
    """

    def __init__(self) -> None:
        self._asked, self._tasks = array("Q"), array("Q")

    def add(self, record: Record, question: Question) -> None:
        """Take note of a record and what it asks."""
        self._asked.append(_hash(question))
        self._tasks.append(_hash(record.instruction) if record.instruction else 0)

    def kept_back(self, heldout: int, seed: int) -> set[int]:
        """Places of ``heldout`` records, drawn by seed, that are not to be trained on.

        A record can be kept back only if nobody else asks its question, so nothing trained on answers it. Records whose
        instruction other records share come first: they ask what was taught about inputs that were not.

        Raises:
            UsageError: there are not that many such records, or nothing would be left to train on.
        """
        if not heldout:
            return set()
        count = len(self._asked)
        askers, tasks = Counter(self._asked), Counter(self._tasks)
        places = [i for i, question in enumerate(self._asked) if askers[question] == 1]
        seeded(seed, "heldout").shuffle(places)
        chosen: set[int] = set()
        for lonely in (False, True):
            for i in places:
                if len(chosen) == heldout:
                    break
                task = self._tasks[i]
                if i not in chosen and (lonely or (task and tasks[task] > 1)):
                    tasks[task] -= 1
                    chosen.add(i)
        if len(chosen) < heldout or len(chosen) >= count:
            raise UsageError(
                f"heldout: {heldout} records are to be kept back, but only {len(places)} of {count} ask a question "
                "of their own and some must be left to train on; lower heldout or generate more"
            )
        return chosen


def write(
    folder: Path, records: Iterable[Record], heldout: int, seed: int, key: str, exams: Collection[Question] = ()
) -> dict[str, Any]:
    """Write ``train.jsonl`` and ``heldout.jsonl`` with a manifest, unless they are there for this key already.

    A record that asks a question of ``exams`` is not trained on, or the exam would measure memory: it goes to
    ``contaminated.jsonl``, so that train + heldout + contaminated is what came in.

    Raises:
        UsageError: as `Questions.kept_back`; the folder cannot be written.
        FilialError: the disk is full.
    """
    if (manifest := kept(folder / MANIFEST, key)) is not None:
        return manifest
    questions, spoilt = Questions(), set()
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        passing = TemporaryFile(dir=folder)  # noqa: SIM115 - closed below
    with passing:
        for place, record in enumerate(records):
            with write_errors(folder):  # and not round the records: reading them may fail, too
                passing.write(to_json(record) + b"\n")
            question = question_key(record) if heldout or exams else ()
            if question in exams:
                spoilt.add(place)
            elif heldout:
                questions.add(record, question)
        kept_back = questions.kept_back(heldout, seed)
        with write_errors(folder):
            passing.seek(0)
            files = _parted(passing, folder, spoilt, kept_back)
    rows = {name: files[f"{name}.jsonl"]["rows"] for name in PARTS}
    manifest = {"format": 1, "key": key, **rows, "files": files}
    write_manifest(folder / MANIFEST, manifest)
    return manifest


def _parted(passing: BinaryIO, folder: Path, spoilt: set[int], kept_back: set[int]) -> dict[str, Any]:
    """Write each line to the file it belongs to. Returns what a manifest says of the files."""
    parts = {name: Lines(folder / f"{name}.jsonl") for name in PARTS}
    try:
        taught = 0
        for place, line in enumerate(passing):
            if place in spoilt:
                name = "contaminated"
            else:
                name = "heldout" if taught in kept_back else "train"
                taught += 1
            parts[name].write(line[:-1])
        return {lines.path.name: lines.commit() for lines in parts.values()}
    except BaseException:
        for lines in parts.values():
            lines.discard()
        raise


def _hash(value: Any) -> int:
    """Eight bytes, never 0."""
    return int.from_bytes(hashlib.blake2b(canonical(value), digest_size=8).digest(), "little") or 1
