"""Masks: exactly the answer and its end token are trained, with any fast tokenizer, whatever the data contains."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_kit import (
    SPECIAL,
    WORDS,
    byte_level,
    labels_of,
    sentencepiece,
    spelled,
    trained_runs,
    word_level,
    wrapped,
)
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from filial import BEGIN, END, Span, UsageError
from filial.labels import Encoder, Unencodable, encode, lookalikes
from filial_plugins.render.survey import split_spans

WORD_LEVEL = Encoder(word_level())
TOKENIZERS = {
    "byte-level": byte_level(),
    "byte-level across words": byte_level(use_regex=False),
    "byte-level with bos": byte_level(bos=True),
    "sentencepiece": sentencepiece(legacy=False),
    "sentencepiece legacy": sentencepiece(legacy=True),
}


ENCODERS = {name: Encoder(tokenizer) for name, tokenizer in TOKENIZERS.items()}


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
    trained = [t for t, on in zip(tokenizer.convert_ids_to_tokens(row.ids), row.mask, strict=True) if on]
    # A glued "Response:yes" is no word of the vocabulary; cut at the border, both parts are.
    assert trained == [t for answer in words for t in [*(w if w in WORDS else "<unk>" for w in answer), "</s>"]]
    assert row.ids.count(tokenizer.eos_token_id) == len(words)


def test_a_token_across_the_border_is_cut_and_only_the_answer_is_trained() -> None:
    tokenizer = TOKENIZERS["byte-level across words"]
    whole = tokenizer.convert_ids_to_tokens(tokenizer("a:b", add_special_tokens=False)["input_ids"])
    assert whole == ["a:b"], "the vocabulary merges across the border, or this test tests nothing"
    row = encode([Span("a:"), Span("b", train=True)], tokenizer)
    assert tokenizer.convert_ids_to_tokens(row.ids) == ["a", ":", "b"]
    assert labels_of(row) == [-100, -100, row.ids[2]]
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
    assert labels_of(first) == labels_of(third) == [-100, 1]


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
    assert labels_of(row)[-1] == tokenizer.eos_token_id == tokenizer.pad_token_id


def test_special_tokens_that_swallow_blanks_are_trained_for_themselves_only() -> None:
    tokenizer = byte_level()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken("<|assistant|>", rstrip=True, special=True)]}
    )
    spans = [Span("q<|assistant|>", special=True), Span("  yes", train=True), END]
    row = encode(spans, tokenizer)
    tokens = tokenizer.convert_ids_to_tokens(row.ids)
    assert [t for t, on in zip(tokens, row.mask, strict=True) if on] == ["yes", "</s>"]
    assert row.ids == tokenizer("q<|assistant|>  yes</s>", add_special_tokens=False)["input_ids"]
    assert [row.text[a:b] for a, b in row.offsets] == ["q", "<|assistant|>", "yes", "</s>"]


def test_a_token_the_tokenizer_calls_special_is_one_wherever_its_files_say_so() -> None:
    """Here the vocabulary holds it, and nothing but the tokenizer's own attribute says that it is special."""
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "<end>": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    tokenizer._special_tokens_map["eos_token"] = "<end>"  # as a checkpoint whose added tokens are not listed
    assert "<end>" in tokenizer.all_special_tokens
    assert '"<end>"' not in json.dumps(json.loads(backend.to_str())["added_tokens"])
    row = encode([Span("a "), Span("a", train=True), END], tokenizer)
    assert (row.ids[-1], row.mask[-1]) == (2, True)
    assert encode([Span("a <end>")], tokenizer).ids[-1] != 2, "typed by a user it stays text"


def test_no_end_token_and_slow_tokenizers_are_usage_errors() -> None:
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    with pytest.raises(UsageError, match=r"no eos token; set \"eos_token\" in its tokenizer_config.json"):
        encode([Span("a"), END], PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"))

    class Slow:
        is_fast = False

    with pytest.raises(UsageError, match="slow tokenizer"):
        Encoder(Slow())


@pytest.mark.parametrize("name", TOKENIZERS)
def test_pieces_spell_the_text_and_say_what_is_trained(name: str) -> None:
    tokenizer = TOKENIZERS[name]
    spans = [BEGIN, Span("USER: 東京 🙂 "), Span("ASSISTANT:"), Span(" é\n yes", train=True), END]
    found = split_spans(spans, tokenizer)
    assert "".join(p.text for p in found) == "USER: 東京 🙂 ASSISTANT: é\n yes</s>"
    assert "".join(p.text for p in found if p.trained) == " é\n yes</s>"
    assert [p.token for p in found if p.special] == ["<s>"] * (found[0].token == "<s>") + ["</s>"]


def test_what_looks_like_a_control_token_is_found_whatever_the_tokenizer() -> None:
    text = "a<|endoftext|> b</s> <s>c</s> [INST] <end_of_turn> <<SYS>> <|a b|> <b> x[0] <｜User｜>"
    wanted = ["<|endoftext|>", "</s>", "<s>", "</s>", "[INST]", "<end_of_turn>", "<<SYS>>", "<｜User｜>"]
    assert lookalikes(text) == wanted
    assert lookalikes("plain") == []


def test_the_quick_way_and_the_way_by_offsets_agree() -> None:
    """Where no token lies across a border, ranges come from three questions to the tokenizer, else from all offsets."""
    for name, tokenizer in TOKENIZERS.items():
        clean = [Span("USER: a\n", False), Span("yes 東京", True), END, Span("USER: b", False), Span(" yes", True), END]
        row, offsets = encode(clean, tokenizer), encode(clean, tokenizer).offsets
        text, ranges, at = row.text, [], 0
        for span in (s for s in clean if s.text != "{eos}"):
            at = text.index(span.text, at)
            ranges += [(at, at + len(span.text) + 4)] if span.train else []
            at += len(span.text)
        inside = [any(start <= s and e <= end for start, end in ranges) for s, e in offsets]
        assert row.mask == inside, name
