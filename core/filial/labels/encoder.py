"""Turn spans into token ids and a loss mask.

The rules, in full:

* The whole text, prompt and answer together, is tokenized at once, as the tokenizer itself does it. The mask follows
from character offsets: a token carries loss if its characters are in a trained span.
* Only a token across the border of a trained span is replaced, by tokens of its two parts, from the vocabulary alone:
exactly the answer is trained, and the prompt ends where it ends when the model is asked. If no tokens provably spell
the parts, the row is `Unencodable` ("unprovable-mask").
* ``{bos}`` at the start becomes the tokenizer's BOS if the tokenizer itself adds one there, and nothing otherwise;
``{bos}`` and ``{eos}`` elsewhere stand for the tokens' strings.
* Special tokens come from special spans only. The same characters in other spans are text. Blanks that a special token
includes (``rstrip``) are included here too.
* Nothing is truncated: the caller decides whether a row is too long, and counts it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

from filial.contracts.errors import UsageError
from filial.contracts.kinds import Span
from filial.labels.control_tokens import ControlTokens
from filial.labels.token_splitting import TokenSplitter, Unencodable

CACHE_SIZE = 1000
"""Number of control texts to cache."""
_Range = tuple[int, int]
Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(slots=True)
class Encoded:
    """One tokenized row.

    Attributes:
        trained_ranges: the ranges of tokens that carry loss, as (first, last + 1), in order.
        offsets: for each token its first character in ``text`` and the last + 1; (0, 0) for BOS. Tokens of one
            multi-byte character have the same offsets.
    """

    ids: list[int]
    trained_ranges: list[_Range]
    text: str
    offsets: list[_Range]

    @property
    def mask(self) -> list[bool]:
        """The loss mask: whether each token carries loss."""
        out = [False] * len(self.ids)
        for low, high in self.trained_ranges:
            out[low:high] = [True] * (high - low)
        return out


@dataclass(slots=True)
class Text:
    """A row as one string, ``plain`` for people, ``private`` for the tokenizer; and its trained character ranges."""

    plain: str
    private: str
    trained_ranges: list[_Range]
    bos: bool


class Encoder:
    """Tokenizes rendered records with one fast tokenizer.

    Args:
        tokenizer: a fast tokenizer of transformers. It is never changed.

    Attributes:
        controls: the special tokens and the tokenizer's copy; replaced if data contains private characters of the copy.
        bos: the id that this tokenizer itself puts before a text, or None.
        closing: the special tokens that this tokenizer itself puts after a text, such as T5's end token. No row here
            contains them; what an encoder reads ends with them.

    Raises:
        UsageError: the tokenizer is slow, or cannot be copied.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.controls = ControlTokens(tokenizer)
        self._splitter = TokenSplitter(self.controls.copy)
        self._control = lru_cache(CACHE_SIZE)(self._write_control)  # a template repeats a few of them
        self.bos, self.closing = _find_added_tokens(tokenizer)

    @property
    def special_ids(self) -> frozenset[int]:
        """The ids of all special tokens."""
        return frozenset(self.controls.ids.values())

    def encode(self, spans: Sequence[Span]) -> Encoded:
        """Tokenize one row.

        Raises:
            Unencodable: the text is not valid Unicode, or the mask cannot be proved.
            UsageError: the spans need an end token and the tokenizer has none.
        """
        self._avoid_collisions([spans])
        text = self._join(spans)
        return self._make_row(text, self.controls.copy.encode(text.private, add_special_tokens=False))

    def encode_batch(self, rows: Iterable[Sequence[Span]]) -> list[Encoded | Unencodable]:
        """Tokenize many rows, in parallel if the tokenizer can; for a row that fails, return its error."""
        return self.encode_texts(self.join_spans(list(rows)))

    def join_spans(self, rows: Sequence[Sequence[Span]]) -> list[Text | Unencodable]:
        """Join the spans of each row: the first half of `encode_batch`."""
        self._avoid_collisions(rows)
        return [_attempt(self._join, spans) for spans in rows]

    def encode_texts(self, texts: Sequence[Text | Unencodable]) -> list[Encoded | Unencodable]:
        """Tokenize joined texts and compute their masks: the second half. All must have the same private characters."""
        good = [t for t in texts if isinstance(t, Text)]
        encodings = iter(self.controls.copy.encode_batch([t.private for t in good], add_special_tokens=False))
        return [_attempt(self._make_row, t, next(encodings)) if isinstance(t, Text) else t for t in texts]

    def _avoid_collisions(self, rows: Sequence[Sequence[Span]]) -> None:
        """Choose private characters for the control tokens that do not occur in the data of these rows."""
        while any(self.controls.collides_with(s.text) for spans in rows for s in spans if not s.special):
            self.controls = self.controls.with_next_block(self.tokenizer)
            self._splitter = TokenSplitter(self.controls.copy)
            self._control.cache_clear()

    def _join(self, spans: Sequence[Span]) -> Text:
        plain: list[str] = []
        private: list[str] = []
        trained: list[_Range] = []
        at, bos, written = 0, False, ""
        for i, span in enumerate(spans):
            text = span.text
            if span.special:
                if i == 0 and text.startswith("{bos}"):
                    bos, text = True, text.removeprefix("{bos}")
                text, written = self._control(text)
            if span.train and text:
                if trained and trained[-1][1] == at:
                    trained[-1] = (trained[-1][0], at + len(text))
                else:
                    trained.append((at, at + len(text)))
            at += len(text)
            plain.append(text)
            private.append(written if span.special else text)
        joined = "".join(private)
        try:
            joined.encode()
        except UnicodeEncodeError as error:
            raise Unencodable("not-unicode", f"a lone surrogate at character {error.start}") from None
        return Text("".join(plain), joined, trained, bos)

    def _write_control(self, text: str) -> tuple[str, str]:
        """Write control text with the tokens for ``{bos}`` and ``{eos}``, for people and for the tokenizer."""
        for mark, token in (("{bos}", self.tokenizer.bos_token), ("{eos}", self.tokenizer.eos_token)):
            if mark in text:
                if token is None:
                    raise UsageError(
                        f"the template needs {mark}, but the tokenizer has no {mark[1:-1]} token; set "
                        f'"{mark[1:-1]}_token" in its tokenizer_config.json or choose another template'
                    )
                text = text.replace(mark, token)
        return text, self.controls.to_private(text)

    def _make_row(self, text: Text, encoding: Any) -> Encoded:
        """Split the tokens across the border of an answer, and find those of each answer."""
        ids, offsets = encoding.ids, self._offsets(text, encoding)
        for border in (b for ends in text.trained_ranges for b in ends):
            ids, offsets = self._splitter.split(ids, offsets, border, text.plain)
        bos = [self.bos] if text.bos and self.bos is not None else []
        starts, ends = [s for s, _ in offsets], [e for _, e in offsets]
        trained = []
        for start, end in text.trained_ranges:
            low, high = bisect_right(ends, start), bisect_left(starts, end)
            # A token of no width (the tokenizer's own prefix blank) belongs to the next one.
            while low and starts[low - 1] == start:
                low -= 1
            if low < high:
                trained.append((low + len(bos), high + len(bos)))
        return Encoded([*bos, *ids], trained, text.plain, [*[(0, 0)] * len(bos), *offsets])

    def _offsets(self, text: Text, encoding: Any) -> list[_Range]:
        """Return offsets in which a special token covers its own characters only, not the blanks it includes."""
        if not self.controls.greedy:
            return list(encoding.offsets)
        out = []
        for i, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if i in self.controls.lengths:
                start += len(text.private[start:end]) - len(text.private[start:end].lstrip())
                end = start + self.controls.lengths[i]
            out.append((start, end))
        return out


def encode(spans: Sequence[Span], tokenizer: Any) -> Encoded:
    """Tokenize one row with any fast tokenizer. For many rows, make an `Encoder` and keep it.

    Raises:
        Unencodable: the text is not valid Unicode, or the mask cannot be proved.
        UsageError: the tokenizer is slow, or has no end token and the spans need one.
    """
    return Encoder(tokenizer).encode(spans)


def _attempt(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result | Unencodable:
    try:
        return work(*args, **kwargs)
    except Unencodable as error:
        return error


def _find_added_tokens(tokenizer: Any) -> tuple[int | None, list[int]]:
    """Return what this tokenizer adds to a text: its BOS or None, and the tokens at the end."""
    made = tokenizer("a", add_special_tokens=True, truncation=False, padding=False, return_special_tokens_mask=True)
    ids, added, bos = [int(i) for i in made["input_ids"]], made["special_tokens_mask"], tokenizer.bos_token_id
    end = next((k for k in range(len(ids), 0, -1) if not added[k - 1]), len(ids))
    return (int(bos) if bos is not None and ids[:1] == [bos] else None), ids[end:]
