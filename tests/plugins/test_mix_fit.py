"""Choosing the weights of a mix by pilots: the law, its best mixture, and the command around them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from filial import Record
from filial.contracts.records import to_json
from filial_plugins.mixing.fit import law
from filial_plugins.mixing.fit.pilots import set_length
from filial_plugins.mixing.fit.simplex import Bounds, make_bounds, plan_mixtures, round_shares
from filial_plugins.trainers.sft import SFT

TRAINER = '''
"""A trainer whose losses follow a known law of the shares it is given; it notes each training."""
import json, math, os, signal
from pathlib import Path
from filial import Field, Template, TrainContext, Trainer, hookimpl

FLOORS = {"code": 0.5, "math": 0.2, "chat": 0.8}
SLOPES = {
    "code": {"code": -2.0, "math": -0.8, "chat": 0.4},
    "math": {"code": -0.5, "math": -3.0, "chat": 0.5},
    "chat": {"code": 0.3, "math": 0.1, "chat": -1.0},
}

class Known(Trainer):
    """Learns nothing."""

    max_steps: int | None = Field(None, ge=1, description="Updates.")
    batch_size: int = Field(10, ge=1, description="Rows of an update.")
    wobble: float = Field(0.0, description="Size of a disturbance that is no function of the shares.")
    slope: float = Field(1.0, description="How much the shares matter.")
    silent: bool = Field(False, description="Report no losses.")

    def train(self, data, model, template, out, ctx):
        log = Path("trainings.jsonl")
        done = log.read_text().splitlines() if log.exists() else []
        if Path("kill").exists() and len(done) >= 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if Path("stop").exists() and len(done) >= int(Path("stop").read_text()):
            raise KeyboardInterrupt
        rows = [json.loads(line) for line in (data / "train.jsonl").read_text().splitlines()]
        tasks = sorted({row["task"] for row in rows} | set(FLOORS))
        shares = {task: sum(row["task"] == task for row in rows) / len(rows) for task in tasks}
        held = {file.stem: [json.loads(line) for line in file.read_text().splitlines()]
                for file in sorted((data / "heldout").glob("*.jsonl"))}
        note = {"shares": shares, "rows": len(rows), "trained": [row["instruction"] for row in rows],
                "held": {name: [row["instruction"] for row in rows] for name, rows in held.items()},
                "steps": self.max_steps, "seed": ctx.seed}
        with log.open("a") as file:
            file.write(json.dumps(note) + "\\n")
        losses = {}
        for name, records in held.items():
            task = records[0]["task"]
            slopes = SLOPES[task]
            wobble = self.wobble * math.sin(1e4 * shares[task] + len(task))
            losses[name] = FLOORS[task] + math.exp(self.slope * sum(slopes[t] * shares[t] for t in slopes)) + wobble
        out.mkdir(parents=True, exist_ok=True)
        return {"steps": self.max_steps} | ({} if self.silent else {"heldout_losses": losses})

@hookimpl
def register_trainers(register):
    register("known", Known)
'''
TASKS = ["chat", "code", "math"]
MEASURED = [
    (0.3334, 0.3333, 0.3333, 1.463516, 0.203839, 1.121654),
    (0.6667, 0.0833, 0.2500, 1.389250, 0.215458, 1.156300),
    (0.6067, 0.0342, 0.3591, 1.387985, 0.235299, 1.116352),
    (0.0667, 0.8666, 0.0667, 1.894742, 0.150701, 1.638792),
    (0.0667, 0.0667, 0.8666, 1.775660, 0.182646, 0.939674),
    (0.5992, 0.3341, 0.0667, 1.459443, 0.189494, 1.422452),
    (0.0667, 0.5856, 0.3477, 1.772090, 0.164267, 1.209391),
    (0.2935, 0.1066, 0.5999, 1.472900, 0.228668, 1.051175),
]
"""Shares of three tasks, and their losses after training on them."""
FLOORS = np.array([0.8, 0.5, 0.2])
SLOPES = np.array([[-1.0, 0.3, 0.1], [0.4, -2.0, -0.8], [0.5, -0.5, -3.0]])
KNOWN = law.Law(FLOORS, SLOPES)
ALL = make_bounds(TASKS, dict.fromkeys(TASKS, (0.0, 1.0)))


GRID = np.array([[a, b, 100 - a - b] for a in range(101) for b in range(101 - a)]) / 100


def random_laws(count: int, tasks: int = 3):
    rng = np.random.default_rng(5)
    for _ in range(count):
        yield law.Law(rng.uniform(0.1, 1.0, tasks), rng.normal(-0.5, 0.7, (tasks, tasks)) - 2 * np.eye(tasks))


def pilots_of(known: law.Law, count: int, noise: float = 0.0, seed: int = 3):
    mixtures = plan_mixtures([100, 50, 10], ALL, count, seed)
    shares = [mixture.shares for mixture in mixtures]
    rng = np.random.default_rng(seed)
    return shares, [known.losses(point) + noise * rng.normal(size=3) for point in shares]


def test_the_law_is_recovered_from_losses_that_follow_it():
    for known in random_laws(5):
        found = law.fit(*pilots_of(known, 10), np.full(3, 1 / 3)).law
        apart = np.abs(found.losses(GRID) - known.losses(GRID)) / known.losses(GRID)
        assert np.median(apart) < 0.005
        assert apart.max() < 0.05  # at the corners


def test_the_best_mixture_of_a_fitted_law_beats_uniform_and_random_ones():
    target = np.full(3, 1 / 3)
    for known in random_laws(5):
        best = law.fit(*pilots_of(known, 10), target).law.find_best(target, ALL)
        lowest, uniform = (known.losses(GRID) @ target).min(), known.losses(np.full(3, 1 / 3)) @ target
        others = np.random.default_rng(1).dirichlet(np.ones(3), 50)
        assert known.losses(best) @ target <= lowest * 1.002
        assert known.losses(best) @ target <= uniform
        assert known.losses(best) @ target <= (known.losses(others) @ target).min() * 1.002


@pytest.mark.parametrize("given", [{}, {"code": (0.5, 1.0)}, {"chat": (0.0, 0.1), "math": (0.2, 0.3)}])
@pytest.mark.parametrize("target", [(1, 1, 1), (0, 0, 1), (5, 1, 0)])
def test_the_best_mixture_is_that_of_a_fine_grid_within_the_bounds(given, target):
    bounds, weights = make_bounds(TASKS, given), np.array(target) / sum(target)
    for known in random_laws(4):
        best = known.find_best(weights, bounds)
        inside = GRID[((bounds.low - 1e-9 <= GRID) & (bounds.high + 1e-9 >= GRID)).all(axis=1)]
        assert best.sum() == pytest.approx(1)
        assert (best >= bounds.low - 1e-12).all()
        assert (best <= bounds.high + 1e-12).all()
        assert known.losses(best) @ weights <= (known.losses(inside) @ weights).min() + 1e-9


@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(0, 0.2), st.floats(0.3, 1)), min_size=4, max_size=6))
def test_a_projection_lies_within_the_bounds_and_is_nearest(rows):
    point, low, high = (np.array(column) for column in zip(*rows, strict=True))
    low = low / max(1.0, low.sum())
    bounds = Bounds(low, high)
    found = bounds.project(point)
    assert found.sum() == pytest.approx(1, abs=1e-9)
    assert (found >= low - 1e-12).all()
    assert (found <= high + 1e-12).all()
    others = [bounds.project(other) for other in np.random.default_rng(0).normal(0.25, 0.5, (20, len(rows)))]
    assert all(np.linalg.norm(found - point) <= np.linalg.norm(other - point) + 1e-6 for other in others)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(3, 12), st.lists(st.integers(1, 10**6), min_size=2, max_size=7))
def test_pilots_lie_on_the_simplex_and_more_of_them_add_to_fewer(seed, count, sizes):
    tasks = [str(k) for k in range(len(sizes))]
    bounds = make_bounds(tasks, {"0": (0.1, 0.4)}) if len(sizes) > 2 else make_bounds(tasks, {})
    found = plan_mixtures(sizes, bounds, count, seed)
    more = plan_mixtures(sizes, bounds, count + 2, seed)
    assert [(one.name, one.shares.tolist()) for one in more[:count]] == [
        (one.name, one.shares.tolist()) for one in found
    ]
    assert len(found) == count
    assert found[0].shares == pytest.approx(np.full(len(sizes), 1 / len(sizes)), abs=1e-4)
    for mixture in more:
        assert mixture.shares.sum() == pytest.approx(1, abs=1e-12)
        if mixture.name.startswith("spread"):
            assert (mixture.shares >= bounds.low - 1e-4).all()
            assert (mixture.shares <= bounds.high + 1e-4).all()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9).filter(lambda shares: sum(shares) > 0.01))
def test_rounded_shares_sum_to_one(shares):
    found = round_shares(np.array(shares))
    assert round(float(found.sum() * 10_000), 6) == 10_000
    assert (np.abs(found - np.array(shares) / sum(shares)) < 1.0001e-4).all()


def test_noise_is_not_taken_for_a_law():
    flat = law.Law(np.full(3, 1.0), np.zeros((3, 3)))
    found = law.fit(*pilots_of(flat, 12, noise=0.02), np.full(3, 1 / 3))
    assert found.explained < 0.5
    assert found.error == pytest.approx(0.02 / 3**0.5, rel=0.6)


def test_the_interval_covers_the_true_loss_about_as_often_as_it_says():
    target, hits, asked = np.full(3, 1 / 3), 0, np.random.default_rng(8).dirichlet(np.ones(3), 5)
    for seed in range(12):
        found = law.fit(*pilots_of(KNOWN, 10, noise=0.02, seed=seed), target)
        for point in asked:
            low, high = found.interval(point)
            hits += low <= KNOWN.losses(point) @ target <= high
    assert hits >= 0.7 * 60  # it covers a new pilot's loss, which scatters more


def records(task: str, count: int) -> list[Record]:
    return [Record(id=f"{task}{k}", instruction=f"{task} question {k}", output="yes", task=task) for k in range(count)]


def write(path: str, rows: list[Record]) -> None:
    Path(path).write_bytes(b"".join(to_json(row) + b"\n" for row in rows))


FILES = ["code=code.jsonl", "math=math.jsonl", "chat=chat.jsonl"]
SIZES = {"chat": 60, "code": 300, "math": 120}
HOW = ["--model", "base", "--template", "plain", "--trainer", "known"]
RECIPE = """\
stages:
  - mix:
      use: weights
      sources:
        code: code.jsonl
        math: math.jsonl
        chat: chat.jsonl
template: plain
train: {use: known, model: base, batch_size: 20}
"""


@pytest.fixture
def fit(cli):
    """``fit(*FILES, *HOW)`` runs the command in a folder with three tasks; returns the exit code."""
    Path("known.py").write_text(TRAINER)
    Path("base").mkdir()
    for task, count in SIZES.items():
        write(f"{task}.jsonl", records(task, count))

    def call(*words: str) -> int:
        return cli("--plugin", "known.py", "mix", "fit", *words, toy=False)

    call.cli = cli
    return call


def trainings() -> list[dict]:
    file = Path("trainings.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def read_stage(text: str) -> dict:
    (stage,) = yaml.safe_load(text)
    return stage["mix"]


def test_the_stage_that_is_written_has_the_best_weights_and_runs(fit):
    assert fit(*FILES, *HOW, "-o", "stage.yaml", "--seed", "1") == 0
    text = Path("stage.yaml").read_text()
    stage = read_stage(text)
    shares = np.array([stage["weights"][task] for task in TASKS])
    target = np.full(3, 1 / 3)
    assert KNOWN.losses(shares) @ target <= (KNOWN.losses(GRID) @ target).min() * 1.002
    assert shares.sum() == pytest.approx(1)
    assert stage["sources"] == {"code": "code.jsonl", "math": "math.jsonl", "chat": "chat.jsonl"}
    Path("whole.yaml").write_text(f"stages:\n{text}")
    assert fit.cli("run", "whole.yaml", toy=False) == 0
    kept = [
        json.loads(line)["task"] for line in Path("runs/whole/stages/01-mix/records.jsonl").read_text().splitlines()
    ]
    for task, share in zip(TASKS, shares, strict=True):
        assert kept.count(task) / len(kept) == pytest.approx(share, abs=0.02)


def test_uniform_proportional_and_random_stand_beside_the_fitted_mixture(fit):
    assert fit(*FILES, *HOW, "--json") == 0
    found = json.loads(fit.cli.out)
    rows = {row["mixture"]: row for row in found["mixtures"]}
    assert {"uniform", "proportional", "random", "fitted"} <= rows.keys()
    assert rows["proportional"]["weights"] == {"chat": 0.125, "code": 0.625, "math": 0.25}
    for row in rows.values():
        point = np.array([row["weights"][task] for task in TASKS])
        assert row["measured"] == pytest.approx(KNOWN.losses(point).mean(), abs=2e-3)  # rows are whole numbers
        assert row["predicted"] == pytest.approx(row["measured"], abs=0.01)
        assert row["interval"][0] <= row["predicted"] <= row["interval"][1]
    assert min(rows.values(), key=lambda row: row["measured"])["mixture"] == "fitted"
    assert found["holds"]
    assert found["explained"] > 0.95


def test_pilots_never_train_on_a_held_out_question(fit):
    again = [Record(instruction=f"code question {k}", output="no", task="math") for k in range(300)]  # another task
    write("math.jsonl", [*records("math", 120), *again, *records("math", 120)])
    assert fit(*FILES, *HOW, "--held-out", "0.2") == 0
    found = trainings()
    held = [question for questions in found[0]["held"].values() for question in questions]
    assert len(found[0]["held"]["0"]) == 12
    assert len(found[0]["held"]["1"]) == 60
    for one in found:
        assert one["held"] == found[0]["held"]
        assert set(one["trained"]).isdisjoint(held)
        assert one["rows"] == 1000
        assert one["steps"] == 100


def test_more_records_of_one_task_leave_what_is_held_out_and_trained_of_the_others(fit):
    assert fit(*FILES, *HOW, "--pilots", "5", "--no-check") == 0
    first = trainings()
    Path("trainings.jsonl").unlink()
    write("math.jsonl", records("math", 500))
    assert fit(*reversed(FILES), *HOW, "--pilots", "5", "--no-check") == 0
    second = trainings()
    assert second[0]["held"]["1"] == first[0]["held"]["1"]
    code = [sorted(q for q in one[0]["trained"] if q.startswith("code")) for one in (first, second)]
    assert code[0] == code[1]


def test_the_same_call_trains_nothing_again_and_writes_the_same_bytes(fit):
    assert fit(*FILES, *HOW, "-o", "one.yaml") == 0
    done = len(trainings())
    assert done == 9
    assert fit(*FILES, *HOW, "-o", "two.yaml") == 0
    assert len(trainings()) == done
    assert "trained before" in fit.cli.err
    assert Path("one.yaml").read_bytes() == Path("two.yaml").read_bytes()
    assert fit(*FILES, *HOW, "--home", "elsewhere", "-o", "three.yaml") == 0
    assert Path("one.yaml").read_bytes() == Path("three.yaml").read_bytes()
    assert fit(*FILES, *HOW, "--pilots", "10", "--no-check") == 0
    assert len(trainings()) == 2 * done + 2  # two more pilots than before


def test_what_was_finished_before_an_interrupt_is_not_trained_again(fit):
    Path("stop").write_text("4")
    assert fit(*FILES, *HOW, "-o", "stage.yaml") == 130
    assert "pilots are kept" in fit.cli.err
    assert not Path("stage.yaml").exists()
    assert len(trainings()) == 4
    Path("stop").write_text("7")
    assert fit(*FILES, *HOW) == 130
    shares = [tuple(one["shares"].values()) for one in trainings()]
    assert len(shares) == len(set(shares)) == 7
    left = [str(path) for path in Path(".filial/pilots").rglob("*.jsonl")]
    assert left == []


def test_a_killed_process_leaves_its_finished_pilots_and_nothing_in_the_way(fit):
    Path("kill").touch()
    words = [sys.executable, "-m", "filial", "--plugin", "known.py", "mix", "fit", *FILES, *HOW]
    assert subprocess.run(words, capture_output=True, check=False).returncode == -9
    Path("kill").unlink()
    assert fit(*FILES, *HOW, "-o", "stage.yaml") == 0
    assert len(trainings()) == 9
    assert fit(*FILES, *HOW, "-o", "whole.yaml", "--home", "elsewhere") == 0
    assert Path("stage.yaml").read_bytes() == Path("whole.yaml").read_bytes()


def test_files_without_a_task_are_grouped_by_that_of_their_records(fit):
    write("all.jsonl", [*records("code", 300), *records("math", 120), *records("chat", 60)])
    assert fit("all.jsonl", *HOW) == 0
    assert "The records of all.jsonl come from the stage before" in fit.cli.out
    assert read_stage(fit.cli.out).keys() == {"use", "weights"}


def test_pilots_do_not_take_what_a_recipe_says_of_its_training():
    trainer, records = set_length(SFT(epochs=3, eval_every=5, report_to=("wandb",), batch_size=4, lr=0.1), 7)
    assert trainer == SFT(max_steps=7, samples=0, batch_size=4, lr=0.1)
    assert records == 28


@pytest.mark.parametrize(
    "change", [["--seed", "7"], ["--steps", "50"], ["--held-out", "0.2"], ["--template", "alpaca"]], ids=str
)
def test_what_changes_the_losses_is_trained_again(fit, change):
    assert fit(*FILES, *HOW, "--pilots", "5", "--no-check") == 0
    assert fit(*FILES, *HOW, "--pilots", "5", "--no-check", *change) == 0
    assert len(trainings()) == 10


def test_the_plan_trains_nothing_and_says_what_is_done_already(fit):
    assert fit(*FILES, *HOW, "--plan", "--json") == 0
    assert trainings() == []
    plan = json.loads(fit.cli.out)
    assert plan["to_train"] == 9
    assert plan["records_per_pilot"] == 1000
    assert plan["tasks"]["code"] == {"records": 300, "held_out": 30}
    assert fit(*FILES, *HOW, "--pilots", "6", "--no-check") == 0
    assert fit(*FILES, *HOW, "--plan") == 0
    assert "3 pilots to train with the check" in fit.cli.out
    assert fit.cli.out.count("(trained before)") == 6


def test_bounds_hold_and_a_target_moves_the_weights(fit):
    assert fit(*FILES, *HOW, "--json", "--bounds", "chat=0.3:0.35", "--bounds", "code=:0.2") == 0
    weights = json.loads(fit.cli.out)["chosen"]
    assert 0.3 <= weights["chat"] <= 0.35
    assert weights["code"] <= 0.2
    assert fit(*FILES, *HOW, "--json", "--target", "code=1") == 0
    weights = json.loads(fit.cli.out)["chosen"]
    assert weights["code"] > 0.6
    assert weights["chat"] == pytest.approx(0.2 / 3, abs=1e-3)  # no task is left out unless its bounds say so
    assert fit(*FILES, *HOW, "--json", "--target", "code=1", "--bounds", "chat=0:1") == 0
    assert json.loads(fit.cli.out)["chosen"]["chat"] == 0


def test_a_law_that_does_not_hold_gives_the_best_pilot_and_a_warning(fit):
    assert fit(*FILES, *HOW, "--trainer-option", "wobble=0.1", "--trainer-option", "slope=0", "--json") == 0
    found = json.loads(fit.cli.out)
    assert not found["holds"]
    assert found["said"][0].startswith("warning: the law does not hold here")
    best = min(found["pilots"], key=lambda pilot: pilot["mean"])
    assert found["chosen"] == best["weights"]
    assert read_stage(found["stage"])["weights"] == best["weights"]


def test_differences_within_the_error_are_said_to_be_noise(fit):
    assert fit(*FILES, *HOW) == 0
    assert "within noise" not in fit.cli.err
    assert fit(*FILES, *HOW, "--trainer-option", "wobble=0.1") == 0
    assert "within noise" in fit.cli.err
    assert fit(*FILES, *HOW, "--trainer-option", "wobble=0.01", "--trainer-option", "slope=0.01") == 0
    assert "by these pilots no mixture is better than another" in fit.cli.err


def test_lines_that_are_no_records_are_counted(fit):
    with open("code.jsonl", "a") as file:
        file.write("no record\n{}\n")
    assert fit(*FILES, *HOW, "--plan") == 0
    assert "2 lines are no records and are left out; the first: " in fit.cli.err


def test_the_law_fits_what_was_measured():
    """Losses of eight pilots of 80 steps of the embedded base model: chains, facts and lists of its closed world."""
    found = law.fit([np.array(row[:3]) for row in MEASURED], [np.array(row[3:]) for row in MEASURED], np.full(3, 1 / 3))
    assert found.explained > 0.9
    assert found.error < 0.03


def test_a_recipe_says_sources_model_template_trainer_and_seed(fit):
    Path("recipe.yaml").write_text(f"seed: 3\n{RECIPE}")
    assert fit("recipe.yaml", "--json", "--steps", "30") == 0
    found = json.loads(fit.cli.out)
    assert found["seed"] == 3
    assert {one["rows"] for one in trainings()} == {600}
    stage = read_stage(found["stage"])
    assert stage["sources"] == {"code": "code.jsonl", "math": "math.jsonl", "chat": "chat.jsonl"}


def test_a_mix_of_an_earlier_stage_takes_the_records_of_the_run(fit):
    write("all.jsonl", [*records("code", 300), *records("math", 120), *records("chat", 60)])
    text = "data: all.jsonl\nstages:\n  - filter: [length]\n  - mix: weights\n"
    Path("recipe.yaml").write_text(text)
    assert fit("recipe.yaml", *HOW) == 2
    assert "recipe.yaml:4:" in fit.cli.err
    assert "01-filter" in fit.cli.err
    assert fit.cli("run", "recipe.yaml", toy=False) == 0
    assert fit("recipe.yaml", *HOW) == 0
    assert set(read_stage(fit.cli.out)["weights"]) == set(TASKS)
    assert "sources" not in read_stage(fit.cli.out)


def test_groups_are_those_of_the_stage_and_chain_of_thought_keeps_its_share(fit):
    thinking = [row.replaced(tags=("cot",)) for row in records("math", 120)]
    write("math.jsonl", thinking)
    Path("recipe.yaml").write_text(RECIPE.replace("      use: weights\n", "      use: weights\n      cot_share: 0.1\n"))
    assert fit("recipe.yaml", "--no-check") == 0
    for one in trainings():
        assert one["shares"]["math"] == pytest.approx(0.1, abs=1e-3)


ONE_TASK = "stages:\n  - mix: {use: weights, sources: {code: code.jsonl}}\n"
FAULTS = {
    "one task": ([FILES[0], *HOW], "one task only, 'code'"),
    "one task of a recipe": (["one.yaml", *HOW], "one.yaml:2:"),
    "no model": ([*FILES, "--template", "plain"], "add --model"),
    "no model in the recipe": (["one.yaml", "--template", "plain"], "names no model; add --model"),
    "no template": ([*FILES, "--model", "base"], "add --template"),
    "an unknown task in bounds": ([*FILES, *HOW, "--bounds", "cod=0:1"], "--bounds names 'cod', but the tasks are"),
    "bounds above 1": ([*FILES, *HOW, "--bounds", "code=0.7:1", "--bounds", "math=0.5:1"], "sum to 1.2, more than 1"),
    "bounds below 1": (
        [*FILES, *HOW, *(word for task in TASKS for word in ("--bounds", f"{task}=0:0.2"))], "sum to 0.6, less than 1",
    ),
    "bounds the wrong way": ([*FILES, *HOW, "--bounds", "code=0.5:0.1"], "write TASK=LOW:HIGH"),
    "bounds without a colon": ([*FILES, *HOW, "--bounds", "code=0.5"], "write TASK=LOW:HIGH"),
    "bounds that are no number": ([*FILES, *HOW, "--bounds", "code=a:b"], "write TASK=LOW:HIGH"),
    "bounds twice": ([*FILES, *HOW, "--bounds", "code=0:1", "--bounds", "code=0:1"], "names the task 'code' twice"),
    "an unknown task in target": ([*FILES, *HOW, "--target", "poems=1"], "--target names 'poems', but the tasks are"),
    "a target of zeros": ([*FILES, *HOW, "--target", "code=0"], "all weights are 0"),
    "a negative target": ([*FILES, *HOW, "--target", "code=-1"], "not below 0"),
    "few pilots": ([*FILES, *HOW, "--pilots", "4"], "needs 5 pilots at least"),
    "a task twice": ([FILES[0], *FILES, *HOW], "the task 'code' is given twice"),
    "a task of one record": ([*FILES, "tiny=tiny.jsonl", *HOW], "task 'tiny' has 1 records"),
    "no such file": (["code=none.jsonl", *FILES[1:], *HOW], "none.jsonl"),
    "a recipe and a file": (["one.yaml", *FILES], "leave out code=code.jsonl"),
    "a stage without a recipe": ([*FILES, *HOW, "--stage", "mix"], "--stage names a stage of a recipe"),
    "no such stage": (["one.yaml", *HOW, "--stage", "evolve"], "'evolve' is no mix stage"),
    "a recipe without a mix": (["none.yaml", *HOW], "has no mix stage; its stages are 01-filter"),
    "two mix stages": (["two.yaml", *HOW], "choose one with --stage: 01-mix, 02-mix"),
    "an unknown trainer": ([*FILES, *HOW[:-1], "knwon"], "knwon"),
    "an unknown option": ([*FILES, *HOW, "--trainer-option", "speed=1"], "speed"),
    "a trainer that reports nothing": ([*FILES, *HOW, "--trainer-option", "silent=true"], "no 'heldout_losses'"),
    "a folder for output": ([*FILES, *HOW, "-o", "base"], "is a folder"),
    "output over input": ([*FILES, *HOW, "-o", "code.jsonl"], "code.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), FAULTS.values(), ids=FAULTS)
def test_bad_input_is_said_in_a_sentence(fit, words, said):
    Path("one.yaml").write_text(ONE_TASK)
    Path("none.yaml").write_text("data: code.jsonl\nstages:\n  - filter: [length]\n")
    Path("two.yaml").write_text("data: code.jsonl\nstages:\n  - mix: weights\n  - mix: weights\n")
    write("tiny.jsonl", records("tiny", 1))
    before = Path("code.jsonl").read_bytes()
    assert fit(*words) == 2
    assert said in fit.cli.err
    assert "Traceback" not in fit.cli.err
    assert len(trainings()) <= 1
    assert Path("code.jsonl").read_bytes() == before


def test_a_mixer_of_the_same_name_is_refused_and_reached_by_its_package(fit):
    Path("clash.py").write_text(
        "from filial import Mixer, hookimpl\n\n\n"
        "class Fit(Mixer):\n    def rates(self, sizes):\n        return dict.fromkeys(sizes, 1.0)\n\n\n"
        "@hookimpl\ndef register_mixers(register):\n    register('fit', Fit)\n"
    )
    assert fit.cli("--plugin", "clash.py", "mix", "fit", *FILES, *HOW, toy=False) == 2
    assert "a command of filial mix and a mixer of clash.py" in fit.cli.err
    assert fit.cli("--plugin", "clash.py", "mix", "clash.py:fit", "code.jsonl", "-o", "out.jsonl", toy=False) == 0
