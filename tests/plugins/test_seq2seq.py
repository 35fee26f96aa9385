"""The trainer of encoder-decoder models: right loss however a step is split, resumable, and what it saves answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from answers_kit import answers, note_template, own_answers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast, T5Config
from transformers import T5ForConditionalGeneration as T5

from filial import Message, Record, Request, TrainContext, UsageError
from filial.contracts.records import to_json
from filial.labels import Encoder
from filial.testing import TrainerContract
from filial_plugins.local.pretrained import load_model, load_tokenizer
from filial_plugins.teachers.transformers import Transformers
from filial_plugins.templates.question import Question
from filial_plugins.trainers.devices.process_group import ProcessGroup
from filial_plugins.trainers.options import GradientTrainer
from filial_plugins.trainers.rows.pairs import Limits, write_pairs
from filial_plugins.trainers.rows.preparation import DataFile
from filial_plugins.trainers.rows.training_data import TrainingData
from filial_plugins.trainers.seq2seq import Seq2Seq, Seq2SeqRunner
from filial_plugins.trainers.session import Session
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train

WORDS = ["red", "blue", "green", "one", "two", "six", "cat", "dog", "owl"]
ECHO = [Record(id=f"r{a}{b}", instruction=f"say {a} not {b}", output=a) for a in WORDS for b in WORDS]
TAUGHT = [r for i, r in enumerate(ECHO) if i % 7 != 3]


class TestSeq2Seq(TrainerContract):
    component = Seq2Seq()


def tokenizer() -> PreTrainedTokenizerFast:
    """Whole words and single bytes; every text is ended, as by T5's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(["<pad>", "</s>", *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")


def make(folder: Path, dropout: float = 0.0) -> Path:
    tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=258, d_model=48, d_kv=16, d_ff=96, num_layers=2, num_heads=3, decoder_start_token_id=0,
        eos_token_id=1, pad_token_id=0, dropout_rate=dropout, feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )  # fmt: skip
    T5(config).save_pretrained(folder)
    return folder


def write(path: Path, records: list[Record]) -> Path:
    path.write_bytes(b"".join(to_json(r) + b"\n" for r in records))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.jsonl", TAUGHT)
    write(folder / "heldout.jsonl", [r for r in ECHO if r not in TAUGHT])
    return folder


def make_runner(base: Path, records: list[Record], folder: Path, **options: object) -> Seq2SeqRunner:
    """The work of a training, with a model of its own."""
    file, encoder = write(folder / "train.jsonl", records), Encoder(load_tokenizer(base))
    store = write_pairs(DataFile(file), Question(), encoder, Limits(512, 512, "drop"), folder / "store")
    model = load_model(base, encoder_decoder=True)
    data = TrainingData(encoder.tokenizer, Question(), file, store, heldout=store)
    made = Seq2Seq(threads=1, **options)
    session = Session(
        made, "seq2seq", torch, ProcessGroup(torch), TrainContext(0), model, data, str(base), folder / "out"
    )
    return Seq2SeqRunner(session)


def gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


UNEQUAL = [Record(instruction="q" * (3 * i + 1), output="a" * (40 - 5 * i)) for i in range(8)]


def by_definition(base: Path, records: list[Record]) -> tuple[float, torch.Tensor]:
    """Loss and gradient of a step: transformers' own loss of one pair at a time, weighted by its tokens."""
    model, own = load_model(base, encoder_decoder=True), load_tokenizer(base)
    pairs = [(own(r.instruction)["input_ids"], own(r.output)["input_ids"]) for r in records]
    tokens, total = sum(len(written) for _, written in pairs), 0.0
    for read, written in pairs:
        loss = model(input_ids=torch.tensor([read]), labels=torch.tensor([written])).loss * len(written) / tokens
        loss.backward()
        total += loss.item()
    return total, gradient(model)


@pytest.mark.parametrize(("batch_size", "accumulation"), [(8, 1), (1, 8), (2, 4), (3, 3)])
def test_loss_and_gradient_do_not_depend_on_how_a_step_is_split(
    base: Path, tmp_path: Path, batch_size: int, accumulation: int
) -> None:
    """Pitfalls 12 and 13. 3 x 3 leaves the last batch of the step two pairs."""
    loss, expected = by_definition(base, UNEQUAL)
    work = make_runner(base, UNEQUAL, tmp_path, batch_size=batch_size, grad_accumulation=accumulation)
    [step] = work.plan_steps(0)
    assert abs(float(work.add_gradients(step)) - loss) < 1e-6 * loss
    assert (gradient(work.network) - expected).norm() / expected.norm() < 1e-5


def test_heldout_loss_does_not_depend_on_the_batches(base: Path, tmp_path: Path) -> None:
    """Pitfall 21."""
    expected, _ = by_definition(base, UNEQUAL)
    for size in (1, 3, 8):
        work = make_runner(base, UNEQUAL, tmp_path, batch_size=size)
        assert work.evaluate()["heldout_loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("trainer", [SFT, Seq2Seq])
def test_float16_is_no_choice(trainer: type[GradientTrainer]) -> None:
    """Pitfall 24: T5's activations overflow in float16."""
    with pytest.raises(ValueError, match="float32"):
        trainer(dtype="float16")


def test_it_learns_and_the_saved_model_answers(base: Path, data: Path, tmp_path: Path) -> None:
    options = Seq2Seq(
        max_steps=150, batch_size=24, optimizer="muon", lr=1e-2, adam_lr=5e-3, beta2=0.98, schedule="trapezoid",
        warmup=0.05, threads=1, eval_every=75,
    )  # fmt: skip
    figures = options.train(data, str(base), Question(), tmp_path / "model", TrainContext(1))
    log = [json.loads(line) for line in (tmp_path / "model" / "training.jsonl").read_text().splitlines()]
    looks = [line["heldout_loss"] for line in log if "heldout_loss" in line]
    assert [line["step"] for line in log if "heldout_loss" in line][:2] == [75, 150]
    assert looks[-1] < 0.5 < log[0]["loss"]
    assert figures["heldout_loss"] == looks[-1]
    assert figures["rows"] == len(TAUGHT)
    assert figures["trained_tokens"] == sum(len(r.output) + 1 for r in TAUGHT)
    assert figures["stop_rate"] == 1
    said = answers(tmp_path / "model", TAUGHT, Question(), max_new_tokens=8, batch_size=7)
    assert said == own_answers(tmp_path / "model", TAUGHT, Question(), max_new_tokens=8)
    assert sum(a == r.output for a, r in zip(said, TAUGHT, strict=True)) >= 60
    saved = load_model(tmp_path / "model", encoder_decoder=True)
    assert saved.generation_config.decoder_start_token_id == 0
    assert (saved.generation_config.eos_token_id, saved.generation_config.pad_token_id) == (1, 0)


class Killed(BaseException):
    """Stands for kill -9: nothing gets to clean up after itself."""


def test_a_training_that_was_killed_ends_in_the_same_bytes(data: Path, tmp_path: Path) -> None:
    """Pitfall 22, with dropout, in mid-epoch and after the first epoch."""
    base = make(tmp_path / "base", dropout=0.1)

    def trained(name: str, die_at: int | None = None) -> bytes:
        def progress(done: float, total: float, text: str) -> None:
            if die_at is not None and done >= die_at / 12:
                raise Killed

        options = Seq2Seq(max_steps=12, batch_size=10, lr=1e-3, threads=1, samples=0, checkpoint_steps=2)
        options.train(data, str(base), Question(), tmp_path / name, TrainContext(1, progress=progress))
        return (tmp_path / name / "model.safetensors").read_bytes()

    whole = trained("whole")
    for die_at in (5, 9):
        with pytest.raises(Killed):
            trained("killed", die_at)
        assert not (tmp_path / "killed").exists()
    assert trained("killed") == whole


def test_what_does_not_fit_together_says_so(base: Path, data: Path, tmp_path: Path) -> None:
    causal = tmp_path / "causal"
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=258, **sizes)).save_pretrained(causal)
    tokenizer().save_pretrained(causal)
    with pytest.raises(UsageError, match="has no encoder; train it with sft"):
        Seq2Seq(threads=1).train(data, str(causal), Question(), tmp_path / "m", TrainContext(0))
    with pytest.raises(UsageError, match="encoder-decoder model"):
        SFT(threads=1).train(data, str(base), Question(), tmp_path / "m", TrainContext(0))
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "train.jsonl", [Record(id="long", instruction="q", output="o" * 300)])
    with pytest.raises(UsageError, match=r"nothing to train on: 1 answer-too-long \(record long: 301 tokens"):
        Seq2Seq(threads=1).train(tmp_path / "data", str(base), Question(), tmp_path / "m", TrainContext(0))
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(base: Path, data: Path, tmp_path: Path) -> None:
    losses = []
    for count in (1, 2):
        options = Seq2Seq(max_steps=4, batch_size=5, lr=1e-3, threads=1, samples=0, log_every=1, launch=count)
        out = tmp_path / f"by {count}"
        losses.append([options.train(data, str(base), Question(), out, TrainContext(0))["heldout_loss"]])
        losses[-1] += [json.loads(line).get("loss") for line in (out / "training.jsonl").read_text().splitlines()]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_the_recipe_for_flan_t5_is_sound(cli) -> None:
    assert cli("check", Path(__file__).parents[2] / "recipes" / "flan-t5.yaml") == 0, cli.err


def test_the_teacher_asks_as_the_judge_does(tmp_path: Path) -> None:
    """Both read the same: the template of the folder, closed by the tokenizer's end token."""
    tokenizer().save_pretrained(tmp_path)
    torch.manual_seed(5)
    config = T5Config(vocab_size=258, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, initializer_factor=3.0)
    config.decoder_start_token_id = 0
    T5(config).save_pretrained(tmp_path)
    note_template(tmp_path, {"use": "question"})
    expected = own_answers(tmp_path, WORDS, Question(), max_new_tokens=9)
    assert len(set(expected)) > 3, "a model that says the same to everything tests nothing"
    teacher = Transformers(model=str(tmp_path), max_tokens=9, threads=1)

    async def said() -> list[str]:
        asked = (Request(messages=(Message("user", word),)) for word in WORDS)
        try:
            return [reply.text for reply in await asyncio.gather(*map(teacher.reply, asked))]
        finally:
            await teacher.close()

    assert asyncio.run(said()) == expected


RECIPE = """
seed: 3
data: tasks.jsonl
heldout: 9
template: question
train: {use: seq2seq, model: ./base, max_steps: 120, batch_size: 24, optimizer: muon, lr: 0.01, beta2: 0.98, threads: 1}
judge: {use: exact-match, data: heldout, max_new_tokens: 8, against: [base]}
"""


def test_a_recipe_trains_judges_and_asks(cli, data: Path) -> None:
    """The whole road: a recipe that passes check, a run, an answer from the saved model, which knows its template."""
    make(Path("base"))
    write(Path("tasks.jsonl"), ECHO)
    Path("echo.yaml").write_text(RECIPE)
    assert cli("check", "echo.yaml") == 0
    assert cli("run", "echo.yaml") == 0
    summary = json.loads(Path("runs/echo/summary.json").read_text())
    assert summary["train"]["heldout_loss"] < 1.5
    [judged] = summary["judge"].values()
    assert judged["base"]["mean"] == 0 < judged["model"]["mean"]
    assert json.loads(Path("runs/echo/model/filial_template.json").read_text())["use"] == "question"
    assert cli("ask", "transformers", "say owl not cat", "--model", "runs/echo/model", "--threads", "1") == 0
    assert cli.out.strip() == "owl"
    assert cli("judge", "exact-match", "tasks.jsonl", "--model", "runs/echo/model", "--max-new-tokens", "8") == 0


UNFIT = """
teacher: procedural
stages: [{generate: {use: self-instruct, seeds: "pkg:filial_plugins/seeds/english.jsonl", count: 5}}]
template: question
train:
  use: %s
  model: ./base
"""


def settings_of(kind: str, folder: Path) -> None:
    """What a model's folder says of itself, as transformers writes it."""
    causal: dict[str, Any] = {"architectures": ["LlamaForCausalLM"]}
    configs = {
        "T5": T5Config(architectures=["T5ForConditionalGeneration"]),
        "Llama": LlamaConfig(**causal),
        "quantised Llama": LlamaConfig(**causal, quantization_config={"quant_method": "bitsandbytes"}),
    }
    folder.mkdir()
    if kind == "adapters":
        (folder / "adapter_config.json").write_text("{}")
    elif kind in configs:
        configs[kind].save_pretrained(folder)


@pytest.mark.parametrize(
    ("trainer", "kind", "why"),
    [
        ("sft", "T5", "base: this is an encoder-decoder model; give a causal model"),
        ("seq2seq", "Llama", "base: this model has no encoder; train it with sft"),
        ("sft", "quantised Llama", "base: its weights are quantized"),
        ("sft", "adapters", "base: this is an adapter; train"),
        ("seq2seq", "an empty folder", "base: no model can be loaded from here"),
        ("sft", "Llama", ""),
        ("seq2seq", "T5", ""),
    ],
)
def test_a_model_that_its_trainer_cannot_train_is_refused_before_anything_is_asked(cli, trainer, kind, why) -> None:
    settings_of(kind, Path("base"))
    Path("unfit.yaml").write_text(UNFIT % trainer)
    for command in ("check", "plan", *(["run"] if why else [])):
        assert cli(command, "unfit.yaml") == (2 if why else 0), cli.err
        if why:
            assert why in " ".join(cli.err.split())
            assert "unfit.yaml:" in cli.err, "with its place"
    assert not Path(".filial").exists()
