"""A real model learns from real records, where both are at hand: the commands a user types, and where they lead."""

import json
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2].parent / "shared"
MODEL, DATA = SHARED / "models" / "stories260k", SHARED / "data" / "instructions_20k.jsonl.zst"
pytestmark = pytest.mark.skipif(not (MODEL.is_dir() and DATA.is_file()), reason="the real model is not here (models/)")
RECORDS = 2000


@pytest.mark.slow
def test_2000_instructions_lower_the_heldout_loss_and_the_model_answers(cli) -> None:
    zstandard = pytest.importorskip("zstandard", reason="the real records are packed with it")
    lines = zstandard.decompress(DATA.read_bytes()).decode("utf-8").split("\n")
    Path("tasks.jsonl").write_text("\n".join(lines[:RECORDS]) + "\n", encoding="utf-8")

    def trained(out: str, **options: object) -> dict:
        flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        assert cli(
            "train", "sft", "tasks.jsonl", "--model", MODEL, "--template", "plain", "--heldout", 100, "-o", out,
            "--threads", 1, "--batch-size", 16, "--json", *flags,
        ) == 0, cli.err  # fmt: skip
        return json.loads(cli.out)

    before = trained("before", max_steps=1, lr=1e-12, samples=0)
    after = trained("after", max_steps=40, lr=5e-3)
    assert after["rows"] + sum(after["dropped"].values()) == RECORDS - 100
    assert set(after["dropped"]) <= {"too-long"}
    assert after["heldout_rows"] == before["heldout_rows"]
    assert after["heldout_loss"] < 0.7 * before["heldout_loss"]
    Path("asked.jsonl").write_text("\n".join(lines[:8]) + "\n", encoding="utf-8")
    cli(
        "ask", "transformers", "--prompts", "asked.jsonl", "--model", "after", "--max-tokens", 200, "--temperature", 0.7
    )
    answers = [json.loads(line).get("answer", "") for line in cli.out.splitlines()]
    assert len(answers) == 8
    assert sum(map(bool, answers)) >= 4, "forty steps are enough to learn to stop"
