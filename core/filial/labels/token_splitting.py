"""Split a token across the border of an answer: replace it by tokens of its two parts."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from filial.contracts.errors import FilialError

_Range = tuple[int, int]


class Unencodable(FilialError):
    """One row cannot be turned into tokens and a mask. ``reason`` is a slug that is counted."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class TokenSplitter:
    """Splits tokens by the vocabulary alone, so that both parts provably spell their text.

    Args:
        tokenizer: a ``tokenizers.Tokenizer``.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._model = tokenizer, tokenizer.model
        self._anchor = (tokenizer.encode("a", add_special_tokens=False).tokens or [""])[-1]
        self._byte_level = type(tokenizer.decoder).__name__ == "ByteLevel"

    def split(self, ids: list[int], offsets: list[_Range], border: int, text: str) -> tuple[list[int], list[_Range]]:
        """Return the tokens; one across ``border``, if any, is replaced by tokens of its two parts.

        Raises:
            Unencodable: it cannot be split there.
        """
        k = bisect_right(offsets, border, key=lambda o: o[1])
        if k == len(ids) or offsets[k][0] >= border:
            return ids, offsets
        start, end = offsets[k]
        if k + 1 < len(ids) and offsets[k + 1][0] < border:
            raise Unencodable("unprovable-mask", f"several tokens lie across {text[start:end]!r}")
        left, right = self._split_token(ids[k], text[start:border], text[border:end]) or self._split_bytes(
            ids, offsets, k, border, text
        )
        return (
            [*ids[:k], *left, *right, *ids[k + 1 :]],
            [*offsets[:k], *[(start, border)] * len(left), *[(border, end)] * len(right), *offsets[k + 1 :]],
        )

    def _split_token(self, token: int, before: str, after: str) -> tuple[list[int], list[int]] | None:
        """Return ids that spell ``before`` and ``after``, the two parts of a token's text, if there are such ids."""
        piece = self._tokenizer.id_to_token(token)
        for k in range(1, len(piece)):
            left, right = self._model.tokenize(piece[:k]), self._model.tokenize(piece[k:])
            # The tokenizer's own prefix blank may stand before the first part.
            if self._decode(left) in (before, " " + before) and self._decode(right) == after:
                return _ids(left), _ids(right)
        # An unknown token spells nothing, so neither need its parts, if each is the unknown token again.
        left, right = self._model.tokenize(before), self._model.tokenize(after)
        parts = ((left, before), (right, after))
        if all(self._decode(tokens) == part or set(_ids(tokens)) == {token} for tokens, part in parts):
            return _ids(left), _ids(right)
        return None

    def _split_bytes(
        self, ids: list[int], offsets: list[_Range], k: int, border: int, text: str
    ) -> tuple[list[int], list[int]]:
        """Return the two parts of a byte-level token that begins or ends inside a character, by counting bytes."""
        # A token's string has one character per byte. Tokens inside a character overlap: count from the first of them.
        first = k
        while first and offsets[first - 1][1] > offsets[first][0]:
            first -= 1
        spelling = [self._tokenizer.id_to_token(i) for i in ids[first : k + 1]]
        bytes_before = len(text[offsets[first][0] : border].encode()) - sum(map(len, spelling[:-1]))
        left, right = spelling[-1][:bytes_before], spelling[-1][bytes_before:]
        parts = [self._model.tokenize(left), self._model.tokenize(right)] if bytes_before > 0 and right else []
        if self._byte_level and ["".join(t.value for t in tokens) for tokens in parts] == [left, right]:
            return _ids(parts[0]), _ids(parts[1])
        start, end = offsets[k]
        raise Unencodable("unprovable-mask", f"a token across the border in {text[start:end]!r} cannot be split")

    def _decode(self, tokens: list[Any]) -> str:
        """Return the text of some tokens in mid-sentence."""
        decoder, values = self._tokenizer.decoder, [t.value for t in tokens]
        if decoder is None:
            return "".join(values)
        return str(decoder.decode([self._anchor, *values])).removeprefix(decoder.decode([self._anchor]))


def _ids(tokens: list[Any]) -> list[int]:
    return [token.id for token in tokens]
