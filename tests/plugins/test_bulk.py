"""Many rows at once are what one row at a time is: the same ids, the same trained tokens, whatever the tokenizer."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from filial import BEGIN, END, Span
from filial.labels import Encoder, Unencodable
from filial_plugins.trainers.rows import bulk_encoding, word_table
from filial_plugins.trainers.rows.bulk_encoding import BulkEncoder, TableDiffers

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_end|>"]
CORPUS = ["### Response:yes it's :) no 1234", "naïve é ü 東京 one two  three\n\n four", "a:b a:b e:x don't I'LL"] * 20
# Expressions of the families (constants of their formats: meta-llama/llama3, Qwen/Qwen2.5, tokenizer.json).
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def wrapped(backend: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<|im_end|>"],
    )  # fmt: skip


def byte_level(pattern: str | None = None, *, use_regex: bool = True, bos: bool = False, nfc: bool = False):
    backend = Tokenizer(models.BPE())
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex and pattern is None)
    split = [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    backend.pre_tokenizer = pre_tokenizers.Sequence([*split, last]) if split else last
    backend.decoder = decoders.ByteLevel()
    if nfc:
        backend.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    if bos:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return wrapped(backend)


def sentencepiece(legacy: bool = False, bos: bool = False) -> PreTrainedTokenizerFast:
    """Byte fallback and "▁" for blanks; the legacy kind puts one before every stretch of text."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if legacy:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    names = [*SPECIAL, *(f"<0x{i:02X}>" for i in range(256))]
    # Learned without its special names, which would otherwise be cut out of any text that spells them.
    teacher = Tokenizer(models.BPE())
    teacher.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    teacher.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=120))
    learned = json.loads(teacher.to_str())["model"]
    vocabulary = {name: i for i, name in enumerate(dict.fromkeys([*names, *learned["vocab"]]))}
    merges = [tuple(m) for m in learned["merges"]]
    backend.model = models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    if bos:
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return wrapped(backend)


TOKENIZERS = {
    "gpt-2": byte_level(),
    "across words": byte_level(use_regex=False),
    "with bos": byte_level(bos=True),
    "qwen": byte_level(LLAMA3.replace("{1,3}", ""), nfc=True),
    "llama-3": byte_level(LLAMA3, bos=True),
    "o200k": byte_level(O200K),
    "sentencepiece": sentencepiece(),
    "sentencepiece with bos": sentencepiece(bos=True),
    "sentencepiece legacy": sentencepiece(legacy=True),
    "sentencepiece legacy with bos": sentencepiece(legacy=True, bos=True),
}
QUICK = {"gpt-2", "with bos", "qwen", "llama-3", "o200k"}
PIECES = ["yes", " ", "\n", "\r\n", ":)", ":", "x", "é", "e\u0301", "東京", "🙂", "'s", "'LL", "12345", "\x1c", "\x85"]
DATA = st.lists(
    st.sampled_from([*PIECES, *SPECIAL, "\U000f0000", "\U0010fffd", "\u017f", "\u2028", "▁", "<0x0A>"])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    min_size=1,
    max_size=9,
).map("".join)  # fmt: skip
TURNS = st.lists(st.tuples(DATA, st.sampled_from(["### Response:", "ASSISTANT: ", "a", "東"]), DATA), max_size=3)


def spans_of(turns: list[tuple[str, str, str]]) -> list[Span]:
    spans = [BEGIN]
    for question, prompt, answer in turns:
        spans += [Span(question), Span(prompt, special=True), Span(answer, train=True), END]
    return spans


def same(flat: bulk_encoding.TokenArrays, rows: list[list[Span]], encoder: Encoder) -> None:
    """Every row of the chunk is the row that `Encoder.encode` gives."""
    starts = np.concatenate([[0], np.cumsum(flat.lengths)])
    for i, spans in enumerate(rows):
        trained = flat.trained_ranges[flat.trained_ranges[:, 0] == i]
        (one,) = encoder.encode_batch([spans])
        if isinstance(one, Unencodable):
            assert (flat.failed[i].reason, flat.lengths[i], len(trained)) == (one.reason, 0, 0)
            continue
        assert flat.ids[starts[i] : starts[i + 1]].tolist() == one.ids
        mask = np.zeros(len(one.ids), dtype=bool)
        for _, start, end in trained:
            mask[start:end] = True
        assert mask.tolist() == one.mask


@pytest.mark.slow
@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(chunks=st.lists(st.lists(TURNS.map(spans_of), min_size=1, max_size=4), min_size=1, max_size=2))
def test_chunks_of_rows_are_the_rows_one_by_one(name: str, table: bool, chunks: list[list[list[Span]]]) -> None:
    made = BulkEncoder(Encoder(TOKENIZERS[name]), table=table)
    try:
        for rows in chunks:
            same(made.encode(rows), rows, Encoder(TOKENIZERS[name]))
        assert made.engine.startswith("word table") == (table and name in QUICK)
    except (
        bulk_encoding.TableDiffers
    ):  # two engines may read an expression unlike (unassigned characters): begin anew without it
        assert table
        anew = BulkEncoder(Encoder(TOKENIZERS[name]), table=False)
        for rows in chunks:
            same(anew.encode(rows), rows, Encoder(TOKENIZERS[name]))


@pytest.mark.parametrize("name", sorted(QUICK))
def test_the_table_cuts_words_as_the_tokenizer_does_round_every_ascii_character(name: str) -> None:
    tokenizer = Encoder(TOKENIZERS[name]).controls.copy
    table = word_table.WordTable(tokenizer, word_table.find_pattern(tokenizer))
    characters = [chr(i) for i in range(128)]
    texts = [f"it{a}{b}'s 12{b} {a}" for a in characters for b in characters]
    encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    wrong = [t for t, e in zip(texts, encoded, strict=True) if np.frombuffer(table(t), "<i4").tolist() != e.ids]
    assert wrong == []


@pytest.mark.parametrize("name", TOKENIZERS)
def test_offsets_are_needed_for_a_token_across_the_border_and_else_hardly_ever(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_way: list[int] = []
    encode = Encoder.encode_texts
    monkeypatch.setattr(Encoder, "encode_texts", lambda self, texts: long_way.append(len(texts)) or encode(self, texts))
    plain = [BEGIN, Span("naïve 東京? no\n### Response:\n"), Span("yes it's so", train=True), END]
    across = [BEGIN, Span("a:"), Span("b", train=True), END]
    BulkEncoder(Encoder(TOKENIZERS[name])).encode([plain, across])
    assert sum(long_way) == (0 if name in ("gpt-2", "with bos") else 1)


def test_rows_of_which_one_fails_are_all_right_but_that_one() -> None:
    rows = [[Span("a"), Span("b", train=True)], [Span("c\ud800", train=True)], [], [Span("d", train=True), END]]
    flat = BulkEncoder(Encoder(TOKENIZERS["gpt-2"])).encode(rows)
    assert {i: error.reason for i, error in flat.failed.items()} == {1: "not-unicode"}
    assert flat.lengths.tolist() == [2, 0, 0, 2]
    assert flat.trained_ranges.tolist() == [[0, 1, 2], [3, 0, 2]]


def test_a_row_on_which_the_tokenizer_itself_fails_is_one_failed_row() -> None:
    words = [*SPECIAL, "yes", "a"]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=""))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    flat = BulkEncoder(Encoder(wrapped(backend))).encode(
        [[Span("yes", train=True)], [Span("strange")], [Span("yes yes")]]
    )
    assert {i: error.reason for i, error in flat.failed.items()} == {1: "not-tokenisable"}
    assert flat.lengths.tolist() == [1, 0, 2]


def test_a_table_that_gives_other_ids_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_encoding, "find_pattern", lambda copy: r"\S+|\s+")
    with pytest.raises(TableDiffers):
        BulkEncoder(Encoder(TOKENIZERS["gpt-2"])).encode([[Span("yes it is", train=True)]])
    same(BulkEncoder(Encoder(TOKENIZERS["gpt-2"]), table=False).encode([[Span("yes it")]]), [[Span("yes it")]], ENCODER)


ENCODER = Encoder(TOKENIZERS["gpt-2"])


def test_a_difference_on_a_new_character_is_found_whenever_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sampling would miss one row in a thousand; a character that no checked row held makes it a checked row."""
    monkeypatch.setattr(bulk_encoding, "find_pattern", lambda copy: word_table.GPT2.replace(r"\p{L}+", r"[a-zé]+"))
    made = BulkEncoder(Encoder(TOKENIZERS["gpt-2"]))
    plain = [[Span("yes it is")]] * 200
    made.encode(plain)
    made.encode([*plain[:7], [Span("yes é")], *plain])
    with pytest.raises(TableDiffers):
        made.encode([*plain[:7], [Span("yes üü")], *plain])


@pytest.mark.parametrize(
    "odd",
    [
        AddedToken("<tool>", lstrip=True, special=False, normalized=False),
        AddedToken("<tool>", single_word=True, special=False, normalized=False),
        AddedToken("<tool>", special=False, normalized=True),
    ],
)
def test_a_tokenizer_with_odd_tokens_is_asked_itself(odd: AddedToken) -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens([odd])
    made, rows = BulkEncoder(Encoder(tokenizer)), [[Span("a <tool> b<tool>"), Span("c  <tool>", train=True), END]]
    same(made.encode(rows), rows, Encoder(tokenizer))
    assert made.engine == "tokenizer"


def test_tokens_that_are_plain_text_to_nobody_are_cut_out_by_the_table_too() -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    made, rows = BulkEncoder(Encoder(tokenizer)), [[Span("a <tool> b<tool>"), Span("c  <tool>", train=True), END]]
    same(made.encode(rows), rows, Encoder(tokenizer))
    assert made.engine.startswith("word table")
