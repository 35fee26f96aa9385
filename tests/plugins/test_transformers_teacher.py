"""The `transformers` teacher on tiny models with random weights: it says what the model says, alone or in a batch."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from filial import Message, Record, Reply, Request, UsageError
from filial.models import save_template
from filial.testing import TeacherContract, finished
from filial_plugins.teachers.transformers import Transformers
from filial_plugins.templates.alpaca import Alpaca

SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|model|>"]
CHAT = (
    "{% for m in messages %}{{ '<|' + ('model' if m.role == 'assistant' else 'user') + '|>' + m.content + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|model|>' }}{% endif %}"
)
PROMPTS = ["a", "what is it", "b", "a rather longer question of many words", "xy", "Grüß Gott"]


def tokenizer(*, chat: str | None = None, end: bool = False) -> PreTrainedTokenizerFast:
    """One token per byte; ``end`` puts the end token behind every text, as T5 does."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate([*SPECIAL, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if end:
        backend.post_processor = processors.TemplateProcessing(single="$A <|end|>", special_tokens=[("<|end|>", 1)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=SPECIAL[0], eos_token=SPECIAL[1], additional_special_tokens=SPECIAL[2:]
    )
    made.chat_template = chat
    return made


def llama(folder: Path, *, chat: str | None = None, seed: int = 3, **config: Any) -> Path:
    made = tokenizer(chat=chat)
    torch.manual_seed(seed)
    options = {"max_position_embeddings": 128, "eos_token_id": 1, "bos_token_id": None, "pad_token_id": 0, **config}
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(made), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            initializer_range=0.3, **options,
        )
    ).save_pretrained(folder)  # fmt: skip
    made.save_pretrained(folder)
    return folder


def t5(folder: Path) -> Path:
    made = tokenizer(end=True)
    torch.manual_seed(5)
    T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(made), d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, initializer_factor=3.0,
            decoder_start_token_id=0, eos_token_id=1, pad_token_id=0,
        )
    ).save_pretrained(folder)  # fmt: skip
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("chat"), chat=CHAT)


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return t5(tmp_path_factory.mktemp("t5"))


def teacher(folder: Path, **options: Any) -> Transformers:
    return Transformers(**{"model": str(folder), "max_tokens": 12, "threads": 1, **options})


def user(text: str, **fields: Any) -> Request:
    return Request(messages=(Message(role="user", content=text),), **fields)


def told(asked: Transformers, requests: Sequence[Request], *, at_once: bool = True) -> list[Reply | BaseException]:
    """The replies to some requests, or the errors in their place."""

    async def work() -> list[Reply | BaseException]:
        try:
            if at_once:
                return await asyncio.gather(*map(asked.reply, requests), return_exceptions=True)
            return [await asked.reply(request) for request in requests]
        finally:
            await asked.close()

    out: list[Reply | BaseException] = finished(work())
    return out


def one(asked: Transformers, request: Request) -> Reply:
    (reply,) = told(asked, [request])
    if isinstance(reply, BaseException):
        raise reply
    return reply


def own(model: Any, ids: list[int], new: int, **options: Any) -> list[int]:
    """What the library's own greedy generation says after these tokens."""
    out = model.generate(torch.tensor([ids]), max_new_tokens=new, do_sample=False, eos_token_id=1, **options)[0]
    return out.tolist()[1 if model.config.is_encoder_decoder else len(ids) :]


def same_text(reply: Reply | BaseException, ids: list[int]) -> bool:
    assert isinstance(reply, Reply), reply
    return reply.text == tokenizer().decode(ids, skip_special_tokens=True).strip()


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
    save_template(folder, {"use": "alpaca"})
    prompt = "".join(span.text for span in Alpaca().render(Record(instruction="Name a river.")) if span.text != "{bos}")
    ids = tokenizer()(prompt)["input_ids"]
    model = LlamaForCausalLM.from_pretrained(folder)
    assert same_text(one(teacher(folder), user("Name a river.")), own(model, ids, 12))


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_sampled_answers_do_not_depend_on_who_else_is_asked(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    asks = [user(text, draw=draw, temperature=t) for text in PROMPTS for draw, t in ((0, 1.0), (1, 1.0), (0, 0.0))]
    asks.append(user("a", temperature=1.5, top_p=0.9, seed=7))
    options = {"top_k": 40, "seed": 11}
    alone = list(map(repr, told(teacher(folder, batch_size=1, **options), asks)))
    assert list(map(repr, told(teacher(folder, batch_size=32, **options), asks))) == alone
    assert list(map(repr, told(teacher(folder, batch_size=5, **options), asks[::-1]))) == alone[::-1]


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


def test_prompts_of_unlike_length_fill_a_context_of_few_positions_together(tmp_path: Path) -> None:
    torch.manual_seed(1)
    made = tokenizer()
    GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(made), n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3,
            bos_token_id=None, eos_token_id=1,
        )
    ).save_pretrained(tmp_path)  # fmt: skip
    made.save_pretrained(tmp_path)
    asks = [user("x" * n, draw=n, temperature=n % 2, stop=("☃",)) for n in (1, 30, 45, 3, 58, 62)]
    alone = list(map(repr, told(teacher(tmp_path, max_tokens=200, batch_size=1), asks)))
    assert list(map(repr, told(teacher(tmp_path, max_tokens=200), asks))) == alone
    greedy = [reply for reply in told(teacher(tmp_path, max_tokens=200), asks) if isinstance(reply, Reply)]
    assert max(reply.prompt_tokens + reply.completion_tokens for reply in greedy) == 64


def test_each_row_of_a_batch_has_its_own_limit(causal: Path) -> None:
    asks = [user("what", max_tokens=n) for n in (3, 9)]
    short, long = told(teacher(causal), asks)
    assert (short.completion_tokens, long.completion_tokens) == (3, 9)
    assert long.text.startswith(short.text[:-1])


def test_a_request_that_cannot_be_asked_costs_only_itself(causal: Path) -> None:
    bad = {
        "prompt-too-long": user("x" * 128),
        "empty-prompt": user(" \n"),
        "not-unicode": user("\ud800"),
    }
    replies = told(teacher(causal), [user("what"), *bad.values(), user("x" * 126)])
    assert [getattr(reply, "reason", None) for reply in replies] == [None, *bad, None]
    assert replies[-1].completion_tokens == 2, "what room the context leaves"
    assert replies[1].retry is False
    assert "128 tokens" in replies[1].detail


def test_a_conversation_that_the_template_refuses_costs_only_itself(tmp_path: Path) -> None:
    picky = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHAT
    asks = [Request(messages=(Message("system", "Be short."), Message("user", "what"))), user("what")]
    refused, reply = told(teacher(llama(tmp_path, chat=picky)), asks)
    assert refused.reason == "unfit-conversation"
    assert "no system turn" in refused.detail
    assert isinstance(reply, Reply)


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


def test_a_schema_is_asked_for_in_words(causal: Path) -> None:
    schema = {"type": "object", "required": ["name"]}
    asked = teacher(llama_of(causal))
    bare, worded = told(asked, [user("what"), user("what", schema=schema)])
    added = worded.prompt_tokens - bare.prompt_tokens
    assert added > len('{"type":"object","required":["name"]}')
    assert asked.bound(user("what", schema=schema)).prompt >= worded.prompt_tokens


def llama_of(folder: Path) -> Path:
    """The same weights with more room."""
    wide = folder.with_name(f"{folder.name}-wide")
    if not wide.exists():
        LlamaForCausalLM.from_pretrained(folder, max_position_embeddings=1024).save_pretrained(wide)
        tokenizer().save_pretrained(wide)
    return wide


def test_what_it_costs_at_most(causal: Path) -> None:
    asked = teacher(causal)
    assert asked.bound(user("what")).completion == 12
    assert asked.bound(user("what", max_tokens=5)).completion == 5
    assert asked.price().cost(1000, 1000) == 0
    assert asked.destination() is None


def test_a_request_nobody_waits_for_is_left_out(causal: Path) -> None:
    asked = teacher(causal, batch_size=1, max_tokens=100)

    async def work() -> tuple[float, float]:
        await asked.reply(user("load it"))
        begun = time.perf_counter()
        await asked.reply(user("what"))
        each = time.perf_counter() - begun
        tasks = [asyncio.create_task(asked.reply(user(f"what {i}"))) for i in range(40)]
        await asyncio.sleep(0)
        for task in tasks[:-1]:
            task.cancel()
        begun = time.perf_counter()
        await tasks[-1]
        took = time.perf_counter() - begun
        assert all(task.cancelled() for task in tasks[:-1])
        await asked.close()
        return each, took

    each, took = finished(work())
    assert took < 10 * each, "40 would have been worked on"


def test_a_batch_ends_when_nobody_waits_for_it(causal: Path) -> None:
    asked = teacher(llama_of(causal), max_tokens=100_000)

    async def work() -> float:
        await asked.reply(user("load it", max_tokens=1))
        task = asyncio.create_task(asked.reply(user("what", stop=("☃",))))
        await asyncio.sleep(0.3)
        assert not task.done()
        task.cancel()
        begun = time.perf_counter()
        await asked.close()
        return time.perf_counter() - begun

    assert finished(work()) < 1


def test_the_event_loop_stays_free_and_later_requests_join_the_next_batch(causal: Path) -> None:
    asked = teacher(causal, batch_size=4, max_tokens=60)

    async def work() -> tuple[int, list[Reply]]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.005)
                ticks += 1

        ticking = asyncio.create_task(tick())
        late = []
        for i in range(12):
            late.append(asyncio.create_task(asked.reply(user(f"what {i}"))))
            await asyncio.sleep(0.01)
        replies = list(await asyncio.gather(*late))
        ticking.cancel()
        await asked.close()
        return ticks, replies

    ticks, replies = finished(work())
    assert ticks > 20
    assert replies == told(teacher(causal, max_tokens=60), [user(f"what {i}") for i in range(12)], at_once=False)


def test_a_batch_too_large_for_the_device_is_halved(causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asks = [user(text) for text in PROMPTS]
    wanted = told(teacher(causal), asks)
    generate, sizes = LlamaForCausalLM.generate, []

    def tight(self: Any, input_ids: Any, **options: Any) -> Any:
        sizes.append(len(input_ids))
        if len(input_ids) > room:
            raise torch.OutOfMemoryError
        return generate(self, input_ids=input_ids, **options)

    monkeypatch.setattr(LlamaForCausalLM, "generate", tight)
    room = 2
    assert told(teacher(causal), asks) == wanted
    assert max(sizes) == 6
    room = 0
    assert {error.reason for error in told(teacher(causal), asks)} == {"out-of-memory"}


def test_batches_keep_to_their_tokens(causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate, sizes = LlamaForCausalLM.generate, []

    def counted(self: Any, input_ids: Any, generation_config: Any, **options: Any) -> Any:
        sizes.append((len(input_ids), input_ids.shape[1] + generation_config.max_new_tokens))
        return generate(self, input_ids=input_ids, generation_config=generation_config, **options)

    monkeypatch.setattr(LlamaForCausalLM, "generate", counted)
    asks = [user("x" * n) for n in (1, 100, 2, 90, 3, 80, 4, 5)]
    told(teacher(causal, batch_tokens=100, max_tokens=10), asks)
    assert sum(rows for rows, _ in sizes) == len(asks)
    assert all(rows * width <= 100 or rows == 1 for rows, width in sizes)
    assert (5, 15) in sizes, "the short ones share a batch"


def test_another_model_is_another_identity_and_another_place_is_not(causal: Path, tmp_path: Path) -> None:
    base = teacher(causal).identity()
    assert base["model"].startswith("sha256:")
    assert str(causal) not in str(base)
    copied, other = tmp_path / "copy", llama(tmp_path / "other", seed=4)
    copied.mkdir()
    for file in causal.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    assert teacher(copied, batch_size=3, device="cpu", threads=2, batch_tokens=99, timeout=5).identity() == base
    assert teacher(other).identity() != base
    save_template(copied, {"use": "alpaca"})
    assert teacher(copied).identity() != base
    for option in ({"temperature": 1.0}, {"seed": 1}, {"dtype": "bfloat16"}, {"max_tokens": 9}, {"chat": "plain"}):
        assert teacher(causal, **option).identity() != base
    hub = Transformers(model="acme/tiny", revision="v1").identity()
    assert (hub["model"], hub["revision"]) == ("acme/tiny", "v1")


def test_a_teacher_that_has_answered_can_be_copied_and_sent_to_another_process(causal: Path) -> None:
    asked = teacher(causal, max_tokens=4)

    async def work() -> list[Reply]:
        first = await asked.reply(user("what"))
        copies = [pickle.loads(pickle.dumps(asked)), asked.model_copy(update={"max_tokens": 2})]
        return [first, *[await copy.reply(user("what")) for copy in copies]]

    first, second, shorter = finished(work())
    assert second == first
    assert shorter.completion_tokens == 2


CODE = """
from pathlib import Path
Path(__file__).with_name("ran").write_text("")
import os
Path(os.environ["MARK"]).write_text("")
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def with_own_code(folder: Path) -> Path:
    llama(folder)
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "own", "auto_map": classes}))
    (folder / "own.py").write_text(CODE)
    return folder


def test_code_in_a_folder_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    folder = with_own_code(tmp_path / "own")
    (error,) = told(teacher(folder), [user("what")])
    assert isinstance(error, UsageError)
    assert "needs code that comes with it, and that is not run" in str(error)
    assert not (tmp_path / "mark").exists()
    (error,) = told(teacher(folder, code=f"{folder}@{'a' * 40}"), [user("what")])
    assert isinstance(error, UsageError)
    assert "its code is not run" in str(error)
    assert not (tmp_path / "mark").exists()


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(("options", "runs"), [([], False), (["--code", f"acme/own@{COMMIT}"], True)])
def test_code_of_a_hub_model_runs_only_when_named_with_its_commit(
    tmp_path: Path, options: list[str], runs: bool
) -> None:
    repository = tmp_path / "hub" / "models--acme--own"
    with_own_code(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    mark = tmp_path / "mark"
    done = subprocess.run(
        [sys.executable, "-m", "filial", "ask", "transformers", "what", "--model", "acme/own", "--max-tokens", "3",
         "--home", str(tmp_path), *options],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "MARK": str(mark)},
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    assert mark.exists() == runs
    if runs:
        assert "gave no answer: length" in done.stderr
    else:
        assert done.returncode == 2
        assert "needs code that comes with it" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"code": f"acme/other@{COMMIT}"}, "only the code of the model itself"),
        ({"code": f"acme/own@{COMMIT}", "revision": "main"}, "at the commit that is used"),
        ({"code": "acme/own@main"}, "pattern"),
        ({"code": "acme/own"}, "pattern"),
        ({"device": "gpu"}, "pattern"),
    ],
)
def test_options_that_would_run_other_code_are_refused(options: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Transformers(model="acme/own", **options)


def test_pickled_weights_are_refused(causal: Path, tmp_path: Path) -> None:
    for file in causal.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(load_file(causal / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (error,) = told(teacher(tmp_path), [user("what")])
    assert isinstance(error, UsageError)
    assert "no model can be loaded" in str(error)
    assert "safetensors" in str(error)


@pytest.mark.parametrize(
    ("model", "why"), [("./nowhere", "no such folder"), ("pkg:filial_plugins/nowhere", "no model is in this folder")]
)
def test_a_folder_that_is_not_there_is_one_sentence(model: str, why: str) -> None:
    (error,) = told(Transformers(model=model), [user("what")])
    assert isinstance(error, UsageError)
    assert why in str(error)


def test_a_device_that_is_not_there_is_one_sentence(causal: Path) -> None:
    (error,) = told(teacher(causal, device="cuda:7"), [user("what")])
    assert isinstance(error, UsageError)
    assert "the device 'cuda:7' cannot be used" in str(error)


def test_a_tokenizer_of_another_model_is_told(causal: Path, tmp_path: Path) -> None:
    LlamaForCausalLM(
        LlamaConfig(vocab_size=40, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    (error,) = told(teacher(tmp_path), [user("what")])
    assert isinstance(error, UsageError)
    assert "do not belong together" in str(error)


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


def test_a_recipe_s_model_is_looked_for_beside_the_recipe(causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = teacher(Path(causal.name))
    monkeypatch.chdir("/")
    assert named.located(causal.parent).identity() == teacher(causal).identity()
    hub = Transformers(model="google/flan-t5-small")
    assert hub.located(causal.parent) == hub
