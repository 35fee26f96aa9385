"""Convert records to pairs: what an encoder reads, and what a decoder has to write.

A pair is stored as an ordinary `Row`: the tokens of the input, then those of the answer, which are trained.
The first trained position is therefore the start of the answer, and store, steps and counts need no special case for
pairs.
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
from filial_plugins.trainers.rows.preparation import FOREIGN_ENDS
from filial_plugins.trainers.rows.store import PreparationReport, Row, StoreWriter, TokenStore
from filial_plugins.trainers.rows.trainable import find_drop_reason, find_omissions

CHUNK = 1000
Spans = Sequence[Span]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tokens an encoder reads and a decoder writes at most, and what happens to longer pairs.

    ``drop`` drops the pair; ``cut-answer`` keeps the beginning of an answer, without an end token; ``cut-oldest-turns``
    removes the first exchanges of a conversation until its input fits. A pair that still does not fit is dropped.
    """

    max_input: int
    max_output: int
    over_long: OverLong


@dataclass(frozen=True, slots=True)
class DroppedPair:
    """A pair, or a whole record, that is not trained on: the reason to count, and which record."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Tokens of an input and of its answer.

    Attributes:
        policy: the policy that made them fit; empty if they fit anyway.
        notices: what to check: ``end-token-in-answer`` (its text ends with the end token of another format),
            ``lossy-answer`` (its tokens do not spell it), and what the template omits (`find_omissions`).
    """

    name: str
    input_ids: list[int]
    answer_ids: list[int]
    policy: str = ""
    notices: tuple[str, ...] = ()

    @property
    def row(self) -> Row:
        """The pair as one row."""
        ids = np.array([*self.input_ids, *self.answer_ids], dtype=np.int32)
        return Row(ids, np.arange(len(self.input_ids), len(ids)))


def write_pairs(
    records: Iterable[Record | str], template: Template, encoder: Encoder, limits: Limits, folder: Path
) -> TokenStore:
    """Write the pairs of some records to a store in ``folder``; arguments as for `make_pairs`.

    Every pair that is dropped, and every record without one, is counted.

    Raises:
        UsageError: the data cannot be read, or the tokenizer lacks a token that is needed.
        FilialError: the store cannot be written.
    """
    report, made = PreparationReport(), make_pairs(records, template, encoder, limits)
    with StoreWriter(folder, max(encoder.tokenizer.get_vocab().values())) as writer:
        while chunk := list(islice(made, CHUNK)):
            good = [pair for pair in chunk if isinstance(pair, Pair)]
            for pair in chunk:
                if isinstance(pair, DroppedPair):
                    report.drop(pair.reason, pair.detail)
                    continue
                if pair.policy:
                    report.change(pair.policy, pair.name)
                for what in pair.notices:
                    report.notice(what, pair.name)
                writer.ends |= encoder.special_ids & {pair.answer_ids[-1]}
            rows = [pair.row for pair in good]
            trained = [
                (i, len(pair.input_ids), len(row.ids)) for i, (pair, row) in enumerate(zip(good, rows, strict=True))
            ]
            if rows:
                lengths = np.array([len(row.ids) for row in rows])
                writer.add(np.concatenate([row.ids for row in rows]), lengths, np.array(trained))
        return writer.finish(report, "tokenizer")


@dataclass(frozen=True, slots=True)
class _PairSpans:
    """A pair as spans.

    Attributes:
        record: ends with the answer that is to be written.
        left: what the template omits from the whole record; set for the last pair of a record only.
    """

    name: str
    record: Record
    prompt: Spans
    answer: Spans
    left: tuple[str, ...]


def make_pairs(
    records: Iterable[Record | str], template: Template, encoder: Encoder, limits: Limits
) -> Iterator[Pair | DroppedPair]:
    """Make the pairs of some records, in their order: one for every answer that the template trains.

    The input is what the template writes before that answer, ended as the tokenizer ends a text by itself. The answer
    is what the template trains there, without spaces before it (some formats put one between prompt and answer), and
    with an end token. Input and answer are tokenized separately, as the model reads them.

    Args:
        records: a string is the description of a bad line.
        template: bound to the encoder's tokenizer.
    """
    stream = enumerate(records, 1)
    while chunk := list(islice(stream, CHUNK)):
        asked = [pair for number, record in chunk for pair in _split_record(number, record, template)]
        good = [pair for pair in asked if isinstance(pair, _PairSpans)]
        inputs = iter(encoder.encode_batch(pair.prompt for pair in good))
        answers = iter(encoder.encode_batch(pair.answer for pair in good))
        for pair in asked:
            if isinstance(pair, DroppedPair):
                yield pair
                continue
            read, written = next(inputs), next(answers)
            if isinstance(read, Unencodable):
                yield DroppedPair(read.reason, f"{pair.name}: {read.detail}")
            elif isinstance(written, Unencodable):
                yield DroppedPair(written.reason, f"{pair.name}: {written.detail}")
            else:
                yield _fit_pair(
                    pair, read.ids + encoder.closing, _add_end_token(written.ids, encoder), template, encoder, limits
                )


def _split_record(number: int, record: Record | str, template: Template) -> Iterator[_PairSpans | DroppedPair]:
    """Split a record into pairs of spans, one for each trained answer."""
    if isinstance(record, str):
        yield DroppedPair("bad-line", record)
        return
    name = f"record {record.id or number}"
    if reason := find_drop_reason(record):
        yield DroppedPair(reason, name)
        return
    trained = [
        i for i, turn in enumerate(record.turns())
        if turn.role == "assistant" and turn.content and turn.train is not False
    ]  # fmt: skip
    try:
        spans = template.render(record)
    except UsageError as error:
        yield DroppedPair("not-renderable", f"{name}: {error}")
        return
    except Exception as error:
        yield DroppedPair("template-failed", f"{name}: {type(error).__name__}: {error}")
        return
    stretches = _split_answers(spans)
    if not stretches:
        yield DroppedPair("no-trained-token", name)
        return
    # A template that trains fewer answers than there are trains the last.
    for turn, (prompt, answer) in zip(trained[-len(stretches) :], stretches, strict=True):
        upto = record.replaced(messages=record.messages[: turn + 1]) if record.messages else record
        left = tuple(find_omissions(record, spans)) if turn == trained[-1] else ()
        yield _PairSpans(name, upto, prompt, answer, left)


def _split_answers(spans: Spans) -> list[tuple[Spans, Spans]]:
    """Return every run of trained spans, with the text before it."""
    found: list[tuple[Spans, Spans]] = []
    for i, span in enumerate(spans):
        if span.train and (not i or not spans[i - 1].train):
            end = next((k for k in range(i, len(spans)) if not spans[k].train), len(spans))
            before = [Span(s.text, special=s.special) for s in spans[:i]]
            found.append((before, [BEGIN, *_strip_leading_spaces(spans[i:end])]))
    return found


def _strip_leading_spaces(spans: Spans) -> list[Span]:
    """Remove white space before the first character of an answer."""
    out: list[Span] = []
    for span in spans:
        text = span.text if out else span.text.lstrip()
        if text:
            out.append(Span(text, train=True, special=span.special))
    return out


def _add_end_token(ids: list[int], encoder: Encoder) -> list[int]:
    """Add an end token to an answer if the template writes none.

    Raises:
        UsageError: the template writes none and the tokenizer has none.
    """
    if ids and ids[-1] in encoder.special_ids:
        return ids
    end = encoder.tokenizer.eos_token_id
    if end is None:
        raise UsageError('the tokenizer has no end token; set "eos_token" in its tokenizer_config.json')
    return [*ids, end]


def _fit_pair(
    pair: _PairSpans, read: list[int], written: list[int], template: Template, encoder: Encoder, limits: Limits
) -> Pair | DroppedPair:
    """Cut the pair if it is too long and the policy allows it."""
    record, how = pair.record, ""
    while len(read) > limits.max_input:
        shorter = _drop_oldest_exchange(record) if limits.over_long == "cut-oldest-turns" else None
        if shorter is None:
            return DroppedPair("input-too-long", f"{pair.name}: {len(read)} tokens, max_input is {limits.max_input}")
        record, how = shorter, "cut-oldest-turns"
        try:
            read = encoder.encode(_split_answers(template.render(record))[-1][0]).ids + encoder.closing
        except UsageError as error:
            return DroppedPair("not-renderable", f"{pair.name}: {error}")
    noticed = (*pair.left, *_find_notices(pair.answer, written, encoder))
    if len(written) > limits.max_output:
        if limits.over_long != "cut-answer":
            most = limits.max_output
            return DroppedPair("answer-too-long", f"{pair.name}: {len(written)} tokens, max_output is {most}")
        written, how = written[: limits.max_output], "cut-answer"
    if not read:
        return DroppedPair("no-question", f"{pair.name}: the tokenizer returns no token for it")
    return Pair(pair.name, read, written, how, noticed)


def _find_notices(answer: Spans, written: list[int], encoder: Encoder) -> tuple[str, ...]:
    """Return what to check in an answer."""
    text = "".join(span.text for span in answer if not span.special)
    spelled = encoder.tokenizer.decode(
        [i for i in written if i not in encoder.special_ids], clean_up_tokenization_spaces=False
    )
    foreign, lossy = text.endswith(FOREIGN_ENDS), bool(spelled.strip() != text.strip())
    return ("end-token-in-answer",) * foreign + ("lossy-answer",) * lossy


def _drop_oldest_exchange(record: Record) -> Record | None:
    """Return the conversation without its first exchange, with its system text; None if only one exchange is left."""
    turns = record.messages
    start = 1 if turns and turns[0].role == "system" else 0
    for i in range(start + 1, len(turns)):
        if turns[i].role == "user" and turns[i - 1].role != "user":
            return record.replaced(messages=turns[:start] + turns[i:])
    return None
