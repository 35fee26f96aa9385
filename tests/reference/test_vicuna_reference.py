"""Texts, ids and masks against those of FastChat."""

import json
from functools import cache
from pathlib import Path

import pytest

from filial import Message, Record, UsageError
from filial.labels import Encoder
from filial.models import load_tokenizer
from filial_plugins.templates.vicuna import Vicuna

SHARED = Path(__file__).parents[2].parent / "shared"
CASES = SHARED / "reference" / "vicuna"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the originals' recorded cases are not here (vicuna/)")
ROLES = {"human": "user", "gpt": "assistant", "system": "system"}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@cache
def encoder(name: str) -> Encoder:
    return Encoder(
        load_tokenizer(SHARED / "models" / "stories260k" if name == "tok512" else CASES.parent / "tokenizer" / name)
    )


def conversation(turns: list[dict]) -> Record:
    """The messages; one leading turn that is no question is dropped, as the original does before anything else."""
    if turns[0]["from"] == "gpt":
        turns = turns[1:]
    return Record(messages=tuple(Message(ROLES[t["from"]], t["value"]) for t in turns))


def test_ids_and_masks_are_fastchats_where_it_masks_anything() -> None:
    rows = lines(CASES / "preprocess.jsonl")
    base = {r["id"]: r for r in rows if "conversations" in r}
    compared = 0
    for row in rows:
        if row.get("warning") or row.get("error"):
            continue
        limit = row["model_max_length"]
        spans = Vicuna().render(conversation(base[row["id"]]["conversations"]))
        encoded = encoder(row["tokenizer"]).encode(spans)
        assert encoded.text == base[row["id"]]["prompt"]
        assert encoded.ids[:limit] == row["input_ids"]
        trained = [i for i, on in enumerate(encoded.trained[:limit]) if on]
        assert trained == [i for start, end in row["trained_spans"] for i in range(start, end)], row["id"]
        compared += 1
    assert compared >= 70


def test_conversations_that_fastchat_masks_whole_train_exactly_their_answers() -> None:
    rows = [r for r in lines(CASES / "preprocess.jsonl") if r.get("warning") and "conversations" in r]
    llama = encoder("llama4k")
    for row in rows:
        if len(row["conversations"]) == 1:
            continue
        record = conversation(row["conversations"])
        encoded = llama.encode(Vicuna().render(record))
        trained = llama.tokenizer.decode([i for i in encoded.labels if i >= 0], skip_special_tokens=False)
        answers = [m.content for m in record.messages if m.role == "assistant"]
        assert trained.replace(" ", "") == "".join(f"{a}</s>" for a in answers).replace(" ", "")
        assert encoded.ids.count(llama.tokenizer.eos_token_id) == len(answers)
    assert len(rows) >= 3


def test_wrong_turns_are_refused_where_fastchat_fails() -> None:
    for row in lines(CASES / "preprocess.jsonl"):
        if row.get("error", "").startswith("AssertionError") and "conversations" in row:
            with pytest.raises(UsageError, match="turn 2"):
                Vicuna().render(conversation(row["conversations"]))


def test_prompts_are_fastchats() -> None:
    cases = [c for c in lines(CASES / "fastchat_prompts.jsonl") if c["template"] == "vicuna_v1.1"]
    compared = 0
    for case in cases:
        turns = [Message(role, content or "") for role, content in case["messages"]]
        if [t.role for t in turns] != ["user", "assistant"] * (len(turns) // 2):
            continue
        template = Vicuna() if case["system"] is None else Vicuna(system=case["system"])
        spans = template.render(Record(messages=tuple(turns)))
        text = "".join("</s>" if s.text == "{eos}" else s.text for s in spans[1:])
        assert text == case["prompt"]
        compared += 1
    assert compared >= 2
