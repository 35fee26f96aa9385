"""What a row looks like to a model: its tokens, piece by piece, and which of them carry loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from filial.components import Span
from filial.labels import Encoder


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of a rendered row.

    ``text`` is what it adds to the text read so far: all pieces together spell the text. It is empty for BOS and for
    the later tokens of a character that takes several. ``token`` is the vocabulary's own spelling.
    """

    text: str
    token: str
    id: int
    trained: bool
    special: bool


def pieces(spans: Sequence[Span], tokenizer: Any) -> list[Piece]:
    """The tokens of a rendered record, in order.

    Blanks that the tokenizer throws away stand before the next token's text.

    Raises:
        Unencodable: the row cannot be turned into tokens and a mask.
        UsageError: the tokenizer is slow, or has no end token where the spans ask for one.
    """
    encoder = Encoder(tokenizer)
    row, special = encoder.encode(spans), encoder.special_ids
    tokens = tokenizer.convert_ids_to_tokens(row.ids)
    out: list[Piece] = []
    read = 0
    for i, (_, end) in enumerate(row.offsets):
        last = i == len(row.ids) - 1
        reach = len(row.text) if last else max(read, end)
        out.append(Piece(row.text[read:reach], tokens[i], row.ids[i], row.trained[i], row.ids[i] in special))
        read = reach
    return out
