"""The `transformers` teacher on tiny models with random weights: it says what the model says, as it is asked to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from answers_kit import answers, note_template, own_answers
from local_model_kit import CHAT, PROMPTS, llama, llama_of, one, own, same_text, teacher, tokenizer, told, user
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM, T5ForConditionalGeneration

from filial import Message, Record, Reply, Request, Template
from filial.testing import TeacherContract
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.question import Question
from filial_plugins.templates.vicuna import Vicuna

pytestmark = pytest.mark.train


class TestContract(TeacherContract):
    offline = True

    @pytest.fixture(autouse=True)
    def _component(self, causal: Path) -> None:
        type(self).component = teacher(causal)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_causal_model_says_what_its_own_generation_says(causal: Path, batch_size: int) -> None:
    model = LlamaForCausalLM.from_pretrained(causal)
    replies = told(teacher(causal, batch_size=batch_size), [user(text) for text in PROMPTS])
    for text, reply in zip(PROMPTS, replies, strict=True):
        ids = tokenizer()(text)["input_ids"]
        wanted = own(model, ids, 12)
        assert same_text(reply, wanted)
        assert (reply.prompt_tokens, reply.completion_tokens) == (len(ids), len(wanted))
        assert reply.finish_reason == ("stop" if wanted[-1] == 1 else "length")
    assert len({reply.text for reply in replies}) > 3, "a model that says the same to everything tests nothing"


@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_encoder_decoder_model_does_too(seq2seq: Path, batch_size: int) -> None:
    model = T5ForConditionalGeneration.from_pretrained(seq2seq)
    replies = told(teacher(seq2seq, batch_size=batch_size), [user(text) for text in PROMPTS])
    for text, reply in zip(PROMPTS, replies, strict=True):
        ids = tokenizer(end=True)(text)["input_ids"]
        assert ids[-1] == 1
        assert same_text(reply, own(model, ids, 12))
        assert reply.prompt_tokens == len(ids)
    assert len({reply.text for reply in replies}) > 2


def test_a_chat_model_is_asked_by_its_template(chatty: Path) -> None:
    model, made = LlamaForCausalLM.from_pretrained(chatty), AutoTokenizer.from_pretrained(chatty)
    turns = (Message("user", "hi"), Message("assistant", "ho"), Message("user", "what is it"))
    written = [{"role": turn.role, "content": turn.content} for turn in turns]
    ids = made.apply_chat_template(written, add_generation_prompt=True, return_dict=False)
    assert same_text(one(teacher(chatty), Request(messages=turns)), own(model, ids, 12))
    plain = made("hi\n\nho\n\nwhat is it")["input_ids"]
    assert same_text(one(teacher(chatty, chat="plain"), Request(messages=turns)), own(model, plain, 12))


def test_control_tokens_in_a_question_stay_text(chatty: Path, causal: Path) -> None:
    for folder, extra in ((chatty, 3), (causal, 0)):
        text = "a<|end|>b"
        reply = one(teacher(folder), user(text))
        assert reply.prompt_tokens == len(text) + extra


def test_a_model_filial_trained_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    folder = llama(tmp_path, chat=CHAT, max_position_embeddings=512)
    note_template(folder, {"use": "alpaca"})
    prompt = "".join(span.text for span in Alpaca().render(Record(instruction="Name a river.")) if span.text != "{bos}")
    ids = tokenizer()(prompt)["input_ids"]
    model = LlamaForCausalLM.from_pretrained(folder)
    assert same_text(one(teacher(folder), user("Name a river.")), own(model, ids, 12))


@pytest.mark.parametrize("template", [Alpaca(), Plain(), Question(), Vicuna()], ids=lambda one: type(one).__name__)
def test_a_judged_model_is_asked_token_by_token_as_it_was_trained(tmp_path: Path, template: Template) -> None:
    """Some write an input in a place of its own, which messages do not tell apart; the request does."""
    folder = llama(tmp_path, max_position_embeddings=512)
    said = ("Name a river.", "Po", "And a lake?", "Garda")
    talk = Record(messages=tuple(map(Message, ("user", "assistant", "user", "assistant"), said)))
    records = [
        Record(instruction="Add.", input="2 and 40", output="42"),
        Record(instruction="Name a river.", output="Po"),
        Record(instruction="Add.\n\n2 and 40", output="42"),
        Record(instruction="Add.", input="2 and 40", output="42", system="Be brief."),
        *([] if isinstance(template, Question) else [talk]),
    ]
    found = answers(folder, records, template, max_new_tokens=12)
    assert found == own_answers(folder, records, template, max_new_tokens=12)
    if isinstance(template, Alpaca | Plain):
        assert found[0] != found[2], "a model that says the same to both would tell nothing"


def test_a_draw_a_seed_and_a_request_s_seed_change_what_is_sampled_and_nothing_else(causal: Path) -> None:
    warm = {"temperature": 1.0, "max_tokens": 20}
    asks = [user("what", draw=0), user("what", draw=1), user("what", seed=1), user("what", draw=0)]
    first, drawn, seeded, again = (reply.text for reply in told(teacher(causal, **warm), asks))
    assert len({first, drawn, seeded}) == 3
    assert again == first
    assert one(teacher(causal, seed=1, **warm), asks[0]).text != first
    assert len({reply.text for reply in told(teacher(causal, seed=4), asks)}) == 1, "greedy: nothing is drawn"


def test_an_answer_ends_at_the_first_stop_text(causal: Path, tmp_path: Path) -> None:
    for file in causal.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    letters = tokenizer().convert_tokens_to_ids(list("abcdefghijklmnopqrstuvwxyz"))
    others = sorted(set(range(len(tokenizer()))) - set(letters))
    (tmp_path / "generation_config.json").write_text(json.dumps({"suppress_tokens": others, "eos_token_id": 1}))
    warm = {"max_tokens": 30, "temperature": 1.0}
    whole = one(teacher(tmp_path, **warm), user("what"))
    assert whole.text.isalpha()
    assert len(whole.text) == 30, "tokens that the model's author suppresses are not said"
    stop = whole.text[8:11]
    assert whole.text.index(stop) == 8
    for asks in ([user("what", stop=(stop, ""))], [user("what", stop=("☃", stop)), *map(user, PROMPTS)]):
        reply = told(teacher(tmp_path, **warm), asks)[0]
        assert isinstance(reply, Reply)
        assert (reply.text, reply.finish_reason) == (whole.text[:8], "stop")
        assert reply.completion_tokens == 11, "nothing is generated behind it"


def test_penalties_and_beams_of_a_model_s_author_do_not_reach_the_answers(causal: Path, tmp_path: Path) -> None:
    for file in causal.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    wishes = {
        "num_beams": 4,
        "do_sample": True,
        "repetition_penalty": 5.0,
        "no_repeat_ngram_size": 1,
        "eos_token_id": 1,
    }
    (tmp_path / "generation_config.json").write_text(json.dumps(wishes))
    asks = [user(text) for text in PROMPTS]
    assert [r.text for r in told(teacher(tmp_path), asks)] == [r.text for r in told(teacher(causal), asks)]


def test_a_schema_is_asked_for_in_words(causal: Path) -> None:
    schema = {"type": "object", "required": ["name"]}
    asked = teacher(llama_of(causal))
    bare, worded = told(asked, [user("what"), user("what", schema=schema)])
    added = worded.prompt_tokens - bare.prompt_tokens
    assert added > len('{"type":"object","required":["name"]}')
    assert asked.bound(user("what", schema=schema)).prompt >= worded.prompt_tokens


def test_what_it_costs_at_most(causal: Path) -> None:
    asked = teacher(causal)
    assert asked.bound(user("what")).completion == 12
    assert asked.bound(user("what", max_tokens=5)).completion == 5
    assert asked.price().cost(1000, 1000) == 0
    assert asked.destination() is None


def test_a_model_that_says_nothing_is_told_apart(causal: Path, tmp_path: Path) -> None:
    folder = llama(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"].zero_()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (reply,) = told(teacher(folder, max_tokens=3), [user("what")])
    assert reply.text == "", "token 0, a special one, three times"
    assert reply.finish_reason == "length"
    config = json.loads((folder / "config.json").read_text()) | {"eos_token_id": 0}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").unlink()
    (empty,) = told(teacher(folder), [user("what")])
    assert (empty.reason, empty.billed) == ("empty-answer", (4, 1))


def test_weights_that_overflow_are_an_error_not_an_answer(tmp_path: Path) -> None:
    folder = llama(tmp_path)
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] *= 1e30
    weights["model.norm.weight"] *= 1e30
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (error,) = told(teacher(folder, dtype="float16"), [user("what")])
    assert error.reason == "not-a-number"
    assert "float16" in error.detail
