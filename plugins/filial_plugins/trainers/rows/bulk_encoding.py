"""Encode many rows at once: ids end to end and the ranges of tokens that carry loss, by the rules of `filial.labels`.

Computing offsets is the slow part of tokenization, and a byte-level tokenizer does not need them: its tokens spell the
text byte by byte, so the byte lengths of the tokens give the position of each. This is checked for every row: the
tokens must be as long as the text, and each border of an answer must fall between two tokens. A row that fails the
check, and every row of another kind of tokenizer, is encoded with offsets.

The tokenizer itself can be replaced by a table of words (`word_table`). Then one row in four of the first chunk, one in
a hundred later, and every row with a new character are also given to the tokenizer. The first difference raises
`TableDiffers`, and the caller starts again without the table.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from filial import FilialError, Span
from filial.labels import Encoded, Encoder, Text, Unencodable
from filial_plugins.trainers.rows.spelling import SPACE_MARK, Spelling, find_spelling
from filial_plugins.trainers.rows.word_table import WordTable, find_pattern

if TYPE_CHECKING:
    Ints = np.ndarray[Any, np.dtype[np.int32]]

CHECK_EVERY, CHECK_EVERY_AT_FIRST = 100, 4
INT = np.dtype("<i4")


class TableDiffers(FilialError):
    """The table of words gives other ids than the tokenizer."""


@dataclass(slots=True)
class TokenArrays:
    """Rows of tokens, end to end.

    Attributes:
        ids: (tokens,) int32.
        lengths: (rows,) int32 tokens per row; 0 for a row that could not be encoded.
        trained_ranges: (n, 3) int32, sorted: row, first trained token, and the token after the last trained one.
        failed: row to the reason why it could not be encoded.
    """

    ids: Ints
    lengths: Ints
    trained_ranges: Ints
    failed: dict[int, Unencodable] = field(default_factory=dict)

    def replace_rows(
        self, rows: Mapping[int, tuple[Sequence[int] | np.ndarray, Sequence[tuple[int, int]]]]
    ) -> TokenArrays:
        """Return a copy with other ids and trained ranges for some rows."""
        if not rows:
            return self
        # Copy the stretches between replaced rows as they are, and put the new ids in their places.
        starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        ids: list[Ints] = []
        lengths, at = self.lengths.copy(), 0
        kept = self.trained_ranges[~np.isin(self.trained_ranges[:, 0], list(rows))]
        added = [(row, start, end) for row, (_, ranges) in rows.items() for start, end in ranges]
        for row in sorted(rows):
            ids += [self.ids[starts[at] : starts[row]], np.asarray(rows[row][0], dtype=INT)]
            lengths[row], at = len(rows[row][0]), row + 1
        trained = np.concatenate([kept, np.array(added, dtype=INT).reshape(-1, 3)])
        order = np.lexsort((trained[:, 1], trained[:, 0]))
        return TokenArrays(np.concatenate([*ids, self.ids[starts[at] :]]), lengths, trained[order], self.failed)


class BulkEncoder:
    """Encodes rows in chunks.

    Args:
        table: whether a table of words may replace the tokenizer where its kind allows it.

    Attributes:
        checked: number of rows whose ids were compared with the tokenizer's.
    """

    def __init__(self, encoder: Encoder, *, table: bool = True) -> None:
        self._encoder, self._table = encoder, table
        self._controls: Any = None
        self._words: WordTable | None = None
        self._spelling: Spelling | None = None
        self._seen: set[str] = set()
        self.checked = 0

    @property
    def largest(self) -> int:
        """The largest token id of the vocabulary."""
        return max(self._encoder.controls.copy.get_vocab(with_added_tokens=True).values(), default=0)

    @property
    def engine(self) -> str:
        """What made the ids, in words for the user."""
        return f"word table, equal to the tokenizer on {self.checked} rows" if self._words else "tokenizer"

    def encode(self, rows: Sequence[Sequence[Span]]) -> TokenArrays:
        """Encode the rows of one chunk. Rows that cannot be encoded are in ``failed``.

        Raises:
            UsageError: the spans ask for an end token and the tokenizer has none.
            TableDiffers: the table of words must not be used for this tokenizer and these rows.
        """
        texts = self._encoder.join_spans(rows)
        self._follow_encoder()
        if self._spelling is None:
            return self._encode_by_offsets(texts, range(len(texts)), _make_empty(len(texts)))
        flat = self._encode_by_table(texts) if self._words else self._encode_by_tokenizer(texts)
        return self._encode_by_offsets(texts, self._find_trained(flat, texts), flat)

    def _follow_encoder(self) -> None:
        """Rebuild tables after the encoder has changed its private-use characters because the data contains them."""
        if self._controls is self._encoder.controls:
            return
        self._controls = self._encoder.controls
        self._spelling = find_spelling(self._controls)
        pattern = find_pattern(self._controls.copy) if self._table and self._spelling is not None else None
        self._words = WordTable(self._controls.copy, pattern) if pattern else None

    def _encode_by_table(self, texts: Sequence[Text | Unencodable]) -> TokenArrays:
        """Look the words of each row up. Trained ranges are still empty."""
        assert self._words is not None
        bos = self._pack_bos()
        rows = [
            (bos if t.bos else b"") + self._words(t.private)
            if isinstance(t, Text) and self._keeps_text(t.plain)
            else b""
            for t in texts
        ]
        self._compare_with_tokenizer(texts, rows)
        lengths = np.fromiter(map(len, rows), dtype=INT, count=len(rows)) // 4
        return TokenArrays(np.frombuffer(b"".join(rows), dtype=INT), lengths, _make_empty(0).trained_ranges)

    def _compare_with_tokenizer(self, texts: Sequence[Text | Unencodable], rows: Sequence[bytes]) -> None:
        """Check some rows against the tokenizer.

        Raises:
            TableDiffers: the ids of a row differ.
        """
        every = CHECK_EVERY if self.checked else CHECK_EVERY_AT_FIRST
        sample: list[int] = []
        for i, text in enumerate(texts):
            if not isinstance(text, Text) or not rows[i]:
                continue
            new = set() if text.plain.isascii() else set(text.plain) - self._seen
            if new or i % every == 0:
                sample.append(i)
                self._seen |= new
        for i, ids in zip(sample, self._tokenize([texts[i] for i in sample]), strict=True):
            if ids is not None and ids != rows[i]:
                raise TableDiffers("the word table gave other ids")
        self.checked += len(sample)

    def _encode_by_tokenizer(self, texts: Sequence[Text | Unencodable]) -> TokenArrays:
        """Encode each row without offsets. Trained ranges are still empty."""
        rows = [ids or b"" for ids in self._tokenize(texts)]
        lengths = np.fromiter(map(len, rows), dtype=INT, count=len(rows)) // 4
        return TokenArrays(np.frombuffer(b"".join(rows), dtype=INT), lengths, _make_empty(0).trained_ranges)

    def _tokenize(self, texts: Sequence[Text | Unencodable]) -> list[bytes | None]:
        """Return the ids of each row as int32 bytes; None for all rows if the tokenizer fails on one."""
        good = [t.private for t in texts if isinstance(t, Text)]
        try:
            encoded = iter(self._controls.copy.encode_batch_fast(good, add_special_tokens=False))
        except Exception:
            return [None] * len(texts)
        bos = self._pack_bos()
        return [
            (bos if t.bos else b"") + np.array(next(encoded).ids, dtype=INT).tobytes() if isinstance(t, Text) else None
            for t in texts
        ]

    def _keeps_text(self, plain: str) -> bool:
        """Return whether the tokens of this text spell it unchanged."""
        assert self._spelling is not None
        if plain.isascii():
            return True
        if self._spelling.composes:
            return unicodedata.is_normalized("NFC", plain)
        return self._spelling.space_first is None or SPACE_MARK not in plain

    def _pack_bos(self) -> bytes:
        """Return the id of BOS as int32 bytes; empty if there is none."""
        bos = self._encoder.bos
        return b"" if bos is None else np.array([bos], dtype=INT).tobytes()

    def _find_trained(self, flat: TokenArrays, texts: Sequence[Text | Unencodable]) -> list[int]:
        """Set the trained ranges of the rows whose mask is proved by counting bytes. Returns the other rows.

        A row is proved if

        1. its tokens spell as many bytes as its text has, and
        2. each border of its answers is between two tokens.

        All rows are handled at once, as arrays over rows, over tokens or over borders.
        """
        row_ends = np.cumsum(flat.lengths, dtype=np.int64)
        row_starts = row_ends - flat.lengths  # index of each row's first token
        text_bytes, borders, has_bos = self._measure_texts(texts)
        token_bytes = self._measure_tokens(flat, row_starts, text_bytes, borders, has_bos, texts)
        # Byte at which each token starts, counted over all rows; one more for the end of the last token.
        token_starts = np.concatenate([[0], np.cumsum(token_bytes)])
        spelled = token_starts[row_ends] - token_starts[row_starts]
        proved = (spelled == text_bytes) & (flat.lengths > 0)
        row, low, high = borders.T
        low_byte, high_byte = token_starts[row_starts[row]] + low, token_starts[row_starts[row]] + high
        # The token at each border. Several tokens start at one byte if some stand for no byte (BOS, an added space):
        # they belong to what follows, so a range begins with the last and ends before the first of them.
        first = np.searchsorted(token_starts, low_byte, side="right") - 1
        after = np.minimum(np.searchsorted(token_starts, high_byte, side="left"), len(token_bytes))
        inside_token = (token_starts[first] != low_byte) | (token_starts[after] != high_byte)
        proved[row[inside_token]] = False
        ranges = np.stack([row, first - row_starts[row], after - row_starts[row]], axis=1)
        flat.trained_ranges = ranges[proved[row]].astype(INT)
        return np.flatnonzero(~proved).tolist()

    def _measure_tokens(
        self, flat: TokenArrays, row_starts: Any, text_bytes: Any, borders: Any, has_bos: Any,
        texts: Sequence[Text | Unencodable],
    ) -> Any:  # fmt: skip
        """Return for each token how many bytes of its row's text it stands for.

        Sets ``text_bytes`` to -1 for rows in which that is not certain enough for the mask.
        """
        assert self._spelling is not None
        token_bytes = self._spelling.widths[flat.ids].astype(np.int64)
        token_bytes[row_starts[has_bos & (flat.lengths > 0)]] = 0  # BOS is no part of the text
        if self._spelling.space_first is not None:
            first = row_starts + has_bos
            missing = text_bytes - _sum_rows(token_bytes, flat.lengths)
            with_space = self._find_added_spaces(texts, flat, first, missing)
            # Nor is the added space: the first token stands for one byte less.
            token_bytes[first[with_space]] -= 1
            # An answer at byte 0 would include the space: offsets decide.
            row, low, _ = borders.T
            text_bytes[row[(low == 0) & with_space[row]]] = -1
        return token_bytes

    def _find_added_spaces(
        self, texts: Sequence[Text | Unencodable], flat: TokenArrays, first: Any, missing: Any
    ) -> Any:
        """Return which rows spell one byte more than their text, for a space that the tokenizer added in front.

        A row is left out if the tokenizer could also have added the space behind a special token: it is unknown which.

        Args:
            first: (rows,) index of each row's first token after BOS.
            missing: (rows,) bytes of the text minus bytes of the tokens: -1 is exactly one byte too many.
        """
        assert self._spelling is not None
        assert self._spelling.space_first is not None
        added = np.zeros(len(texts), dtype=bool)
        for i in np.flatnonzero(missing == -1).tolist():
            text = texts[i]
            if isinstance(text, Text) and self._controls.is_one_stretch(text.private):
                added[i] = self._spelling.space_first[flat.ids[first[i]]]
        return added

    def _measure_texts(self, texts: Sequence[Text | Unencodable]) -> tuple[Any, Any, Any]:
        """Measure the texts of the rows in bytes.

        Returns:
            sizes: (rows,) bytes per row; -1 where bytes prove nothing.
            borders: (n, 3) trained byte ranges as row, start, end.
            bos: (rows,) bool, whether the row starts with BOS.
        """
        sizes, bos = np.full(len(texts), -1, dtype=np.int64), np.zeros(len(texts), dtype=bool)
        borders = list[tuple[int, int, int]]()
        for i, text in enumerate(texts):
            if not isinstance(text, Text):
                continue
            plain, bos[i] = text.plain, text.bos and self._encoder.bos is not None
            if plain.isascii():
                sizes[i] = len(plain)
                borders += [(i, start, end) for start, end in text.trained_ranges]
            elif self._keeps_text(plain):
                at = size = 0
                for start, end in text.trained_ranges:
                    low = size + len(plain[at:start].encode())
                    at, size = end, low + len(plain[start:end].encode())
                    borders.append((i, low, size))
                sizes[i] = size + len(plain[at:].encode())
        return sizes, np.array(borders, dtype=np.int64).reshape(-1, 3), bos

    def _encode_by_offsets(
        self, texts: Sequence[Text | Unencodable], rows: Sequence[int], flat: TokenArrays
    ) -> TokenArrays:
        """Encode these rows with offsets and put them into the arrays."""
        done = {}
        for i, made in zip(rows, self._encode_safely([texts[i] for i in rows]), strict=True):
            if isinstance(made, Unencodable):
                flat.failed[i] = made
                done[i] = (cast("list[int]", []), cast("list[tuple[int, int]]", []))
            else:
                done[i] = (made.ids, made.trained_ranges)
        return flat.replace_rows(done)

    def _encode_safely(self, texts: Sequence[Text | Unencodable]) -> list[Encoded | Unencodable]:
        """Encode texts with offsets; if the tokenizer fails, one by one, to find the text on which it fails."""
        try:
            return self._encoder.encode_texts(texts)
        except Exception as error:
            if len(texts) == 1:
                return [Unencodable("not-tokenisable", f"the tokenizer fails on it: {error}")]
            return [self._encode_safely([text])[0] for text in texts]


def _sum_rows(values: Any, lengths: Any) -> Any:
    """Return the sum of the values of each row."""
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return np.diff(np.concatenate([[0], np.cumsum(values)])[ends])


def _make_empty(rows: int) -> TokenArrays:
    """Return arrays of rows without tokens."""
    return TokenArrays(np.empty(0, dtype=INT), np.zeros(rows, dtype=INT), np.empty((0, 3), dtype=INT))
