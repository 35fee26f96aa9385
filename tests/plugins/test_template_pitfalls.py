"""Known ways in which masks go wrong without anybody noticing, each with the test that would notice.

The numbers are those of our list of pitfalls in training; 8 to 13, 18 to 22, 24 and 25 are the trainers'.
"""

import pytest
from tokenizer_kit import FORMAT_TOKENS, SPECIAL, byte_level, labels_of, sentencepiece, trained_runs
from transformers import PreTrainedTokenizerFast

from filial import Message, Record, Template, UsageError
from filial.labels import Encoder, lookalikes
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.chat import NEEDED_TOKENS, Chat, read_format
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.vicuna import Vicuna

ALL = (*SPECIAL, *FORMAT_TOKENS)


def pad_is_end(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


TOKENIZERS = {
    "byte-level": pad_is_end(byte_level(bos=True, special=ALL)),
    "sentencepiece": pad_is_end(sentencepiece(legacy=False, special=ALL)),
    "sentencepiece legacy": pad_is_end(sentencepiece(legacy=True, special=ALL)),
}
TEMPLATES: dict[str, Template] = {
    "alpaca": Alpaca(), "plain": Plain(), "vicuna": Vicuna(),
    **{name: Chat(format=name, system_in_question=True) for name in NEEDED_TOKENS},
}  # fmt: skip
TALK = (Message("user", "Name one."), Message("assistant", "yes"), Message("user", "And?"), Message("assistant", "no"))
every_pair = [
    pytest.param(template, tokenizer, id=f"{name}, {kind}")
    for name, template in TEMPLATES.items()
    for kind, tokenizer in TOKENIZERS.items()
]


def conversation(*contents: str) -> Record:
    roles = ("user", "assistant") * len(contents)
    return Record(messages=tuple(map(Message, roles, contents)))


@pytest.mark.parametrize(("template", "tokenizer"), every_pair)
def test_each_answer_ends_with_one_trained_end_token_though_padding_is_the_same(template, tokenizer) -> None:
    """Pitfall 1: labels masked where an id equals the padding's. Pitfall 2: an end token outside the mask."""
    row = Encoder(tokenizer).encode(template.bind(tokenizer).render(Record(messages=TALK)))
    special = {tokenizer.convert_tokens_to_ids(t) for t in ALL}
    assert len(row.trained_ranges) == 2
    ends = {row.ids[high - 1] for _, high in row.trained_ranges}
    assert len(ends) == 1
    assert ends <= special
    assert sum(t and i in special for i, t in zip(row.ids, row.mask, strict=True)) == 2
    assert all(label in (-100, i) for label, i in zip(labels_of(row), row.ids, strict=True))


@pytest.mark.parametrize("after", ["", "\n", " User: "])
def test_a_chat_template_without_an_end_token_is_an_error(after: str) -> None:
    """Pitfall 2: such a model would never stop."""
    tokenizer = byte_level(special=ALL)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '" + after + "' }}{% endfor %}"
    )
    with pytest.raises(UsageError, match="would never stop"):
        Chat().bind(tokenizer)


@pytest.mark.parametrize(("template", "tokenizer"), every_pair)
def test_no_generation_marks_are_needed(template, tokenizer) -> None:
    """Pitfall 3: masks that hang on marks in a chat template are all or nothing where it has none."""
    if isinstance(template, Chat):
        assert "generation %" not in read_format(template.format)
    row = Encoder(tokenizer).encode(template.bind(tokenizer).render(Record(messages=TALK)))
    first, second = trained_runs(tokenizer, row)
    assert "yes" in first
    assert "no" in second
    assert "Name" not in first + second


@pytest.mark.parametrize(("template", "tokenizer"), every_pair)
def test_there_is_one_bos_per_document(template, tokenizer) -> None:
    """Pitfall 4: the template writes BOS and the tokenizer adds another. (Llama 2 begins each exchange with one.)"""
    row = Encoder(tokenizer).encode(template.bind(tokenizer).render(Record(messages=TALK)))
    wanted = 2 if getattr(template, "format", "") == "llama-2" else 1
    assert row.ids.count(tokenizer.bos_token_id) == wanted
    assert row.ids[0] == tokenizer.bos_token_id


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_bound_templates_ids_are_those_of_apply_chat_template(kind: str) -> None:
    """Pitfall 4, for a model's own template."""
    tokenizer = TOKENIZERS[kind]
    for name in NEEDED_TOKENS:
        tokenizer.chat_template = read_format(name)
        ids = Encoder(tokenizer).encode(Chat().bind(tokenizer).render(Record(messages=TALK))).ids
        said = [{"role": m.role, "content": m.content} for m in TALK]
        assert ids == tokenizer.apply_chat_template(said, tokenize=True, return_dict=False), name


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("answer", ["yes", ":)", " yes", "\nyes", ": b", "é"])
def test_text_is_tokenised_whole_and_the_prompt_stays_what_it_is_when_asked(kind: str, answer: str) -> None:
    """Pitfall 5: prompt and answer tokenised apart give other tokens at the seam; tokenised together, the prompt may
    end in a token that it does not end in when the model is asked."""
    encoder = Encoder(TOKENIZERS[kind])
    for template in (Alpaca(), Plain(), Vicuna()):
        asked = encoder.encode(template.render(Record(instruction="q")))
        whole = encoder.encode(template.render(Record(instruction="q", output=answer)))
        assert whole.ids[: len(asked.ids)] == asked.ids
        assert trained_runs(encoder.tokenizer, whole)[0].removesuffix("</s>").strip(" ") == answer.strip(" ")


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_separators_inside_contents_lose_no_conversation(kind: str) -> None:
    """Pitfall 6: Vicuna's mask by lengths of pieces masks a conversation whole when its contents hold separators, or
    when the vocabulary is not Llama's."""
    encoder = Encoder(TOKENIZERS[kind])
    answers = ["say ASSISTANT: or USER: x", "</s>", " ASSISTANT: ", "plain"]
    asked = ["what is </s>?", " ASSISTANT: ?", "a USER: b", ""]
    record = conversation(*(text for pair in zip(asked, answers, strict=True) for text in pair))
    row = encoder.encode(Vicuna().render(record))
    assert trained_runs(encoder.tokenizer, row) == [f" {answer}</s>" for answer in answers]


@pytest.mark.parametrize(("template", "tokenizer"), every_pair)
def test_no_token_of_a_prompt_is_trained(template, tokenizer) -> None:
    """Pitfall 7: loss over the prompt by default."""
    encoder = Encoder(tokenizer)
    bound = template.bind(tokenizer)
    row = encoder.encode(bound.render(Record(instruction="q", output="yes")))
    asked = encoder.encode(bound.render(Record(instruction="q")))
    assert not any(row.mask[: len(asked.ids)])
    assert 0 < sum(row.mask) < len(row.ids)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_the_tokenizers_truncation_and_padding_do_not_reach_the_rows(kind: str) -> None:
    """Pitfall 15: a fast tokenizer keeps the truncation of the last call."""
    tokenizer = TOKENIZERS[kind]
    record = Record(instruction="yes it is " * 30, output="no " * 30)
    before = Encoder(tokenizer).encode(Alpaca().render(record))
    encoder = Encoder(tokenizer)
    for _ in range(2):
        tokenizer("yes it is so", truncation=True, max_length=3, padding="max_length")
        assert encoder.encode(Alpaca().render(record)).ids == before.ids
        assert Encoder(tokenizer).encode(Alpaca().render(record)).ids == before.ids


@pytest.mark.parametrize(("template", "tokenizer"), every_pair)
def test_another_models_end_token_is_text_and_an_empty_answer_trains_nothing(template, tokenizer) -> None:
    """Pitfall 16: "<|endoftext|>" left in data by another model; an answer of nothing but an end token."""
    bound, encoder = template.bind(tokenizer), Encoder(tokenizer)
    row = encoder.encode(bound.render(Record(instruction="q", output="yes<|endoftext|>")))
    assert "yes<|endoftext|>" in trained_runs(tokenizer, row)[0]
    assert lookalikes("yes<|endoftext|>") == ["<|endoftext|>"]
    row = encoder.encode(bound.render(conversation("a", "", "b", "no")))
    (run,) = trained_runs(tokenizer, row)
    assert "no" in run
    assert not encoder.encode(bound.render(conversation("a", ""))).trained_ranges


@pytest.mark.parametrize(("template", "tokenizer"), every_pair)
def test_control_tokens_in_data_stay_text(template, tokenizer) -> None:
    """Pitfall 17: a user who types a control token opens a turn. Pitfall 23: a token of the data that equals the
    padding loses attention, or shifts a mask that counts what is no padding."""
    bound, encoder = template.bind(tokenizer), Encoder(tokenizer)
    nasty = " ".join(ALL) + " {eos} {bos}"
    plain = encoder.encode(bound.render(conversation("a", "b", "c", "d")))
    row = encoder.encode(bound.render(conversation(nasty, nasty, nasty, nasty)))
    for token in ALL:
        i = tokenizer.convert_tokens_to_ids(token)
        assert row.ids.count(i) == plain.ids.count(i), token
    assert [nasty in run for run in trained_runs(tokenizer, row)] == [True, True]
    assert row.text.count(nasty) == 4
