"""Judging in a whole run: rivals behind gateways and caps, pairs over two turns, and what goes on after a kill."""

from __future__ import annotations

import json
import sqlite3

import pytest

PLUGIN = '''
from pathlib import Path

from filial import (
    FREE, Field, Judge, Message, Reply, Span, Teacher, TeacherError, Template, Trainer, Verdict, hookimpl
)  # fmt: skip


class Parrot(Teacher):
    """Says what it was told to, and notes each question."""

    word: str = Field("yes", description="What it says.")
    fails: str = Field("", description="Fails on questions with this text.")
    ends: str = Field("", description="Ends the process on questions with this text, while the file armed is there.")

    async def reply(self, request):
        question = " | ".join(message.content for message in request.messages)
        if self.ends and self.ends in question and Path("armed").exists():
            raise KeyboardInterrupt
        with open("asked.txt", "a") as file:
            file.write(f"{self.word}: {question}\\\\n")
        if self.fails and self.fails in question:
            raise TeacherError("broken", "it cannot")
        return Reply(text=f"{self.word} {len(request.messages)}")

    def price(self):
        return FREE


class Sure(Trainer):
    """Trains nothing; its model says sure, and the one before well."""

    fails: str = Field("", description="The model fails on questions with this text.")
    ends: str = Field("", description="As Parrot's.")

    def train(self, data, model, template, out, ctx):
        out.mkdir(parents=True, exist_ok=True)
        (out / "weights.bin").write_bytes((data / "train.jsonl").read_bytes())
        return {}

    def teacher(self, out):
        if out.name != "model":
            return Parrot(word="well")
        return Parrot(word="sure", fails=self.fails, ends=self.ends)


class Bare(Template):
    """As it stands."""

    def render(self, record):
        return [Span(record.instruction), Span(record.output, train=True)]


class Debate(Judge):
    """Prefers who says sure when asked twice; the referee sees both orders."""

    asks = True
    compares = 2

    async def judge(self, record, candidates, ctx):
        said = []
        for one in candidates:
            first = await one.ask(record.question())
            turns = [Message("user", record.question()), Message("assistant", first.text), Message("user", "Sure?")]
            said.append((await one.ask(turns)).text)
        forth = await ctx.ask(f"{said[0]} or {said[1]}?")
        back = await ctx.ask(f"{said[1]} or {said[0]}?")
        won = said[0].startswith("sure")
        return Verdict(float(won), won, f"{forth.text} {back.text}")


class Once(Judge):
    """Right where it says sure."""

    async def judge(self, record, candidates, ctx):
        reply = await candidates[0].ask(record.question())
        return Verdict(1.0, reply.text.startswith("sure"))


@hookimpl
def register_teachers(register):
    register("parrot", Parrot)


@hookimpl
def register_trainers(register):
    register("certain", Sure)


@hookimpl
def register_templates(register):
    register("bare", Bare)


@hookimpl
def register_judges(register):
    register("debate", Debate)
    register("once", Once)
'''.replace("\\\\n", "\\n")
ONCE = "judge: {use: once, data: exam.jsonl, against: [base]}\n"
HEAD = "seed: 1\ndata: data.jsonl\ntemplate: bare\n"


@pytest.fixture
def project(cli):
    """``project(recipe)`` runs it with the plugin; gives the exit code."""
    (cli.folder / "own.py").write_text(PLUGIN)
    cli.write("data.jsonl", *({"instruction": f"Name river {i}.", "output": f"River {i}"} for i in range(12)))
    cli.write("exam.jsonl", *({"instruction": f"Name lake {i}.", "output": f"Lake {i}"} for i in range(6)))

    def run(recipe, command="run", *flags):
        (cli.folder / "r.yaml").write_text(HEAD + recipe)
        (cli.folder / "asked.txt").write_text("")
        return cli("--plugin", "own.py", command, "r.yaml", *flags, toy=False)

    return run


def asked(cli):
    return (cli.folder / "asked.txt").read_text().splitlines()


def judged(cli):
    return json.loads((cli.folder / "runs/r/summary.json").read_text())["judge"]


PAIRS = """teacher: {use: parrot, word: A}
train: {use: certain, model: none}
judge: {use: debate, data: exam.jsonl, against: [base, {use: parrot, word: never}, {use: parrot, word: sure}]}
"""


def test_pairs_over_two_turns_are_judged_in_both_orders_and_asked_once(cli, project):
    assert project(PAIRS) == 0, cli.err
    whole = {"records": 6, "judged": 6}
    assert judged(cli)["debate"] == {
        "model vs base": {**whole, "mean": 1.0, "passed": 1.0},
        "model vs parrot": {**whole, "mean": 1.0, "passed": 1.0},
        "model vs parrot-2": {**whole, "mean": 1.0, "passed": 1.0},
    }
    lines = [json.loads(line) for line in (cli.folder / "runs/r/judge/debate@model-vs-base.jsonl").open()]
    assert lines[0]["answers"] == {"model": ["sure 1", "sure 3"], "base": ["well 1", "well 3"]}
    assert lines[0]["detail"] == "A 1 A 1"
    found = asked(cli)
    assert len(found) == len(set(found)) + 12, "no question twice, but those of the two that say sure"
    assert "sure: Name lake 0. | sure 1 | Sure?" in found
    assert {"A: sure 3 or well 3?", "A: well 3 or sure 3?", "A: sure 3 or never 3?"} <= set(found)
    assert project(PAIRS) == 0
    assert asked(cli) == [], "all of it is kept"
    for file in (cli.folder / "runs/r/judge").iterdir():
        file.unlink()
    assert project(PAIRS) == 0
    assert asked(cli) == [], "the ledger has the answers"
    with sqlite3.connect(cli.folder / ".filial/ledger.sqlite") as db:
        keys = {key for (key,) in db.execute("select key from answers")}
    listed = {key for path in (cli.folder / "runs/r/judge").glob("*.answers.txt") for key in path.read_text().split()}
    assert listed == keys, "a run lists what its judges were told, so that pruning keeps it"


def test_the_plan_names_who_judges_and_asks_nothing(cli, project):
    assert project(PAIRS, "plan") == 0, cli.err
    assert "against base and parrot and parrot-2" in " ".join(cli.out.split())
    assert asked(cli) == []


def test_a_candidate_that_fails_makes_a_record_unjudged_and_the_run_says_so(cli, project):
    recipe = f"train: {{use: certain, model: none, fails: lake 2}}\n{ONCE}"
    assert project(recipe) == 5, cli.err
    assert judged(cli)["once"] == {
        "model": {"records": 6, "judged": 5, "mean": 1.0, "passed": 1.0},
        "base": {"records": 6, "judged": 6, "mean": 1.0, "passed": 0.0},
    }
    line = [json.loads(line) for line in (cli.folder / "runs/r/judge/once@model.jsonl").open()][2]
    assert (line["unjudged"], line["detail"]) == ("teacher-broken", "it cannot")
    assert "score" not in line


def test_the_judge_command_that_a_run_proposes_keeps_its_plugin_and_its_home(cli, project):
    assert project(f"train: {{use: certain, model: none}}\n{ONCE}", "run", "--home", "place") == 0, cli.err
    command = "filial --plugin own.py judge exact-match YOUR-EXAM.jsonl --model place/runs/r/model --home place"
    assert cli.out.endswith(f"Next:\n  {command}\n")
    words = command.replace("YOUR-EXAM", "exam").split()[1:]
    assert cli(*words, toy=False) == 0, cli.err


def test_what_was_not_judged_is_judged_again_where_that_is_asked_for(cli, project):
    """The candidate fails while the file broken is there: no option says so, as with an endpoint that is down."""
    broken = 'if "lake 2" in question and Path("broken").exists():'
    plugin = PLUGIN.replace("if self.fails and self.fails in question:", broken)
    assert plugin != PLUGIN
    (cli.folder / "broken").touch()
    recipe = f"train: {{use: certain, model: none}}\n{ONCE}"
    (cli.folder / "own.py").write_text(plugin)
    assert project(recipe) == 5, cli.err
    assert "verdicts are missing, judge/*.jsonl says why" in cli.out
    assert "drops.jsonl" not in cli.out
    assert "Next:\n  filial --plugin own.py run r.yaml --retry-lost\n" in cli.out
    assert project(recipe, "plan") == 0, cli.err
    assert "2 not judged, --retry-lost repeats this" in " ".join(cli.out.split())
    (cli.folder / "broken").unlink()
    assert project(recipe) == 5, cli.err
    assert asked(cli) == []
    assert project(recipe, "run", "--retry-lost") == 0, cli.err
    assert sorted(asked(cli)) == ["sure: Name lake 2.", "well: Name lake 2."]
    assert "--retry-lost" not in cli.out
    assert {name: result["judged"] for name, result in judged(cli)["once"].items()} == {"model": 6, "base": 6}
    assert project(recipe, "run", "--retry-lost") == 0, cli.err
    assert asked(cli) == []
    assert project(recipe, "plan") == 0, cli.err
    assert "--retry-lost" not in cli.out


def test_a_judging_that_was_cut_off_goes_on_where_it_was(cli, project):
    recipe = f"train: {{use: certain, model: none, ends: lake 4}}\n{ONCE}"
    (cli.folder / "armed").write_text("")
    assert project(recipe) == 130
    before = asked(cli)
    assert 0 < len(before) < 6
    (cli.folder / "armed").unlink()
    assert project(recipe) == 0, cli.err
    assert sorted([*before, *asked(cli)]) == sorted(
        f"{word}: Name lake {i}." for word in ("sure", "well") for i in range(6)
    )


def test_own_models_know_their_answers_apart_when_they_were_trained_anew(cli, project):
    """Parrot's identity says nothing of what was learned; the ledger does not mix two models up."""
    recipe = "train: {use: certain, model: none}\njudge: {use: once, data: exam.jsonl}\n"
    assert project(recipe) == 0, cli.err
    assert len(asked(cli)) == 6
    cli.write("data.jsonl", {"instruction": "Name a sea.", "output": "Aral"})
    assert project(recipe) == 0, cli.err
    assert len(asked(cli)) == 6


COSTLY = """budget: {{{cap}}}
train: {{use: certain, model: none}}
judge:
  use: once
  data: exam.jsonl
  against:
    - use: openai
      model: m
      base_url: "{url}"
      max_tokens: 64
      usd_per_million: {{prompt: 1, completion: 4}}
"""


@pytest.mark.parametrize("cap", ["usd: 0.0012", "requests: 4", "tokens: 300"])
def test_no_cap_is_passed_by_a_rival_and_the_run_goes_on_with_more(cli, project, mock_llm, cap):
    server = mock_llm(words=30)
    assert project(COSTLY.format(cap=cap, url=server.url)) == 3, cli.err
    stats = server.stats()
    tokens = stats["billed"]
    usd = (tokens["prompt_tokens"] + 4 * tokens["completion_tokens"]) / 1e6
    used = {"usd": usd, "requests": stats["requests"], "tokens": sum(tokens.values())}
    name, _, most = cap.partition(": ")
    assert 0 < used[name] <= float(most)
    assert len([line for line in asked(cli) if line.startswith("sure")]) == 6, "own models are on no account"
    assert project(COSTLY.format(cap="usd: 1", url=server.url)) == 0, cli.err
    assert server.stats()["requests"] == 6, "what was answered is not paid for again"
    figures = judged(cli)["once"]
    assert figures["openai"] == {"records": 6, "judged": 6, "mean": 1.0, "passed": 0.0}
    assert json.loads((cli.folder / "runs/r/summary.json").read_text())["teacher"]["requests"] < 6


def test_a_rival_s_key_goes_nowhere_that_its_user_did_not_allow(cli, project, config, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cr3t")
    rival = "{use: openai, model: m, base_url: 'https://evil.example/v1', api_key_env: SECRET}"
    recipe = f"train: {{use: certain, model: none}}\njudge: {{use: once, data: exam.jsonl, against: [{rival}]}}\n"
    assert project(recipe, "check") == 2
    assert "this would send $SECRET to evil.example" in cli.err


def test_the_command_judges_a_folder_a_teacher_and_several_beside_each_other(cli, project):
    assert project("train: {use: certain, model: none}\n") == 0, cli.err
    first = ("--plugin", "own.py", "judge")
    model = ("exam.jsonl", "--model", "runs/r/model")
    assert cli(*first, "once", *model, toy=False) == 0, cli.err
    assert cli.out == "once on exam.jsonl: 100.0 % of 6 records\n"
    assert cli(*first, "once", "exam.jsonl", "--teacher", "parrot", "-T", "word=never", toy=False) == 0, cli.err
    assert cli.out == "once on exam.jsonl: 0.0 % of 6 records\n"
    rivals = ("--against", "{use: parrot, word: never}", "--json", "-o", "out.jsonl")
    assert cli(*first, "once", *model, *rivals, toy=False) == 0, cli.err
    assert {who: figures["passed"] for who, figures in json.loads(cli.out).items()} == {"model": 1.0, "parrot": 0.0}
    assert [row["candidate"] for row in cli.rows("out.jsonl")] == ["model"] * 6 + ["parrot"] * 6
    assert cli(*first, "debate", *model, *rivals, "--teacher", "parrot", toy=False) == 0, cli.err
    assert json.loads(cli.out)["passed"] == 1.0


def test_a_rival_is_judged_again_when_its_answers_depend_on_something_else(cli, project):
    """On what its identity says, wherever that comes from, and on the hooks before it; the model's own figures stay."""
    identity = '    def identity(self):\n        return {"learned": Path("weights").read_text()}\n'
    plugin = PLUGIN.replace("    def price(self):", identity + "\n    def price(self):", 1)
    (cli.folder / "own.py").write_text(plugin)
    (cli.folder / "weights").write_text("one")
    recipe = "train: {use: certain, model: none}\njudge: {use: once, data: exam.jsonl, against: [parrot]}\n"
    assert project(recipe) == 0, cli.err
    own = (cli.folder / "runs/r/judge/once@model.json").stat().st_mtime_ns
    assert len(asked(cli)) == 12
    (cli.folder / "weights").write_text("two")
    assert project(recipe, "plan") == 0, cli.err
    assert "changed" in cli.out
    assert project(recipe) == 0, cli.err
    assert asked(cli) == [f"yes: Name lake {i}." for i in range(6)]
    hook = "@hookimpl\nasync def ask(request, proceed):\n    return await proceed(request)\n"
    (cli.folder / "hook.py").write_text(f"from filial import hookimpl\n\n\n{hook}")
    before = (cli.folder / "runs/r/judge/once@parrot.json").read_bytes()
    assert cli("--plugin", "own.py", "--plugin", "hook.py", "run", "r.yaml", toy=False) == 0, cli.err
    assert (cli.folder / "runs/r/judge/once@parrot.json").read_bytes() != before
    assert (cli.folder / "runs/r/judge/once@model.json").stat().st_mtime_ns == own


def test_names_that_join_to_the_same_text_share_no_figures(cli, project):
    """A name that a component gets by itself keeps clear of one that was given."""
    rivals = "[{use: parrot, word: sure, name: x-model}, {use: parrot, word: no, name: parrot}, parrot]"
    hard = f"{{use: once, name: hard, data: exam.jsonl, against: {rivals}}}"
    both = f"[{hard}, {{use: once, name: hard-x, data: data.jsonl}}]"
    recipe = f"train: {{use: certain, model: none}}\njudge: {both}\n"
    assert project(recipe) == 0, cli.err
    assert {name: list(figures) for name, figures in judged(cli).items()} == {
        "hard": ["model", "x-model", "parrot", "parrot-2"], "hard-x": ["model"],
    }  # fmt: skip
    assert project(recipe) == 0, cli.err
    assert (cli.folder / "runs/r/judge/hard@x-model.json").is_file()
    assert len(list((cli.folder / "runs/r/judge").glob("*.json"))) == 5


def test_the_command_tells_rivals_of_one_teacher_apart(cli, project):
    rivals = [arg for word in ("never", "sure") for arg in ("--against", f"{{use: parrot, word: {word}}}")]
    command = ("--plugin", "own.py", "judge", "once", "exam.jsonl", "--teacher", "parrot", *rivals)
    assert cli(*command, "--json", toy=False) == 0, cli.err
    passed = {who: figures["passed"] for who, figures in json.loads(cli.out).items()}
    assert passed == {"model": 0.0, "parrot": 0.0, "parrot-2": 1.0}


def test_the_command_keeps_answers_under_the_full_names_of_who_gave_them(cli, project):
    rivals = ("--against", "{use: parrot, word: never}", "--home", ".")
    command = ("judge", "once", "exam.jsonl", "--teacher", "parrot", *rivals)
    assert cli("--plugin", "own.py", *command, toy=False) == 0, cli.err
    with sqlite3.connect(cli.folder / ".filial" / "ledger.sqlite") as db:
        assert {use for (use,) in db.execute("select use from teachers")} == {"own.py:parrot"}


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("once", "exam.jsonl"), "nothing to judge"),
        (("debate", "exam.jsonl", "--model", "known", "--teacher", "parrot"), "compares pairs; name a rival"),
        (("debate", "exam.jsonl", "--teacher", "parrot", "--against", "parrot"), "uses the teacher to judge"),
        (("once", "exam.jsonl", "--model", "bare"), "does not say how to ask its model; name a teacher"),
        (("once", "exam.jsonl", "--model", "known", "--against", "parot"), "did you mean 'parrot'?"),
        (("once", "exam.jsonl", "--model", "known", "--against", "[1]"), "write a folder, NAME or"),
    ],
)
def test_the_command_says_whom_it_cannot_judge(cli, project, args, why):
    (cli.folder / "bare").mkdir()
    (cli.folder / "known").mkdir()
    (cli.folder / "known" / "filial_teacher.json").write_text('{"use": "parrot"}')
    assert cli("--plugin", "own.py", "judge", *args, toy=False) == 2
    assert why in cli.err


def test_figures_that_are_no_json_cost_no_training(cli, project):
    figures = '{"steps": 3, "loss": float("nan"), "a": object(), "curve": [1, float("inf")]}'
    (cli.folder / "own.py").write_text(PLUGIN.replace("        return {}\n", f"        return {figures}\n"))
    recipe = "train: {use: certain, model: none}\n"
    assert project(recipe) == 0, cli.err
    told = " ".join(cli.err.split())
    for fault in ("'loss' is nan", "'a' is a value of type object", "'curve' is [1, inf]"):
        assert f"breaks its contract in stage train: the figure {fault}, which is not JSON; the model is kept" in told
    assert "own.py:certain==" in told
    assert json.loads((cli.folder / "runs/r/summary.json").read_text())["train"] == {"steps": 3}
    assert project(recipe) == 0, cli.err
    assert "model: trained before" in cli.err
    command = ("train", "certain", "data.jsonl", "--model", "none", "--template", "bare", "-o", "out", "--json")
    assert cli("--plugin", "own.py", *command, toy=False) == 0, cli.err
    assert json.loads(cli.out) == {"steps": 3}
    assert "the figure 'loss' is nan" in " ".join(cli.err.split())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("return {}", "return 3"), "train gave 3, not a dict of figures"),
        (("out.mkdir(parents=True, exist_ok=True)", "return {}"), "train left no model in "),
    ],
)
def test_a_trainer_that_breaks_its_contract_is_told_how(cli, project, change, why):
    (cli.folder / "own.py").write_text(PLUGIN.replace(*change))
    assert project("train: {use: certain, model: none}\n") == 1
    assert f"breaks its contract in stage train: {why}" in cli.err
    assert "figures and a model" not in cli.err
    command = ("train", "certain", "data.jsonl", "--model", "none", "--template", "bare", "-o", "out")
    assert cli("--plugin", "own.py", *command, toy=False) == 1
    assert "own.py:certain==" in cli.err
    assert f"breaks its contract in stage train: {why}" in cli.err


def test_a_base_model_without_the_files_that_it_answers_from_is_refused_before_training(cli, project):
    """Whom a trainer makes of the model before training may need what that model does not have."""
    known = '    known: InputFile = Field("own.py", description="What it knows.")\n'
    plugin = PLUGIN.replace(
        '    fails: str = Field("", description="Fails', known + '    fails: str = Field("", description="Fails'
    )
    plugin = plugin.replace("FREE, Field,", "FREE, Field, InputFile,")
    plugin = plugin.replace('word="well"', 'word="well", known=str(out / "known.json")')
    (cli.folder / "own.py").write_text(plugin)
    recipe = f"train: {{use: certain, model: none}}\n{ONCE}"
    assert project(recipe) == 2
    assert "judge once, base: no file none/known.json" in cli.err
    assert not (cli.folder / "runs/r/model").exists(), "not trained"
    (cli.folder / "none").mkdir()
    (cli.folder / "none" / "known.json").write_text("{}")
    assert project(recipe) == 0, cli.err


def test_what_a_candidate_costs_is_known_before_anything_is_trained(cli, project):
    plugin = PLUGIN.replace("    def price(self):\n        return FREE\n", "")
    assert plugin != PLUGIN
    (cli.folder / "own.py").write_text(plugin)
    assert project(f"budget: {{usd: 1}}\ntrain: {{use: certain, model: none}}\n{ONCE}") == 2
    assert "the price of the teacher 'own.py:parrot' is not known" in cli.err
    assert not (cli.folder / "runs/r/model").exists(), "not trained"


@pytest.mark.parametrize(
    ("look", "code", "why"),
    [
        ('raise UsageError(f"{model}: {len(model)} letters are too few")', 2, "none: 4 letters are too few"),
        ("1 / 0", 1, "own.py:certain=="),
    ],
)
def test_a_trainer_looks_at_the_model_before_anything_is_asked(cli, project, look, code, why):
    method = f"    def check_model(self, model):\n        {look}\n\n    def teacher(self, out):\n        if"
    plugin = PLUGIN.replace("    def teacher(self, out):\n        if", method)
    plugin = plugin.replace("Trainer, Verdict,", "Trainer, UsageError, Verdict,")
    assert plugin.count("check_model") == 1
    (cli.folder / "own.py").write_text(plugin)
    for command in ("check", "plan", "run"):
        assert project(PAIRS, command) == code, cli.err
        assert why in cli.err
        assert asked(cli) == []
    assert not (cli.folder / "runs").exists()
