"""Texts, ids and masks against those of stanford_alpaca and alpaca-lora."""

import json
from pathlib import Path

import pytest

from filial import Record
from filial.labels import Encoder
from filial.models import load_tokenizer
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.plain import Plain

SHARED = Path(__file__).parents[2].parent / "shared"
CASES = SHARED / "reference" / "alpaca"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the originals' recorded cases are not here (alpaca/)")


def tokenizer(name: str):
    return load_tokenizer(SHARED / "models" / "stories260k" if name == "tok512" else CASES.parent / "tokenizer" / name)


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").split("\n") if line]


def text(spans) -> str:
    return "".join(span.text for span in spans if not span.special)


def test_ids_and_masks_are_stanfords_except_where_data_holds_an_end_token() -> None:
    """The original turns a "</s>" in the data into the end token; here it stays text. All else is equal.

    With pad = eos the original counts such a token as padding and shifts its mask as well.
    """
    settings = lines("preprocess.jsonl")
    compared = 0
    for setting in settings:
        encoder = Encoder(tokenizer(setting["tokenizer"]))
        limit = setting["model_max_length"]
        for case, first in zip(setting["cases"], settings[0]["cases"], strict=True):
            record = Record(**first["record"])
            if not record.output:
                continue
            spans = Alpaca().render(record)
            assert text(spans) == first["source"] + record.output
            row = encoder.encode(spans)
            if "</s>" in record.instruction + record.input + record.output:
                assert row.ids.count(setting["eos"]) == 1
                assert row.labels[-1] == setting["eos"]
                continue
            assert row.ids[:limit] == case["input_ids"]
            masked = case["n_masked"]
            assert row.labels[:limit] == [-100] * masked + case["input_ids"][masked:]
            compared += 1
    assert compared >= 150


def test_every_record_of_the_reference_is_compared_or_accounted_for() -> None:
    records = [case["record"] for case in lines("preprocess.jsonl")[0]["cases"]]
    odd = [r for r in records if "</s>" in json.dumps(r) or not r["output"]]
    assert len(records) == 35
    assert len(odd) <= 3


def test_prompts_are_alpaca_loras() -> None:
    compared = 0
    for case in lines("alpaca_lora_prompter.jsonl"):
        record = Record(**case["record"])
        templates = {
            "alpaca": Alpaca(newline_after_response=True),
            "alpaca_legacy": Alpaca(),
            "alpaca_short": Plain(),
        }
        if case["template"] in templates:
            spans = templates[case["template"]].render(record.replaced(output=""))
            assert text(spans) == case["user_prompt"]
            compared += 1
    assert compared >= 12


def test_alpaca_lora_ids_with_end_token() -> None:
    """Rows that fit, with the loss on answers. The original's mask then also trains the prompt's last token:
    it takes 1 off the prompt's length for an end token that the prompt never had whenever it was cut."""
    records = [case["record"] for case in lines("preprocess.jsonl")[0]["cases"]]
    encoder = Encoder(tokenizer("llama4k"))
    compared = 0
    for case in lines("alpaca_lora_tokenize.jsonl"):
        record = Record(**records[case["record_index"]])
        whole = not case["train_on_inputs"] and case["add_eos_token"] and len(case["input_ids"]) < case["cutoff_len"]
        if not whole or not record.output or "</s>" in json.dumps(records[case["record_index"]]):
            continue
        row = encoder.encode(Alpaca(newline_after_response=True).render(record))
        assert row.ids == case["input_ids"]
        assert row.trained.index(True) == case["n_masked"]
        compared += 1
    assert compared >= 10
