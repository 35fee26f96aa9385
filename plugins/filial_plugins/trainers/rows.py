"""From records to training rows, and from rows to batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from filial import Record, Template, UsageError, formats, seeded
from filial.labels import Encoded, Encoder, Unencodable

CHUNK = 1000


@dataclass(slots=True)
class Row:
    """Token ids of one record and the positions of the tokens that carry loss."""

    ids: np.ndarray
    targets: np.ndarray


@dataclass(slots=True)
class Rows:
    """Training rows, and every record that did not become one, counted by reason with the first example."""

    rows: list[Row] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    ends: set[int] = field(default_factory=set)

    def drop(self, reason: str, detail: str) -> None:
        """Count a record that is not trained on."""
        self.dropped[reason] += 1
        self.examples.setdefault(reason, detail)

    @property
    def tokens(self) -> int:
        """All tokens."""
        return sum(len(r.ids) for r in self.rows)

    @property
    def trained_tokens(self) -> int:
        """Tokens that carry loss."""
        return sum(len(r.targets) for r in self.rows)


def read(path: Path) -> Iterator[Record | str]:
    """The records of a file; what is wrong with a line, in place of a bad one."""
    bad: list[Any] = []
    for record in formats.read(path, bad=bad):
        yield from map(str, bad)
        bad.clear()
        yield record
    yield from map(str, bad)


def prepare(records: Iterable[Record | str], template: Template, encoder: Encoder, max_length: int) -> Rows:
    """Tokenise records into training rows. A record that cannot be trained on is counted, never an error.

    Args:
        template: bound to the encoder's tokenizer.
        max_length: longest row in tokens; a longer one is dropped whole.
    """
    out = Rows()
    special = encoder.special_ids
    stream = iter(records)
    while chunk := list(islice(stream, CHUNK)):
        named, spans = [], []
        for record in chunk:
            if isinstance(record, str):
                out.drop("bad-line", record)
                continue
            if not any(turn.role == "assistant" and turn.content for turn in record.turns()):
                out.drop("no-answer", f"record {record.id}")
                continue
            try:
                spans.append(template.render(record))
                named.append(record.id)
            except UsageError as error:
                out.drop("not-renderable", f"record {record.id}: {error}")
        for name, row in zip(named, encoder.encode_batch(spans), strict=True):
            if isinstance(row, Unencodable):
                out.drop(row.reason, f"record {name}: {row.detail}")
            else:
                _add(out, row, name, max_length, special)
    return out


def _add(out: Rows, row: Encoded, name: str, max_length: int, special: frozenset[int]) -> None:
    if len(row.ids) > max_length:
        out.drop("too-long", f"record {name}: {len(row.ids)} tokens, max_length is {max_length}")
        return
    targets = np.flatnonzero(np.array(row.trained, dtype=bool))
    targets = targets[targets > 0]  # nothing stands before the first token to predict it from
    if not len(targets):
        out.drop("no-trained-token", f"record {name}")
        return
    out.rows.append(Row(np.array(row.ids, dtype=np.int64), targets.astype(np.int64)))
    out.ends |= special & {row.ids[targets[-1]]}


def plan(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """The steps of one epoch: indices of rows, ``size`` per step (the last may hold fewer).

    Rows of like length share a step: windows of eight steps are drawn at random, sorted by length, cut, and the steps
    shuffled. The plan depends on nothing but its arguments.
    """
    rng = seeded(seed, "epoch", epoch)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    steps = []
    for at in range(0, len(order), 8 * size):
        window = sorted(order[at : at + 8 * size], key=lambda i: (lengths[i], i))
        steps += [window[k : k + size] for k in range(0, len(window), size)]
    rng.shuffle(steps)
    return steps


@dataclass(slots=True)
class Batch:
    """Rows padded on the right.

    Attributes:
        ids: (rows, width) token ids; the padding is 0 and never looked at, as a causal model sees only what is left
            of a token.
        sources: flat positions (row * width + column) whose next token carries loss.
        targets: those next tokens.
    """

    ids: Any
    sources: Any
    targets: Any


def collate(rows: Sequence[Row], torch: Any, device: Any) -> Batch:
    """A batch of rows. What is padding follows from lengths, never from comparing ids with a padding id."""
    width = max(len(r.ids) for r in rows)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
    targets = np.concatenate([row.targets + i * width for i, row in enumerate(rows)])
    tensors = (torch.from_numpy(a).to(device) for a in (ids, targets - 1, ids.reshape(-1)[targets]))
    return Batch(*tensors)
