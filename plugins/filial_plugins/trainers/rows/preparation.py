"""Convert records to a store of training rows, in bounded memory.

For each chunk: render, tokenize each whole text once, cut or drop rows that are too long, write. Every record becomes a
row or is counted by the reason why not, with the first example of each reason:

==================== ==================================================================================
``bad-line``         a line of the file is not a record
``no-answer``        it has no answer
``unwanted-answer``  its label marks the answer as bad
``not-renderable``   the template refuses it
``template-failed``  the template raises an error
``not-unicode``      it contains half a character (a lone surrogate)
``not-tokenisable``  the tokenizer raises an error
``unprovable-mask``  it is uncertain which tokens are the answer
``too-long``         longer than ``max_length``, and ``over_long`` did not help
``no-trained-token`` no token that can be predicted carries loss
==================== ==================================================================================

What a template omits from a record (its reasoning, for example) is counted as a notice (`find_omissions`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from filial import Record, Span, Template, UsageError, formats
from filial.labels import Encoder
from filial_plugins.trainers.rows.bulk_encoding import BulkEncoder, TableDiffers, TokenArrays
from filial_plugins.trainers.rows.over_long import CutRow, OverLong, cut_answer, drop_oldest_turns
from filial_plugins.trainers.rows.store import PreparationReport, StoreWriter, TokenStore
from filial_plugins.trainers.rows.trainable import find_drop_reason, find_omissions

ROWS, CHARACTERS = 1000, 2_000_000  # of a chunk at most; whichever is reached first
# End tokens of other formats. Inside a text they are ordinary characters, which the model would learn to write.
FOREIGN_ENDS = ("</s>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>")


class DataFile:
    """The records of a file, which can be read again and again. A bad line gives a string that describes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Record | str]:
        bad: list[Any] = []
        for record in formats.read(self.path, bad=bad, ids=False):
            if bad:
                yield from map(str, bad)
                bad.clear()
            yield record
        yield from map(str, bad)


def write_rows(
    records: Iterable[Record | str], template: Template, encoder: Encoder, max_length: int, over_long: OverLong,
    folder: Path,
) -> TokenStore:  # fmt: skip
    """Tokenize records into a store in ``folder``. A record that cannot be trained on is counted and raises no error.

    Records that can be read twice (a list, a `DataFile`) may be tokenized by a table of words. If table and tokenizer
    differ on one row, everything is done again by the tokenizer.

    Args:
        records: a string is the description of a bad line.
        template: bound to the encoder's tokenizer.
        max_length: longest row in tokens.
        over_long: what happens to longer rows (`filial_plugins.trainers.rows.over_long`).

    Raises:
        UsageError: the data cannot be read, or the tokenizer lacks a token that the template needs.
        FilialError: the store cannot be written.
    """
    why = ""
    if iter(records) is not records:
        try:
            return _Preparation(template, encoder, BulkEncoder(encoder), max_length, over_long).run(records, folder)
        except TableDiffers as difference:
            why = f", because {difference}"
    bulk = BulkEncoder(encoder, table=False)
    return _Preparation(template, encoder, bulk, max_length, over_long, why).run(records, folder)


@dataclass(slots=True)
class _Preparation:
    template: Template
    encoder: Encoder
    bulk: BulkEncoder
    max_length: int
    over_long: OverLong
    engine_note: str = ""
    report: PreparationReport = field(default_factory=PreparationReport)

    def run(self, records: Iterable[Record | str], folder: Path) -> TokenStore:
        with StoreWriter(folder, self.bulk.largest) as writer:
            for chunk in _split_chunks(self._select_trainable(records)):
                self._add_chunk(chunk, writer)
            return writer.finish(self.report, self.bulk.engine + self.engine_note)

    def _select_trainable(self, records: Iterable[Record | str]) -> Iterator[tuple[str, Record]]:
        """Yield each record that has an answer, with a name for messages; count the others."""
        for number, record in enumerate(records, 1):
            if isinstance(record, str):
                self.report.drop("bad-line", record)
                continue
            name = f"record {record.id or number}"
            if reason := find_drop_reason(record):
                self.report.drop(reason, name)
            else:
                yield name, record

    def _add_chunk(self, chunk: Sequence[tuple[str, Record]], writer: StoreWriter) -> None:
        """Write one chunk of records as rows."""
        named, rows = [], []
        for name, record in chunk:
            spans = self._render(name, record)
            if spans is not None:
                named.append((name, record))
                rows.append(spans)
        flat = self._fit_rows(named, self.bulk.encode(rows))
        keep = self._select_rows(named, flat)
        if not keep.any():
            return
        # Remove the rows that are dropped and renumber the others, which the store expects without gaps.
        trained = flat.trained_ranges[keep[flat.trained_ranges[:, 0]]]
        trained[:, 0] = (np.cumsum(keep) - 1)[trained[:, 0]]
        lengths = flat.lengths[keep]
        ids = flat.ids[np.repeat(keep, flat.lengths)]
        writer.add(ids, lengths, trained)
        # The last trained token of each row: special tokens here end an answer, and generation will stop at them.
        last = trained[np.flatnonzero(np.diff(trained[:, 0], append=len(lengths))), 2]
        ends = ids[np.cumsum(lengths) - lengths + last - 1]
        writer.ends |= self.encoder.special_ids & set(np.unique(ends).tolist())

    def _render(self, name: str, record: Record) -> list[Span] | None:
        """Render a record and count what to check in it. Returns None for a record that cannot be rendered."""
        try:
            spans = self.template.render(record)
        except UsageError as error:
            self.report.drop("not-renderable", f"{name}: {error}")
            return None
        except Exception as error:
            self.report.drop("template-failed", f"{name}: {type(error).__name__}: {error}")
            return None
        for what in find_omissions(record, spans):
            self.report.notice(what, name)
        answers = [s for s in spans if s.train]
        if any(not s.special and s.text.endswith(FOREIGN_ENDS) for s in answers):
            self.report.notice("end-token-in-answer", name)
        if answers and not any(s.special for s in answers):
            self.report.notice("no-end-token", f"{name}: without an end token in the template the model never stops")
        return spans

    def _fit_rows(self, named: Sequence[tuple[str, Record]], flat: TokenArrays) -> TokenArrays:
        """Cut rows that are too long, where the policy allows it."""
        made: dict[int, CutRow] = {}
        for i in np.flatnonzero(flat.lengths > self.max_length).tolist() if self.over_long != "drop" else ():
            name, record = named[i]
            if self.over_long == "cut-answer":
                row = cut_answer(flat, i, self.max_length)
            else:
                row = drop_oldest_turns(record, self._encode_one, self.max_length)
            if row is not None:
                made[i] = row
                self.report.change(self.over_long, f"{name}: {flat.lengths[i]} tokens, now {len(row[0])}")
        return flat.replace_rows(made)

    def _encode_one(self, record: Record) -> TokenArrays | None:
        """Encode one shortened record; None if the template renders the whole record, but not this part of it."""
        try:
            spans = self.template.render(record)
        except Exception:  # the record is counted as what it is, too long
            return None
        return self.bulk.encode([spans])

    def _select_rows(self, named: Sequence[tuple[str, Record]], flat: TokenArrays) -> np.ndarray:
        """Return which rows are trained on, and count the others. Trained ranges then exclude the first token."""
        # Nothing comes before the first token that could predict it.
        np.maximum(flat.trained_ranges[:, 1], 1, out=flat.trained_ranges[:, 1])
        flat.trained_ranges = flat.trained_ranges[flat.trained_ranges[:, 2] > flat.trained_ranges[:, 1]]
        keep = np.zeros(len(named), dtype=bool)
        keep[flat.trained_ranges[:, 0]] = True
        keep &= flat.lengths <= self.max_length
        for i in np.flatnonzero(~keep).tolist():
            name = named[i][0]
            if i in flat.failed:
                self.report.drop(flat.failed[i].reason, f"{name}: {flat.failed[i].detail}")
            elif flat.lengths[i] > self.max_length:
                self.report.drop("too-long", f"{name}: {flat.lengths[i]} tokens, max_length is {self.max_length}")
            else:
                self.report.drop("no-trained-token", name)
        return keep


def _split_chunks(records: Iterable[tuple[str, Record]]) -> Iterator[list[tuple[str, Record]]]:
    """Split records into chunks of a thousand, fewer if they are long, so that memory stays bounded."""
    chunk: list[tuple[str, Record]] = []
    size = 0
    for pair in records:
        chunk.append(pair)
        size += sum(map(len, pair[1].content()))
        if len(chunk) == ROWS or size > CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
