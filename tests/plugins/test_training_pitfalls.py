"""Known ways to train a model wrongly without noticing: docs/training.md lists them, each with tests that catch it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import torch
from training_kit import make
from transformers import T5Config, T5ForConditionalGeneration

from filial import Record, TrainContext, UsageError
from filial.contracts.records import to_json
from filial_plugins.templates.plain import Plain
from filial_plugins.trainers.options import GradientTrainer
from filial_plugins.trainers.seq2seq import Seq2Seq
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("trainer", [SFT(threads=1), SFT(threads=1, lora={}), Seq2Seq(threads=1)])
def test_quantised_weights_are_not_trained(tmp_path: Path, trainer: GradientTrainer) -> None:
    """Pitfall 20: merged into 4-bit weights, most of what was learned is rounded away. They are refused at once."""
    base = make(tmp_path / "base")
    if isinstance(trainer, Seq2Seq):
        torch.manual_seed(0)
        T5ForConditionalGeneration(T5Config(vocab_size=260, d_model=16, d_ff=16, num_layers=1)).save_pretrained(base)
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (base / "config.json").write_text(json.dumps(config))
    (tmp_path / "train.jsonl").write_bytes(to_json(Record(instruction="Greet me.", output="Good day!")) + b"\n")
    with pytest.raises(UsageError, match="its weights are quantized; train the original model"):
        trainer.train(tmp_path, str(base), Plain(), tmp_path / "out", TrainContext(0))


def listed() -> dict[int, list[tuple[str, str]]]:
    """Pitfall -> the tests that docs/training.md names for it, by file and name."""
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", page, re.M)
    return {int(n): re.findall(r"`([\w/]+\.py)::(\w+)`", text) for n, text in rows}


def numbers_of(file: str, test: str) -> set[int]:
    """The pitfalls that a test names in its docstring or its comments."""
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    functions = {f.name: f for f in ast.walk(ast.parse(source)) if isinstance(f, ast.FunctionDef)}
    assert test in functions, f"{file} has no {test}"
    text = " ".join(source.splitlines()[functions[test].lineno - 1 : functions[test].end_lineno])
    said = re.findall(r"[Pp]itfalls? (\d+(?:, \d+)*(?: and \d+)?)", text)
    return {int(n) for numbers in said for n in re.findall(r"\d+", numbers)}


def test_every_pitfall_is_listed_with_a_test_that_says_so() -> None:
    named = listed()
    assert list(named) == list(range(1, 26))
    for number, tests in named.items():
        assert tests, f"pitfall {number} has no test"
        for file, name in tests:
            assert number in numbers_of(file, name), f"{file}::{name} does not say that it is about pitfall {number}"
