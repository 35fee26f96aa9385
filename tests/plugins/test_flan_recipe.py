"""``recipes/flan.yaml`` and the files that come with it: ten tasks, worded, mixed and learnt, offline."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import filial
from filial import Record, formats
from filial_plugins.generators.from_fields.catalogue import built_in_types
from filial_plugins.tasks import make_tasks

RECIPES = Path(__file__).parents[2] / "recipes"
TASKS = Path(make_tasks.__file__).parent


# The task files


@pytest.mark.parametrize("name", make_tasks.TASKS)
def test_a_task_file_is_what_its_script_writes(name: str, tmp_path: Path) -> None:
    make_tasks.write_tasks(tmp_path)
    assert (TASKS / f"{name}.jsonl").read_bytes() == (tmp_path / f"{name}.jsonl").read_bytes()


def test_there_is_a_file_for_every_type_of_the_catalogue() -> None:
    assert {path.stem for path in TASKS.glob("*.jsonl")} == built_in_types().keys()


@pytest.mark.parametrize("name", make_tasks.TASKS)
def test_every_row_of_a_task_file_is_used_by_every_variant(name: str) -> None:
    """Also behind exemplars, asked backwards, and without options."""
    rows = len((TASKS / f"{name}.jsonl").read_text().splitlines())
    for options in ({}, {"few_shot": 1, "shots": 2, "exemplars": 1}, {"inverted": 1}):
        made = filial.generate(TASKS / f"{name}.jsonl", {"use": "from-fields", "type": name, **options}, progress=False)
        assert (len(made), made.summary["stages"][0]["dropped"]) == (rows, 0)


def test_the_reasoning_of_the_problems_is_right() -> None:
    for row in make_tasks.make_rows("reasoning"):
        first, second, left, again, third, total = map(int, re.findall(r"\d+", row["rationale"]))
        assert (first - second, left + third, left, str(total)) == (left, total, again, row["answer"])
        assert row["question"].split()[2] == str(first)


# The recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[filial.Result, Path]:
    home = tmp_path_factory.mktemp("home")
    recipe = filial.Recipe.load(
        RECIPES / "flan.yaml", set=["train.max_steps=2", "train.max_seconds=600", "judge.limit=2"]
    )
    return filial.run(recipe, home=home, progress=False), home / "runs" / "flan"


def read(path: Path) -> list[Record]:
    return list(formats.read(path))


@pytest.mark.train
def test_it_mixes_ten_tasks_at_t_3_with_one_chain_of_thought_in_ten(run: tuple[filial.Result, Path]) -> None:
    result, folder = run
    mix = result.summary["stages"][-1]
    sizes = {name: count for name, (_, count) in make_tasks.TASKS.items()}
    assert {row["task"]: row["available"] for row in mix["mix"]} == sizes
    assert all(row["asked"] == row["given"] for row in mix["mix"])
    assert mix["cot"] == {"asked_share": 0.1, "given": 40, "of": 400}
    mixed = read(folder / "stages" / "11-mix" / "records.jsonl")
    assert Counter(record.task for record in mixed) == {row["task"]: row["given"] for row in mix["mix"]}
    assert sum("cot" in record.tags for record in mixed) == 40
    roots = {name: size ** (1 / 3) for name, size in sizes.items() if name != "reasoning"}  # which has both kinds
    plain = 400 - next(row["given"] for row in mix["mix"] if row["task"] == "reasoning")
    for row in mix["mix"]:
        if row["task"] != "reasoning":
            assert row["given"] == pytest.approx(plain * roots[row["task"]] / sum(roots.values()), abs=1)


@pytest.mark.train
def test_its_records_are_zero_shot_and_few_shot_and_nothing_shown_is_held_out(run: tuple[filial.Result, Path]) -> None:
    _, folder = run
    held, trained = (read(folder / "dataset" / f"{part}.jsonl") for part in ("heldout", "train"))
    assert (len(held), len(trained)) == (40, 360)
    few = sum("few-shot" in record.tags for record in [*held, *trained])
    assert 150 < few < 250
    assert {"options", "inverted"} <= {tag for record in trained for tag in record.tags}
    shown = {parent for record in [*held, *trained] for parent in record.origin.parents[1:]}
    assert not shown & {record.origin.parents[0] for record in held}


@pytest.mark.train
def test_it_trains_an_encoder_decoder_and_judges_it(run: tuple[filial.Result, Path]) -> None:
    result, folder = run
    assert json.loads((folder / "model" / "config.json").read_text())["is_encoder_decoder"]
    assert result.summary["train"]["steps"] == 2
    assert {name: row["judged"] for name, row in result.summary["judge"]["exact-match"].items()} == {
        "model": 2, "base": 2,
    }  # fmt: skip


@pytest.mark.train
def test_nothing_that_it_trains_on_is_too_long_for_the_limits(run: tuple[filial.Result, Path]) -> None:
    result, _ = run
    assert result.summary["train"]["dropped"] == {}


# Prompts for FLAN-T5


@pytest.mark.train
def test_a_file_of_prompts_is_answered_line_by_line(cli: Any) -> None:
    """With a tiny T5, taught these four answers, in the place of google/flan-t5-xl."""
    prompts = (RECIPES / "flan-t5-prompts.txt").read_text().splitlines()
    taught = dict(zip(prompts, ("Die Sonne scheint.", "positive", "Lisbon", "The library has moved."), strict=True))
    model = cli.folder / "tiny-t5"
    filial.train(
        [Record(instruction=prompt, output=answer) for prompt, answer in taught.items()],
        model=TASKS / "pocket_t5", out=model, template="question", progress=False,
        trainer={"use": "seq2seq", "max_steps": 100, "batch_size": 4, "optimizer": "muon", "lr": 0.01, "threads": 1},
    )  # fmt: skip
    asked = ["ask", "transformers", "--model", str(model), "--prompts", str(RECIPES / "flan-t5-prompts.txt")]
    assert cli(*asked, toy=False) == 0, cli.err
    answers = [json.loads(line) for line in cli.out.splitlines()]
    assert len(answers) == 4
    assert {line["prompt"]: line["answer"] for line in answers} == taught
