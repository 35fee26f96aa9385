"""Many rows at once: ids end to end and the ranges of tokens that carry loss, by the rules of `filial.labels`.

Offsets are what makes tokenising slow, and a byte-level tokenizer does not need them: its tokens spell the text byte
by byte, so the lengths of the tokens' spellings say where each one stands. That is proved per row, not assumed: the
spellings must be as long as the text, and every border of an answer must fall between two tokens. A row for which one
of these fails goes the long way by offsets, as every row of another kind of tokenizer does.

The tokenizer itself may be left out, too, for a table of words (`wordtable`). Then one row in four of the first
chunk, one in a hundred after it, and every row with a character not seen before is also given to the tokenizer; the
first difference raises `Differs`, and whoever asked begins anew without the table.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from filial import FilialError, Span
from filial.labels import Encoded, Encoder, Text, Unencodable
from filial_plugins.trainers.rows.spelling import BLANK, Spelling, spelling_of
from filial_plugins.trainers.rows.wordtable import Words, pattern_of

if TYPE_CHECKING:
    Ints = np.ndarray[Any, np.dtype[np.int32]]

EVERY, EVERY_AT_FIRST = 100, 4
INT = np.dtype("<i4")


class Differs(FilialError):
    """The table of words gives other ids than the tokenizer."""


@dataclass(slots=True)
class Flat:
    """Rows of tokens, one after the other.

    Attributes:
        ids: all tokens, int32.
        lengths: tokens per row, int32; 0 for a row that could not be encoded.
        trained: (n, 3) int32, in order: row, its first token that carries loss, the one after the last such.
        failed: why a row could not be encoded.
    """

    ids: Ints
    lengths: Ints
    trained: Ints
    failed: dict[int, Unencodable] = field(default_factory=dict)

    def replaced(self, rows: Mapping[int, tuple[Sequence[int] | np.ndarray, Sequence[tuple[int, int]]]]) -> Flat:
        """The same with other ids and trained ranges for some rows."""
        if not rows:
            return self
        starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        ids: list[Ints] = []
        lengths, at = self.lengths.copy(), 0
        kept = self.trained[~np.isin(self.trained[:, 0], list(rows))]
        added = [(row, start, end) for row, (_, ranges) in rows.items() for start, end in ranges]
        for row in sorted(rows):
            ids += [self.ids[starts[at] : starts[row]], np.asarray(rows[row][0], dtype=INT)]
            lengths[row], at = len(rows[row][0]), row + 1
        trained = np.concatenate([kept, np.array(added, dtype=INT).reshape(-1, 3)])
        order = np.lexsort((trained[:, 1], trained[:, 0]))
        return Flat(np.concatenate([*ids, self.ids[starts[at] :]]), lengths, trained[order], self.failed)


class Bulk:
    """Encodes rows in chunks.

    Args:
        table: whether words may be looked up where the tokenizer is of a kind that allows it.

    Attributes:
        checked: rows whose ids were compared with the tokenizer's.
        engine: what made the ids, in words for the user.
    """

    def __init__(self, encoder: Encoder, *, table: bool = True) -> None:
        self._encoder, self._table = encoder, table
        self._controls: Any = None
        self._words: Words | None = None
        self._spelling: Spelling | None = None
        self._seen: set[str] = set()
        self.checked = 0

    @property
    def largest(self) -> int:
        """The largest id there can be."""
        return max(self._encoder.controls.copy.get_vocab(with_added_tokens=True).values(), default=0)

    @property
    def engine(self) -> str:
        return f"word table, equal to the tokenizer on {self.checked} rows" if self._words else "tokenizer"

    def encode(self, rows: Sequence[Sequence[Span]]) -> Flat:
        """The rows of one chunk. A row that fails is in ``failed``.

        Raises:
            UsageError: the spans ask for an end token and the tokenizer has none.
            Differs: the table of words is not to be used with this tokenizer and these rows.
        """
        texts = self._encoder.joined(rows)
        self._adapt()
        if self._spelling is None:
            return self._by_offsets(texts, range(len(texts)), _empty(len(texts)))
        flat = self._by_words(texts) if self._words else self._by_tokenizer(texts)
        return self._by_offsets(texts, self._marked(flat, texts), flat)

    def _adapt(self) -> None:
        """Follow the encoder, which takes other private characters where the data holds its own."""
        if self._controls is self._encoder.controls:
            return
        self._controls = self._encoder.controls
        self._spelling = spelling_of(self._controls)
        pattern = pattern_of(self._controls.copy) if self._table and self._spelling is not None else None
        self._words = Words(self._controls.copy, pattern) if pattern else None

    def _by_words(self, texts: Sequence[Text | Unencodable]) -> Flat:
        assert self._words is not None
        bos = self._bos()
        rows = [
            (bos if t.bos else b"") + self._words(t.marked) if isinstance(t, Text) and self._stays(t.plain) else b""
            for t in texts
        ]
        self._compare(texts, rows)
        lengths = np.fromiter(map(len, rows), dtype=INT, count=len(rows)) // 4
        return Flat(np.frombuffer(b"".join(rows), dtype=INT), lengths, _empty(0).trained)

    def _compare(self, texts: Sequence[Text | Unencodable], rows: Sequence[bytes]) -> None:
        """Give some rows to the tokenizer as well."""
        every = EVERY if self.checked else EVERY_AT_FIRST
        sample: list[int] = []
        for i, text in enumerate(texts):
            if not isinstance(text, Text) or not rows[i]:
                continue
            new = set() if text.plain.isascii() else set(text.plain) - self._seen
            if new or i % every == 0:
                sample.append(i)
                self._seen |= new
        for i, ids in zip(sample, self._tokenized([texts[i] for i in sample]), strict=True):
            if ids is not None and ids != rows[i]:
                raise Differs("a table of words gave other ids")
        self.checked += len(sample)

    def _by_tokenizer(self, texts: Sequence[Text | Unencodable]) -> Flat:
        rows = [ids or b"" for ids in self._tokenized(texts)]
        lengths = np.fromiter(map(len, rows), dtype=INT, count=len(rows)) // 4
        return Flat(np.frombuffer(b"".join(rows), dtype=INT), lengths, _empty(0).trained)

    def _tokenized(self, texts: Sequence[Text | Unencodable]) -> list[bytes | None]:
        """Packed ids by the tokenizer; None for rows it refuses, which are looked at one by one later."""
        good = [t.marked for t in texts if isinstance(t, Text)]
        try:
            encoded = iter(self._controls.copy.encode_batch_fast(good, add_special_tokens=False))
        except Exception:
            return [None] * len(texts)
        bos = self._bos()
        return [
            (bos if t.bos else b"") + np.array(next(encoded).ids, dtype=INT).tobytes() if isinstance(t, Text) else None
            for t in texts
        ]

    def _stays(self, plain: str) -> bool:
        """Whether the tokens of a text spell it as it stands."""
        assert self._spelling is not None
        if plain.isascii():
            return True
        if self._spelling.composes:
            return unicodedata.is_normalized("NFC", plain)
        return self._spelling.blank is None or BLANK not in plain

    def _bos(self) -> bytes:
        bos = self._encoder.bos
        return b"" if bos is None else np.array([bos], dtype=INT).tobytes()

    def _marked(self, flat: Flat, texts: Sequence[Text | Unencodable]) -> list[int]:
        """Fill in the trained ranges of the rows for which bytes prove them; the other rows."""
        assert self._spelling is not None
        ends = np.cumsum(flat.lengths, dtype=np.int64)
        first = ends - flat.lengths
        sizes, borders, bos = self._borders(texts)
        width = self._spelling.widths[flat.ids].astype(np.int64)
        width[first[bos & (flat.lengths > 0)]] = 0
        row, low, high = borders.T
        if self._spelling.blank is not None:
            added = self._blank_before(texts, flat, first + bos, sizes - _sums(width, flat.lengths))
            width[(first + bos)[added]] -= 1
            sizes[row[(low == 0) & added[row]]] = -1  # that blank is no character of the answer it stands before
        start = np.concatenate([[0], np.cumsum(width)])  # byte where each token starts, and where the last one ends
        base = start[first]
        proved = (start[ends] - base == sizes) & (flat.lengths > 0)
        lows = np.searchsorted(start, base[row] + low, side="right") - 1
        highs = np.minimum(np.searchsorted(start, base[row] + high, side="left"), len(width))
        proved[row[(start[lows] != base[row] + low) | (start[highs] != base[row] + high)]] = False
        keep = proved[row]
        ranges = np.stack([row, lows - first[row], highs - first[row]], axis=1)[keep]
        flat.trained = ranges.astype(INT)
        return np.flatnonzero(~proved).tolist()

    def _blank_before(self, texts: Sequence[Text | Unencodable], flat: Flat, first: Any, missing: Any) -> Any:
        """Rows whose tokens spell one byte more than the text, for a blank that the tokenizer put before it.

        Where it could have put one behind a special token as well, nobody knows which blank it is, and the row is none.
        """
        assert self._spelling is not None
        assert self._spelling.blank is not None
        added = np.zeros(len(texts), dtype=bool)
        for i in np.flatnonzero(missing == -1).tolist():
            text = texts[i]
            if isinstance(text, Text) and self._controls.one_stretch(text.marked):
                added[i] = self._spelling.blank[flat.ids[first[i]]]
        return added

    def _borders(self, texts: Sequence[Text | Unencodable]) -> tuple[Any, Any, Any]:
        """Bytes per row (-1 where bytes prove nothing), trained byte ranges as (row, start, end), rows with a BOS."""
        sizes, bos = np.full(len(texts), -1, dtype=np.int64), np.zeros(len(texts), dtype=bool)
        borders = list[tuple[int, int, int]]()
        for i, text in enumerate(texts):
            if not isinstance(text, Text):
                continue
            plain, bos[i] = text.plain, text.bos and self._encoder.bos is not None
            if plain.isascii():
                sizes[i] = len(plain)
                borders += [(i, start, end) for start, end in text.ranges]
            elif self._stays(plain):
                at = size = 0
                for start, end in text.ranges:
                    low = size + len(plain[at:start].encode())
                    at, size = end, low + len(plain[start:end].encode())
                    borders.append((i, low, size))
                sizes[i] = size + len(plain[at:].encode())
        return sizes, np.array(borders, dtype=np.int64).reshape(-1, 3), bos

    def _by_offsets(self, texts: Sequence[Text | Unencodable], rows: Sequence[int], flat: Flat) -> Flat:
        """Encode these rows the long way."""
        done = {}
        for i, made in zip(rows, self._finished([texts[i] for i in rows]), strict=True):
            if isinstance(made, Unencodable):
                flat.failed[i] = made
                done[i] = (cast("list[int]", []), cast("list[tuple[int, int]]", []))
            else:
                done[i] = (made.ids, made.runs)
        return flat.replaced(done)

    def _finished(self, texts: Sequence[Text | Unencodable]) -> list[Encoded | Unencodable]:
        """By offsets; where the tokenizer fails on the lot, one by one, to find the row it fails on."""
        try:
            return self._encoder.finished(texts)
        except Exception as error:
            if len(texts) == 1:
                return [Unencodable("not-tokenisable", f"the tokenizer fails on it: {error}")]
            return [self._finished([text])[0] for text in texts]


def _sums(values: Any, lengths: Any) -> Any:
    """The sum of the values of each row."""
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return np.diff(np.concatenate([[0], np.cumsum(values)])[ends])


def _empty(rows: int) -> Flat:
    return Flat(np.empty(0, dtype=INT), np.zeros(rows, dtype=INT), np.empty((0, 3), dtype=INT))
