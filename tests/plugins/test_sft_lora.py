"""LoRA: what is trained, what is saved, and that a merged model says what its adapters said."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from answers_kit import answers, note_template
from safetensors.torch import load_file
from training_kit import ECHO, SPECIAL, TAUGHT, make, store_of, write
from transformers import AutoModelForCausalLM

from filial import FilialError, MissingExtra, Record, TrainContext, UsageError
from filial_plugins.local.pretrained import load_model, load_tokenizer
from filial_plugins.templates.chat import Chat
from filial_plugins.trainers import sft
from filial_plugins.trainers.lora import LoRA, add_adapters, merge_adapters
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train

peft = pytest.importorskip("peft", reason="needs the extra 'lora'")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learned to say the second word."""
    untrained, folder = make(tmp_path_factory.mktemp("untrained")), tmp_path_factory.mktemp("other")
    write(folder / "train.jsonl", [r.replaced(output=r.instruction.split()[-1]) for r in ECHO])
    options = SFT(max_steps=120, batch_size=16, lr=1e-2, threads=1)
    options.train(folder, str(untrained), Chat(), folder / "base", TrainContext(1))
    return folder / "base"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.jsonl", TAUGHT)
    return folder


def train(base: Path, data: Path, out: Path, lora: dict[str, Any], **options: Any) -> dict[str, Any]:
    made = SFT(**{"max_steps": 150, "batch_size": 16, "lr": 1e-2, "threads": 1, "lora": lora, **options})
    figures = made.train(data, str(base), Chat(), out, TrainContext(1))
    note_template(out, {"use": "chat"})
    return figures


def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(4, 60)[None]
    with torch.no_grad():
        return model.eval()(input_ids=ids, use_cache=False).logits


@pytest.fixture(scope="module")
def both(base: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same training, merged and not."""
    folder = tmp_path_factory.mktemp("lora")
    options = {"rank": 8, "alpha": 32}
    figures = train(base, data, folder / "merged", options)
    assert 0 < figures["merge_difference"] < 1e-5
    train(base, data, folder / "adapter", options | {"merge": False})
    return folder / "merged", folder / "adapter"


def test_a_merged_model_is_a_model_like_any_other(both: tuple[Path, Path]) -> None:
    """Pitfall 20: merged in float32, its logits are those of the adapters."""
    merged, adapter = both
    assert not (merged / "adapter_config.json").exists()
    assert not [name for name in load_file(merged / "model.safetensors") if "lora" in name]
    one, other = logits(AutoModelForCausalLM.from_pretrained(merged)), logits(load_model(adapter))
    assert float((one - other).abs().max()) < 1e-3 * float(other.abs().max())


def test_an_adapter_alone_is_small_and_leaves_the_base_as_it_is(base: Path, both: tuple[Path, Path]) -> None:
    saved = load_file(both[1] / "adapter_model.safetensors")
    assert all("lora_" in name for name in saved)
    assert not (both[1] / "model.safetensors").exists()
    assert "LoRA" in (both[1] / "README.md").read_text()
    layers = {name.split("lora_")[0] for name in saved}
    assert len(layers) == 2 * 7  # every linear layer of two blocks, not the head
    before = load_file(base / "model.safetensors")
    after = load_model(both[1]).get_base_model().state_dict() if hasattr(load_model(both[1]), "get_base_model") else {}
    assert all(torch.equal(before[name], after[name]) for name in before.keys() & after.keys())


def test_adapters_answer_as_the_merged_model_does(both: tuple[Path, Path]) -> None:
    said = [answers(folder, TAUGHT[:40], Chat(), max_new_tokens=8) for folder in both]
    assert said[0] == said[1]
    assert sum(a == r.output for a, r in zip(said[0], TAUGHT, strict=False)) >= 30


def test_ask_and_judge_use_both_with_their_template(both: tuple[Path, Path], cli: Any, tmp_path: Path) -> None:
    write(tmp_path / "exam.jsonl", TAUGHT[:20])
    said, judge = [], ("judge", "exact-match", str(tmp_path / "exam.jsonl"))
    for folder in both:
        assert cli("ask", "transformers", "say owl cat", "--model", str(folder), "--threads", "1", toy=False) == 0
        said.append(cli.out.strip())
        assert cli(*judge, "--teacher", "transformers", "-T", f"model={folder}", toy=False) == 0
        said.append(cli.out.strip())
    assert said[:2] == said[2:]
    assert said[0] in {r.output for r in ECHO}


def test_a_base_in_half_precision_is_merged_in_single(base: Path, data: Path, tmp_path: Path) -> None:
    """Pitfall 20: rounding to bfloat16 would lose most of a small change."""
    figures = train(base, data, tmp_path / "m", {"rank": 4}, dtype="bfloat16", max_steps=20, lr=1e-4)
    assert figures["merge_difference"] < 1e-3
    after, before = load_file(tmp_path / "m" / "model.safetensors"), load_file(base / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    change = after[name] - before[name].bfloat16().float()
    assert change.abs().max() > 0
    lost = ((after[name].bfloat16() == before[name].bfloat16()) & (change != 0)).float().mean()
    assert lost > 0.1  # what a merge in half precision would have thrown away


def test_trained_adapters_are_float32_beside_a_half_precision_base(base: Path) -> None:
    model = add_adapters(load_model(base, "bfloat16"), LoRA(), load_tokenizer(base), str(base))
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}


@pytest.mark.parametrize("kind", ["llama", "qwen"])  # tied and untied embeddings
@pytest.mark.parametrize("merged", [True, False])
def test_new_tokens_are_trained_and_saved_under_lora(data: Path, tmp_path: Path, kind: str, merged: bool) -> None:
    """Pitfall 19: their embeddings change, those of others do not, and the saved model is the trained one."""
    base = make(tmp_path / "base", kind)
    options = {"rank": 4, "tokens": ["<|user|>", "<|end|>"], "merge": merged}
    train(base, data, tmp_path / "m", options, max_steps=20)
    table = load_model(tmp_path / "m").get_input_embeddings()
    rows = table(torch.arange(260)) if not hasattr(table, "weight") or not merged else table.weight
    before = load_model(base).get_input_embeddings().weight
    changed = [i for i in range(260) if not torch.equal(rows[i], before[i])]
    assert changed == [SPECIAL.index("<|user|>"), SPECIAL.index("<|end|>")]


def test_a_merge_that_changes_the_model_is_refused_and_the_adapters_kept(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(model: Any, torch: Any, rows: Any) -> float:
        return merge_adapters(model, torch, rows) * 0 + 0.5

    monkeypatch.setattr(sft, "merge_adapters", off)
    with pytest.raises(FilialError, match=r"the change is 50\.0%.*the trained weights are in .*m\.trained,"):
        train(base, data, tmp_path / "m", {"rank": 4}, max_steps=3)
    assert (tmp_path / "m.trained" / "adapter_model.safetensors").is_file()
    assert answers(tmp_path / "m.trained", TAUGHT[:1], Chat(), max_new_tokens=2)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("prompt", [60, 64, 300])
def test_a_model_is_merged_however_long_its_prompts_are(base: Path, tmp_path: Path, prompt: int) -> None:
    """The check looks at the first tokens of rows; an answer may begin behind them."""
    write(tmp_path / "train.jsonl", [Record(id=f"r{i}", instruction="q" * prompt, output="a" * 8) for i in range(4)])
    figures = train(base, tmp_path, tmp_path / "m", {"rank": 4}, max_steps=2)
    assert 0 < figures["merge_difference"] < 1e-3
    assert (tmp_path / "m" / "model.safetensors").is_file()


def test_a_merge_that_fails_its_check_is_undone(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = add_adapters(load_model(base), LoRA(), load_tokenizer(base), str(base))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_()
    before = logits(model)
    monkeypatch.setattr("filial_plugins.trainers.lora.MERGE_TOLERANCE", -1.0)
    merge_adapters(model, torch, store_of(base, ECHO, tmp_path / "rows")[:2])
    assert not any(getattr(m, "merged", False) for m in model.modules())
    assert torch.allclose(logits(model), before, atol=1e-3)


def test_what_cannot_be_adapted_says_why(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"lora\.targets.*the model's layers are .*q_proj"):
        train(base, data, tmp_path / "m", {"targets": ["no_such_layer"]})
    with pytest.raises(UsageError, match=r"lora\.tokens: .* has no token '<\|new\|>'"):
        train(base, data, tmp_path / "m", {"tokens": ["<|new|>"]})
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"pip install 'filial\[lora\]'"):
        train(base, data, tmp_path / "m", {})
    assert not (tmp_path / "m").exists()


def test_an_adapter_without_its_base_or_without_peft_says_so(both: tuple[Path, Path], monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "peft", None)
        with pytest.raises(MissingExtra, match=r"an adapter.*pip install 'filial\[lora\]'"):
            load_model(both[1])
    config = both[1] / "adapter_config.json"
    text = config.read_text()
    base = next(line for line in text.splitlines() if "base_model_name_or_path" in line)
    config.write_text(text.replace(base, '  "base_model_name_or_path": "/gone/away",'))
    with pytest.raises(UsageError, match="/gone/away"):
        load_model(both[1])
    config.write_text(text)
