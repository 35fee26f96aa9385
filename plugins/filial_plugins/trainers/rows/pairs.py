"""From records to pairs: what an encoder reads, and what a decoder is to write.

A pair is one `Row` like any other: the tokens of the input, then those of the answer, with the answer's as targets.
So the first target is where the answer begins, and store, steps and books need not know of pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from filial import BEGIN, Record, Span, Template, UsageError
from filial.labels import Encoder, Unencodable
from filial_plugins.trainers.rows.over_long import OverLong
from filial_plugins.trainers.rows.preparing import ENDS
from filial_plugins.trainers.rows.store import Account, Row, TokenStore, Writer
from filial_plugins.trainers.rows.trainable import left_out, untrainable

CHUNK = 1000
Spans = Sequence[Span]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tokens an encoder reads and a decoder writes at most, and what happens to more.

    ``drop`` leaves the pair out; ``cut-answer`` keeps the beginning of an answer, without an end, for it has none
    there; ``cut-oldest-turns`` leaves out the first exchanges of a conversation until its input fits. What does not
    fit even then is left out.
    """

    max_input: int
    max_output: int
    over_long: OverLong


@dataclass(frozen=True, slots=True)
class Lost:
    """A pair, or a whole record, that is not trained on: a reason to count, and where."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Tokens of an input and of its answer.

    Attributes:
        cut: the policy that made them fit.
        noticed: what is worth a look: ``end-token-in-answer`` (its text ends with the end of some format),
            ``lossy-answer`` (its tokens do not spell it), and what the template leaves out (`left_out`).
    """

    name: str
    read: list[int]
    written: list[int]
    cut: str = ""
    noticed: tuple[str, ...] = ()

    @property
    def row(self) -> Row:
        """Both as one row."""
        ids = np.array([*self.read, *self.written], dtype=np.int32)
        return Row(ids, np.arange(len(self.read), len(ids)))


def prepare(
    records: Iterable[Record | str], template: Template, encoder: Encoder, limits: Limits, folder: Path
) -> TokenStore:
    """The pairs of some records as a store in ``folder``; arguments as for `pairs`. Every pair that is left out, and
    every record without one, is counted.

    Raises:
        UsageError: the data cannot be read, or the tokenizer lacks a token that is needed.
        FilialError: the store cannot be written.
    """
    account, made = Account(), pairs(records, template, encoder, limits)
    with Writer(folder, max(encoder.tokenizer.get_vocab().values())) as writer:
        while chunk := list(islice(made, CHUNK)):
            good = [pair for pair in chunk if isinstance(pair, Pair)]
            for pair in chunk:
                if isinstance(pair, Lost):
                    account.drop(pair.reason, pair.detail)
                    continue
                if pair.cut:
                    account.change(pair.cut, pair.name)
                for what in pair.noticed:
                    account.notice(what, pair.name)
                writer.ends |= encoder.special_ids & {pair.written[-1]}
            rows = [pair.row for pair in good]
            trained = [(i, len(pair.read), len(row.ids)) for i, (pair, row) in enumerate(zip(good, rows, strict=True))]
            if rows:
                lengths = np.array([len(row.ids) for row in rows])
                writer.add(np.concatenate([row.ids for row in rows]), lengths, np.array(trained))
        return writer.finish(account, "tokenizer")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A pair in spans. ``record`` ends with the answer that is to be written; ``left`` is what the template leaves out
    of the whole, told with the last of its pairs."""

    name: str
    record: Record
    prompt: Spans
    answer: Spans
    left: tuple[str, ...]


def pairs(
    records: Iterable[Record | str], template: Template, encoder: Encoder, limits: Limits
) -> Iterator[Pair | Lost]:
    """The pairs of some records, in their order: one for every answer that the template trains.

    The input is what the template writes before that answer, closed as the tokenizer closes a text by itself; the
    answer is what it trains there, without blanks before it (some formats put one between prompt and answer), and
    with an end token. Input and answer are tokenised each by itself, as the model reads them.

    Args:
        records: a string is what was wrong with a line.
        template: bound to the encoder's tokenizer.
    """
    stream = enumerate(records, 1)
    while chunk := list(islice(stream, CHUNK)):
        asked = [pair for number, record in chunk for pair in _asked(number, record, template)]
        good = [pair for pair in asked if isinstance(pair, _Asked)]
        inputs = iter(encoder.encode_batch(pair.prompt for pair in good))
        answers = iter(encoder.encode_batch(pair.answer for pair in good))
        for pair in asked:
            if isinstance(pair, Lost):
                yield pair
                continue
            read, written = next(inputs), next(answers)
            if isinstance(read, Unencodable):
                yield Lost(read.reason, f"{pair.name}: {read.detail}")
            elif isinstance(written, Unencodable):
                yield Lost(written.reason, f"{pair.name}: {written.detail}")
            else:
                yield _fitted(pair, read.ids + encoder.closing, _ended(written.ids, encoder), template, encoder, limits)


def _asked(number: int, record: Record | str, template: Template) -> Iterator[_Asked | Lost]:
    if isinstance(record, str):
        yield Lost("bad-line", record)
        return
    name = f"record {record.id or number}"
    if reason := untrainable(record):
        yield Lost(reason, name)
        return
    trained = [
        i for i, turn in enumerate(record.turns())
        if turn.role == "assistant" and turn.content and turn.train is not False
    ]  # fmt: skip
    try:
        spans = template.render(record)
    except UsageError as error:
        yield Lost("not-renderable", f"{name}: {error}")
        return
    except Exception as error:
        yield Lost("template-failed", f"{name}: {type(error).__name__}: {error}")
        return
    stretches = _stretches(spans)
    if not stretches:
        yield Lost("no-trained-token", name)
        return
    # A template that trains fewer answers than there are trains the last.
    for turn, (prompt, answer) in zip(trained[-len(stretches) :], stretches, strict=True):
        upto = record.replaced(messages=record.messages[: turn + 1]) if record.messages else record
        left = tuple(left_out(record, spans)) if turn == trained[-1] else ()
        yield _Asked(name, upto, prompt, answer, left)


def _stretches(spans: Spans) -> list[tuple[Spans, Spans]]:
    """Every trained stretch of a text, with what stands before it."""
    found: list[tuple[Spans, Spans]] = []
    for i, span in enumerate(spans):
        if span.train and (not i or not spans[i - 1].train):
            end = next((k for k in range(i, len(spans)) if not spans[k].train), len(spans))
            before = [Span(s.text, special=s.special) for s in spans[:i]]
            found.append((before, [BEGIN, *_without_leading_blanks(spans[i:end])]))
    return found


def _without_leading_blanks(spans: Spans) -> list[Span]:
    out: list[Span] = []
    for span in spans:
        text = span.text if out else span.text.lstrip()
        if text:
            out.append(Span(text, train=True, special=span.special))
    return out


def _ended(ids: list[int], encoder: Encoder) -> list[int]:
    """An answer with an end token, also where the template writes none.

    Raises:
        UsageError: the template writes none and the tokenizer has none.
    """
    if ids and ids[-1] in encoder.special_ids:
        return ids
    end = encoder.tokenizer.eos_token_id
    if end is None:
        raise UsageError('the tokenizer has no end token; set "eos_token" in its tokenizer_config.json')
    return [*ids, end]


def _fitted(
    pair: _Asked, read: list[int], written: list[int], template: Template, encoder: Encoder, limits: Limits
) -> Pair | Lost:
    """The pair, cut if it must be and may be."""
    record, how = pair.record, ""
    while len(read) > limits.max_input:
        shorter = _without_oldest(record) if limits.over_long == "cut-oldest-turns" else None
        if shorter is None:
            return Lost("input-too-long", f"{pair.name}: {len(read)} tokens, max_input is {limits.max_input}")
        record, how = shorter, "cut-oldest-turns"
        try:
            read = encoder.encode(_stretches(template.render(record))[-1][0]).ids + encoder.closing
        except UsageError as error:
            return Lost("not-renderable", f"{pair.name}: {error}")
    noticed = (*pair.left, *_noticed(pair.answer, written, encoder))
    if len(written) > limits.max_output:
        if limits.over_long != "cut-answer":
            most = limits.max_output
            return Lost("answer-too-long", f"{pair.name}: {len(written)} tokens, max_output is {most}")
        written, how = written[: limits.max_output], "cut-answer"
    if not read:
        return Lost("no-question", f"{pair.name}: the tokenizer makes no token of it")
    return Pair(pair.name, read, written, how, noticed)


def _noticed(answer: Spans, written: list[int], encoder: Encoder) -> tuple[str, ...]:
    text = "".join(span.text for span in answer if not span.special)
    spelled = encoder.tokenizer.decode(
        [i for i in written if i not in encoder.special_ids], clean_up_tokenization_spaces=False
    )
    foreign, lossy = text.endswith(ENDS), bool(spelled.strip() != text.strip())
    return ("end-token-in-answer",) * foreign + ("lossy-answer",) * lossy


def _without_oldest(record: Record) -> Record | None:
    """The conversation without its first exchange, its system text kept; None where only one exchange is left."""
    turns = record.messages
    start = 1 if turns and turns[0].role == "system" else 0
    for i in range(start + 1, len(turns)):
        if turns[i].role == "user" and turns[i - 1].role != "user":
            return record.replaced(messages=turns[:start] + turns[i:])
    return None
