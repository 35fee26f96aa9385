"""From records to a store of training rows, in bounded memory.

Chunk by chunk: render, tokenise whole texts once, make over-long rows fit or drop them, write. Every record becomes a
row or is counted under the reason why not, with the first example of each:

==================== ==================================================================================
``bad-line``         a line of the file is no record
``no-answer``        nobody answers in it
``unwanted-answer``  its label says that the answer is not wanted
``not-renderable``   the template refuses it
``template-failed``  the template breaks on it
``not-unicode``      half a character
``not-tokenisable``  the tokenizer breaks on it
``unprovable-mask``  it cannot be shown which tokens are the answer
``too-long``         longer than ``max_length``, and ``over_long`` did not help
``no-trained-token`` no token that could be predicted carries loss
==================== ==================================================================================

What a template leaves out of a record that it writes (its reasoning, say) is counted as a notice (`left_out`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from filial import Record, Span, Template, UsageError, formats
from filial.labels import Encoder
from filial_plugins.trainers.rows.bulk import Bulk, Differs, Flat
from filial_plugins.trainers.rows.over_long import Cut, OverLong, cut_answer, fitting
from filial_plugins.trainers.rows.store import Account, TokenStore, Writer
from filial_plugins.trainers.rows.trainable import left_out, untrainable

ROWS, CHARACTERS = 1000, 2_000_000  # of a chunk, whichever is reached first
# Ends of answers in other formats; in a text they are mere characters, which a model would learn to write out.
ENDS = ("</s>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>")


class DataFile:
    """The records of a file, as often as they are asked for; what is wrong with a line in place of a bad one."""

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


def prepare(
    records: Iterable[Record | str], template: Template, encoder: Encoder, max_length: int, over_long: OverLong,
    folder: Path,
) -> TokenStore:  # fmt: skip
    """Tokenise records into a store in ``folder``. A record that cannot be trained on is counted, never an error.

    Records that can be read twice (a list, a `DataFile`) may be tokenised by a table of words; if that and the
    tokenizer are found to differ on one row, everything is done again by the tokenizer.

    Args:
        records: a string is what was wrong with a line.
        template: bound to the encoder's tokenizer.
        max_length: longest row in tokens.
        over_long: what happens to longer ones (`filial_plugins.trainers.rows.over_long`).

    Raises:
        UsageError: the data cannot be read, or the tokenizer lacks a token that the template needs.
        FilialError: the store cannot be written.
    """
    why = ""
    if iter(records) is not records:
        try:
            return _Preparation(template, encoder, Bulk(encoder), max_length, over_long).run(records, folder)
        except Differs as difference:
            why = f", for {difference}"
    bulk = Bulk(encoder, table=False)
    return _Preparation(template, encoder, bulk, max_length, over_long, why).run(records, folder)


@dataclass(slots=True)
class _Preparation:
    template: Template
    encoder: Encoder
    bulk: Bulk
    max_length: int
    over_long: OverLong
    why: str = ""
    account: Account = field(default_factory=Account)

    def run(self, records: Iterable[Record | str], folder: Path) -> TokenStore:
        with Writer(folder, self.bulk.largest) as writer:
            for chunk in _chunks(self._readable(records)):
                self._add(chunk, writer)
            return writer.finish(self.account, self.bulk.engine + self.why)

    def _readable(self, records: Iterable[Record | str]) -> Iterator[tuple[str, Record]]:
        """Records that hold an answer, each with what to call it."""
        for number, record in enumerate(records, 1):
            if isinstance(record, str):
                self.account.drop("bad-line", record)
                continue
            name = f"record {record.id or number}"
            if reason := untrainable(record):
                self.account.drop(reason, name)
            else:
                yield name, record

    def _add(self, chunk: Sequence[tuple[str, Record]], writer: Writer) -> None:
        """One chunk of records to rows."""
        named, rows = [], []
        for name, record in chunk:
            spans = self._rendered(name, record)
            if spans is not None:
                named.append((name, record))
                rows.append(spans)
        flat = self._fitted(named, self.bulk.encode(rows))
        keep = self._judged(named, flat)
        if not keep.any():
            return
        trained = flat.trained[keep[flat.trained[:, 0]]]
        trained[:, 0] = (np.cumsum(keep) - 1)[trained[:, 0]]
        lengths = flat.lengths[keep]
        ids = flat.ids[np.repeat(keep, flat.lengths)]
        writer.add(ids, lengths, trained)
        last = trained[np.flatnonzero(np.diff(trained[:, 0], append=len(lengths))), 2]
        ends = ids[np.cumsum(lengths) - lengths + last - 1]
        writer.ends |= self.encoder.special_ids & set(np.unique(ends).tolist())

    def _rendered(self, name: str, record: Record) -> list[Span] | None:
        try:
            spans = self.template.render(record)
        except UsageError as error:
            self.account.drop("not-renderable", f"{name}: {error}")
            return None
        except Exception as error:
            self.account.drop("template-failed", f"{name}: {type(error).__name__}: {error}")
            return None
        for what in left_out(record, spans):
            self.account.notice(what, name)
        answers = [s for s in spans if s.train]
        if any(not s.special and s.text.endswith(ENDS) for s in answers):
            self.account.notice("end-token-in-answer", name)
        if answers and not any(s.special for s in answers):
            self.account.notice("no-end-token", f"{name}: the template ends no answer, so the model would never stop")
        return spans

    def _fitted(self, named: Sequence[tuple[str, Record]], flat: Flat) -> Flat:
        """The rows with those that are too long made to fit, where they can be."""
        made: dict[int, Cut] = {}
        for i in np.flatnonzero(flat.lengths > self.max_length).tolist() if self.over_long != "drop" else ():
            name, record = named[i]
            if self.over_long == "cut-answer":
                row = cut_answer(flat, i, self.max_length)
            else:
                row = fitting(record, self._alone, self.max_length)
            if row is not None:
                made[i] = row
                self.account.change(self.over_long, f"{name}: {flat.lengths[i]} tokens, now {len(row[0])}")
        return flat.replaced(made)

    def _alone(self, record: Record) -> Flat | None:
        """One shortened record as a row; None where the template takes the whole of it, but not this part."""
        try:
            spans = self.template.render(record)
        except Exception:  # the record is counted as what it is, too long
            return None
        return self.bulk.encode([spans])

    def _judged(self, named: Sequence[tuple[str, Record]], flat: Flat) -> np.ndarray:
        """Which rows are trained on; the others are counted. Trained ranges begin after the first token."""
        np.maximum(flat.trained[:, 1], 1, out=flat.trained[:, 1])  # nothing stands before the first to predict it from
        flat.trained = flat.trained[flat.trained[:, 2] > flat.trained[:, 1]]
        keep = np.zeros(len(named), dtype=bool)
        keep[flat.trained[:, 0]] = True
        keep &= flat.lengths <= self.max_length
        for i in np.flatnonzero(~keep).tolist():
            name = named[i][0]
            if i in flat.failed:
                self.account.drop(flat.failed[i].reason, f"{name}: {flat.failed[i].detail}")
            elif flat.lengths[i] > self.max_length:
                self.account.drop("too-long", f"{name}: {flat.lengths[i]} tokens, max_length is {self.max_length}")
            else:
                self.account.drop("no-trained-token", name)
        return keep


def _chunks(records: Iterable[tuple[str, Record]]) -> Iterator[list[tuple[str, Record]]]:
    """Records by the thousand, fewer where they are long, so that memory stays bounded."""
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
