"""What filial 0.1 left goes on at no request: a ledger that keeps answers under the word in the recipe, a run, what it
spent. ``tests/data/v0.1`` holds one, with 37 answers of the teacher ``procedural``."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from filial.contracts.errors import BUDGET

DATA = Path(__file__).parents[1] / "data" / "v0.1"
STAGES = ("01-generate", "02-evolve", "03-filter", "04-mix")
ANSWERS = 37

MIXED = "stages/04-mix"
"""0.2 draws the same numbers of each task for a mix, and other records."""


@pytest.fixture
def left(cli: Any) -> Any:
    """The command line in a folder as 0.1 left it."""
    for name in ("recipe.yaml", "seeds.jsonl"):
        shutil.copy(DATA / name, cli.folder)
    shutil.copytree(DATA / "run", cli.folder / "runs" / "recipe")
    (cli.folder / ".filial").mkdir()
    with closing(sqlite3.connect(cli.folder / ".filial" / "ledger.sqlite")) as db:
        db.executescript((DATA / "ledger.sql").read_text())
    return cli


def records(folder: Path) -> dict[str, list[Any]]:
    """All lines of all stages before the mix, but for the version in each plugin's name."""
    names = ("records.jsonl", "drops.jsonl", "answers.txt")
    files = {
        f"{stage}/{name}": (folder / "stages" / stage / name).read_text() for stage in STAGES[:3] for name in names
    }
    return {name: re.sub(r'(:[a-z-]+==)[\d.]+"', r'\1"', text).splitlines() for name, text in files.items()}


def drawn(folder: Path) -> tuple[Counter[str], set[str]]:
    """How many records of each task were mixed, and all ids that were drawn or not."""
    kept, left = (
        [json.loads(line) for line in (folder / MIXED / name).read_text().splitlines()]
        for name in ("records.jsonl", "drops.jsonl")
    )
    assert len(kept) == len({record["id"] for record in kept})
    return Counter(record.get("task", "") for record in kept), {
        record["id"] for record in kept + [row["record"] for row in left]
    }


def asked(cli: Any) -> tuple[int, int]:
    """Requests and answers from the ledger of the last run."""
    told = json.loads((cli.folder / "runs" / "recipe" / "summary.json").read_text())["teacher"]
    return told["requests"], told["from_ledger"]


@pytest.mark.parametrize("use", ["procedural", "filial:procedural"])
def test_a_finished_run_goes_on_at_no_request_with_the_same_records(left: Any, use: str) -> None:
    assert left("run", "recipe.yaml", "--set", f"teacher.use={use}", toy=False) == 0
    assert asked(left) == (0, ANSWERS)
    assert records(left.folder / "runs" / "recipe") == records(DATA / "run")
    assert drawn(left.folder / "runs" / "recipe") == drawn(DATA / "run")
    told = "37 answers under the bare name 'procedural', as filial 0.1 kept them; from now on they are those of filial:"
    assert left.err.count(told) == 1
    assert [line for line in left.err.splitlines() if "runs again" in line] == [
        f"{stage}: runs again, because filial changed" for stage in STAGES
    ]
    assert left("run", "recipe.yaml", toy=False) == 0
    assert left.err.count("done before") == len(STAGES)
    assert "bare name" not in left.err
    told = json.loads((left.folder / "runs" / "recipe" / "summary.json").read_text())["teacher"]
    assert (told["requests"], told["run_requests"]) == (0, ANSWERS), "what the run took before is not forgotten"


def test_plan_knows_its_answers_and_notes_nothing(left: Any) -> None:
    assert left("plan", "recipe.yaml", "--json", toy=False) == 0
    rows = [row for row in json.loads(left.out) if row["step"] in STAGES[:2]]
    assert [row["calls"] for row in rows] == [0, 0]
    with closing(sqlite3.connect(left.folder / ".filial" / "ledger.sqlite")) as db:
        assert db.execute("select count(*) from owners").fetchone() == (0,)


@pytest.mark.parametrize("run_before", [False, True])
def test_the_ledgers_commands_work_before_and_after(left: Any, run_before: bool) -> None:
    if run_before:
        assert left("run", "recipe.yaml", toy=False) == 0
    assert left("ledger", "verify", toy=False) == 0
    assert f"All {ANSWERS} answers are intact." in left.err
    assert left("ledger", "stats", "--json", toy=False) == 0
    (teacher,) = json.loads(left.out)["teachers"]
    assert (teacher["teacher"], teacher["answers"]) == (f"{'filial:' if run_before else ''}procedural", ANSWERS)
    if run_before:  # that it has ended is in its summary
        assert left("ledger", "prune", "--keep-runs", "--dry-run", toy=False) == 0
        assert "nothing to remove" in left.err
    for name in ("procedural", teacher["teacher"]):
        assert left("ledger", "prune", "--teacher", name, "--dry-run", toy=False) == 0
        assert f"{ANSWERS} answers" in left.err
    assert left("ledger", "export", "recipe", "-o", "c.jsonl", toy=False) == 0
    header = json.loads((left.folder / "c.jsonl").read_text().splitlines()[0])
    (known,) = header["teachers"].values()
    assert known["use"] == "procedural", "keys are those of 0.1, and so is the word that they are made of"
    assert left("ledger", "import", "c.jsonl", "--home", "new", toy=False) == 0
    assert left("run", "recipe.yaml", "--home", "new", "--offline", toy=False) == 0
    assert records(left.folder / "new" / "runs" / "recipe") == records(DATA / "run")


def test_a_run_records_the_answers_of_0_1_too(left: Any) -> None:
    recipe = (left.folder / "recipe.yaml").read_text()
    (left.folder / "recipe.yaml").write_text(f"hooks: [cassette]\n{recipe}")
    assert left("run", "recipe.yaml", toy=False) == 0
    assert left("ledger", "import", "runs/recipe/cassette.jsonl", "--home", "new", toy=False) == 0
    assert f"{ANSWERS} answers, {ANSWERS} of them new" in left.err


def test_a_damaged_answer_of_0_1_is_asked_again_and_kept_under_the_full_name(left: Any) -> None:
    with closing(sqlite3.connect(left.folder / ".filial" / "ledger.sqlite")) as db, db:
        db.execute("update answers set reply=x'00' where rowid=5")
    assert left("run", "recipe.yaml", toy=False) == 0
    assert asked(left) == (1, ANSWERS - 1)
    assert "1 damaged answers in the ledger were requested again" in left.err
    (left.folder / "runs" / "recipe" / "stages" / "01-generate" / "manifest.json").unlink()
    assert left("run", "recipe.yaml", "--offline", toy=False) == 0


def test_what_it_spent_counts_on(left: Any) -> None:
    shutil.rmtree(left.folder / ".filial")
    assert left("run", "recipe.yaml", "--set", f"budget.requests={ANSWERS}", toy=False) == BUDGET
    assert asked_lines(left) == 0
    assert left("run", "recipe.yaml", "--set", f"budget.requests={ANSWERS + 3}", toy=False) == BUDGET
    assert asked_lines(left) == 3
    assert not (left.folder / "runs" / "recipe" / "spend.jsonl").exists()


def asked_lines(cli: Any) -> int:
    with closing(sqlite3.connect(cli.folder / ".filial" / "ledger.sqlite")) as db:
        count: int = db.execute("select count(*) from answers").fetchone()[0]
    return count
