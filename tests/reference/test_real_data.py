"""Real records, where they are at hand: every line is a record."""

import json
from pathlib import Path

import pytest

from filial.formats import BadLine, read

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real records are not here ({DATA.name}/)")


def load(name: str) -> tuple[list[dict], list, list[BadLine]]:
    zstandard = pytest.importorskip("zstandard", reason="the real records are packed with it")
    text = zstandard.decompress((DATA / name).read_bytes()).decode("utf-8")
    bad: list[BadLine] = []
    return [json.loads(line) for line in text.split("\n") if line], list(read(DATA / name, bad=bad)), bad


def test_20_000_instructions() -> None:
    rows, records, bad = load("instructions_20k.jsonl.zst")
    assert (len(records), bad) == (20_000, [])
    for row, record in zip(rows, records, strict=True):
        assert (record.id, record.task) == (row["id"], row["task"])
        assert record.content() == (row["instruction"], row["input"], row["output"])


def test_400_conversations() -> None:
    rows, records, bad = load("conversations_400.jsonl.zst")
    assert (len(records), bad) == (400, [])
    names = {
        "user": "human",
        "assistant": "gpt",
        "system": "system",
        "tool_call": "function_call",
        "tool": "observation",
    }
    calls = 0
    for row, record in zip(rows, records, strict=True):
        assert record.id == row["id"]
        for said, turn in zip(row["conversations"], record.messages, strict=True):
            if turn.tool_calls:
                found = [{"name": call.name, "arguments": json.loads(call.arguments)} for call in turn.tool_calls]
                assert (said["from"], json.loads(said["value"])) in [
                    ("function_call", found),
                    ("function_call", *found),
                ]
                calls += 1
            else:
                assert said == {"from": names[turn.role], "value": turn.content}
        assert [tool["function"] for tool in record.tools] == json.loads(row.get("tools") or "[]")
    assert calls > 100


def test_2_000_chains_of_thought() -> None:
    rows, records, bad = load("cot_2k.jsonl.zst")
    assert (len(records), bad) == (2_000, [])
    for row, record in zip(rows, records, strict=True):
        assert (record.id, record.instruction, record.output) == (row["id"], row["question"], row["answer"])
