"""Models with an encoder answer as they were trained: the question is closed, the answer begins a text of its own."""

from pathlib import Path

import pytest
import torch
from answers_kit import answers, own_answers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from filial import BEGIN, END, Message, Record, Span, Template, UsageError
from filial.labels import Encoder
from filial_plugins.local.generation import answer_records
from filial_plugins.local.pretrained import load_model, load_tokenizer

pytestmark = pytest.mark.train

SPECIAL = ["<pad>", "</s>", "<s>"]
QUESTIONS = ["a", "what is it", "b", "a rather longer question", "xy"]


class Arrow(Template):
    """Question, arrow, answer."""

    def render(self, record: Record) -> list[Span]:
        turns = record.turns()
        spans = [BEGIN, Span(turns[0].content + " ->")]
        return [*spans, Span(turns[1].content, train=True), END] if len(turns) > 1 else spans


def tokenizer(single: str) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate([*SPECIAL, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("</s>", 1), ("<s>", 2)])
    bos = "<s>" if "<s>" in single else None
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", bos_token=bos)


def t5() -> PreTrainedModel:
    config = T5Config(
        vocab_size=259, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, initializer_factor=3.0,
        decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


def bart() -> PreTrainedModel:
    config = BartConfig(
        vocab_size=259, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=40, init_std=0.4,
        decoder_start_token_id=1, pad_token_id=0, eos_token_id=1, bos_token_id=2, forced_eos_token_id=None,
    )  # fmt: skip
    return BartForConditionalGeneration(config)


KINDS = {"t5": (t5, "$A </s>"), "bart": (bart, "<s> $A </s>")}


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, (make, single) = tmp_path_factory.mktemp(request.param), KINDS[request.param]
    torch.manual_seed(4)
    make().save_pretrained(path)
    tokenizer(single).save_pretrained(path)
    return path


def one_by_one(folder: Path, question: str, new: int) -> str:
    """Greedy decoding without cache, batch or padding, of what the tokenizer itself makes of the text."""
    model, own = load_model(folder, encoder_decoder=True).eval(), load_tokenizer(folder)
    ids, out = torch.tensor([own(question + " ->")["input_ids"]]), [model.config.decoder_start_token_id]
    with torch.no_grad():
        while len(out) <= new and (len(out) == 1 or out[-1] != own.eos_token_id):
            out.append(int(model(input_ids=ids, decoder_input_ids=torch.tensor([out])).logits[0, -1].argmax()))
    return own.decode([i for i in out if i > 2]).strip()


def test_batched_answers_are_those_of_one_question_at_a_time(folder: Path) -> None:
    alone = [one_by_one(folder, question, 12) for question in QUESTIONS]
    assert len(set(alone)) > 2, "a model that says the same to everything tests nothing"
    for batch_size in (1, 2, 5):
        for ask in (answers, own_answers):
            assert ask(folder, QUESTIONS, Arrow(), max_new_tokens=12, batch_size=batch_size) == alone


def test_a_record_s_answer_is_not_shown_to_the_model(folder: Path) -> None:
    talk = Record(messages=(Message("user", "what"), Message("assistant", "this")))
    for ask in (answers, own_answers):
        bare = ask(folder, [Record(instruction="what")], Arrow(), max_new_tokens=6)
        assert ask(folder, [Record(instruction="what", output="this"), talk], Arrow(), max_new_tokens=6) == bare * 2


def test_what_a_tokenizer_puts_behind_a_text_is_known(folder: Path) -> None:
    own = load_tokenizer(folder)
    assert Encoder(own).closing == own("a")["input_ids"][-1:]
    assert Encoder(tokenizer("$A")).closing == []


def test_a_question_longer_than_the_positions_gets_no_answer() -> None:
    torch.manual_seed(4)
    model, own = bart(), tokenizer("<s> $A </s>")
    # With " ->", <s> and </s> these are 41 tokens for 40 places, and then 40.
    assert answer_records(model, own, ["x" * 36], Arrow()) == [("", False)]
    assert 0 < len(answer_records(model, own, ["x" * 35], Arrow(), max_new_tokens=60)[0][0]) <= 39


def test_a_trainer_of_causal_models_is_told(folder: Path) -> None:
    with pytest.raises(UsageError, match="encoder-decoder model; give a causal model"):
        load_model(folder)
