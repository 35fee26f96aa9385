"""A plan of training and judging: what it calls done is just what the run then leaves as it is."""

import json
import shutil

import pytest

PLUGIN = '''
from pathlib import Path

from filial import FREE, Field, InputFile, Judge, Reply, Span, Teacher, Template, Trainer, Verdict, hookimpl


class Note(Trainer):
    """Trains nothing: copies the data, and notes that it was called."""

    epochs: int = Field(1, description="How often.")
    words: InputFile | None = Field(None, description="A file it reads.")

    def train(self, data, model, template, out, ctx):
        out.mkdir(parents=True, exist_ok=True)
        (out / "weights.bin").write_bytes((data / "train.jsonl").read_bytes())
        with open("called.txt", "a") as f:
            f.write("train\\\\n")
        return {"steps": self.epochs}

    def teacher(self, out):
        return Yes()


class Yes(Teacher):
    """Says yes."""

    async def reply(self, request):
        return Reply(text="yes")

    def price(self):
        return FREE


class Plain(Template):
    """The question and the answer."""

    mark: str = Field("?", description="Behind the question.")

    def render(self, record):
        return [Span(record.instruction + self.mark), Span(record.output, train=True)]


class Grade(Judge):
    """Scores answers by their length."""

    by: int = Field(1, description="Points per letter.")
    words: InputFile | None = Field(None, description="A file it reads.")

    async def judge(self, record, candidates, ctx):
        with open("called.txt", "a") as f:
            f.write("judge\\\\n")
        return Verdict(float(self.by * len((await candidates[0].ask(record.question())).text)))


@hookimpl
def register_trainers(register):
    register("note", Note)


@hookimpl
def register_templates(register):
    register("bare", Plain)


@hookimpl
def register_judges(register):
    register("grade", Grade)
'''.replace("\\\\n", "\\n")
RECIPE = """seed: 1
data: data.jsonl
stages:
  - filter: {use: short, words: 9}
heldout: 4
template: {use: bare}
train: {use: note, model: base, words: words.txt}
judge:
  - {use: grade, name: inside, data: heldout, against: [nearest], words: words.txt}
  - {use: grade, name: outside, data: exam.jsonl}
"""


@pytest.fixture
def planned(cli):
    """``planned()`` gives the states of a plan, and what the run behind it did: "train", "judge"."""
    (cli.folder / "own.py").write_text(PLUGIN)
    (cli.folder / "r.yaml").write_text(RECIPE)
    (cli.folder / "base").mkdir()
    (cli.folder / "base" / "config.json").write_text("{}")
    (cli.folder / "words.txt").write_text("one")
    cli.write("data.jsonl", *({"instruction": f"Name river {i}.", "output": f"River {i}"} for i in range(20)))
    cli.write("exam.jsonl", {"instruction": "Name a lake.", "output": "Baikal"})

    def states():
        assert cli("--plugin", "own.py", "plan", "r.yaml", "--json") == 0, cli.err
        return {row["step"]: row["state"] for row in json.loads(cli.out)}

    def ran():
        (cli.folder / "called.txt").write_text("")
        assert cli("--plugin", "own.py", "run", "r.yaml") == 0, cli.err
        return (cli.folder / "called.txt").read_text().split()

    def work():
        return states(), ran()

    return work


NAMES = ("train", "judge inside", "judge outside")
INSIDE, OUTSIDE = 4 + 4, 1  # verdicts: four held-out records for the model and for the baseline; one record


def edit(name, old, new):
    def change(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def lose(name):
    def change(folder):
        path = folder / "runs/r" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def flip(name):
    def change(folder):
        path = folder / "runs/r" / name
        path.write_bytes(path.read_bytes()[:-1] + b"!")

    return change


DONE, CHANGED, TO_DO = "done", "changed", "to do"
CHANGES = {
    "nothing": (lambda folder: None, (DONE, DONE, DONE)),
    "trainer's option": (edit("r.yaml", "model: base", "epochs: 2, model: base"), (CHANGED,) * 3),
    "template's option": (edit("r.yaml", "{use: bare}", "{use: bare, mark: '!'}"), (CHANGED,) * 3),
    "seed": (edit("r.yaml", "seed: 1", "seed: 2"), (CHANGED,) * 3),
    "heldout": (edit("r.yaml", "heldout: 4", "heldout: 5"), (CHANGED,) * 3),
    "data": (edit("data.jsonl", "River", "The river"), (CHANGED,) * 3),
    "base model": (edit("base/config.json", "{}", "[]"), (CHANGED,) * 3),
    "a file that trainer and judge read": (edit("words.txt", "one", "two"), (CHANGED,) * 3),
    "no model": (lose("model"), (TO_DO, DONE, DONE)),
    "no manifest of the model": (lose("model/manifest.json"), (TO_DO, DONE, DONE)),
    "damaged model": (flip("model/weights.bin"), (TO_DO, DONE, DONE)),
    "damaged manifest of the model": (flip("model/manifest.json"), (TO_DO, DONE, DONE)),
    "no data set": (lose("dataset"), (DONE, DONE, DONE)),
    "damaged data set": (flip("dataset/train.jsonl"), (DONE, DONE, DONE)),
    "a judge's option": (edit("r.yaml", "data: exam.jsonl", "by: 2, data: exam.jsonl"), (DONE, DONE, CHANGED)),
    "a judge's limit": (edit("r.yaml", "against: [nearest]", "limit: 3, against: [nearest]"), (DONE, CHANGED, DONE)),
    "an exam": (edit("exam.jsonl", "Baikal", "Aral"), (DONE, DONE, CHANGED)),
    "one rival's figures lost": (lose("judge/inside@nearest.json"), (DONE, TO_DO, DONE)),
    "a rival's verdicts damaged": (flip("judge/inside@nearest.jsonl"), (DONE, TO_DO, DONE)),
    "a judge's figures lost": (lose("judge/outside@model.json"), (DONE, DONE, TO_DO)),
    "a rival more": (edit("r.yaml", "data: exam.jsonl", "data: exam.jsonl, against: [base]"), (DONE, DONE, TO_DO)),
    "a judge renamed": (edit("r.yaml", "name: outside", "name: other"), (DONE, DONE, TO_DO)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_plan_calls_done_what_the_run_does_not_do_again(cli, planned, name):
    states, did = planned()
    assert [states[step] for step in NAMES] == [TO_DO] * 3
    assert (did.count("train"), did.count("judge")) == (1, INSIDE + OUTSIDE)
    change, wanted = CHANGES[name]
    change(cli.folder)
    states, did = planned()
    found = tuple(state for step, state in states.items() if step == "train" or step.startswith("judge"))
    assert found == wanted
    assert did.count("train") == (wanted[0] != DONE)
    assert (did.count("judge") > 0) == (wanted[1:] != (DONE, DONE))
    states, did = planned()
    assert set(states.values()) == {DONE}
    assert did == []


def test_training_on_a_stage_that_is_to_be_done_is_not_called_done(cli, planned):
    planned()
    edit("r.yaml", "words: 9", "words: 8")(cli.folder)
    states, _ = planned()
    assert [states[step] for step in ("01-filter", *NAMES)] == [CHANGED] * 4


def test_a_plan_makes_no_data_set_in_the_run(cli, planned):
    planned()
    lose("dataset")(cli.folder)
    assert cli("--plugin", "own.py", "plan", "r.yaml") == 0
    assert not (cli.folder / "runs/r/dataset").exists()
