"""The data of one training: the rows of its files, with the tokenizer and template that made them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from filial import Record, Template, UsageError
from filial.labels import Encoder
from filial_plugins.local.pretrained import load_tokenizer
from filial_plugins.trainers.rows.preparation import DataFile
from filial_plugins.trainers.rows.store import TokenStore

Prepare = Callable[[Path, Template, Encoder], TokenStore]
"""Makes or finds the rows of a data file."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is trained and evaluated on.

    Attributes:
        template: bound to the tokenizer.
        path: the training file.
        rows: its rows.
        heldout: the rows of the held-out file, if there is one.
        parts: rows of other held-out files by the name of the file, each with a loss of its own.
        samples: records whose questions the model answers at each evaluation.
    """

    tokenizer: Any
    template: Template
    path: Path
    rows: TokenStore
    heldout: TokenStore | None = None
    samples: tuple[Record, ...] = ()
    parts: Mapping[str, TokenStore] = field(default_factory=dict)

    def check_vocabulary(self, model: Any, source: str) -> None:
        """Check that the model knows all tokens of the rows.

        Raises:
            UsageError: rows use tokens that the model does not know.
        """
        size = model.get_input_embeddings().num_embeddings
        largest = max(store.largest for store in (self.rows, self.heldout, *self.parts.values()) if store)
        if largest >= size:
            raise UsageError(
                f"{source}: the data uses token {largest}, but the model has only {size} embeddings: its tokenizer "
                "belongs "
                "to another model; use the model's own tokenizer, or a model with resized embeddings"
            )

    def describe_records(self) -> Iterator[str]:
        """Yield sentences about rows that were found in the cache and records that are not trained on unchanged."""
        for name, rows in (("train.jsonl", self.rows), ("heldout.jsonl", self.heldout)):
            if rows is None:
                continue
            if not rows.fresh:
                yield f"{name} is already prepared, in {rows.folder}"
            report = rows.report
            for what, counts in (
                ("dropped", report.dropped), ("shortened", report.changed), ("to check", report.noticed)
            ):  # fmt: skip
                for reason, count in counts.most_common():
                    yield f"{name}: {count:,} {what} ({reason}), for example {report.examples[reason]}"


def load_training_data(folder: Path, source: str, template: Template, prepare: Prepare, samples: int) -> TrainingData:
    """Load ``train.jsonl`` of a data set's folder, and ``heldout.jsonl`` and ``heldout/*.jsonl`` if there are any.

    Args:
        source: where the tokenizer is.
        samples: how many questions to answer at each evaluation; from held-out records if there are any.

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
    asked = _read_first(exam, samples) if heldout is not None else ()
    files = sorted((folder / "heldout").glob("*.jsonl"))
    parts = {file.stem: prepare(file, template, encoder) for file in files}
    return TrainingData(tokenizer, template, data, rows, heldout, asked or _read_first(data, samples), parts)


def _check_rows(rows: TokenStore, path: Path) -> None:
    """Check that there is something to train on.

    Raises:
        UsageError: there are no rows; the message counts the dropped records by reason.
    """
    if not len(rows):
        why = "; ".join(f"{n:,} {reason} ({rows.examples[reason]})" for reason, n in rows.dropped.most_common())
        raise UsageError(f"{path.name}: nothing to train on: {why or 'the file is empty'}")


def _read_first(path: Path, count: int) -> tuple[Record, ...]:
    """Read the first records of a file."""
    return tuple(record for record in islice(DataFile(path), count) if isinstance(record, Record))
