"""Local models answer, stop where they should, and know their template; threads follow the machine."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from answers_kit import answers, note_template, own_answers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from filial import BEGIN, END, Message, MissingExtra, Record, Span, Template, UsageError
from filial.commands import load_template
from filial_plugins.local.cpu import _read_quota as quota_of
from filial_plugins.local.cpu import choose_threads
from filial_plugins.local.generation import answer_records
from filial_plugins.local.pretrained import load_model, load_tokenizer

pytestmark = pytest.mark.train

SPECIAL = ["<|pad|>", "<|end|>"]


class Arrow(Template):
    """Question, arrow, answer."""

    def render(self, record: Record) -> list[Span]:
        turns = record.turns()
        spans = [BEGIN, Span(turns[0].content + " ->")]
        return [*spans, Span(turns[1].content, train=True), END] if len(turns) > 1 else spans


def save(folder: Path, **config: object) -> LlamaForCausalLM:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate([*SPECIAL, *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<|pad|>", eos_token="<|end|>")
    torch.manual_seed(3)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=64, initializer_range=0.3, eos_token_id=1, **config,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    save(path)
    return path


def one_by_one(folder: Path, question: str, new: int) -> str:
    """Greedy decoding without cache, batch or padding."""
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    ids = tokenizer(question + " ->")["input_ids"]
    out: list[int] = []
    with torch.no_grad():
        while len(out) < new and (not out or out[-1] != tokenizer.eos_token_id):
            out.append(int(model(input_ids=torch.tensor([ids + out])).logits[0, -1].argmax()))
    return tokenizer.decode([i for i in out if i > 1]).strip()


def test_batched_answers_are_those_of_one_question_at_a_time(folder: Path) -> None:
    questions = ["a", "what is it", "b", "a rather longer question", "xy"]
    alone = [one_by_one(folder, q, 12) for q in questions]
    assert len(set(alone)) > 2, "a model that says the same to everything tests nothing"
    for batch_size in (1, 2, 5):
        for ask in (answers, own_answers):
            assert ask(folder, questions, Arrow(), max_new_tokens=12, batch_size=batch_size) == alone


def test_a_record_s_answer_is_not_shown_to_the_model(folder: Path) -> None:
    talk = Record(messages=(Message("user", "what"), Message("assistant", "this")))
    for ask in (answers, own_answers):
        bare = ask(folder, [Record(instruction="what")], Arrow(), max_new_tokens=6)
        assert ask(folder, [Record(instruction="what", output="this"), talk], Arrow(), max_new_tokens=6) == bare * 2


def test_answers_end_at_any_stop_token_and_keep_text_that_looks_like_one(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    text = tokenizer.convert_tokens_to_ids(list("<|end|>"))

    class Parrot(LlamaForCausalLM):
        """Writes "<|end|>" letter by letter, then ``closing`` for ever."""

        def generate(self, input_ids, attention_mask, generation_config):  # type: ignore[no-untyped-def]
            said = torch.tensor([[*text, self.closing, text[0], self.closing]] * len(input_ids))
            return torch.cat([input_ids, said], 1)

    model = Parrot.from_pretrained(folder)
    for closing, named in ((1, None), (5, [5, 7])):
        model.closing, model.generation_config.eos_token_id = closing, named
        assert answer_records(model, tokenizer, ["x"], Arrow()) == [("<|end|>", True)]


def test_a_question_without_room_for_an_answer_gets_none(folder: Path) -> None:
    for ask in (answers, own_answers):
        said = ask(folder, ["x" * 100, "x" * 55, "x"], Arrow(), max_new_tokens=40)
        assert said[0] == ""
        assert len(said[1]) <= 64 - 58


@pytest.mark.parametrize("load", [load_model, load_tokenizer])
def test_a_missing_or_empty_folder_is_one_sentence(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="can be loaded from here") as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_not_loaded(folder: Path, tmp_path: Path) -> None:
    torch.save(load_model(folder).state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(UsageError, match="no model can be loaded"):
        load_model(tmp_path)


def test_a_missing_library_is_one_sentence_with_its_cure(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for package in ("torch", "transformers"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            with pytest.raises(
                MissingExtra, match=rf"{package}, which is not installed: pip install 'filial\[train\]'"
            ):
                load_model(folder)


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    modules = "filial_plugins.local.generation, filial.labels, filial_plugins.render.survey"
    code = f"import sys, {modules}; print({{'torch', 'transformers'}} & {{*sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


class Builder:
    """Stands for the plugin manager."""

    def build(self, kind: str, spec: dict[str, object]) -> Template:
        assert (kind, spec) == ("templates", {"use": "arrow", "width": 3})
        return Arrow()


def test_a_model_folder_remembers_its_template(tmp_path: Path) -> None:
    assert load_template(tmp_path, Builder()) is None  # type: ignore[arg-type]
    note_template(tmp_path, {"use": "arrow", "width": 3})
    assert load_template(tmp_path, Builder()) == Arrow()  # type: ignore[arg-type]
    (tmp_path / "filial_template.json").write_text("{")
    with pytest.raises(UsageError, match=r"filial_template\.json"):
        load_template(tmp_path, Builder())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("load", "cores", "usable", "quota", "expected"),
    [
        (0.2, 2, 2, float("inf"), 2),  # idle
        (0.9, 2, 2, float("inf"), 1),
        (3.0, 2, 2, float("inf"), 1),
        (3.0, 64, 64, float("inf"), 61),
        (0.0, 64, 4, float("inf"), 4),  # pinned to four cores
        (0.0, 64, 64, 2.5, 2),  # a container with 2.5 cores
        (0.0, 64, 64, 0.5, 1),
        (50.0, 64, 8, float("inf"), 8),
    ],
)
def test_threads_are_the_cores_nobody_else_uses(
    monkeypatch: pytest.MonkeyPatch, load: float, cores: int, usable: int, quota: float, expected: int
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(usable)), raising=False)
    monkeypatch.setattr("filial_plugins.local.cpu._read_quota", lambda: quota)
    assert choose_threads("auto") == expected
    assert choose_threads(7) == 7


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, float("inf")),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, float("inf")),
        ({}, float("inf")),
    ],
)
def test_control_group_quotas(tmp_path: Path, files: dict[str, str], cores: float) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert quota_of(tmp_path) == cores


def lacking(weights: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {k: v for k, v in weights.items() if k != name}


def cut_short(weights: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {k: v[:10].clone() if k == name else v for k, v in weights.items()}


@pytest.mark.parametrize(
    ("damage", "why"),
    [(lacking, "is missing"), (cut_short, r"has the shape \(10, 32\) instead of \(64, 32\)")],
)
def test_weights_are_never_made_up(folder: Path, tmp_path: Path, damage, why: str) -> None:
    """transformers draws what a file lacks at random, and goes on."""
    shutil.copytree(folder, tmp_path / "m")
    name, weights = "model.layers.1.mlp.up_proj.weight", load_file(folder / "model.safetensors")
    save_file(damage(weights, name), tmp_path / "m" / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match=f"{name} {why}; copy the model again"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": ', b"\x00" * 100])
def test_a_damaged_file_of_a_model_is_one_sentence(folder: Path, tmp_path: Path, name: str, content: bytes) -> None:
    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / name).write_bytes(content)
    with pytest.raises(UsageError, match=r"no (model|tokenizer) can be loaded from here: ."):
        own_answers(tmp_path / "m", ["a"], Arrow())
