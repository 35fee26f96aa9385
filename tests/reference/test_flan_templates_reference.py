"""Few-shot prompts, option lists and the turns of templates as FLAN v2 writes them, where its results are at hand."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from filial import Record
from filial.testing import context, run_async
from filial_plugins.formats.cot import CotTable
from filial_plugins.generators.from_fields.generator import FromFields
from filial_plugins.generators.from_fields.patterns import TaskTemplate, format_options

FLAN = Path(__file__).parents[2].parent / "shared" / "reference" / "flan"
pytestmark = pytest.mark.skipif(not FLAN.is_dir(), reason=f"the original's results are not here ({FLAN.parent.name}/)")


def load(name: str) -> Any:
    if not FLAN.is_dir():
        return []
    text = (FLAN / name).read_text()
    return [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else json.loads(text)


def read(line: str) -> dict[str, str]:
    """The fields of a line of FLAN's chain-of-thought files, by the names of its patterns."""
    (record,) = CotTable().read(io.BytesIO(line.encode()))
    assert isinstance(record, Record)
    return {"question": record.instruction, "answer": record.output, "chain_of_thought": record.reasoning}


@pytest.mark.parametrize("case", load("few_shot.jsonl"), ids=lambda c: f"{c['task']}-{c['template_idx']}-{c['shots']}")
def test_a_few_shot_prompt_is_flans(case: dict[str, Any]) -> None:
    pattern = case["pattern"]
    template = TaskTemplate(
        name="theirs", input=pattern["inputs"], target=pattern["targets"], input_prefix=pattern["inputs_prefix"],
        target_prefix=pattern["targets_prefix"], between=pattern["x_y_delimiter"],
        separator=pattern["example_separator"],
    )  # fmt: skip
    exemplars, query = [read(line) for line in case["exemplar_tsv"]], read(case["query_tsv"])
    assert len(exemplars) == case["shots"]
    assert template.write_few_shot(exemplars, query) == case["inputs"]
    assert template.write_target(query) == case["targets"]


@pytest.mark.parametrize("case", load("format_options.json"), ids=lambda case: "-".join(case["options"]))
def test_a_list_of_options_is_flans(case: dict[str, Any]) -> None:
    assert format_options(case["options"], "letters" if case["char_format"] else "-") == case["options_"]


def test_templates_take_turns_as_in_flan_but_the_last_rows_are_not_lost(tmp_path: Path) -> None:
    """FLAN drops the 5 rows of 25 that do not fill a batch of 10 templates."""
    theirs = load("batch_formatter_round_robin.json")
    lines = [
        f"    - {{name: t{i}, input: '{i}|{{question}}', target: '{{answer}}'}}" for i in range(theirs["n_templates"])
    ]
    file = tmp_path / "types.yaml"
    file.write_text("\n".join(["numbered:", "  templates:", *lines]))
    rows = [Record(instruction="-", extra={"question": f"q{i}", "answer": "a"}) for i in range(theirs["n_in"])]

    async def work() -> list[Any]:
        maker = FromFields(type="numbered", templates=str(file))
        return [record async for record in maker.generate(rows, context())]

    used = [int(record.instruction.partition("|")[0]) for record in run_async(work())]
    assert used[: theirs["n_out"]] == theirs["template_idx"]
    assert len(used) == theirs["n_in"]
