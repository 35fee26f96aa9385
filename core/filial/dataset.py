"""The data set of a run: what is trained on, and what is kept back to judge by."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from filial.atomic import replacing
from filial.context import seeded
from filial.errors import UsageError
from filial.judging import Question, asked
from filial.records import Record, to_json
from filial.store import read_manifest, write_errors, write_manifest


def split(records: list[Record], heldout: int, seed: int) -> tuple[list[Record], list[Record]]:
    """Keep back ``heldout`` records, drawn by seed; the rest is trained on, in its order.

    A record can be kept back only if nobody else asks its question, so nothing trained on answers it. Records whose
    instruction other records share come first: they ask what was taught about inputs that were not.

    Raises:
        UsageError: there are not that many such records, or nothing would be left to train on.
    """
    if not heldout:
        return records, []
    questions = Counter(map(asked, records))
    tasks = Counter(r.instruction for r in records if not r.messages)
    places = [i for i, r in enumerate(records) if questions[asked(r)] == 1]
    seeded(seed, "heldout").shuffle(places)
    chosen: set[int] = set()
    for lonely in (False, True):
        for i in places:
            if len(chosen) == heldout:
                break
            instruction = records[i].instruction
            if i not in chosen and (lonely or tasks[instruction] > 1):
                tasks[instruction] -= 1
                chosen.add(i)
    if len(chosen) < heldout or len(chosen) >= len(records):
        raise UsageError(
            f"heldout: {heldout} records are to be kept back, but only {len(places)} of {len(records)} ask a question "
            "of their own and some must be left to train on; lower heldout or generate more"
        )
    return [r for i, r in enumerate(records) if i not in chosen], [records[i] for i in sorted(chosen)]


def write(
    folder: Path, records: Iterable[Record], heldout: int, seed: int, key: str, exams: Collection[Question] = ()
) -> dict[str, Any]:
    """Write ``train.jsonl`` and ``heldout.jsonl`` with a manifest, unless they are there for this key already.

    A record that asks a question of ``exams`` is not trained on, or the exam would measure memory: it goes to
    ``contaminated.jsonl``, so that train + heldout + contaminated is what came in.

    Raises:
        UsageError: as `split`.
    """
    manifest = read_manifest(folder / "manifest.json")
    if manifest is not None and manifest.get("key") == key:
        return manifest
    records = list(records)
    asks = [asked(r) in exams for r in records]
    contaminated = [r for r, yes in zip(records, asks, strict=True) if yes]
    train, kept_back = split([r for r, yes in zip(records, asks, strict=True) if not yes], heldout, seed)
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, rows in (("train", train), ("heldout", kept_back), ("contaminated", contaminated)):
        files[f"{name}.jsonl"] = _written(folder / f"{name}.jsonl", rows)
    manifest = {
        "format": 1, "key": key, "train": len(train), "heldout": len(kept_back), "contaminated": len(contaminated),
        "files": files,
    }  # fmt: skip
    write_manifest(folder / "manifest.json", manifest)
    return manifest


def _written(path: Path, rows: list[Record]) -> dict[str, Any]:
    sha = hashlib.sha256()
    with replacing(path) as f:
        for record in rows:
            line = to_json(record) + b"\n"
            sha.update(line)
            f.write(line)
    return {"sha256": sha.hexdigest(), "rows": len(rows)}
