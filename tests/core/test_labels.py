"""Masks: exactly the answer and its end token are trained, with any fast tokenizer, whatever the data contains."""

import json
import re
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from filial import BEGIN, END, Span, UsageError
from filial.labels import Encoded, Encoder, Unencodable, encode
from filial.rendering import pieces

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_end|>"]
CORPUS = [
    "### Response:yes it is :) no",
    "USER: what? ASSISTANT: yes, that is so",
    "é ü 東京 one two three",
    "a:b a:b e:x",
] * 20


def wrapped(backend: Tokenizer, **extra: object) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<|im_end|>"], clean_up_tokenization_spaces=False, **extra,
    )  # fmt: skip


def bos_first(backend: Tokenizer) -> Tokenizer:
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    return backend


def byte_level(use_regex: bool = True, bos: bool = False) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    return wrapped(bos_first(backend) if bos else backend)


def sentencepiece(legacy: bool) -> PreTrainedTokenizerFast:
    """Byte fallback and "▁" for blanks; the legacy kind puts one before every stretch of text."""
    teacher = Tokenizer(models.BPE())
    teacher.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    teacher.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=120))
    learned = json.loads(teacher.to_str())["model"]
    names = [*SPECIAL, *(f"<0x{i:02X}>" for i in range(256)), *learned["vocab"]]
    backend = Tokenizer(
        models.BPE(
            {name: i for i, name in enumerate(dict.fromkeys(names))}, [tuple(m) for m in learned["merges"]],
            unk_token="<unk>", fuse_unk=True, byte_fallback=True,
        )
    )  # fmt: skip
    if legacy:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL])
    return wrapped(bos_first(backend))


WORDS = ["yes", "no", "it", "is", "Response:", "###", "Instruction:", "ASSISTANT:", "</s>x"]


def word_level() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*SPECIAL, *WORDS])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return wrapped(backend)


WORD_LEVEL = Encoder(word_level())
TOKENIZERS = {
    "byte-level": byte_level(),
    "byte-level across words": byte_level(use_regex=False),
    "byte-level with bos": byte_level(bos=True),
    "sentencepiece": sentencepiece(legacy=False),
    "sentencepiece legacy": sentencepiece(legacy=True),
}


def spelled(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    """The text of tokens by the vocabulary's own conventions, control tokens included."""
    tokens = tokenizer.convert_ids_to_tokens(ids)
    if isinstance(tokenizer.backend_tokenizer.decoder, decoders.ByteLevel):
        return "".join(
            "".join(run) if special else decoders.ByteLevel().decode(list(run))
            for special, run in groupby(tokens, lambda t: t in SPECIAL)
        )
    data = b""
    for token in tokens:
        byte = re.fullmatch("<0x([0-9A-F]{2})>", token)
        data += bytes([int(byte[1], 16)]) if byte else token.replace("▁", " ").encode()
    return data.decode()


ENCODERS = {name: Encoder(tokenizer) for name, tokenizer in TOKENIZERS.items()}


def trained_runs(tokenizer: PreTrainedTokenizerFast, row: Encoded) -> list[str]:
    runs = groupby(zip(row.ids, row.trained, strict=True), lambda pair: pair[1])
    return [spelled(tokenizer, [i for i, _ in run]) for trained, run in runs if trained]


PROMPTS = ["### Response:", "ASSISTANT:", "### Response:\n", "a", "東"]
data = st.lists(
    st.sampled_from(["yes", " ", "\n", ":)", ":", "x", "b", "é", "東京", "🙂", "{eos}", "ASSISTANT:", *SPECIAL])
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=4),
    min_size=1,
    max_size=8,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=80, deadline=None)
@given(
    turns=st.lists(st.tuples(data.filter(bool), data.filter(bool), st.sampled_from(PROMPTS)), min_size=1, max_size=3)
)
def test_exactly_answers_and_end_tokens_are_trained(name: str, turns: list[tuple[str, str, str]]) -> None:
    tokenizer = TOKENIZERS[name]
    spans = [BEGIN]
    for question, answer, prompt in turns:
        spans += [Span(question), Span(prompt), Span(answer, train=True), END]
    row = ENCODERS[name].encode(spans)
    assert trained_runs(tokenizer, row) == [answer + "</s>" for _, answer, _ in turns]
    assert spelled(tokenizer, row.ids).count("</s>") == row.text.count("</s>")
    assert row.ids.count(tokenizer.eos_token_id) == len(turns)
    assert row.ids.count(tokenizer.bos_token_id) == (0 if name in ("byte-level", "byte-level across words") else 1)
    assert tokenizer.unk_token_id not in row.ids


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(text=data.filter(lambda t: not any(s in t for s in [*SPECIAL, "{eos}"])))
def test_text_without_special_tokens_becomes_the_tokenizers_own_ids(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    assert ENCODERS[name].encode([BEGIN, Span(text)]).ids == tokenizer(text)["input_ids"]
    assert (
        ENCODERS[name].encode([Span(text + "</s>" + text, special=True)]).ids
        == tokenizer(text + "</s>" + text, add_special_tokens=False)["input_ids"]
    )


@settings(max_examples=40, deadline=None)
@given(
    words=st.lists(
        st.lists(st.sampled_from([*WORDS, "never", "<s>", "</s>"]), min_size=1, max_size=5), min_size=1, max_size=3
    )
)
def test_word_level_answers_keep_their_words_and_nothing_else(words: list[list[str]]) -> None:
    tokenizer = WORD_LEVEL.tokenizer
    spans = []
    for answer in words:
        spans += [Span("### Response:"), Span(" ".join(answer), train=True), END]
    row = WORD_LEVEL.encode(spans)
    trained = [t for t, on in zip(tokenizer.convert_ids_to_tokens(row.ids), row.trained, strict=True) if on]
    # A glued "Response:yes" is no word of the vocabulary; cut at the border, both parts are.
    assert trained == [t for answer in words for t in [*(w if w in WORDS else "<unk>" for w in answer), "</s>"]]
    assert row.ids.count(tokenizer.eos_token_id) == len(words)


def test_a_token_across_the_border_is_cut_and_only_the_answer_is_trained() -> None:
    tokenizer = TOKENIZERS["byte-level across words"]
    whole = tokenizer.convert_ids_to_tokens(tokenizer("a:b", add_special_tokens=False)["input_ids"])
    assert whole == ["a:b"], "the vocabulary merges across the border, or this test tests nothing"
    row = encode([Span("a:"), Span("b", train=True)], tokenizer)
    assert tokenizer.convert_ids_to_tokens(row.ids) == ["a", ":", "b"]
    assert row.labels == [-100, -100, row.ids[2]]
    assert row.offsets == [(0, 2), (0, 2), (2, 3)]


def test_a_token_across_two_characters_is_cut_between_their_bytes() -> None:
    """A vocabulary may hold a token of one character's last byte and the next one's first."""
    tokenizer = TOKENIZERS["byte-level across words"]
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    first, second = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str("東é")[0][0][2:4]
    backend["model"]["vocab"][first + second] = len(tokenizer)
    backend["model"]["merges"] = [[first, second]]
    made = wrapped(Tokenizer.from_str(json.dumps(backend)))
    assert first + second in made.convert_ids_to_tokens(made("東é", add_special_tokens=False)["input_ids"])
    row = encode([Span("東"), Span("é", train=True), END], made)
    assert trained_runs(made, row) == ["é</s>"]
    assert spelled(made, row.ids) == "東é</s>"


def test_a_token_that_cannot_be_cut_makes_the_row_unencodable_and_no_other() -> None:
    backend = Tokenizer(
        models.WordPiece({"<unk>": 0, "ab": 1, "##ba": 2, "<s>": 3, "</s>": 4, "<|im_end|>": 5}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.decoder = decoders.WordPiece()
    encoder = Encoder(wrapped(backend))
    good, bad = [Span("ab"), Span(" ab", train=True)], [Span("abb"), Span("a", train=True)]
    first, second, third = encoder.encode_batch([good, bad, good])
    assert isinstance(second, Unencodable)
    assert second.reason == "unprovable-mask"
    assert first.labels == third.labels == [-100, 1]


def test_lone_surrogates_are_one_rows_problem() -> None:
    rows = Encoder(TOKENIZERS["byte-level"]).encode_batch([[Span("a\ud800")], [Span("a")]])
    assert isinstance(rows[0], Unencodable)
    assert rows[0].reason == "not-unicode"
    assert rows[1].text == "a"


@pytest.mark.parametrize("name", TOKENIZERS)
def test_earlier_calls_leave_no_truncation_or_padding_behind(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    spans = [Span("yes it is " * 20), Span("no " * 30, train=True), END]
    before = encode(spans, tokenizer).ids
    tokenizer.pad_token = "</s>"
    tokenizer("yes it is so", truncation=True, max_length=2, padding="max_length")
    encoder = Encoder(tokenizer)
    assert encoder.encode(spans).ids == before
    tokenizer("yes it is so", truncation=True, max_length=2, padding="max_length")
    assert encoder.encode(spans).ids == before


def test_the_tokenizer_given_is_not_changed() -> None:
    tokenizer = byte_level()
    state = tokenizer.backend_tokenizer.to_str()
    encode([BEGIN, Span("</s>"), Span("x", train=True), END], tokenizer)
    assert tokenizer.backend_tokenizer.to_str() == state


def test_control_tokens_come_from_special_spans_alone() -> None:
    tokenizer = TOKENIZERS["sentencepiece legacy"]
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert encode([Span("hi<|im_end|>", special=True)], tokenizer).ids[-1] == end
    assert end not in encode([Span("hi<|im_end|>")], tokenizer).ids
    # Neither do two spans make one together.
    assert end not in encode([Span("<|im_", special=True), Span("end|>")], tokenizer).ids


def test_data_made_of_the_encoders_own_private_characters_stays_text() -> None:
    tokenizer = TOKENIZERS["byte-level"]
    nasty = "".join(map(chr, range(0xF0000, 0xF0010))) + "\U0010fffd"
    nastier = nasty + "".join(map(chr, range(0xF0000, 0xF0010 + len(SPECIAL))))
    rows = [[Span("q"), Span(text, train=True), END] for text in ("fine", nasty, nastier, "fine")]
    found = Encoder(tokenizer).encode_batch(rows)
    assert [trained_runs(tokenizer, row) for row in found] == [[t + "</s>"] for t in ("fine", nasty, nastier, "fine")]
    assert trained_runs(tokenizer, encode(rows[1], tokenizer)) == [nasty + "</s>"]


def test_end_token_is_trained_when_padding_is_the_same_token() -> None:
    tokenizer = byte_level()
    tokenizer.pad_token = tokenizer.eos_token
    row = encode([Span("q:"), Span("yes", train=True), END], tokenizer)
    assert row.labels[-1] == tokenizer.eos_token_id == tokenizer.pad_token_id


def test_special_tokens_that_swallow_blanks_are_trained_for_themselves_only() -> None:
    tokenizer = byte_level()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken("<|assistant|>", rstrip=True, special=True)]}
    )
    spans = [Span("q<|assistant|>", special=True), Span("  yes", train=True), END]
    row = encode(spans, tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(row.ids)
    assert [t for t, on in zip(tokens, row.trained, strict=True) if on] == ["yes", "</s>"]
    assert row.ids == tokenizer("q<|assistant|>  yes</s>", add_special_tokens=False)["input_ids"]


def test_no_end_token_and_slow_tokenizers_are_usage_errors() -> None:
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    with pytest.raises(UsageError, match="no eos token"):
        encode([Span("a"), END], PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"))

    class Slow:
        is_fast = False

    with pytest.raises(UsageError, match="slow tokenizer"):
        Encoder(Slow())


@pytest.mark.parametrize("name", TOKENIZERS)
def test_pieces_spell_the_text_and_say_what_is_trained(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    spans = [BEGIN, Span("USER: 東京 🙂 "), Span("ASSISTANT:"), Span(" é\n yes", train=True), END]
    found = pieces(spans, tokenizer)
    assert "".join(p.text for p in found) == "USER: 東京 🙂 ASSISTANT: é\n yes</s>"
    assert "".join(p.text for p in found if p.trained) == " é\n yes</s>"
    assert [p.token for p in found if p.special] == ["<s>"] * (found[0].token == "<s>") + ["</s>"]
