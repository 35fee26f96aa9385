"""From spans to token ids and a loss mask.

The rules, in full:

* The whole text is tokenised once, as the tokenizer itself would, and the mask follows from character offsets. Prompt
  and answer are never tokenised apart.
* A token carries loss if any of its characters lies in a trained span. A token that would lie across the border of a
  trained span is cut there, each part tokenised by the vocabulary alone: exactly the answer is trained, and the
  prompt ends where it ends when the model is asked. A token that cannot be cut so that both parts provably spell
  their text makes the row `Unencodable` ("unprovable-mask").
* ``{bos}`` at the start becomes the tokenizer's BOS if the tokenizer puts one there by itself, and nothing otherwise;
  ``{bos}`` and ``{eos}`` elsewhere stand for the tokens' strings.
* Special tokens come from special spans alone. The same characters in other spans are text. The blanks that some
  special tokens swallow (``rstrip``) are swallowed here too.
* Nothing is truncated: whether a row is too long is for the caller to decide and to count.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from filial.components import Span
from filial.controls import Controls
from filial.errors import FilialError, UsageError

IGNORE = -100
_Range = tuple[int, int]


class Unencodable(FilialError):
    """One row cannot be turned into tokens and a mask. ``reason`` is a slug that is counted."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(slots=True)
class Encoded:
    """One row, tokenised.

    ``trained[i]`` says whether token ``ids[i]`` carries loss; ``offsets[i]`` is its first character
    in ``text`` and the one after its last ((0, 0) for BOS). Tokens of one multi-byte character share its offsets.
    """

    ids: list[int]
    trained: list[bool]
    offsets: list[_Range]
    text: str

    @property
    def labels(self) -> list[int]:
        """The ids, with -100 where there is no loss (not shifted)."""
        return [i if t else IGNORE for i, t in zip(self.ids, self.trained, strict=True)]


@dataclass(slots=True)
class _Text:
    """A row as one string: ``marked`` for the tokenizer, ``plain`` for people; trained character ranges."""

    plain: str
    marked: str
    ranges: list[_Range]
    bos: bool


class Encoder:
    """Tokenises rendered records with one fast tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers. It is read, never changed.

    Raises:
        UsageError: the tokenizer is slow, or cannot be copied.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._controls = Controls(tokenizer)
        self._model = self._controls.copy.model
        self._anchor = (self._controls.copy.encode("a", add_special_tokens=False).tokens or [""])[-1]
        self._byte_level = type(self._controls.copy.decoder).__name__ == "ByteLevel"
        self._bos = _habitual_bos(tokenizer)

    @property
    def special_ids(self) -> frozenset[int]:
        """The ids of all special tokens."""
        return frozenset(self._controls.ids.values())

    def encode(self, spans: Sequence[Span]) -> Encoded:
        """One row.

        Raises:
            Unencodable: the text is no Unicode text, or the mask cannot be shown to be right.
            UsageError: the spans ask for an end token and the tokenizer has none.
        """
        self._make_room([spans])
        text = self._joined(spans)
        return self._finished(text, self._controls.copy.encode(text.marked, add_special_tokens=False))

    def encode_batch(self, rows: Iterable[Sequence[Span]]) -> list[Encoded | Unencodable]:
        """Many rows, in parallel where the tokenizer can; a row that fails takes its error's place."""
        rows = list(rows)
        self._make_room(rows)
        texts: list[_Text | Unencodable] = []
        for spans in rows:
            try:
                texts.append(self._joined(spans))
            except Unencodable as error:
                texts.append(error)
        good = [t for t in texts if isinstance(t, _Text)]
        encodings = iter(self._controls.copy.encode_batch([t.marked for t in good], add_special_tokens=False))
        out: list[Encoded | Unencodable] = []
        for text in texts:
            try:
                out.append(self._finished(text, next(encodings)) if isinstance(text, _Text) else text)
            except Unencodable as error:
                out.append(error)
        return out

    def _make_room(self, rows: Sequence[Sequence[Span]]) -> None:
        """Choose private characters for the control tokens that no data of these rows holds."""
        while any(self._controls.taken(s.text) for spans in rows for s in spans if not s.special):
            self._controls = self._controls.shifted(self.tokenizer)
            self._model = self._controls.copy.model

    def _joined(self, spans: Sequence[Span]) -> _Text:
        plain: list[str] = []
        marked: list[str] = []
        ranges: list[_Range] = []
        at, bos = 0, False
        for i, span in enumerate(spans):
            text = span.text
            if span.special:
                if i == 0 and text.startswith("{bos}"):
                    bos, text = True, text.removeprefix("{bos}")
                text = self._named(text)
            if span.train and text:
                if ranges and ranges[-1][1] == at:
                    ranges[-1] = (ranges[-1][0], at + len(text))
                else:
                    ranges.append((at, at + len(text)))
            at += len(text)
            plain.append(text)
            marked.append(self._controls.marked(text) if span.special else text)
        joined = "".join(marked)
        try:
            joined.encode()
        except UnicodeEncodeError as error:
            raise Unencodable("not-unicode", f"a lone surrogate at character {error.start}") from None
        return _Text("".join(plain), joined, ranges, bos)

    def _named(self, text: str) -> str:
        """Control text with ``{bos}`` and ``{eos}`` spelled out."""
        for mark, token in (("{bos}", self.tokenizer.bos_token), ("{eos}", self.tokenizer.eos_token)):
            if mark in text:
                if token is None:
                    raise UsageError(
                        f"the template needs {mark}, but the tokenizer has no {mark[1:-1]} token; set "
                        f'"{mark[1:-1]}_token" in its tokenizer_config.json or choose another template'
                    )
                text = text.replace(mark, token)
        return text

    def _finished(self, text: _Text, encoding: Any) -> Encoded:
        ids, offsets = encoding.ids, encoding.offsets
        if self._controls.greedy:
            offsets = self._unswallowed(ids, offsets, text.marked)
        for border in (b for ends in text.ranges for b in ends):
            ids, offsets = self._cut(ids, offsets, border, text.plain)
        starts, ends = [s for s, _ in offsets], [e for _, e in offsets]
        trained = [False] * len(ids)
        for start, end in text.ranges:
            low, high = bisect_right(ends, start), bisect_left(starts, end)
            # A token of no width (a prefix blank of the tokenizer's own) belongs to what follows it.
            while low and starts[low - 1] == start:
                low -= 1
            trained[low:high] = [True] * (high - low)
        if text.bos and self._bos is not None:
            ids, offsets, trained = [self._bos, *ids], [(0, 0), *offsets], [False, *trained]
        return Encoded(ids, trained, offsets, text.plain)

    def _unswallowed(self, ids: list[int], offsets: list[_Range], marked: str) -> list[_Range]:
        """Offsets in which a special token covers its own characters, not the blanks it swallowed."""
        out = []
        for i, (start, end) in zip(ids, offsets, strict=True):
            if i in self._controls.lengths:
                start += len(marked[start:end]) - len(marked[start:end].lstrip())
                end = start + self._controls.lengths[i]
            out.append((start, end))
        return out

    def _cut(self, ids: list[int], offsets: list[_Range], border: int, text: str) -> tuple[list[int], list[_Range]]:
        """The tokens with the one that lies across ``border``, if any, replaced by tokens of its two parts."""
        k = bisect_right(offsets, border, key=lambda o: o[1])
        if k == len(ids) or offsets[k][0] >= border:
            return ids, offsets
        start, end = offsets[k]
        if k + 1 < len(ids) and offsets[k + 1][0] < border:
            raise Unencodable("unprovable-mask", f"several tokens lie across {text[start:end]!r}")
        left, right = self._parts(ids[k], text[start:border], text[border:end]) or self._bytes_cut(
            ids, offsets, k, border, text
        )
        return (
            [*ids[:k], *left, *right, *ids[k + 1 :]],
            [*offsets[:k], *[(start, border)] * len(left), *[(border, end)] * len(right), *offsets[k + 1 :]],
        )

    def _parts(self, token: int, before: str, after: str) -> tuple[list[int], list[int]] | None:
        """Ids that spell ``before`` and ``after``, the two parts of a token's text, where there are such."""
        piece = self._controls.copy.id_to_token(token)
        for k in range(1, len(piece)):
            left, right = self._model.tokenize(piece[:k]), self._model.tokenize(piece[k:])
            # The tokenizer's own prefix blank may stand before the first part.
            if self._spelled(left) in (before, " " + before) and self._spelled(right) == after:
                return _ids(left), _ids(right)
        left, right = self._model.tokenize(before), self._model.tokenize(after)
        parts = ((left, before), (right, after))
        if all(self._spelled(tokens) == part or set(_ids(tokens)) == {token} for tokens, part in parts):
            return _ids(left), _ids(right)
        return None

    def _bytes_cut(
        self, ids: list[int], offsets: list[_Range], k: int, border: int, text: str
    ) -> tuple[list[int], list[int]]:
        """The two parts of a byte-level token that begins or ends within a character, found by counting bytes."""
        first = k
        while first and offsets[first - 1][1] > offsets[first][0]:
            first -= 1
        spelling = [self._controls.copy.id_to_token(i) for i in ids[first : k + 1]]
        at = len(text[offsets[first][0] : border].encode()) - sum(map(len, spelling[:-1]))
        left, right = spelling[-1][:at], spelling[-1][at:]
        cut = [self._model.tokenize(left), self._model.tokenize(right)] if at > 0 and right else []
        if self._byte_level and ["".join(t.value for t in tokens) for tokens in cut] == [left, right]:
            return _ids(cut[0]), _ids(cut[1])
        start, end = offsets[k]
        raise Unencodable("unprovable-mask", f"a token lies across the border in {text[start:end]!r} and cannot be cut")

    def _spelled(self, tokens: list[Any]) -> str:
        """The text of some tokens in mid-sentence."""
        decoder, values = self._controls.copy.decoder, [t.value for t in tokens]
        if decoder is None:
            return "".join(values)
        return str(decoder.decode([self._anchor, *values])).removeprefix(decoder.decode([self._anchor]))


def encode(spans: Sequence[Span], tokenizer: Any) -> Encoded:
    """One row with any fast tokenizer. For more than one, make an `Encoder` and keep it.

    Raises:
        Unencodable: the text is no Unicode text, or the mask cannot be shown to be right.
        UsageError: the tokenizer is slow, or has no end token where the spans ask for one.
    """
    return Encoder(tokenizer).encode(spans)


def _ids(tokens: list[Any]) -> list[int]:
    return [token.id for token in tokens]


def _habitual_bos(tokenizer: Any) -> int | None:
    """The BOS this tokenizer puts before a text when it is asked to add special tokens, or None."""
    bos = tokenizer.bos_token_id
    if bos is None:
        return None
    ids = tokenizer("a", add_special_tokens=True, truncation=False, padding=False)["input_ids"]
    return int(bos) if ids[:1] == [bos] else None
