"""Every hook has a working example, a fixed signature and a test of its own (`test_hook_<name>`)."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import logging
import re
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from filial import Drop, Message, Record, Reply, Request
from filial.contracts.errors import FilialError, PluginError, UsageError
from filial.contracts.kinds import KINDS
from filial.plugins import Manager
from filial.plugins.hooks import SPECS
from filial.testing import ScriptedTeacher, candidate, context, run_async

SIGNATURES = {
    **{f"register_{kind}": ("register",) for kind in KINDS},
    "run_started": ("run",),
    "stage_finished": ("run", "stage", "kept", "dropped"),
    "record_dropped": ("run", "stage", "record", "drop"),
    "training_started": ("run", "model", "data"),
    "training_finished": ("run", "model", "figures", "error"),
    "run_finished": ("run", "error"),
    "ask": ("request", "teacher", "proceed"),
    "checkup": (),
}
REQUEST = Request(messages=(Message(role="user", content="hello"),), temperature=0.5, draw=2)


PAGES = sorted((Path(__file__).parents[2] / "docs" / "plugins").glob("*.md"))
BLOCKS = [
    code for page in PAGES for code in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.S | re.M)
]


def example(hook: str) -> str:
    """The code in a spec's docstring; of a registration, the first plugin of its kind in docs/plugins."""
    if hook.startswith("register_"):
        return next(code for code in BLOCKS if f"def {hook}(" in code)
    return textwrap.dedent(inspect.getdoc(SPECS[hook]).partition("Example:\n")[2])


def plugin(site: Any, code: str, name: str = "one", manager: Manager | None = None) -> Manager:
    """A manager that has loaded a hooks-only plugin with this code."""
    site.dist(f"filial-{name}", {"filial.hooks": {name: f"{name}_hooks"}}, {f"{name}_hooks": code})
    if manager is None:
        manager = site.manager()
    else:
        manager.index.add(site.index()["hooks"][name][0])
    manager.activate(name)
    return manager


def component(site: Any, hook: str, name: str) -> Any:
    """What the example of a registration hook registers."""
    kind = hook.removeprefix("register_")
    site.dist("filial-example", {f"filial.{kind}": {name: "example_module"}}, {"example_module": example(hook)})
    return site.manager().build(kind, name)


RUN = SimpleNamespace(folder=Path("unused"), recipe={})
SEED = Record(id="s1", instruction="Name a colour.", output="Red.")


def test_signatures_are_what_plugins_were_written_for():
    """Arguments may be added in a minor version; removing or renaming one breaks plugins."""
    assert {hook: tuple(inspect.signature(spec).parameters) for hook, spec in SPECS.items()} == SIGNATURES


@pytest.mark.parametrize("hook", SIGNATURES)
def test_every_hook_has_a_complete_example(hook):
    code = example(hook)
    assert "import hookimpl" in code or ", hookimpl" in code, "an example starts with its imports"
    assert f"def {hook}(" in code
    space: dict[str, Any] = {}
    exec(compile(code, hook, "exec"), space)
    assert space[hook].filial_impl
    assert set(inspect.signature(space[hook]).parameters) <= set(SIGNATURES[hook])


def test_every_hook_has_a_test():
    tests = {name.removeprefix("test_hook_") for name in globals() if name.startswith("test_hook_")}
    assert tests == set(SIGNATURES)


def test_hook_register_generators(site):
    async def all_of(stream):
        return [item async for item in stream]

    paraphrase = component(site, "register_generators", "paraphrase")
    found = run_async(all_of(paraphrase.generate([SEED], context("Colour?"))))
    assert [(record.instruction, record.origin.parents) for record in found] == [("Colour?", ("s1",))] * 2


def test_hook_register_strategies(site):
    pirate = component(site, "register_strategies", "pirate")
    assert run_async(pirate.evolve(SEED, context("Colour?"))).instruction == "Colour?"
    assert run_async(pirate.evolve(SEED, context(""))) == Drop("empty-reply")


def test_hook_register_filters(site):
    quota, ctx = component(site, "register_filters", "quota").model_copy(update={"most": 1}), context()
    assert quota.check(SEED, ctx).scores == {"place": 1.0}
    assert quota.check(SEED, ctx).reason == "over-quota"


def test_hook_register_mixers(site):
    assert component(site, "register_mixers", "root").rates({"a": 9, "b": 1}) == {"a": 3.0, "b": 1.0}


def test_hook_register_templates(site):
    spans = component(site, "register_templates", "letter").render(SEED)
    assert [(s.text, s.train) for s in spans[1:]] == [
        ("Dear reader,\n\nName a colour.\n\nAnswer:\n", False), ("Red.", True), ("{eos}", True)
    ]  # fmt: skip


def test_hook_register_trainers(site, tmp_path):
    (tmp_path / "train.jsonl").write_text('{"instruction":"Name a colour.","output":"Red."}\n')
    ctx = SimpleNamespace(progress=lambda *_: None)
    lookup = component(site, "register_trainers", "lookup")
    assert lookup.train(tmp_path, "", None, tmp_path / "model", ctx) == {"examples": 1, "known": 1}


def test_hook_register_teachers(site):
    parrot = component(site, "register_teachers", "parrot")
    assert run_async(parrot.reply(REQUEST)).text == "Arr! hello"


def test_hook_register_judges(site):
    overlap = component(site, "register_judges", "overlap")
    answers = ("Red.", "Green.")
    right, wrong = (run_async(overlap.judge(SEED, [candidate(text)], context())).score for text in answers)
    assert (right, wrong) == (1.0, 0.0)


def test_hook_register_formats(site):
    cards = component(site, "register_formats", "cards")
    row = {"front": "What runs and has no legs?", "back": "A river."}
    assert cards.detect([row, {"front": "?"}]) == 1
    [record] = cards.from_row(row)
    assert record.content() == ("What runs and has no legs?", "", "A river.")
    assert list(cards.to_rows([record])) == [row]


def test_hook_run_started(site, tmp_path):
    manager = plugin(site, example("run_started"))
    manager.hook.run_started(SimpleNamespace(folder=tmp_path))
    assert (tmp_path / "started.txt").read_text()


def test_hook_stage_finished(site, capsys):
    manager = plugin(site, example("stage_finished"))
    manager.hook.stage_finished(RUN, "02-evolve", 7, {"empty-reply": 2, "copied": 1})
    assert capsys.readouterr().err == "02-evolve: 7 kept, 3 dropped\n"


def test_hook_record_dropped(site, capsys):
    manager = plugin(site, example("record_dropped"))
    manager.hook.record_dropped(RUN, "03-filter", SEED, Drop("harm", "a threat"))
    manager.hook.record_dropped(RUN, "03-filter", None, Drop("length"))
    assert capsys.readouterr().err == "03-filter: a threat\n"


def test_hook_training_started(site, tmp_path):
    (tmp_path / "train.jsonl").write_text("{}\n{}\n")
    manager = plugin(site, example("training_started"))
    with manager.hook.training(SimpleNamespace(folder=tmp_path), "some-model", tmp_path, tmp_path / "model"):
        assert (tmp_path / "training.txt").read_text() == "some-model on 2 records"


def test_hook_training_finished(site, tmp_path):
    manager, run, model = plugin(site, example("training_finished")), SimpleNamespace(folder=tmp_path), tmp_path / "m"
    model.mkdir()
    good = tmp_path / "good-model"
    with manager.hook.training(run, "some-model", tmp_path, model) as figures:
        figures["loss"] = 2.0
    with pytest.raises(KeyboardInterrupt), manager.hook.training(run, "some-model", tmp_path, model):
        raise KeyboardInterrupt
    assert not good.exists()
    with manager.hook.training(run, "some-model", tmp_path, model) as figures:
        figures["loss"] = 0.5
        assert not good.exists()
    assert good.is_dir()


def test_hook_run_finished(site, tmp_path):
    manager = plugin(site, example("run_finished"))
    manager.hook.run_finished(SimpleNamespace(folder=tmp_path), KeyboardInterrupt())
    assert (tmp_path / "outcome.txt").read_text() == "failed"
    manager.hook.run_finished(SimpleNamespace(folder=tmp_path), None)
    assert (tmp_path / "outcome.txt").read_text() == "done"


def test_hook_checkup(site, monkeypatch):
    monkeypatch.delenv("PIRATE_KEY", raising=False)
    manager = plugin(site, example("checkup"))
    assert list(manager.hook.checkup()) == [
        ("filial-one:one==1.0", "warn", "PIRATE_KEY is not set; export it before a run")
    ]


def test_hook_ask(site):
    manager = plugin(site, example("ask"))
    teacher = ScriptedTeacher(script="hi")
    asker = manager.hook.ask(teacher, teacher.reply)
    assert asyncio.run(asker(REQUEST)).text == "hi"
    (asked,) = teacher.requests
    assert [m.content for m in asked.messages] == ["Be brief.", "hello"]
    assert (asked.temperature, asked.draw) == (0.5, 2)


LAYER = """
from filial import Reply, hookimpl
@hookimpl{options}
async def ask({arguments}):
    reply = await proceed({request})
    return Reply(text="{name}(" + reply.text + ")")
"""


def layer(name: str, options: str = "", arguments: str = "request, proceed", request: str = "request") -> str:
    return LAYER.format(name=name, options=options, arguments=arguments, request=request)


def test_ask_wrappers_nest_in_the_order_of_pluggy(site):
    """Last registered is outermost, as in pluggy's own calls; tryfirst goes further out, trylast further in."""
    manager = plugin(site, layer("a"), "a")
    plugin(site, layer("b", "(trylast=True)"), "b", manager)
    plugin(site, layer("c", "(tryfirst=True)", "teacher, proceed, request"), "c", manager)
    plugin(site, layer("d"), "d", manager)
    teacher = ScriptedTeacher(script="x")
    assert asyncio.run(manager.hook.ask(teacher, teacher.reply)(REQUEST)).text == "c(d(a(b(x))))"

    order = []
    for name in "abcd":  # the oracle: pluggy calling plain hooks with the same marks
        mark = {"b": {"trylast": True}, "c": {"tryfirst": True}}.get(name, {})
        order.append((name, mark))
    import pluggy

    spec, impl = pluggy.HookspecMarker("oracle"), pluggy.HookimplMarker("oracle")
    pm = pluggy.PluginManager("oracle")
    pm.add_hookspecs(SimpleNamespace(ask=spec(lambda: None)))
    for name, mark in order:
        pm.register(SimpleNamespace(ask=impl(**mark)(lambda name=name: name)))
    assert pm.hook.ask() == list("cdab")


def test_without_wrappers_the_core_is_called_directly(site):
    teacher = ScriptedTeacher()
    core = teacher.reply
    assert site.manager().hook.ask(teacher, core) is core


def test_an_ask_wrapper_may_answer_itself_and_ask_again(site):
    cache = """
from filial import Reply, hookimpl
@hookimpl
async def ask(request):
    return Reply(text="from the cassette")
"""
    teacher = ScriptedTeacher(script="x")
    manager = plugin(site, cache)
    assert asyncio.run(manager.hook.ask(teacher, teacher.reply)(REQUEST)).text == "from the cassette"
    assert not teacher.requests
    plugin(site, layer("again", request="request) and await proceed(request"), "again", manager)
    assert asyncio.run(manager.hook.ask(teacher, teacher.reply)(REQUEST)).text == "again(from the cassette)"


def test_an_error_in_an_ask_wrapper_reaches_the_caller_with_the_name_of_the_plugin(site):
    broken = "from filial import hookimpl\n@hookimpl\nasync def ask(request):\n    raise RuntimeError('no budget')\n"
    teacher = ScriptedTeacher(script="x")
    asker = plugin(site, broken).hook.ask(teacher, teacher.reply)
    with pytest.raises(FilialError, match=r"filial-one:one==1\.0 fails in its hook ask: RuntimeError: no budget"):
        asyncio.run(asker(REQUEST))


def test_a_cancellation_that_an_ask_wrapper_raises_itself_is_its_own(site):
    broken = (
        "import asyncio\nfrom filial import hookimpl\n@hookimpl\nasync def ask():\n    raise asyncio.CancelledError\n"
    )
    asker = plugin(site, broken).hook.ask(ScriptedTeacher(script="x"), ScriptedTeacher(script="x").reply)
    with pytest.raises(
        FilialError, match=r"filial-one:one==1\.0 fails in its hook ask: CancelledError, in one_hooks.py, line 5 \("
    ):
        asyncio.run(asker(REQUEST))


def test_an_ask_wrapper_that_returns_no_reply_is_named(site):
    forgot = "from filial import hookimpl\n@hookimpl\nasync def ask(request, proceed):\n    await proceed(request)\n"
    teacher = ScriptedTeacher(script="x")
    asker = plugin(site, forgot).hook.ask(teacher, teacher.reply)
    with pytest.raises(FilialError, match=r"one==1\.0 breaks its contract in its hook ask: it gives nothing"):
        asyncio.run(asker(REQUEST))


def test_one_plugins_error_does_not_keep_others_from_the_call(site, caplog):
    bad = "from filial import hookimpl\n@hookimpl\ndef run_started(run):\n    {}\n"
    manager = plugin(site, bad.format("run.seen.append('first')"), "first")
    plugin(site, bad.format("raise ValueError('oh')"), "bad", manager)
    plugin(site, bad.format("import sys; sys.exit(3)"), "exits", manager)
    plugin(site, bad.format("run.seen.append('last')"), "last", manager)
    run: Any = SimpleNamespace(seen=[])
    with caplog.at_level(logging.ERROR, "filial.plugins"):
        manager.hook.run_started(run)
    assert run.seen == ["last", "first"], "pluggy's order: last registered, first called"
    assert [r.getMessage() for r in caplog.records] == [
        "plugin filial-exits:exits==1.0: its hook run_started raises SystemExit: 3; the run goes on",
        "plugin filial-bad:bad==1.0: its hook run_started raises ValueError: oh; the run goes on",
    ]


def test_ctrl_c_in_a_hook_stops_the_run(site):
    code = "from filial import hookimpl\n@hookimpl\ndef run_started(run):\n    raise KeyboardInterrupt\n"
    with pytest.raises(KeyboardInterrupt):
        plugin(site, code).hook.run_started(RUN)


def test_plugins_cannot_change_each_others_counts(site):
    code = "from filial import hookimpl\n@hookimpl\ndef stage_finished(dropped):\n    dropped.clear()\n"
    dropped = {"copied": 1}
    plugin(site, code).hook.stage_finished(RUN, "s", 1, dropped)
    assert dropped == {"copied": 1}


def test_checkup_contains_errors(site):
    odd = "from filial import hookimpl\n@hookimpl\ndef checkup():\n    yield 'warn', 'all is lost'\n"
    manager = plugin(site, odd, "odd")
    bad = "from filial import hookimpl\n@hookimpl\ndef checkup():\n    raise OSError('disk')\n    yield\n"
    plugin(site, bad, "bad", manager)
    assert list(manager.hook.checkup()) == [
        ("filial-bad:bad==1.0", "fail", "its checkup raises OSError: disk"),
        ("filial-odd:odd==1.0", "warn", "all is lost"),
    ]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("@hookimpl\ndef ask(request, proceed):\n    return None", "its hook ask must be written 'async def'"),
        ("@hookimpl(wrapper=True)\ndef run_started(run):\n    yield", "is marked as a wrapper"),
        ("@hookimpl\ndef run_begun(run):\n    pass", "there is no hook 'run_begun'"),
        ("@hookimpl(specname='run_startd')\ndef f(run):\n    pass", "did you mean 'run_started'"),
        (
            "@hookimpl\ndef record_dropped(row):\n    pass",
            "record_dropped\\(row\\) Argument\\(s\\) {'row'} are declared in the hookimpl but",
        ),
        ("x = 1", "it implements no hook"),
    ],
)
def test_faulty_hooks_are_refused_before_anything_is_registered(site, code, message):
    good = "from filial import hookimpl\n@hookimpl\ndef run_finished(run):\n    raise AssertionError('registered')\n"
    manager = site.manager()
    with pytest.raises(PluginError, match=message):
        plugin(site, ("from filial import hookimpl\n" if code == "x = 1" else good) + code + "\n", manager=manager)
    assert not manager.hook.implementers("run_finished")


def test_loading_a_component_brings_its_modules_hooks(site, source, tmp_path):
    code = source("x") + "@hookimpl\ndef run_started(run):\n    (run.folder / 'seen').touch()\n"
    site.dist("filial-x", {"filial.strategies": {"x": "x_module"}}, {"x_module": code})
    manager = site.manager()
    assert not manager.hook.implementers("run_started")
    manager.get("strategies", "x")
    assert manager.hook.implementers("run_started")
    manager.hook.run_started(SimpleNamespace(folder=tmp_path))
    assert (tmp_path / "seen").exists()


def test_a_plugin_loaded_late_still_gets_its_registration_call(site, source):
    """That is what historic hooks are for: the call was made before this plugin was imported."""
    for name in ("early", "late"):
        site.dist(f"filial-{name}", {"filial.strategies": {name: f"{name}_m"}}, {f"{name}_m": source(name)})
    manager = site.manager()
    assert manager.get("strategies", "early") is not manager.get("strategies", "late")


WATCHING = """
import json
from filial import Trainer, hookimpl

class Pretend(Trainer):
    \"\"\"Write a file.\"\"\"
    def train(self, data, model, template, out, ctx):
        if (data.parent / "fail").exists():
            raise ValueError("oh")
        out.mkdir(exist_ok=True)
        (out / "weights").write_text(model)
        return {"loss": 0.5, "curve": [1, 2]}

@hookimpl
def register_trainers(register):
    register("pretend", Pretend)

def note(run, **facts):
    facts |= {"name": run.name, "use": run.recipe["train"]["use"], "teacher": run.teacher}
    with open(run.folder.parent / "notes.jsonl", "a") as file:
        file.write(json.dumps(facts) + "\\n")
    run.recipe.clear()
    run.summary.clear()

@hookimpl
def training_started(run, model, data):
    note(run, model=model, data=[data.name, (data / "train.jsonl").is_file()])

@hookimpl
def training_finished(run, model, figures, error):
    note(run, loss=figures.get("loss"), whole=(model / "manifest.json").is_file(), error=type(error).__name__)
    figures.clear()

@hookimpl
def run_finished(run):
    note(run)
"""


def test_hooks_round_a_training_are_called_once_per_training_and_change_nothing(cli):
    cli.write("d.jsonl", *({"instruction": f"Name river {i}.", "output": "Po"} for i in range(4)))
    (cli.folder / "w.py").write_text(WATCHING)
    recipe = "data: d.jsonl\nteacher: echo\ntemplate: alpaca\ntrain: {use: pretend, model: some-model}\n"
    (cli.folder / "r.yaml").write_text(recipe)
    always = {"name": "r", "use": "pretend", "teacher": "toy.py:echo"}
    before = {"model": "some-model", "data": ["dataset", True]} | always
    (cli.folder / "runs/r").mkdir(parents=True)
    (cli.folder / "runs/r/fail").touch()
    assert cli("--plugin", "w.py", "run", "r.yaml") == 1
    failed = {"loss": None, "whole": False, "error": "FilialError"} | always
    assert cli.rows("runs/notes.jsonl") == [before, failed, always]
    (cli.folder / "runs/r/fail").unlink()
    for _ in range(2):
        assert cli("--plugin", "w.py", "run", "r.yaml") == 0, cli.err
    done = {"loss": 0.5, "whole": True, "error": "NoneType"} | always
    assert cli.rows("runs/notes.jsonl")[3:] == [before, done, always, always], "the second time nothing is trained"
    summary = json.loads((cli.folder / "runs/r/summary.json").read_text())
    assert summary["train"] == {"loss": 0.5, "curve": [1, 2]}
    assert "raises" not in cli.err


COUNTING = """
from filial import Field, HookPlugin, InputFile, hookimpl
class Counter(HookPlugin):
    \"\"\"Count runs.\"\"\"
    step: int = Field(default=1, ge=1, description="Added each time.")
    names: InputFile | None = Field(default=None, description="A file.")
    _count: int = 0
    @hookimpl
    def run_started(self, run):
        self._count += self.step
        run.seen.append(self._count)
    @hookimpl
    async def ask(self, request, proceed):
        return await proceed(request)
class Plain:
    @hookimpl
    def run_started(self, run):
        pass
class Idle(HookPlugin):
    \"\"\"Joins in nothing.\"\"\"
"""


@pytest.fixture
def counting(site):
    """A package whose entry names a class of hooks."""
    entries = {"filial.hooks": {"count": "counting:Counter", "plain": "counting:Plain", "idle": "counting:Idle"}}
    site.dist("filial-count", entries, {"counting": COUNTING})
    return site


def test_where_an_entry_names_a_class_each_manager_has_an_object_of_it(counting):
    run: Any = SimpleNamespace(seen=[])
    for _ in range(2):
        manager = counting.manager()
        manager.activate("count")
        for _ in range(2):
            manager.activate("count")
            manager.hook.run_started(run)
    assert run.seen == [1, 2, 1, 2]


def test_options_of_hooks_are_fields_of_their_class(counting):
    manager = counting.manager()
    run: Any = SimpleNamespace(seen=[])
    manager.activate("count", {"step": 5})
    manager.hook.run_started(run)
    manager.activate("count", {"step": 7})
    manager.hook.run_started(run)
    assert run.seen == [5, 7], "with other options it takes the place of the one before"
    with pytest.raises(UsageError, match="hook 'count': 'step': 0 should be greater than or equal to 1"):
        manager.activate("count", {"step": 0})
    with pytest.raises(UsageError, match="hook 'count' has no 'stop'; did you mean 'step'"):
        manager.activate("count", {"stop": 0})


@pytest.mark.parametrize(
    ("name", "why"), [("plain", "neither a module nor a subclass of filial.HookPlugin"), ("idle", "implements no hook")]
)
def test_a_class_that_is_no_plugin_of_hooks_is_refused(counting, name, why):
    with pytest.raises(PluginError, match=f"{name} = counting:{name.title()} does not load: .*{why}"):
        counting.manager().activate(name)


def test_who_wraps_questions_is_known_with_options_for_the_keys(counting, source, tmp_path):
    code = "from filial import hookimpl\n@hookimpl(trylast=True)\nasync def ask(request, proceed):\n    return 1\n"
    both = {"filial.strategies": {"x": "x_module", "y": "x_module"}}
    two = source("x").replace("    register(", "    register('y', type('Y', (X,), {}))\n    register(")
    counting.dist("filial-x", both, {"x_module": two + code.partition("\n")[2].replace("(trylast=True)", "")})
    counting.dist("filial-bare", {"filial.hooks": {"bare": "bare_module"}}, {"bare_module": code}, version="2.1")
    (tmp_path / "mine.py").write_text(code)
    names = tmp_path / "names.txt"
    names.write_text("Ann")
    found = []
    for first in "xy":
        manager = counting.manager()
        manager.get("strategies", first)
        manager.activate("bare")
        manager.activate("count", {"step": 2, "names": "names.txt"}, tmp_path)
        manager.load_file(tmp_path / "mine.py")
        found.append(manager.ask_hooks())
    assert found[0] == found[1], "which component of a module is loaded first says nothing"
    digest = hashlib.sha256(b"Ann").hexdigest()
    assert [(who.partition("+")[0], options) for who, options in found[0]] == [
        ("mine.py:mine==0", {}),
        ("filial-bare:bare==2.1", {}),
        ("filial-x:x_module==1.0", {}),
        ("filial-count:count==1.0", {"step": 2, "names": digest}),
    ]
    names.write_text("Bob")
    assert manager.ask_hooks()[-1] != found[0][-1], "a file counts by what it holds"
    assert manager.hook.implementers("ask") == [impl.plugin_name for impl in manager._pm.hook.ask.get_hookimpls()]


def test_reply_type_is_public():
    assert Reply(text="x").finish_reason == "stop"


DIARY = """
from filial import Field, HookPlugin, hookimpl
class RunDiary(HookPlugin):
    \"\"\"Keep a diary, and mark what is asked.\"\"\"
    word: str = Field("well", description="What it notes.")
    @hookimpl
    def run_finished(self, run, error):
        (run.folder / "diary.txt").write_text(self.word)
    @hookimpl
    async def ask(self, request, proceed):
        return await proceed(request)
"""


def test_a_recipe_names_a_hook_plugin_of_a_plugin_file(cli):
    (cli.folder / "own.py").write_text(DIARY)
    cli.write("data.jsonl", {"instruction": "Name a river."})
    stage = "data: data.jsonl\nteacher: {use: echo}\nstages:\n  - evolve: {strategies: [longer], eliminate: []}\n"
    (cli.folder / "r.yaml").write_text(f"hooks: [{{use: run-diary, word: done}}]\n{stage}")
    for processes in ("0", "2"):
        name = f"n{processes}"
        assert cli("--plugin", "own.py", "run", "r.yaml", "--name", name, "--processes", processes) == 0, cli.err
        assert (cli.folder / f"runs/{name}/diary.txt").read_text() == "done"
    assert cli("--plugin", "own.py", "plugins", "show", "run-diary") == 0
    assert "word: string, default 'well'. What it notes." in cli.out
    assert cli("--plugin", "own.py", "check", "r.yaml", "--set", "hooks.0.wrod=x") == 2
    assert "did you mean 'word'" in cli.err
    (cli.folder / "own.py").write_text(DIARY + "# changed\n")
    assert cli("--plugin", "own.py", "run", "r.yaml", "--name", "n0") == 0
    assert "01-evolve: runs again, because" in cli.err, "who wraps questions is part of the key"


def test_a_file_whose_hook_plugin_nobody_names_changes_nothing(cli):
    (cli.folder / "own.py").write_text(DIARY)
    cli.write("data.jsonl", {"instruction": "Name a river."})
    (cli.folder / "r.yaml").write_text("data: data.jsonl\nstages:\n  - filter: [short]\n")
    assert cli("--plugin", "own.py", "run", "r.yaml") == 0
    assert not (cli.folder / "runs/r/diary.txt").exists()
