"""Split long conversations, so that they fit into a model's context."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from filial import Context, Drop, Field, Generator, InputFile, Message, Origin, Record, hookimpl
from filial_plugins.local.pretrained import load_tokenizer
from filial_plugins.texts import count_words

Measure = Callable[[str], int]


@dataclass(slots=True)
class ConversationPart:
    """Some exchanges of a conversation that follow each other, and their length in tokens."""

    turns: list[Message] = field(default_factory=list)
    length: int = 0


class SplitLong(Generator):
    """Split conversations over a length limit between two exchanges; shorter ones pass unchanged.

    A piece contains as many exchanges as possible. An exchange is a question, calls and results of tools, and the
    answer. A system text is repeated at the beginning of each piece and counts toward its length. The pieces are new
    records, whose parent is the conversation; the conversation itself is dropped as ``split``. A question after the
    last answer is left out.

    A turn's length is its tokens, including the tokenizer's own begin token, and ``turn_tokens`` for what a template
    adds, as in lm-sys/FastChat (fastchat/data/split_long_conversation.py, Apache-2.0). Unlike in FastChat, a last pair
    that does not fit is kept, and a first pair that is too long makes no empty piece. Without a tokenizer, tokens are
    estimated from words, or characters in scripts without blanks.
    """

    asks = False
    consumes = True

    max_tokens: int = Field(2048, ge=1, description="Maximum tokens of a piece.")
    tokenizer: InputFile | None = Field(
        None, description="Folder or hub id (hf:NAME) of the tokenizer that counts; without one, words are counted."
    )
    tokens_per_word: float = Field(1.5, gt=0, description="Without a tokenizer: tokens per word.")
    turn_tokens: int = Field(6, ge=0, description="Tokens added for each turn.")
    over_long: Literal["keep", "drop"] = Field(
        "keep",
        description="An exchange over the limit becomes a separate piece, or a drop (exchange-too-long).",
    )

    async def generate(self, seeds: Sequence[Record], ctx: Context) -> AsyncIterator[Record | Drop]:
        measure = self._make_measure()
        for record in seeds:
            for result in self._split(record, measure):
                yield result

    def _make_measure(self) -> Measure:
        """Return a function that counts the tokens of a text."""
        if self.tokenizer is None:
            return lambda text: round(self.tokens_per_word * count_words(text))
        encode = load_tokenizer(self.tokenizer.removeprefix("hf:"))
        return lambda text: len(encode(_replace_surrogates(text), verbose=False)["input_ids"])

    def _split(self, record: Record, measure: Measure) -> Iterator[Record | Drop]:
        """Yield the record if it fits; otherwise its parts, and then its drop."""
        system, exchanges, rest = _split_exchanges(record.turns())
        lengths = [self._count_tokens(turns, measure) for turns in exchanges]
        before = self._count_tokens(system, measure)
        whole = before + sum(lengths)
        if not rest and len(exchanges) == 1 and whole > self.max_tokens and self.over_long == "drop":
            yield self._drop_too_long(whole, record)
            return
        if not exchanges or (not rest and (len(exchanges) == 1 or whole <= self.max_tokens)):
            yield record
            return
        made = 0
        for piece in self._pack_exchanges(exchanges, lengths, self.max_tokens - before):
            part = _make_record(record, [*system, *piece.turns])
            total = before + piece.length
            if total > self.max_tokens and self.over_long == "drop":
                yield self._drop_too_long(total, part)
            else:
                yield part
                made += 1
        left = "; a question without an answer is left out" if rest else ""
        yield Drop("split", f"into {made} piece{'' if made == 1 else 's'}{left}", record=record)

    def _drop_too_long(self, length: int, record: Record) -> Drop:
        return Drop("exchange-too-long", f"{length} tokens, at most {self.max_tokens} wanted", record=record)

    def _count_tokens(self, turns: Sequence[Message], measure: Measure) -> int:
        return sum(measure(turn.content) + self.turn_tokens for turn in turns)

    def _pack_exchanges(
        self, exchanges: list[list[Message]], lengths: list[int], room: int
    ) -> Iterator[ConversationPart]:
        """Yield parts of as many exchanges as fit into ``room`` tokens.

        An exchange that is longer is a part of its own.
        """
        piece = ConversationPart()
        for turns, length in zip(exchanges, lengths, strict=True):
            if piece.turns and piece.length + length > room:
                yield piece
                piece = ConversationPart()
            piece.turns += turns
            piece.length += length
        yield piece


def _split_exchanges(turns: Sequence[Message]) -> tuple[list[Message], list[list[Message]], list[Message]]:
    """Split turns into the system text, the exchanges, and the turns after the last answer.

    An exchange is a question with all turns up to the next question. Turns before the first question belong to the
    first exchange.
    """
    first = 1 if turns[0].role == "system" else 0
    system, rest = list(turns[:first]), list(turns[first:])
    last = next((i for i in range(len(rest), 0, -1) if rest[i - 1].role != "user"), 0)
    out: list[list[Message]] = []
    asked = False
    for turn in rest[:last]:
        if not out or (turn.role == "user" and asked):
            out.append([])
        asked = asked or turn.role == "user"
        out[-1].append(turn)
    return system, out, rest[last:]


def _make_record(record: Record, turns: Sequence[Message]) -> Record:
    """Return a piece of a conversation."""
    origin = Origin(parents=(record.id,) if record.id else (), round=record.origin.round)
    return Record(
        messages=tuple(turns), tools=record.tools, label=record.label, task=record.task, tags=record.tags,
        extra=record.extra, origin=origin,
    )  # fmt: skip


def _replace_surrogates(text: str) -> str:
    """Return the text with lone surrogates replaced; no tokenizer takes them."""
    return text.encode("utf-8", "replace").decode()


@hookimpl
def register_generators(register: Callable[[str, type[Generator]], None]) -> None:
    register("split-long", SplitLong)
