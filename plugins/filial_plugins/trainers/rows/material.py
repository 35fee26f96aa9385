"""What a training works on: the rows of its files, and the tokenizer and template that made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from filial import Record, Template, UsageError
from filial.labels import Encoder
from filial_plugins.local.pretrained import load_tokenizer
from filial_plugins.trainers.rows.preparing import DataFile
from filial_plugins.trainers.rows.store import TokenStore

Prepare = Callable[[Path, Template, Encoder], TokenStore]
"""Makes or finds the rows of a data file."""


@dataclass(frozen=True, slots=True)
class Material:
    """What is trained on and looked at.

    Attributes:
        template: bound to the tokenizer.
        data: the training file.
        rows: its rows.
        heldout: the rows of the held-out file, where there is one.
        asked: records whose questions the model answers at a look.
    """

    tokenizer: Any
    template: Template
    data: Path
    rows: TokenStore
    heldout: TokenStore | None = None
    asked: tuple[Record, ...] = ()

    def check_vocabulary(self, model: Any, source: str) -> None:
        """Raises `UsageError` where rows use tokens that the model does not know."""
        size = model.get_input_embeddings().num_embeddings
        largest = max(store.largest for store in (self.rows, self.heldout) if store is not None)
        if largest >= size:
            raise UsageError(
                f"{source}: the data uses token {largest}, but the model knows only {size}: its tokenizer belongs to "
                "another model; use the model's own, or one whose embeddings were resized"
            )

    def told(self) -> Iterator[str]:
        """What became of the records, as sentences: found rows, and records that are not trained on as they are."""
        for name, rows in (("train.jsonl", self.rows), ("heldout.jsonl", self.heldout)):
            if rows is None:
                continue
            if not rows.fresh:
                yield f"{name} was prepared before, in {rows.folder}"
            account = rows.account
            for what, counts in (
                ("left out", account.dropped), ("shortened", account.changed), ("worth a look", account.noticed)
            ):  # fmt: skip
                for reason, count in counts.most_common():
                    yield f"{name}: {count:,} {what} ({reason}), such as {account.examples[reason]}"


def gathered(folder: Path, source: str, template: Template, prepare: Prepare, samples: int) -> Material:
    """The material in a data set's folder: ``train.jsonl`` and, where there is one, ``heldout.jsonl``.

    Args:
        source: where the tokenizer is.
        samples: how many questions to answer at a look; of held-out records where there are any.

    Raises:
        UsageError: there is nothing to train on, or tokenizer and template do not fit together.
        FilialError: the rows cannot be written.
    """
    data, exam = folder / "train.jsonl", folder / "heldout.jsonl"
    tokenizer = load_tokenizer(source)
    template, encoder = template.bind(tokenizer), Encoder(tokenizer)
    rows = prepare(data, template, encoder)
    _check_rows(rows, data)
    heldout = prepare(exam, template, encoder) if exam.is_file() else None
    asked = _first(exam, samples) if heldout is not None else ()
    return Material(tokenizer, template, data, rows, heldout, asked or _first(data, samples))


def _check_rows(rows: TokenStore, path: Path) -> None:
    """Raises `UsageError` where there is nothing to train on, and says what became of the records."""
    if not len(rows):
        why = "; ".join(f"{n:,} {reason} ({rows.examples[reason]})" for reason, n in rows.dropped.most_common())
        raise UsageError(f"{path.name}: nothing to train on: {why or 'the file is empty'}")


def _first(path: Path, count: int) -> tuple[Record, ...]:
    return tuple(record for record in islice(DataFile(path), count) if isinstance(record, Record))
