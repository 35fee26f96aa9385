"""Show records as a model sees them: their tokens, which of them carry loss, and what training would drop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from filial import Record, Span, Template, UsageError
from filial.labels import Encoded, Encoder, Unencodable, lookalikes
from filial_plugins.trainers.rows.trainable import DROP_REASONS, find_drop_reason

CHUNK_RECORDS = 500
TOKENIZER_REASONS = ("not-unicode", "unprovable-mask", "too-long", "no-trained-token")
"""Why training may leave a row out that only a tokenizer can tell."""


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """One token of a rendered row.

    ``text`` is what it adds to the text so far: all pieces together spell the text. It is empty for BOS and for the
    later tokens of a character that has several. ``token`` is the spelling in the vocabulary.
    """

    text: str
    token: str
    id: int
    trained: bool
    special: bool


def split_spans(spans: Sequence[Span], tokenizer: Any) -> list[TokenPiece]:
    """Return the tokens of a rendered record, in order.

    White space that the tokenizer drops is part of the next token's text.

    Raises:
        Unencodable: the row cannot be converted to tokens and a mask.
        UsageError: the tokenizer is slow, or has no end token although the spans ask for one.
    """
    encoder = Encoder(tokenizer)
    return split_row(encoder.encode(spans), encoder)


def split_row(row: Encoded, encoder: Encoder) -> list[TokenPiece]:
    """Return the tokens of a row that ``encoder`` has encoded."""
    tokens, special = encoder.tokenizer.convert_ids_to_tokens(row.ids), encoder.special_ids
    trained, offsets = row.mask, row.offsets
    out: list[TokenPiece] = []
    read = 0
    for i, (_, end) in enumerate(offsets):
        last = i == len(row.ids) - 1
        reach = len(row.text) if last else max(read, end)
        out.append(TokenPiece(row.text[read:reach], tokens[i], row.ids[i], trained[i], row.ids[i] in special))
        read = reach
    return out


@dataclass(slots=True)
class RenderedRecord:
    """One record as spans and tokens.

    Attributes:
        number: its position among the records examined, from 1.
        row: None without a tokenizer, and if it cannot be encoded.
        reason: why training would drop it, by the names that training counts; empty if it would not.
    """

    number: int
    record: Record
    spans: list[Span] = field(default_factory=list)
    row: Encoded | None = None
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class Survey:
    """Examines records and adds up figures.

    Attributes:
        template: bound, if there is an encoder.
        max_length: longest row in tokens; None for no limit.
        more: whether there are records that were not examined.
        dropped: number of records that training would drop, by reason.
        examples: the first record per reason, and what is wrong with it.
        lengths: tokens per row that would be trained on; ``longest``: number and tokens of the longest row.
        answers: number of trained answers; ``endless``: those without an end token.
        ends: the end tokens of answers; ``begins``: how often BOS occurs in a row.
        unknown: number of tokens for text that the vocabulary cannot spell.
        lookalikes: strings in data that look like control tokens, with their count and the first record that has one.
    """

    template: Template
    encoder: Encoder | None = None
    max_length: int | None = None
    records: int = 0
    more: bool = False
    dropped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    longest: tuple[int, int] = (0, 0)
    trained_tokens: int = 0
    answers: int = 0
    endless: int = 0
    ends: set[int] = field(default_factory=set)
    begins: set[int] = field(default_factory=set)
    unknown: int = 0
    lookalikes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def examine(self, records: Iterable[Record]) -> Iterable[RenderedRecord]:
        """Yield each record with its spans and tokens.

        Raises:
            UsageError: the tokenizer has no end token although the template asks for one.
        """
        stream = iter(records)
        while chunk := list(islice(stream, CHUNK_RECORDS)):
            found = [self._render(record) for record in chunk]
            if self.encoder is not None:
                written = [one for one in found if one.spans]
                for one, row in zip(written, self.encoder.encode_batch([o.spans for o in written]), strict=True):
                    self._measure(one, row)
            for one in found:
                if one.reason:
                    self.drop(one.reason, f"record {one.number}: {one.detail}")
            yield from found

    def drop(self, reason: str, detail: str) -> None:
        """Count a record that training would drop."""
        self.dropped[reason] += 1
        self.examples.setdefault(reason, detail)

    @property
    def unchecked(self) -> tuple[str, ...]:
        """Reasons to drop a record that this survey cannot find, so that it counts none of them."""
        if self.encoder is None:
            return TOKENIZER_REASONS
        return () if self.max_length is not None else ("too-long",)

    @property
    def tokens(self) -> int:
        """Number of tokens in the rows that would be trained on."""
        return sum(self.lengths)

    def _render(self, record: Record) -> RenderedRecord:
        self.records += 1
        one = RenderedRecord(self.records, record)
        try:
            one.spans = self.template.render(record)
        except UsageError as error:
            one.reason, one.detail = "not-renderable", str(error)
        if reason := find_drop_reason(record):
            besides = f"; besides, {one.detail}" if one.reason else ""
            one.reason, one.detail = reason, f"{DROP_REASONS[reason]}{besides}"
        for found in (found for turn in record.turns() for found in lookalikes(turn.content)):
            count, first = self.lookalikes.get(found, (0, self.records))
            self.lookalikes[found] = (count + 1, first)
        return one

    def _measure(self, one: RenderedRecord, row: Encoded | Unencodable) -> None:
        assert self.encoder is not None
        if isinstance(row, Unencodable):
            one.reason, one.detail = row.reason, row.detail
            return
        one.row = row
        if one.reason:
            return
        size = len(row.ids)
        self.longest = max(self.longest, (size, one.number), key=lambda pair: pair[0])
        if self.max_length is not None and size > self.max_length:
            one.reason, one.detail = "too-long", f"{size:,} tokens"
        elif not any(high > max(low, 1) for low, high in row.trained_ranges):
            one.reason, one.detail = "no-trained-token", "none of its tokens carries loss"
        else:
            self.lengths.append(size)
            self.trained_tokens += sum(high - low for low, high in row.trained_ranges)
            lasts = [row.ids[high - 1] for _, high in row.trained_ranges]
            self.answers += len(lasts)
            self.endless += sum(last not in self.encoder.special_ids for last in lasts)
            self.ends |= self.encoder.special_ids.intersection(lasts)
            self.begins.add(row.ids.count(self.encoder.tokenizer.bos_token_id))
            self.unknown += row.ids.count(self.encoder.tokenizer.unk_token_id)
