"""What a faulty plugin costs: one sentence that names it and the stage, and nothing half-written."""

import json

import pytest

from filial import Constraint, Record
from filial.contracts.checks import copy_for_plugin, describe_change
from filial.contracts.records import to_json

HEADER = """
import asyncio, os, sys
from filial import *
from filial import Field, hookimpl
"""
EVOLVE, CHECK = "async def evolve(self, record, ctx):", "def check(self, record, ctx):"
ASYNC_CHECK = f"async {CHECK}"
BATCH = "def check_batch(self, records, ctx):"
GENERATE, RATES = "async def generate(self, seeds, ctx):", "def rates(self, sizes):"
CANCELLED = "task = asyncio.ensure_future(asyncio.sleep(1)); task.cancel(); await task"
ASKED = {
    "5": "the prompt is 5, not a text or messages",
    "None": "the prompt is nothing (None), not a text or messages",
    "['Hi']": "'Hi' in the prompt is not a Message with a text",
    "[Message('user', 5)]": "a value of type Message in the prompt is not a Message with a text",
    "'Hi', system=5": "system is 5, not a text",
    "'Hi', draw=-1": "draw is -1, not a whole number from 0",
    "'Hi', draw=0.5": "draw is 0.5, not a whole number from 0",
    "'Hi', draw='0'": "draw is '0', not a whole number from 0",
    "'Hi', max_tokens=-1": "max_tokens is -1, not a number of tokens from 1",
    "'Hi', max_tokens=0": "max_tokens is 0, not a number of tokens from 1",
    "'Hi', max_tokens='9'": "max_tokens is '9', not a number of tokens from 1",
    "'Hi', temperature=float('nan')": "temperature is nan, not a number from 0",
    "'Hi', temperature=-0.1": "temperature is -0.1, not a number from 0",
    "'Hi', top_p=1.5": "top_p is 1.5, not a number from 0 to 1",
    "'Hi', stop='.'": "stop is '.', not a tuple of texts",
    "'Hi', schema='{}'": "schema is '{}', not a dict",
}
"""What a plugin asks its teacher by, and what is said of it."""
FAULTS = {
    EVOLVE: {
        CANCELLED: "CancelledError",
        "return 1 / 0": "ZeroDivisionError",
        "sys.exit(0)": "SystemExit",
        "pass": "evolve gave nothing (None), not Record or Drop",
        "return 'x'": "evolve gave 'x', not Record or Drop",
        "return record.evolved(instruction='x y z', output=7)": "/output",
        "return record.evolved(instruction=5)": "/instruction",
        "await ctx.ask('Hi', seed=3)": "TypeError: ask: there is no argument 'seed'",
        "await ctx.ask('Hi', max_token=3)": "did you mean 'max_tokens'?",
        "return record.evolved(instruction='x', output='y').replaced(scores={'s': 1e999})": "/scores: Expected `float`",
        "return Drop(None)": "Drop.reason",
        "return Drop('no', record='text')": "Drop.record",
        "return Drop('Too short')": "Drop.reason is 'Too short', not a slug such as 'too-short'",
        "return Drop('')": "Drop.reason is '', not a slug",
        "return Drop('no', 3)": "Drop.detail is 3, not a text",
        "return Drop('no', answer=3)": "Drop.answer is 3, not a text",
        "return Drop('no', scores={'s': float('nan')})": "Drop.scores['s'] is nan, not a finite number",
        "return Record(instruction='x', origin=Origin(parents=('nobody',)))": "names the parent 'nobody'",
        "return record.evolved(instruction='x').replaced(origin=Origin(parents=3))": "TypeError",
        "return record.replaced(origin=Origin(parents=(record.id,), round=-1))": "/origin/round",
        "return record.evolved(instruction='x', tags=(3,))": "/tags/0",
        "record.scores['s'] = 1.0; return record.evolved(instruction='x')": "changes the scores of the record",
        "record.scores['s'] = 1.0; return Drop('no')": "changes the scores of the record it was given",
        "ctx.parent.scores['s'] = 1.0; return record.evolved(instruction='x')": "changes the scores of ctx.parent",
        **{f"await ctx.ask({asked})": f"ValueError: ask: {cause}" for asked, cause in ASKED.items()},
    },
    CHECK: {
        "raise KeyError('k')": "KeyError",
        "return True": "check gave True, not Keep or Drop",
        "return Keep(scores={'s': 'high'})": "Keep.scores['s'] is 'high', not a finite",
        "return Keep(tags='good')": "Keep.tags is 'good', not a tuple of texts",
        "return Keep(tags=('good', 1))": "Keep.tags is ('good', 1), not a tuple of texts",
        "return Keep(tags=None)": "Keep.tags is nothing (None), not a tuple of texts",
        "return Keep(scores=None)": "Keep.scores is nothing (None), not a dict of names and numbers",
        "return Keep(scores={'s': float('nan')})": "Keep.scores['s'] is nan, not a finite number",
        "return Keep(scores={'s': -1e999})": "Keep.scores['s'] is -inf, not a finite number",
        "return Keep(scores={'s': True})": "Keep.scores['s'] is True, not a finite number",
        "return Keep(scores={3: 1.0})": "Keep.scores has the name 3, not a text",
        "return Keep(record='text')": "Keep.record is 'text', not a Record",
        "return Keep(record=record.replaced(output=7))": "/output",
        "return Drop('Harm: ' + record.id)": "not a slug such as 'too-short'",
        "return Drop('harm', scores=[1])": "Drop.scores is [1], not a dict of names and numbers",
        "record.scores['s'] = 1.0; return Keep()": "changes the scores of the record it was given",
        "record.scores['s'] = 1.0; return Keep(scores=record.scores)": "changes the scores of the record",
    },
    ASYNC_CHECK: {
        CANCELLED: "CancelledError",
    },
    GENERATE: {
        f"yield seeds[0]; {CANCELLED}": "CancelledError",
        "yield seeds[0]; raise OSError('gone')": "OSError: gone",
        "yield 'x'": "generate, result 1, gave 'x'",
        "return seeds": "'async def' with 'yield'",
        "yield seeds[0]; await ctx.ask('bad')": "stopped in stage",
        "yield Record(instruction='x', origin=Origin(parents=('nobody',)))": "names the parent 'nobody'",
        "yield Drop('no', record=Record(instruction='x', origin=Origin(parents=('nobody',))))": "parent 'nobody'",
        "yield Record(instruction='x', origin=Origin(parents=3))": "TypeError",
        "yield Record(instruction='x', task=3)": "/task",
        "yield Drop('Not this')": "Drop.reason is 'Not this', not a slug",
        "yield seeds[0]; seeds[0].scores['s'] = 1.0": "changes the scores of the record it was given",
    },
    RATES: {
        "return sizes['nope']": "KeyError",
        "return [1]": "rates gave [1]",
        "return dict.fromkeys(sizes, 'much')": "task '' the rate 'much', neither",
        "return {'': None}": "task '' the rate nothing (None), neither",
        "return dict.fromkeys(sizes, float('nan'))": "rates gives task '' the rate",
        "return dict.fromkeys(sizes, -1.0)": "rates gives task '' the rate",
        "return dict.fromkeys(sizes, 1e999)": "rates gives task '' the rate",
        "return dict.fromkeys(sizes, True)": "rates gives task '' the rate",
        "return dict.fromkeys(sizes, 1e200)": "rates gives task '' the rate",
        "return dict.fromkeys(sizes, 1e-200)": "rates gives task '' the rate",
    },
    f"remembers = True\n    {CHECK}": {
        "raise KeyError('k')": "KeyError",
    },
    "def generate(self, seeds, ctx):": {
        "yield seeds[0]": "'async def' with 'yield'",
    },
    BATCH: {
        "records.sort(key=str); return []": "'tuple' object has no attribute",
    },
    f"async {BATCH}": {
        "records.reverse(); return []": "'tuple' object has no attribute",
    },
}
"""What is wrong in a plugin's method, by its first line and what it does -> what is said."""
LEAVING = {EVOLVE: "", CHECK: "", ASYNC_CHECK: "", GENERATE: "; yield", RATES: ""}
CASES = [
    *((method, statements, cause) for method, faults in FAULTS.items() for statements, cause in faults.items()),
    *(
        (method, f"raise {error}{end}", error.rpartition(".")[2])
        for error in ("asyncio.CancelledError", "GeneratorExit")
        for method, end in LEAVING.items()
    ),
]
KINDS = {
    "evolve": ("strategies", "Strategy"), "check": ("filters", "Filter"), "generate": ("generators", "Generator"),
    "rates": ("mixers", "Mixer"), "reply": ("teachers", "Teacher"), "train": ("trainers", "Trainer"),
    "render": ("templates", "Template"), "check_batch": ("filters", "Filter"),
}  # fmt: skip
RULES = {
    f"{kind}: {statements}": (method, statements)
    for kind, method in (
        ("rule", CHECK), ("async rule", ASYNC_CHECK), ("rule that remembers", f"remembers = True\n    {CHECK}"),
        ("batched rule", BATCH),
    )
    for statements in ("ctx.parent.extra['mutated'] = True", "ctx.parent.scores['s'] = 1.0")
}  # fmt: skip
USES = {
    "strategies": "evolve: {strategies: [faulty], eliminate: []}",
    "filters": "filter: [faulty]",
    "generators": "generate: {use: faulty, seeds: seeds.jsonl}",
    "mixers": "mix: {use: faulty}",
}


def plugin(method, statements):
    """Source of a plugin called faulty whose one method does this."""
    kind, base = KINDS[method.partition("def ")[2].partition("(")[0]]
    hook = f"@hookimpl\ndef register_{kind}(register):\n    register('faulty', Faulty)\n"
    return kind, f"{HEADER}\nclass Faulty({base}):\n    {method}\n        {statements}\n\n{hook}"


@pytest.fixture
def faulty(cli):
    cli.write("seeds.jsonl", {"id": "s", "instruction": "Name a river.", "output": "Rhine"})

    def run(method, statements, *options):
        kind, source = plugin(method, statements)
        (cli.folder / "faulty.py").write_text(source)
        (cli.folder / "r.yaml").write_text(
            "teacher: {use: echo, fail_on: bad}\nstages:\n"
            "  - generate: {use: count, count: 4, seeds: seeds.jsonl}\n  - " + USES[kind] + "\n"
        )
        return cli(*options, "--plugin", "faulty.py", "run", "r.yaml")

    return run


@pytest.mark.parametrize(("method", "statements", "cause"), CASES)
def test_a_faulty_plugin_is_one_sentence_with_its_name_and_stage_and_exit_1(faulty, cli, method, statements, cause):
    assert faulty(method, statements) == 1
    (error,) = [line for line in cli.err.splitlines() if line.startswith("Error")]
    assert cli.err.strip().endswith(error)
    assert error.startswith("Error: faulty.py:faulty==0+")
    assert cause in error
    assert "stage 02-" in error
    if method in (EVOLVE, CHECK, ASYNC_CHECK):
        assert any(f"record {r['id']}" in error for r in cli.rows("runs/r/stages/01-generate/records.jsonl"))
    assert "Traceback" not in cli.err
    assert [f for f in cli.files() if "02-" in f and ".partial." not in f] == []
    assert "runs/r/stages/01-generate/manifest.json" in cli.files()


@pytest.mark.parametrize("case", RULES)
def test_a_rule_that_changes_the_parent_is_named(cli, case):
    method, statements = RULES[case]
    verdict = "[Keep() for record in records]" if "batch" in method else "Keep()"
    rule = plugin(method, f"{statements}; return {verdict}")[1]
    (cli.folder / "faulty.py").write_text(rule)
    cli.write("in.jsonl", {"id": "s", "instruction": "Name a river.", "output": "Rhine"})
    (cli.folder / "r.yaml").write_text(
        "teacher: echo\ndata: in.jsonl\nstages:\n  - evolve: {strategies: [longer], eliminate: [faulty]}\n"
    )
    assert cli("--plugin", "faulty.py", "run", "r.yaml") == 1
    assert "faulty.py:faulty==0+" in cli.err
    assert f"it changes the {statements.split('.')[2].partition('[')[0]} of ctx.parent" in cli.err
    assert [f for f in cli.files() if "01-" in f] == []


def test_the_traceback_of_a_plugin_is_shown_by_debug(faulty, cli):
    faulty(EVOLVE, "return 1 / 0", "--debug")
    assert "faulty.py" in cli.err
    assert "in evolve" in cli.err
    assert "ZeroDivisionError: division by zero" in cli.err


def test_a_faulty_plugin_on_files_leaves_the_old_output(cli):
    cli.write("in.jsonl", {"instruction": "Name a river."})
    (cli.folder / "o.jsonl").write_text("old")
    (cli.folder / "faulty.py").write_text(plugin(CHECK, "return 1 / 0")[1])
    assert cli("--plugin", "faulty.py", "filter", "faulty", "in.jsonl", "-o", "o.jsonl") == 1
    assert "faulty.py:faulty" in cli.err
    assert (cli.folder / "o.jsonl").read_text() == "old"
    assert cli.files() == ["faulty.py", "in.jsonl", "o.jsonl"]


def test_a_missing_await_is_named_with_its_line(faulty, cli):
    assert faulty(EVOLVE, "return record.evolved(instruction=ctx.ask('more').text)") == 1
    line = (cli.folder / "faulty.py").read_text().splitlines().index(
        "        return record.evolved(instruction=ctx.ask('more').text)"
    ) + 1
    assert f"has no attribute 'text'; write 'await' before ask(…), in faulty.py, line {line} (filial --debug" in cli.err
    assert "never awaited" not in cli.err


def test_a_mended_plugin_file_goes_on_where_the_faulty_one_stopped(faulty, cli):
    assert faulty(EVOLVE, "return 1 / 0") == 1
    assert faulty(EVOLVE, "return record.evolved(instruction='x y')") == 0
    assert "01-generate: done before" in cli.err


TEACHERS = {
    "raise ValueError('boom')": "ValueError: boom",
    "return 'text'": "it gives 'text', not a Reply",
    "sys.exit(3)": "SystemExit",
    "raise asyncio.CancelledError": "CancelledError",
    "raise GeneratorExit": "GeneratorExit",
    CANCELLED: "CancelledError",
    "return Reply(text=None)": "Reply.text is nothing (None), not a text",
    "return Reply(text=['a'])": "Reply.text is ['a'], not a text",
    "return Reply(text='a', reasoning=None)": "Reply.reasoning is nothing (None), not a text",
    "return Reply(text='a', finish_reason=None)": "Reply.finish_reason is nothing (None), not a text",
    "return Reply(text='a', model=3)": "Reply.model is 3, not a text",
    "return Reply(text='a', prompt_tokens=-1)": "Reply.prompt_tokens is -1, not a number of tokens",
    "return Reply(text='a', completion_tokens=1.5)": "Reply.completion_tokens is 1.5, not a number of tokens",
    "return Reply(text='a', cached_tokens=True)": "Reply.cached_tokens is True, not a number of tokens",
    "return Reply(text='a', reasoning_tokens=10**12)": "Reply.reasoning_tokens is 1000000000000, not a number",
    "raise TeacherError('Server busy')": "TeacherError.reason is 'Server busy', not a slug such as 'timeout'",
    "raise TeacherError('busy', 3)": "TeacherError.detail is 3, not a text",
    "raise TeacherError('busy', answer=3)": "TeacherError.answer is 3, not a text",
    "raise TeacherError('busy', retry=True, retry_after=float('nan'))": "TeacherError.retry_after is nan, not a",
    "raise TeacherError('busy', retry=True, retry_after=-1)": "TeacherError.retry_after is -1, not a number of seconds",
    "raise TeacherError('busy', billed=(-5, 0))": "TeacherError.billed is (-5, 0), not two numbers of tokens",
}


@pytest.mark.parametrize("reply", TEACHERS)
def test_a_faulty_teacher_is_named_not_the_plugin_that_asked_it(cli, reply):
    cli.write("in.jsonl", {"instruction": "Name a river."})
    (cli.folder / "faulty.py").write_text(plugin("async def reply(self, request):", reply)[1])
    assert cli("--plugin", "faulty.py", "evolve", "longer", "in.jsonl", "-o", "o.jsonl", "--teacher", "faulty") == 1
    assert "the teacher 'faulty'" in cli.err
    assert TEACHERS[reply] in cli.err
    assert "longer" not in cli.err
    *progress, _ = cli.err.splitlines()
    assert all(line.startswith("evolve: stopped after ") for line in progress)
    assert "o.jsonl" not in cli.files()


def test_a_plugin_that_swallows_everything_cannot_hide_why_the_run_must_stop(cli):
    cli.write("seeds.jsonl", {"instruction": "Name a river."})
    body = """try:
            return record.evolved(instruction=(await ctx.ask('x' + record.id)).text)
        except Exception:
            return Drop('swallowed')"""
    (cli.folder / "faulty.py").write_text(plugin(EVOLVE, body)[1])
    (cli.folder / "r.yaml").write_text(
        "teacher: {use: echo}\nbudget: {requests: 1}\ndata: seeds.jsonl\n"
        "stages:\n  - evolve: {strategies: [faulty], rounds: 3, eliminate: []}\n"
    )
    assert cli("--plugin", "faulty.py", "run", "r.yaml") == 3


def test_half_characters_from_a_plugin_are_drops_that_can_be_read(faulty, cli):
    body = """yield Record(instruction='good one')
        yield Record(instruction='half \\ud83d')
        yield Drop('why', 'half \\udc00', answer='x\\ud800', record=Record(instruction='r\\ud801'))"""
    assert faulty(GENERATE, body) == 5
    rows = cli.rows("runs/r/stages/02-generate/drops.jsonl")
    assert [r["reason"] for r in rows] == ["not-unicode", "why"]
    assert "U+D83D" in rows[0]["detail"]
    assert rows[0]["record"]["instruction"] == "half \\ud83d"
    assert (rows[1]["detail"], rows[1]["answer"]) == ("half \\udc00", "x\\ud800")
    kept = cli.rows("runs/r/stages/02-generate/records.jsonl")
    assert "good one" in [r["instruction"] for r in kept]


HALVES = {
    "tag": (CHECK, "return Keep(tags=('\\ud800',))", "not-unicode"),
    "answered": (EVOLVE, "return record.evolved(instruction='\\ud800 x')", "teacher-not-unicode"),
    "asked": (EVOLVE, "return record.evolved(instruction=(await ctx.ask('\\ud800')).text)", "teacher-not-unicode"),
}


@pytest.mark.parametrize("where", HALVES)
def test_half_characters_anywhere_never_end_a_run(faulty, cli, where):
    method, statements, reason = HALVES[where]
    assert faulty(method, statements) == 5
    assert json.loads((cli.folder / "runs/r/summary.json").read_text())["stages"][1]["reasons"][reason] == 4


def test_a_trainer_is_blamed_too(cli):
    cli.write("d.jsonl", *({"instruction": f"Name river {i}.", "output": "Po"} for i in range(4)))
    (cli.folder / "r.yaml").write_text("data: d.jsonl\ntemplate: alpaca\ntrain: {use: faulty, model: some-model}\n")
    for statements, told in (("return 1 / 0", "ZeroDivisionError"), ("return {'loss': 1.0}", "left no model in")):
        method = "def train(self, data, model, template, out, ctx):"
        (cli.folder / "t.py").write_text(plugin(method, statements)[1])
        assert cli("--plugin", "t.py", "run", "r.yaml") == 1
        assert "t.py:faulty" in cli.err
        assert "stage train" in cli.err
        assert told in cli.err
        assert not (cli.folder / "runs/r/model/manifest.json").exists()


TEMPLATES = {
    "return 'text'": "render gives 'text', not a list of Span",
    "return None": "render gives nothing (None), not a list of Span",
    "return (Span('a'),)": "render gives (Span(text='a', train=False, special=False),), not a list of",
    "return [Span('a'), 'text']": "render gives 'text' in place 2, not a Span",
    "return [Span(3)]": "render gives a value of type Span in place 1: text is not str, or train or special not bool",
    "return [Span('a', train=None)]": "render gives a value of type Span in place 1: text is not str",
    "record.scores['s'] = 1.0; return [Span('a')]": "changes the scores of the record it was given",
    "record.constraints[0].args['n'] = 4; return [Span('a')]": "changes the constraints of the record it was given",
}


@pytest.mark.parametrize("statements", TEMPLATES)
def test_what_a_template_gives_is_looked_at_wherever_it_is_asked(cli, statements):
    constraint = {"type": "words", "args": {"n": 3}, "text": "Use three words."}
    cli.write("in.jsonl", {"id": "r1", "instruction": "Name a river.", "output": "Po", "constraints": [constraint]})
    (cli.folder / "faulty.py").write_text(plugin("def render(self, record):", statements)[1])
    assert cli("--plugin", "faulty.py", "render", "faulty", "in.jsonl") == 1
    (error,) = cli.err.splitlines()
    assert error.startswith("Error: filial_file_faulty:Faulty breaks its contract in stage template, record r1: ")
    assert TEMPLATES[statements] in error


def test_ids_that_a_plugin_gives_are_not_taken_over(faulty, cli):
    assert faulty(GENERATE, "for i in range(3): yield Record(id='same', instruction='Name a river.')") == 0
    made = cli.rows("runs/r/stages/02-generate/records.jsonl")
    assert len({r["id"] for r in made} - {"same"}) == len(made)


def test_a_record_that_is_no_child_names_no_grandparent(faulty, cli):
    """Handed on as it came, a child would be its parent's sibling."""
    assert faulty(EVOLVE, "return record.evolved(instruction=record.instruction + '!')") == 0
    uses = "  - evolve: {strategies: [faulty], rounds: 2, eliminate: []}\n"
    (cli.folder / "r.yaml").write_text("data: seeds.jsonl\nteacher: echo\nstages:\n" + uses)
    body = "return record.replaced(instruction='x') if record.origin.parents else record.evolved(instruction='y')"
    (cli.folder / "faulty.py").write_text(plugin(EVOLVE, body)[1])
    assert cli("--plugin", "faulty.py", "run", "r.yaml", "--name", "s") == 1
    assert "names the parent 's', which is not among its input records" in cli.err


def test_a_seed_of_the_recipe_may_be_a_parent(faulty, cli):
    body = "s = next(iter(ctx.seeds())); return Record(instruction=s.instruction, origin=Origin(parents=(s.id,)))"
    assert faulty(EVOLVE, body) == 0, cli.err


FULL = Record(
    id="r", instruction="Name a river.", scores={"s": 1.0}, extra={"a": {"b": [1, {"c": 2}]}},
    tools=({"name": "maps", "parameters": {"type": "object"}},),
    constraints=(Constraint("words", {"range": [1, {"most": 2}]}, "Use two words."),),
)  # fmt: skip
INSIDE = {
    "scores": lambda r: r.scores.clear(),
    "extra": lambda r: r.extra["a"]["b"][1].update(c=3),
    "tools": lambda r: r.tools[0]["parameters"].clear(),
    "constraints": lambda r: r.constraints[0].args["range"].pop(),
}


@pytest.mark.parametrize("field", INSIDE)
def test_what_is_changed_inside_a_record_is_seen_and_stays_with_who_did_it(field):
    copy = copy_for_plugin(FULL)
    assert copy == FULL
    assert describe_change(copy, FULL) == ""
    before = to_json(FULL)
    INSIDE[field](copy)
    assert f"changes the {field} of the record it was given" in describe_change(copy, FULL)
    assert to_json(FULL) == before


@pytest.mark.parametrize("field", ["scores", "extra"])
def test_what_is_added_to_an_empty_record_is_seen(field):
    plain = Record(id="r", instruction="Name a river.")
    copy = copy_for_plugin(plain)
    getattr(copy, field)["new"] = 1.0
    assert f"changes the {field}" in describe_change(copy, plain)
    assert getattr(plain, field) == {}
