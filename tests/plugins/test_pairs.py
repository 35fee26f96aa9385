"""What an encoder reads and a decoder is to write: whole texts of their own, ended, counted, never cut in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast, T5Config, T5Tokenizer
from transformers import T5ForConditionalGeneration as T5

from filial import BEGIN, Message, Record, Span, Template, UsageError
from filial.labels import Encoder
from filial.testing import TemplateContract
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.question import Question
from filial_plugins.templates.vicuna import Vicuna
from filial_plugins.trainers.rows.pairs import DroppedPair, Limits, Pair, make_pairs, write_pairs
from filial_plugins.trainers.rows.store import Row
from filial_plugins.trainers.steps.encoder_decoder import (
    PairBatch,
    choose_pair_loss,
    collate_pairs,
    find_start_token,
    make_selective_loss,
)
from filial_plugins.trainers.steps.loss import make_full_loss

pytestmark = pytest.mark.train

SPECIAL = ["<pad>", "</s>", "<unk>", "<s>"]
WIDE = Limits(1000, 1000, "drop")
TALK = Record(
    id="talk",
    messages=(
        Message("system", "be kind"), Message("user", "one"), Message("assistant", "uno"), Message("user", "two"),
        Message("assistant", "dos"), Message("user", "three"), Message("assistant", "tres"),
    ),
)  # fmt: skip
TEMPLATES = {"question": Question(), "plain": Plain(), "alpaca": Alpaca(), "vicuna": Vicuna()}


def bytewise(single: str = "$A </s>", pad: str = "<pad>") -> PreTrainedTokenizerFast:
    """A token per byte, and T5's habit of ending every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate([*SPECIAL, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if single:
        backend.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("</s>", 1), ("<s>", 3)])
    bos = "<s>" if "<s>" in single else None
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token=pad, eos_token="</s>", bos_token=bos)


def pieces() -> PreTrainedTokenizerFast:
    """A unigram model with T5's blank before a text."""
    words = ["▁", *["▁the", "▁a", "▁what", "▁is", "▁red", "▁blue", "▁###", ":", "▁Instruction", "▁Response"]]
    letters = [chr(c) for c in range(32, 127) if chr(c) not in ": "]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *[(w, -2.0) for w in words]]
    backend = Tokenizer(models.Unigram(vocabulary + [(c, -6.0) for c in letters], unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def t5() -> T5Tokenizer:
    """transformers' own class, with a few words."""
    words = ["▁", "▁the", "▁red", "▁what", "▁is", *"abcdehrst:#."]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return T5Tokenizer(vocab=special + [(word, -2.0 - len(word)) for word in words], extra_ids=4)


TOKENIZERS = {
    "bytes": bytewise(),
    "pieces": pieces(),
    "t5": t5(),
    "pad is end": bytewise(pad="</s>"),
    "bart": bytewise("<s> $A </s>"),
}


def made(
    records: list[Record | str], template: Template, tokenizer: PreTrainedTokenizerFast, limits: Limits = WIDE
) -> list[Pair | DroppedPair]:
    return list(make_pairs(records, template, Encoder(tokenizer), limits))


def halves(row: Row) -> tuple[list[int], list[int]]:
    border = int(row.trained_positions[0])
    return row.ids[:border].tolist(), row.ids[border:].tolist()


class TestQuestion(TemplateContract):
    component = Question()


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@settings(max_examples=10, deadline=None)
@given(
    instruction=st.text("abc é:#\n<s>", min_size=1).filter(str.strip),
    input=st.text("xyz \n", max_size=8),
    output=st.text("the red a:#<s>", min_size=1).filter(str.strip),
)
def test_both_halves_are_what_the_tokenizer_makes_of_the_texts(
    tokenizer: PreTrainedTokenizerFast, template: Template, instruction: str, input: str, output: str
) -> None:
    """Oracle: the tokenizer itself, asked as transformers' examples for T5 ask it. Pitfalls 1, 4 and 24."""
    record = Record(instruction=instruction, input=input, output=output)
    [pair] = made([record], template, tokenizer)
    asked = "".join(s.text for s in template.render(record.replaced(output="")) if not s.special)
    own = {"split_special_tokens": True}  # a special token's string in somebody's text is text
    assert pair.input_ids == tokenizer(asked, **own)["input_ids"]
    assert pair.answer_ids == tokenizer(output.lstrip(), **own)["input_ids"]
    assert halves(pair.row) == (pair.input_ids, pair.answer_ids)
    assert pair.row.trained_positions.tolist() == list(range(len(pair.input_ids), len(pair.row.ids)))


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
def test_an_end_that_somebody_typed_ends_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    """Pitfall 17. T5's own tokenizer makes its end token of the text, even when told to split special tokens."""
    [pair] = made([Record(instruction="what is </s> red", output="the </s> red")], Question(), tokenizer)
    assert pair.input_ids.count(tokenizer.eos_token_id) == pair.answer_ids.count(tokenizer.eos_token_id) == 1
    assert pair.input_ids[-1] == pair.answer_ids[-1] == tokenizer.eos_token_id


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1).filter(str.strip))
def test_the_targets_decode_to_the_answer_and_end(output: str) -> None:
    """Pitfall 24: the last target is the end token, and none of them is -100."""
    tokenizer = TOKENIZERS["bytes"]
    try:
        output.encode()
    except UnicodeEncodeError:
        return
    [pair] = made([Record(instruction="q", output=output)], Question(), tokenizer)
    assert pair.answer_ids[-1] == tokenizer.eos_token_id
    assert min(pair.row.ids) >= 0
    assert tokenizer.decode(pair.answer_ids[:-1]) == output.lstrip()


def test_every_answer_of_a_conversation_is_a_pair_with_what_was_said_before() -> None:
    tokenizer = TOKENIZERS["bytes"]
    rows = made([TALK], Question(), tokenizer)
    texts = [(tokenizer.decode(pair.input_ids), tokenizer.decode(pair.answer_ids)) for pair in rows]
    assert texts == [
        ("be kind\n\none</s>", "uno</s>"),
        ("be kind\n\none\n\nuno</s>\n\ntwo</s>", "dos</s>"),
        ("be kind\n\none\n\nuno</s>\n\ntwo\n\ndos</s>\n\nthree</s>", "tres</s>"),
    ]
    [last] = made([TALK], Question(turns="last"), tokenizer)
    assert last == rows[-1]


def test_what_is_too_long_is_left_out_or_cut_as_was_asked_and_told() -> None:
    """Pitfall 9: a cut answer does not end, a question is never cut."""
    tokenizer = TOKENIZERS["bytes"]
    long = Record(id="long", instruction="q", output="o" * 30)
    wide = Record(id="wide", instruction="q" * 60, output="o")

    def fitted(policy: str) -> list[Pair | DroppedPair]:
        return made(
            [long, wide, TALK.replaced(messages=TALK.messages[:5])], Question(), tokenizer, Limits(20, 10, policy)
        )

    too_long = DroppedPair("answer-too-long", "record long: 31 tokens, max_output is 10")
    too_wide = DroppedPair("input-too-long", "record wide: 61 tokens, max_input is 20")
    dropped = fitted("drop")
    assert dropped[:2] == [too_long, too_wide]
    assert dropped[3].reason == "input-too-long"
    cut = fitted("cut-answer")
    assert (cut[0].policy, cut[0].answer_ids) == ("cut-answer", tokenizer("o" * 10)["input_ids"][:10])  # no end token
    assert cut[1] == too_wide
    shortened = fitted("cut-oldest-turns")
    assert shortened[:2] == [too_long, too_wide]
    assert shortened[3].policy == "cut-oldest-turns"
    assert tokenizer.decode(shortened[3].input_ids) == "be kind\n\ntwo</s>"
    assert tokenizer.decode(shortened[3].answer_ids) == "dos</s>"


def test_what_cannot_be_a_pair_is_counted_and_ends_nothing() -> None:
    """Pitfalls 8 and 25."""
    tool = Record(id="tool", messages=(Message("user", "a"), Message("tool_call", "f()"), Message("assistant", "b")))
    records = [
        "line 3 is bad",
        Record(id="open", instruction="q"),
        tool,
        Record(id="odd", instruction="q", output="\ud800"),
    ]
    lost = made(records, Question(), TOKENIZERS["bytes"])
    assert [each.reason for each in lost] == ["bad-line", "no-answer", "not-renderable", "not-unicode"]


def test_a_store_holds_the_pairs_and_the_books(tmp_path: Path) -> None:
    records = [TALK, "bad", Record(id="odd", instruction="q", output="yes <|im_end|>"), *[Record(instruction="q")] * 2]
    encoder = Encoder(TOKENIZERS["bytes"])
    store = write_pairs(records, Question(), encoder, WIDE, tmp_path / "store")
    expected = [pair.row for pair in make_pairs(records, Question(), encoder, WIDE) if isinstance(pair, Pair)]
    assert [halves(row) for row in store] == [halves(row) for row in expected]
    assert store.trained_tokens == sum(len(row.trained_positions) for row in expected)
    assert store.ends == {1}
    assert dict(store.dropped) == {"bad-line": 1, "no-answer": 2}
    assert store.examples["no-answer"] == "record 4"
    assert dict(store.report.noticed) == {"end-token-in-answer": 1}  # pitfall 16


def test_what_a_vocabulary_cannot_write_is_told() -> None:
    records = [Record(instruction="q", output=text) for text in ("what is red", "what\nis", "{red}", "é")]
    noticed = [pair.notices for pair in made(records, Question(), TOKENIZERS["pieces"])]
    assert noticed == [(), ("lossy-answer",), (), ("lossy-answer",)]
    assert not any(pair.notices for pair in made(records, Question(), TOKENIZERS["bytes"]))


def test_an_end_is_there_also_where_the_template_writes_none() -> None:
    class Bare(Template):
        """No end token."""

        def render(self, record: Record) -> list[Span]:
            return [BEGIN, Span(record.question()), Span(record.output, train=True)]

    [pair] = made([Record(instruction="q", output="o")], Bare(), TOKENIZERS["bytes"])
    assert pair.answer_ids[-1] == 1
    endless = bytewise("")
    endless.eos_token = None
    with pytest.raises(UsageError, match="no end token"):
        made([Record(instruction="q", output="o")], Bare(), endless)


MODELS = {
    "t5": lambda: T5(
        T5Config(
            vocab_size=260, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, initializer_factor=1.0,
            decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, dropout_rate=0.0,
        )
    ),
    "flan-t5": lambda: T5(
        T5Config(
            vocab_size=260, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, initializer_factor=1.0,
            decoder_start_token_id=0, eos_token_id=1, pad_token_id=0, dropout_rate=0.0, tie_word_embeddings=False,
            feed_forward_proj="gated-gelu",
        )
    ),
    "bart": lambda: BartForConditionalGeneration(
        BartConfig(
            vocab_size=260, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=128, dropout=0,
            init_std=0.3, decoder_start_token_id=1, pad_token_id=0, eos_token_id=1, bos_token_id=3,
        )
    ),
}  # fmt: skip


def random_rows() -> list[Row]:
    """Inputs and answers of unequal lengths, the pad token's id among them (pitfall 23)."""
    draw = np.random.default_rng(5)
    rows = []
    for read, written in [(3, 9), (17, 1), (6, 6), (30, 2), (1, 12), (9, 4), (12, 3)]:
        ids = draw.integers(0, 259, read + written)
        ids[0] = 0
        rows.append(Row(ids, np.arange(read, read + written)))
    return rows


def built(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS[kind]()


def one_by_one(model: torch.nn.Module, rows: list[Row]) -> float:
    """Loss per token and its gradient by transformers' own loss and shifting, one pair at a time, nothing padded."""
    total, tokens = 0.0, sum(len(row.trained_positions) for row in rows)
    for row in rows:
        read, written = halves(row)
        mean = model(input_ids=torch.tensor([read]), labels=torch.tensor([written])).loss
        (mean * len(written) / tokens).backward()
        total += mean.item() * len(written) / tokens
    return total


def gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def batch_of(model: torch.nn.Module, rows: list[Row]) -> PairBatch:
    return collate_pairs(rows, find_start_token(model), torch, "cpu")


@pytest.mark.parametrize("kind", MODELS)
def test_loss_and_gradient_are_those_of_one_pair_at_a_time(kind: str) -> None:
    """Pitfalls 12, 13 and 23, for padded batches of any size; transformers' own loss is right for a single pair."""
    rows, reference, model = random_rows(), built(kind), built(kind)
    expected = one_by_one(reference, rows)
    tokens = sum(len(row.trained_positions) for row in rows)
    for size, loss in [(size, loss) for size in (1, 3, 7) for loss in (make_full_loss, make_selective_loss)]:
        got = 0.0
        model.zero_grad()
        for at in range(0, len(rows), size):
            part = loss(model, torch)(batch_of(model, rows[at : at + size])) / tokens
            part.backward()
            got += part.item()
        assert abs(got - expected) < 1e-6 * expected, (size, loss)
        assert (gradient(model) - gradient(reference)).norm() / gradient(reference).norm() < 1e-5, (size, loss)


def test_the_mistake_this_guards_against_is_there() -> None:
    """Pitfall 13: the sum of transformers' own losses of a step's batches is not its mean over their number."""
    rows, model = random_rows(), built("t5")
    expected = one_by_one(model, rows)
    naive = sum(
        model(input_ids=torch.tensor([halves(r)[0]]), labels=torch.tensor([halves(r)[1]]), num_items_in_batch=37).loss
        for r in rows
    )
    assert naive > 5 * expected


@pytest.mark.parametrize("kind", MODELS)
def test_the_head_is_shown_the_answers_alone_where_that_is_the_same(kind: str) -> None:
    model = built(kind)
    batch = batch_of(model, random_rows())
    assert choose_pair_loss(model, torch, batch).__qualname__.startswith("make_selective_loss")
    seen = []
    hook = model.get_output_embeddings().register_forward_hook(lambda module, args, out: seen.append(out.shape[:-1]))
    choose_pair_loss(model, torch, batch)(batch)
    hook.remove()
    assert seen[-1] == (1, 37)
    own = model.forward
    model.forward = lambda **inputs: type("Out", (), {"logits": own(**inputs).logits.sort(dim=1).values})
    assert choose_pair_loss(model, torch, batch).__qualname__.startswith("make_full_loss")


def test_a_model_that_names_no_start_is_refused() -> None:
    model = built("t5")
    model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = None
    with pytest.raises(UsageError, match="decoder_start_token_id"):
        find_start_token(model)


def test_marks_of_a_record_hold_for_pairs_too() -> None:
    turns = [Message("user", "one"), Message("assistant", "uno", train=False), Message("user", "two")]
    last = Message("assistant", "dos", reasoning="2 makes two")
    both = [turns[0], Message("assistant", "uno"), turns[2]]
    records = [
        Record(messages=(*turns, last)), Record(messages=(*both, last)),
        Record(id="bad", instruction="q", output="a", label=False), Record(id="none", messages=tuple(turns)),
    ]  # fmt: skip
    alone, first, second, *lost = made(records, Question(), TOKENIZERS["bytes"])
    decode = TOKENIZERS["bytes"].decode
    assert decode(alone.input_ids) == "one\n\nuno</s>\n\ntwo</s>"
    assert [decode(pair.answer_ids) for pair in (alone, first, second)] == ["dos</s>", "uno</s>", "dos</s>"]
    left = ("reasoning-left-out",)
    assert [pair.notices for pair in (alone, first, second)] == [left, (), left]
    assert [(each.reason, each.detail) for each in lost] == [
        ("unwanted-answer", "record bad"), ("no-trained-token", "record none")
    ]  # fmt: skip
