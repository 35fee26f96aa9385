"""Texts, ids and masks against those of FastChat."""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from tokenizer_kit import trained_runs

from filial import Message, Record, UsageError
from filial.labels import Encoder
from filial_plugins.local.pretrained import load_tokenizer
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
        trained = [i for i, on in enumerate(encoded.mask[:limit]) if on]
        assert trained == [i for start, end in row["trained_spans"] for i in range(start, end)], row["id"]
        compared += 1
    assert compared == 76


def test_conversations_that_fastchat_masks_whole_train_exactly_their_answers() -> None:
    rows = lines(CASES / "preprocess.jsonl")
    base = {
        r["id"]: conversation(r["conversations"]) for r in rows if "conversations" in r and len(r["conversations"]) > 1
    }
    compared, kinds = 0, set()
    for row in (r for r in rows if r.get("warning")):
        if row["id"] not in base:
            assert row["id"] == "first_gpt_only"  # nothing is left of it, so it is no record
            continue
        made = encoder(row["tokenizer"])
        encoded = made.encode(Vicuna().render(base[row["id"]]))
        answers = [m.content for m in base[row["id"]].messages if m.role == "assistant"]
        assert trained_runs(made.tokenizer, encoded) == [f" {answer}</s>" for answer in answers], row["id"]
        assert encoded.ids.count(made.tokenizer.eos_token_id) == len(answers)
        compared += 1
        kinds.add(row["tokenizer"])
    assert compared == 24
    assert kinds == {"llama4k", "llama4k_nonleg", "tok512"}


def test_every_row_is_compared_or_has_a_reason() -> None:
    """76 rows have FastChat's very labels, 28 are those it masks whole, and it raises on 8: on two questions in a row,
    which are refused here as well, and on a system text, which here takes the place of the usual one."""
    rows = lines(CASES / "preprocess.jsonl")
    kinds = [r.get("error", "").split(":")[0] or ("masked" if r.get("warning") else "equal") for r in rows]
    assert Counter(kinds) == {"equal": 76, "masked": 28, "AssertionError": 4, "KeyError": 4}
    for row in rows:
        if row.get("error", "").startswith("KeyError") and "conversations" in row:
            system, *rest = row["conversations"]
            spans = Vicuna().render(conversation(row["conversations"]))
            assert spans == Vicuna(system=system["value"]).render(conversation(rest))


def test_wrong_turns_are_refused_where_fastchat_fails() -> None:
    for row in lines(CASES / "preprocess.jsonl"):
        if row.get("error", "").startswith("AssertionError") and "conversations" in row:
            with pytest.raises(UsageError, match="turn 2"):
                Vicuna().render(conversation(row["conversations"]))


def test_prompts_are_fastchats() -> None:
    cases = [c for c in lines(CASES / "fastchat_prompts.jsonl") if c["template"] == "vicuna_v1.1"]
    for case in cases:
        turns = [Message(role, content or "") for role, content in case["messages"]]
        template = Vicuna() if case["system"] is None else Vicuna(system=case["system"])
        spans = template.render(Record(messages=tuple(turns)))
        assert "".join("</s>" if s.text == "{eos}" else s.text for s in spans[1:]) == case["prompt"]
    assert len(cases) == 4
