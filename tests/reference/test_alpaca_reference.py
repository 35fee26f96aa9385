"""Texts, ids and masks against those of stanford_alpaca and alpaca-lora: every recorded case, or why not."""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from tokenizer_kit import labels_of

from filial import Record
from filial.labels import Encoded, Encoder
from filial_plugins.local.pretrained import load_tokenizer
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.plain import Plain

SHARED = Path(__file__).parents[2].parent / "shared"
CASES = SHARED / "reference" / "alpaca"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the originals' recorded cases are not here (alpaca/)")

DIFFERENCES = {
    "end token in data": 'The original turns a "</s>" in the data into the end token, and where padding is the same '
    "token it counts it as padding, which shifts its mask. Here it stays text.",
    "empty output": "The original trains the end token alone. Here a record without an answer is a question.",
    "another language": "vigogne is alpaca-lora's French wording; filial has none.",
    "cut prompt": "Where a prompt reaches the cut-off length, alpaca-lora takes 1 off its length for an end token that "
    "was never added, and trains the prompt's last token. Here such a row is left out.",
}


@cache
def encoder(name: str) -> Encoder:
    folder = SHARED / "models" / "stories260k" if name == "tok512" else CASES.parent / "tokenizer" / name
    return Encoder(load_tokenizer(folder))


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").split("\n") if line]


def text(spans) -> str:
    return "".join(span.text for span in spans if not span.special)


def said(row: Encoded, name: str) -> str:
    return encoder(name).tokenizer.decode([i for i in labels_of(row) if i >= 0])


def holds_end_token(record: dict) -> bool:
    return any("</s>" in value for value in record.values())


def test_every_row_of_stanfords_preprocess() -> None:
    settings = lines("preprocess.jsonl")
    found: Counter[str] = Counter()
    for setting in settings:
        name, limit, end = setting["tokenizer"], setting["model_max_length"], setting["eos"]
        for case, first in zip(setting["cases"], settings[0]["cases"], strict=True):
            record, labels = (
                Record(**first["record"]),
                [-100] * case["n_masked"] + case["input_ids"][case["n_masked"] :],
            )
            spans = Alpaca().render(record)
            assert text(spans) == first["source"] + record.output
            row = encoder(name).encode(spans)
            if holds_end_token(first["record"]):
                found["end token in data"] += 1
                assert row.ids.count(end) == 1
                assert labels_of(row)[-1] == end
                assert said(row, name).strip() == f"{record.output}</s>".strip()
            elif not record.output:
                found["empty output"] += 1
                assert row.ids == (case["input_ids"] if len(case["input_ids"]) == limit else case["input_ids"][:-1])
                assert not row.trained_ranges
            else:
                found["equal"] += 1
                assert row.ids[:limit] == case["input_ids"]
                assert labels_of(row)[:limit] == labels
    assert found == {"equal": 5 * 33, "end token in data": 5, "empty output": 5}
    assert found.keys() - {"equal"} <= DIFFERENCES.keys()


def test_the_batch_of_stanfords_collator() -> None:
    """Ids and labels without the padding, and attention over as many tokens as the row has."""
    (batch,) = [json.loads((CASES / "collate.json").read_text(encoding="utf-8"))]
    setting = lines("preprocess.jsonl")[0]
    for i in range(batch["first_n_records"]):
        row = encoder(setting["tokenizer"]).encode(Alpaca().render(Record(**setting["cases"][i]["record"])))
        ids, labels = (row.ids[: setting["model_max_length"]], labels_of(row)[: setting["model_max_length"]])
        padding = len(batch["input_ids"][i]) - len(ids)
        assert batch["input_ids"][i] == ids + [setting["pad_id"]] * padding
        assert batch["labels"][i] == labels + [-100] * padding
        assert batch["attention_mask"][i] == [1] * len(ids) + [0] * padding


def test_the_wordings_of_both_programs() -> None:
    facts = json.loads((CASES / "format_facts.json").read_text(encoding="utf-8"))
    with_input, without = Record(instruction="{instruction}", input="{input}"), Record(instruction="{instruction}")
    lora = facts["alpaca_lora_templates"]
    for template, wording in [
        (Alpaca(), facts),
        (Alpaca(), lora["alpaca_legacy"]),
        (Alpaca(newline_after_response=True), lora["alpaca"]),
        (Plain(), lora["alpaca_short"]),
    ]:
        assert text(template.render(with_input)) == wording["prompt_input"]
        assert text(template.render(without)) == wording["prompt_no_input"]
    assert lora.keys() == {"alpaca", "alpaca_legacy", "alpaca_short", "vigogne"}


def test_every_prompt_of_alpaca_lora() -> None:
    templates = {
        "alpaca": Alpaca(newline_after_response=True), "alpaca_legacy": Alpaca(), "alpaca_short": Plain(),
    }  # fmt: skip
    found: Counter[str] = Counter()
    for case in lines("alpaca_lora_prompter.jsonl"):
        if case["template"] not in templates:
            found["another language"] += 1
            continue
        found["equal"] += 1
        record = Record(**case["record"])
        template = templates[case["template"]]
        assert text(template.render(record.replaced(output=""))) == case["user_prompt"]
        assert text(template.render(record)) == case["full_prompt"]
    assert found.total() == 24
    assert found["equal"] >= 16


def test_every_row_of_alpaca_lora() -> None:
    records = [case["record"] for case in lines("preprocess.jsonl")[0]["cases"]]
    llama, found = encoder("llama4k"), Counter[str]()
    for case in lines("alpaca_lora_tokenize.jsonl"):
        record, cutoff = records[case["record_index"]], case["cutoff_len"]
        row = llama.encode(Alpaca(newline_after_response=True).render(Record(**record)))
        if holds_end_token(record):
            found["end token in data"] += 1
            assert row.ids.count(llama.tokenizer.eos_token_id) == 1
            continue
        if not record["output"]:
            found["empty output"] += 1
            assert not row.trained_ranges
            continue
        body = row.ids[:-1][:cutoff]
        ended = len(body) < cutoff  # whatever add_eos_token says, which is for the prompt alone
        assert case["input_ids"] == body + row.ids[-1:] * ended
        begins = 0 if case["train_on_inputs"] else row.trained_ranges[0][0]
        if begins < cutoff or not case["add_eos_token"]:
            found["equal"] += 1
            assert case["n_masked"] == min(begins, cutoff)
        else:
            found["cut prompt"] += 1
            assert case["n_masked"] == cutoff - 1
    assert found.total() == 176
    assert found.keys() - {"equal"} <= DIFFERENCES.keys()
    assert found["equal"] >= 150
