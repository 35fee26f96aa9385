"""A run: same bytes whatever happens, every row accounted for, nothing done twice."""

import contextlib
import hashlib
import json
import random
import sys
from pathlib import Path

import index_kit
import kill_kit
import pytest
from index_kit import stages

from filial import UsageError
from filial.contracts.errors import BudgetStop
from filial.engine.run import Run
from filial.gateway import Ledger
from filial.plugins import Manager
from filial.recipe import load

TOY = Path(__file__).parent / "toy.py"
RECIPE = """
seed: {seed}
teacher: {{use: echo, max_concurrency: {concurrency}, delay: {delay}, fail_on: "{fail_on}", log: "{log}"}}
{budget}
stages:
  - generate: {{use: count, count: 40, seeds: seeds.jsonl}}
  - evolve: {{rounds: 2, strategies: [longer], eliminate: [{{use: short, words: 60}}]}}
  - filter: [{{use: short, words: 50}}]
  - mix: {{use: even}}
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Name a river.", "output": "The Rhine."}\n')

    def write(seed=1, concurrency=8, delay=0, fail_on="", log="", budget=""):
        text = RECIPE.format(seed=seed, concurrency=concurrency, delay=delay, fail_on=fail_on, log=log, budget=budget)
        (tmp_path / "toy.yaml").write_text(text)
        return tmp_path

    return write


def run(folder, name="toy"):
    manager = Manager(stages())
    manager.load_file(TOY)
    work = Run(load(folder / "toy.yaml", manager), manager, folder, name)
    return work, work.execute()


def rows(folder, name="toy"):
    """Digest of every records.jsonl and drops.jsonl of a run."""
    files = sorted((folder / "runs" / name / "stages").rglob("*.jsonl"))
    assert len(files) == 8
    return {str(f.relative_to(folder / "runs" / name)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_every_row_is_accounted_for_at_every_stage(project):
    folder = project()
    _, summary = run(folder)
    assert [s["name"] for s in summary["stages"]] == ["01-generate", "02-evolve", "03-filter", "04-mix"]
    before = 0
    for stage in summary["stages"]:
        assert stage["entered"] == before
        assert stage["entered"] + stage["made"] == stage["out"] + stage["dropped"]
        path = folder / "runs" / "toy" / "stages" / stage["name"]
        assert len((path / "records.jsonl").read_text().splitlines()) == stage["out"]
        drops = [json.loads(line) for line in (path / "drops.jsonl").read_text().splitlines()]
        assert len(drops) == stage["dropped"] == sum(stage["reasons"].values())
        assert all(d["stage"] == stage["name"] and d["reason"] in stage["reasons"] for d in drops)
        before = stage["out"]
    assert json.loads((folder / "runs" / "toy" / "summary.json").read_text()) == summary


def test_lineage_leads_from_every_record_back_to_its_seed(project):
    folder = project()
    run(folder)
    known = {}
    for stage in ("01-generate", "02-evolve"):
        for line in (folder / "runs/toy/stages" / stage / "records.jsonl").read_text().splitlines():
            record = json.loads(line)
            known[record["id"]] = record
    assert any(r["origin"].get("round") == 2 for r in known.values())
    for record in known.values():
        origin = record["origin"]
        if origin.get("round", 0) > 0:
            (parent,) = origin["parents"]
            assert known[parent]["origin"].get("round", 0) == origin["round"] - 1
            assert origin["plugin"].startswith("toy.py:longer==")
            assert len(origin["answers"]) == 2


def test_ids_are_unique(project):
    folder = project()
    run(folder)
    lines = (folder / "runs/toy/stages/02-evolve/records.jsonl").read_text().splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    assert len(set(ids)) == len(ids)


def test_same_seed_same_bytes_other_seed_other_bytes(project):
    folder = project()
    run(folder, "one")
    run(folder, "two")
    assert rows(folder, "one") == rows(folder, "two")
    project(seed=2)
    run(folder, "three")
    assert rows(folder, "one") != rows(folder, "three")


@pytest.mark.parametrize("concurrency", [1, 64])
def test_bytes_do_not_depend_on_concurrency_or_on_who_answers_first(project, tmp_path, concurrency):
    folder = project(concurrency=8)
    run(folder, "plain")
    (folder / ".filial" / "ledger.sqlite").unlink()
    project(concurrency=concurrency, delay=0.0005)
    run(folder, "other")
    assert rows(folder, "plain") == rows(folder, "other")


def test_a_finished_run_repeated_asks_nothing_and_writes_nothing(project, tmp_path):
    log = tmp_path / "asked.log"
    folder = project(log=log)
    run(folder)
    asked, files = log.read_text(), rows(folder)
    stamps = {f: f.stat().st_mtime_ns for f in (folder / "runs/toy/stages").rglob("*.jsonl")}
    work, _ = run(folder)
    assert (log.read_text(), rows(folder), work.spent.requests) == (asked, files, 0)
    assert stamps == {f: f.stat().st_mtime_ns for f in (folder / "runs/toy/stages").rglob("*.jsonl")}


def test_a_change_at_a_stage_costs_nothing_before_it(project):
    folder = project()
    run(folder)
    text = (folder / "toy.yaml").read_text()
    (folder / "toy.yaml").write_text(text.replace("rounds: 2", "rounds: 3"))
    work, _ = run(folder)
    generate = folder / "runs/toy/stages/01-generate/records.jsonl"
    made = len(generate.read_text().splitlines())
    assert 0 < work.spent.requests <= 2 * made, "only the third round may be asked"


def test_a_torn_stage_is_done_again_from_the_ledger(project):
    folder = project()
    run(folder)
    whole = rows(folder)
    records = folder / "runs/toy/stages/02-evolve/records.jsonl"
    records.write_bytes(records.read_bytes()[:-20])
    work, _ = run(folder)
    assert (rows(folder), work.spent.requests) == (whole, 0)


def test_a_request_that_fails_for_good_costs_its_row_alone_and_is_told(project):
    folder = project(fail_on="task 7")
    work, summary = run(folder)
    dropped = summary["stages"][0]["reasons"] | summary["stages"][1]["reasons"]
    assert dropped["teacher-broken"] >= 1
    assert work.exit_code() == 5


def test_a_failed_request_keeps_its_raw_answer_in_the_drops(project):
    folder = project(fail_on="longer: task 3 ")
    run(folder)
    drops = (folder / "runs/toy/stages/02-evolve/drops.jsonl").read_text().splitlines()
    failed = [d for d in map(json.loads, drops) if d["reason"] == "teacher-broken"]
    assert failed
    assert all(d["answer"] == "half an answ" and d["record"]["instruction"].startswith("task 3 ") for d in failed)


def test_a_run_without_lost_rows_exits_with_0(project):
    work, _ = run(project())
    assert work.exit_code() == 0


def test_a_budget_stop_keeps_what_was_paid_and_a_larger_budget_goes_on(project, tmp_path):
    log = tmp_path / "asked.log"
    folder = project(log=log, budget="budget: {requests: 25}")
    with pytest.raises(BudgetStop, match="25 requests"):
        run(folder)
    assert len(log.read_text().splitlines()) == 25
    project(log=log)
    run(folder)
    asked = log.read_text().splitlines()
    project(log="")
    (folder / ".filial" / "ledger.sqlite").unlink()
    work, _ = run(folder, "plain")
    assert len(asked) == work.spent.requests
    assert rows(folder) == rows(folder, "plain")


def test_no_two_runs_in_one_directory(project):
    from filial.storage import lock_folder

    folder = project()
    with lock_folder(folder / "runs" / "toy"), pytest.raises(UsageError, match="in use"):
        run(folder)


def test_a_run_does_not_read_what_it_replaces(project):
    folder = project()
    run(folder)
    recipe = (folder / "toy.yaml").read_text()
    before = rows(folder)
    own = "runs/toy/stages/01-generate/records.jsonl"
    (folder / "toy.yaml").write_text(recipe.replace("seeds.jsonl", own))
    with pytest.raises(UsageError, match=f"{own} is a file of this run, which would replace it"):
        run(folder)
    assert rows(folder) == before


def test_empty_seeds_are_one_sentence(project):
    folder = project()
    (folder / "seeds.jsonl").write_text("")
    with pytest.raises(UsageError, match=r"seeds\.jsonl.*no record"):
        run(folder)


def test_bad_seed_lines_are_kept_aside_and_told(project):
    folder = project()
    with open(folder / "seeds.jsonl", "a") as f:
        f.write('{"instruction": 7}\nnot json\n')
    work, summary = run(folder)
    assert summary["stages"][0]["reasons"]["bad-line"] == 2
    assert work.exit_code() == 5
    drops = (folder / "runs/toy/stages/01-generate/drops.jsonl").read_text()
    assert "seeds.jsonl:2" in drops
    assert "seeds.jsonl:3" in drops


KILLED = f"""
import sys
from pathlib import Path
from filial.plugins import Manager
from filial.recipe import load; from filial.engine.run import Run
toy, folder, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
{index_kit.CODE}
m = Manager(stages); m.load_file(toy)
{kill_kit.CODE}
Run(load(folder / "toy.yaml", m), m, folder, name).execute()
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5, 6])
def test_kill_9_at_any_moment_then_again_gives_the_same_bytes(project, tmp_path, seed):
    """Killed a little later each time until it is done: same bytes, nothing lost or doubled, at most what was in flight
    asked again."""
    folder, log, ledger = project(concurrency=4), tmp_path / "asked.log", tmp_path / ".filial" / "ledger.sqlite"
    plain, killed = ([sys.executable, "-c", KILLED, str(TOY), str(folder), name] for name in ("plain", "killed"))
    step, whole = kill_kit.calls(plain) // 16, rows(folder, "plain")
    ledger.unlink()
    log.touch()
    project(concurrency=4, delay=0.001, log=log)
    lost, known = 0, []
    for _ in kill_kit.kills(killed, random.Random(seed), step):
        known.append(held(ledger) if ledger.exists() else 0)
        before, lost = lost, answered(log) - known[-1]
        assert 0 <= lost - before <= 4, "an answer that was there for longer than in flight is not in the ledger"
    assert len(known) > 5
    assert len(set(known)) > 3, "the kills came all before the first answer or behind the last one"
    assert rows(folder, "killed") == whole
    assert answered(log) - held(ledger) == lost
    assert not list((folder / "runs").rglob("*.tmp"))


def answered(log):
    """How many answers were given."""
    return log.read_bytes().count(b"\n")


def held(path):
    """How many answers a ledger holds."""
    with contextlib.closing(Ledger(path)) as ledger:
        return len(ledger)


@pytest.mark.parametrize(
    ("made", "reasons", "warns"),
    [
        (100, {"refused": 15, "apology": 10}, True),
        (100, {"refused": 10}, False),
        (4, {"refused": 4}, False),
        (9, {}, False),
    ],
)
def test_a_teacher_that_declines_much_is_noticed(made, reasons, warns):
    from filial.engine.run import refusals

    text = refusals({"name": "02-evolve", "made": made, "reasons": reasons})
    assert bool(text) == warns
    assert not warns or ("25 of 100" in text and "outside" in text)
