"""filial from Python: the same records as the command line's, however plugins, teacher and records are named."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import yaml

import filial
from filial import Drop, Field, Filter, Keep, Mixer, Record, Reply, Strategy, Teacher
from filial.commands import Reporter

TOY = Path(__file__).parent / "toy.py"
RIVER = {"instruction": "Name a river.", "output": "The Rhine."}
LAKE = {"instruction": "Name a very large and very deep lake in Asia.", "output": "Baikal."}
HOSTILE = "<script>alert('x')</script> & <b>bold</b>"


class Louder(Strategy):
    """Say it louder."""

    mark: str = Field("!", description="What is added.")

    async def evolve(self, record, ctx):
        reply = await ctx.ask(f"louder{self.mark}: {record.instruction}")
        return record.evolved(instruction=reply.text + self.mark)


class Brief(Filter):
    """Drop what is long."""

    words: int = Field(4, description="At most.")

    def check(self, record, ctx):
        return Keep() if len(record.instruction.split()) <= self.words else Drop("long")


class Same(Mixer):
    """The same rate for all."""

    def rates(self, sizes):
        return dict.fromkeys(sizes, 1.0)


class Upper(Teacher):
    """Answer in capitals."""

    async def reply(self, request):
        return Reply(text=request.messages[-1].content.upper())


def upper(prompt):
    return prompt.upper()


async def upper_async(prompt):
    await asyncio.sleep(0)
    return Reply(text=prompt.upper())


def evolve(records=(RIVER, LAKE), *strategies, **options):
    return filial.evolve(records, *(strategies or (Louder,)), **{"teacher": upper, "eliminate": [], **options})


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def lines(records):
    """Records as a file holds them."""
    return [json.loads(line) for line in _written(records).splitlines()]


def _written(records):
    filial.load(records).save("written.jsonl")
    with open("written.jsonl", encoding="utf-8") as file:
        return file.read()


# The same as on the command line


def test_evolve_gives_the_records_and_drops_of_the_command(cli):
    seeds = "pkg:filial_plugins/procedural/seeds.jsonl"
    cli.write("strange.jsonl", LAKE, {"instruction": 7}, RIVER)  # the teacher does not know these, nor is one a record
    command = ["evolve", "deepen", "mutate", "strange.jsonl", seeds, "-o", "out.jsonl", "--rounds", "2"]
    assert cli(*command, "--limit", "12", "--teacher", "procedural", toy=False) == 5, cli.err
    strange = [LAKE, {"instruction": 7}, RIVER]
    records = [*strange, *filial.load(seeds, limit=10)]
    result = filial.evolve(records, "deepen", "mutate", rounds=2, teacher="procedural", home="other")
    assert lines(result) == cli.rows("out.jsonl")
    drops = [json.loads(row.encode()) for row in result.drops]
    assert [row["reason"] for row in drops] == [row["reason"] for row in cli.rows("out.drops.jsonl")]
    assert drops[1:] == cli.rows("out.drops.jsonl")[1:]  # the first says of which file it is a bad line
    assert (drops[0]["reason"], len(drops) > 2) == ("bad-line", True)


def test_every_verb_gives_the_records_of_its_command(cli):
    cli.write("seeds.jsonl", RIVER)
    cli.write("lakes.jsonl", {**RIVER, "task": "a"}, {**LAKE, "task": "b"}, {**LAKE, "task": "b"})
    options = {"plugins": [TOY], "progress": False}
    assert cli("generate", "count", "seeds.jsonl", "-o", "g.jsonl", "--count", "10", "--teacher", "echo") == 0
    made = filial.generate("seeds.jsonl", "count", count=10, teacher="echo", **options)
    assert lines(made) == cli.rows("g.jsonl")
    assert cli("filter", "short", "lakes.jsonl", "-o", "f.jsonl", "--words", "5") == 0
    assert lines(filial.filter("lakes.jsonl", {"use": "short", "words": 5}, **options)) == cli.rows("f.jsonl")
    assert cli("mix", "even", "lakes.jsonl", "-o", "m.jsonl", "--total", "2") == 0
    assert lines(filial.mix("lakes.jsonl", "even", total=2, **options)) == cli.rows("m.jsonl")


def test_a_recipe_built_here_saved_and_run_by_the_command_finds_its_stages_done(cli):
    cli.write("seeds.jsonl", RIVER)
    recipe = filial.Recipe(
        teacher="echo", plugins=[TOY], seed=7,
        stages=[
            {"generate": {"use": "count", "count": 20, "seeds": "seeds.jsonl"}},
            {"evolve": {"strategies": ["longer"], "eliminate": [{"use": "short", "words": 60}]}},
            {"filter": ["first"]},
        ],
    )  # fmt: skip
    assert {row["state"] for row in recipe.plan().rows} == {"to do"}
    result = recipe.run(name="mine", progress=False)
    assert result.folder.name == "mine"
    assert result.summary["teacher"]["requests"] > 0
    recipe.save("mine.yaml")
    assert yaml.safe_load(Path("mine.yaml").read_text()) == yaml.safe_load(recipe.to_yaml())
    assert cli("run", "mine.yaml", "--json") == 0, cli.err
    summary = json.loads(cli.out)
    assert summary["teacher"]["requests"] == 0
    assert cli.err.count("done before") == 3
    assert summary["stages"] == result.summary["stages"]
    assert {row["state"] for row in recipe.plan(name="mine").rows} == {"done"}
    (last,) = [row["name"] for row in result.summary["stages"][-1:]]
    assert lines(result) == cli.rows(f"runs/mine/stages/{last}/records.jsonl")


def test_a_recipe_from_a_file_saved_elsewhere_has_the_same_keys(cli):
    cli.write("seeds.jsonl", RIVER)
    text = "teacher: {use: echo}\nstages: [{generate: {use: count, count: 5, seeds: seeds.jsonl}}]\n"
    (cli.folder / "one.yaml").write_text(text)
    filial.run("one.yaml", plugins=[TOY], progress=False)
    filial.Recipe.load("one.yaml", plugins=[TOY]).save("two.yaml")
    assert cli("run", "two.yaml", "--name", "one", "--json") == 0, cli.err
    assert json.loads(cli.out)["teacher"]["requests"] == 0


def test_set_and_limit_are_those_of_the_command(cli):
    cli.write("seeds.jsonl", RIVER)
    keys = {"teacher": "echo", "stages": [{"generate": {"use": "count", "count": 50, "seeds": "seeds.jsonl"}}]}
    result = filial.run(keys, set=["stages.generate.count=30"], limit=10, plugins=[TOY], progress=False)
    assert result.folder.name == "recipe-limit-10"
    assert result.summary["stages"][0]["made"] == 10
    assert len(result) == 8


def test_faults_of_a_recipe_come_all_at_once():
    recipe = filial.Recipe(stages=[{"filter": ["lenght"]}, {"evolve": {"strategies": ["deepen"], "rounds": 0}}])
    with pytest.raises(filial.RecipeError) as error:
        recipe.check()
    assert len(error.value.faults) >= 3
    assert any("did you mean 'length'" in fault for fault in error.value.faults)


def test_a_recipe_is_checked_with_other_files_of_plugins(tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps(RIVER) + "\n")
    recipe = filial.Recipe(data="in.jsonl", stages=[{"filter": ["short"]}])
    with pytest.raises(filial.RecipeError, match=r"one in a file needs --plugin FILE \(in Python: plugins=\)"):
        recipe.check()
    recipe.check(plugins=[TOY])


def test_a_recipe_is_not_saved_where_its_files_are_not_found(tmp_path):
    (tmp_path / "in.jsonl").write_text(json.dumps(RIVER) + "\n")
    recipe = filial.Recipe(data="in.jsonl", stages=[{"filter": ["length"]}])
    recipe.check()
    (tmp_path / "deep").mkdir()
    with pytest.raises(filial.RecipeError, match=r"in\.jsonl"):
        recipe.save("deep/r.yaml")
    assert list((tmp_path / "deep").iterdir()) == []


# Plugins, teachers, records


def test_objects_classes_names_and_mappings_name_the_same_plugin(tmp_path):
    from filial_plugins.filters.length import Length

    options = {"min_instruction": 5}
    ways = [{"use": "length", **options}, {"use": "filial:length", **options}, Length(**options)]
    results = [filial.filter([RIVER, LAKE], way, progress=False) for way in ways]
    assert [lines(result) for result in results] == [lines(results[0])] * 3
    assert {row.plugin for result in results for row in result.drops} == {"filial:length==" + filial.__version__}
    assert lines(filial.filter([RIVER], Length)) == lines(filial.filter([RIVER], "length"))


def test_an_object_of_a_registered_class_stands_in_a_recipe_by_its_name():
    from filial_plugins.filters.length import Length

    recipe = filial.Recipe(data="x", stages=[{"filter": [Length(min_instruction=5), Length]}])
    assert yaml.safe_load(recipe.to_yaml())["stages"] == [
        {"filter": [{"use": "length", "min_instruction": 5}, "length"]}
    ]


def test_a_class_that_no_package_registers_works_in_verbs_with_its_options():
    result = evolve([RIVER], Louder(mark="?"))
    assert [record.instruction for record in result] == ["Name a river.", "LOUDER?: NAME A RIVER.?"]
    assert result[1].origin.plugin == f"{__name__}:louder==unregistered"
    assert [len(filial.filter([RIVER, LAKE], Brief)), len(filial.filter([RIVER, LAKE], Brief(words=50)))] == [1, 2]
    assert len(filial.mix({"a": [RIVER], "b": [LAKE]}, Same())) == 2


def test_a_class_that_no_package_registers_is_refused_in_a_recipe_with_the_way_out():
    with pytest.raises(filial.UsageError, match=r"no package registers Louder.*plugins="):
        filial.Recipe(data="x", stages=[{"evolve": {"strategies": [Louder()]}}])


@pytest.mark.parametrize(
    "teacher", [upper, upper_async, Upper, Upper(max_retries=1), lambda prompt: upper_async(prompt)]
)
def test_every_way_to_name_a_teacher_answers_alike(teacher):
    result = evolve(teacher=teacher)
    assert [record.output for record in result[1:4:2]] == [result[1].instruction.upper(), result[3].instruction.upper()]
    assert lines(result)[1]["instruction"] == lines(evolve())[1]["instruction"]


def test_a_prompt_is_a_text_that_holds_the_whole_request():
    class Kind(Strategy):
        """Ask with a system text."""

        async def evolve(self, record, ctx):
            reply = await ctx.ask(record.instruction, system="Be kind.", max_tokens=9)
            return record.evolved(instruction=reply.text)

    seen = []

    def teacher(prompt):
        seen.append(prompt)
        return "ok"

    evolve([RIVER], Kind, teacher=teacher, answer=False)
    (prompt,) = seen
    assert prompt == RIVER["instruction"]
    assert [(message.role, message.content) for message in prompt.messages] == [
        ("system", "Be kind."), ("user", RIVER["instruction"]),
    ]  # fmt: skip
    assert prompt.request.max_tokens == 9


def test_a_function_that_is_not_async_is_called_in_threads_many_at_once():
    together = threading.Barrier(8)  # passed only if so many are inside at once

    def teacher(prompt):
        together.wait(timeout=60)
        return prompt.upper()

    result = evolve([{"instruction": f"Say {i}."} for i in range(8)], teacher=teacher)
    assert len(result) == 16


def test_what_a_function_raises_is_told_with_its_name_and_cause():
    def broken(prompt):
        raise LookupError("no such song")

    with pytest.raises(filial.FilialError, match=r"teacher 'broken' fails: LookupError: no such song"):
        evolve(teacher=broken)
    with pytest.raises(filial.FilialError, match="must return a str or a Reply, not 7"):
        evolve(teacher=lambda prompt: 7)
    with pytest.raises(filial.UsageError, match="teacher: 7 is not a name"):
        evolve(teacher=7)


def test_a_teacher_error_of_a_function_costs_its_row_and_is_counted():
    def teacher(prompt):
        if "river" in prompt:
            raise filial.TeacherError("moody")
        return "fine"

    result = evolve(teacher=teacher)
    assert result.lost == {"teacher-moody": 1}
    assert [row.reason for row in result.drops] == ["teacher-moody"]


def test_answers_of_a_function_are_not_kept_and_those_of_a_named_teacher_are(tmp_path):
    evolve(home="a")
    assert not (tmp_path / "a").exists()
    options = {"teacher": "echo", "plugins": [TOY], "home": "a", "eliminate": [], "progress": False}
    assert filial.evolve([RIVER], "longer", **options).summary["teacher"]["requests"] > 0
    assert filial.evolve([RIVER], "longer", **options).summary["teacher"]["requests"] == 0


def test_a_budget_stops_and_needs_a_teacher():
    with pytest.raises(filial.BudgetStop):
        evolve(budget={"requests": 1})
    with pytest.raises(filial.UsageError, match="budget"):
        filial.filter([RIVER], "length", budget={"requests": 1})


@pytest.mark.parametrize(
    "rows",
    [
        [RIVER, LAKE],
        [Record(**RIVER), LAKE],
        ({"messages": [{"role": "user", "content": r["instruction"]}, {"role": "assistant", "content": r["output"]}]}
         for r in (RIVER, LAKE)),
        [{"conversations": [{"from": "human", "value": r["instruction"]}, {"from": "gpt", "value": r["output"]}]}
         for r in (RIVER, LAKE)],
    ],
)  # fmt: skip
def test_rows_are_read_as_those_of_a_file(rows, cli):
    rows = list(rows)
    cli.write("in.jsonl", *(json.loads(msgspec.json.encode(row)) for row in rows))
    assert lines(filial.load(rows)) == lines(filial.load("in.jsonl"))
    assert [record.answer() for record in filial.load(rows)] == ["The Rhine.", "Baikal."]


def test_a_record_given_is_left_as_it_is_and_keeps_its_id():
    given = Record(**RIVER)
    (loaded,) = filial.load([given])
    assert (given.id, len(loaded.id)) == ("", 16)
    (again,) = filial.load([loaded])
    assert again == loaded


def test_a_bad_row_is_an_error_of_load_and_a_drop_of_a_verb():
    rows = [RIVER, {"instruction": 7}]
    with pytest.raises(filial.UsageError, match="records:2"):
        filial.load(rows)
    bad = []
    assert len(filial.load(rows, bad=bad)) == 1
    assert [line.line for line in bad] == [2]
    result = filial.filter(rows, "length")
    assert (len(result), result.lost) == (1, {"bad-line": 1})
    with pytest.raises(filial.UsageError, match=r"records\[1\] is 'x', neither"):
        filial.load([RIVER, "x"])


def test_a_data_frame_is_refused_with_the_way_out():
    pandas = pytest.importorskip("pandas", reason="pandas is an option of users, not a requirement")
    with pytest.raises(filial.UsageError, match=r"df\.to_dict\('records'\)"):
        filial.load(pandas.DataFrame([RIVER]))
    assert lines(filial.load(pandas.DataFrame([RIVER]).to_dict("records"))) == lines(filial.load([RIVER]))


def test_verbs_chain_and_a_result_is_a_sequence():
    result = filial.mix({"short": filial.filter(evolve(), Brief(words=9)), "long": [LAKE]}, Same, by="task")
    assert {record.task for record in result} == {"short", "long"}
    assert result[0] in result
    assert [*reversed(result)][-1] == result[0]


# Results


def test_survival_has_a_row_per_strategy_and_round():
    rows = evolve(rounds=2).survival
    assert [(row["strategy"], row["round"], row["tried"], row["kept"]) for row in rows] == [
        ("louder", 1, 2, 2), ("louder", 2, 2, 2),
    ]  # fmt: skip


def test_what_data_say_is_shown_in_a_notebook_and_never_run():
    rows = [{"instruction": HOSTILE, "output": HOSTILE, "task": HOSTILE}]
    shown = [filial.load(rows), filial.filter(rows, Brief(words=1)), filial.filter(rows, Brief(words=99))]
    recipe = filial.Recipe(data=HOSTILE, stages=[{"filter": ["length"]}])
    for one in (*shown, recipe):
        html = one._repr_html_()
        assert "<script" not in html
        assert "<b>" not in html
    assert "&lt;script&gt;" in shown[0]._repr_html_()


def test_a_table_shows_the_first_ten_and_says_of_how_many():
    html = filial.load([{"instruction": f"Say {i}."} for i in range(1234)])._repr_html_()
    assert html.count("<tr>") == 11
    assert "1,234" in html
    assert repr(evolve()) == "Result(4 records, 0 dropped)"


def test_to_pandas_has_the_columns_that_are_used():
    pytest.importorskip("pandas", reason="pandas is an option of users, not a requirement")
    frame = filial.load([RIVER, {"instruction": "Hi.", "task": "greet"}]).to_pandas()
    assert list(frame.columns) == ["id", "instruction", "output", "task"]
    assert list(frame["task"]) == ["", "greet"]


def test_to_dataset_reads_back_whole():
    pytest.importorskip("datasets", reason="needs the extra data")
    result = evolve([{**RIVER, "scores": {"a": 1.0}, "extra": {"k": [1, None]}}, LAKE])
    dataset = result.to_dataset()
    assert list(filial.load(list(dataset))) == list(result)


@pytest.mark.parametrize(("method", "package"), [("to_pandas", "pandas"), ("to_dataset", "datasets")])
def test_without_the_package_the_sentence_says_what_to_install(method, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(filial.MissingExtra, match=rf"needs {package}.*pip install"):
        getattr(filial.load([RIVER]), method)()


# Loops, interrupts, imports


def test_sync_calls_work_inside_a_loop_that_runs_and_async_ones_in_it():
    async def cell():
        here = threading.get_ident()
        ran = []

        async def upper(prompt):
            ran.append(threading.get_ident() == here)
            return prompt.upper()

        plain, awaited = (
            evolve(teacher=upper),
            await filial.aevolve([RIVER, LAKE], Louder, teacher=upper, eliminate=[]),
        )
        return plain, awaited, ran

    plain, awaited, ran = asyncio.run(cell())
    assert lines(plain) == lines(awaited) == lines(evolve())
    assert ran == [False] * 4 + [True] * 4


def test_arun_gives_what_run_gives(cli):
    cli.write("seeds.jsonl", RIVER)
    keys = {"teacher": "echo", "stages": [{"generate": {"use": "count", "count": 10, "seeds": "seeds.jsonl"}}]}
    plain = filial.run(keys, home="a", plugins=[TOY], progress=False)
    awaited = asyncio.run(filial.arun(keys, home="b", plugins=[TOY], progress=False))
    assert lines(plain) == lines(awaited)
    assert plain.summary["stages"] == awaited.summary["stages"]


@pytest.mark.parametrize("inside", [False, True])
def test_an_interrupt_ends_a_verb_in_good_order(inside):
    asked, ended = [], []

    async def teacher(prompt):
        asked.append(prompt)
        if len(asked) == 1:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        for _ in range(20):
            await asyncio.sleep(0)
        ended.append(prompt)
        return "ok"

    def call():
        evolve([{"instruction": f"Say {i}."} for i in range(1000)], teacher=teacher, progress=False)

    async def cell():
        call()

    loop = asyncio.new_event_loop()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell()) if inside else call()
    finally:
        signal.signal(signal.SIGINT, before)
    loop.close()
    assert len(asked) < 1000
    assert len(ended) == len(asked)  # what was in flight was waited for


def test_a_cancelled_arun_ends_in_good_order_and_goes_on_from_there(cli):
    cli.write("seeds.jsonl", RIVER)
    keys = {"teacher": "echo", "stages": [{"generate": {"use": "count", "count": 400, "seeds": "seeds.jsonl"}}]}

    async def cell():
        loop = asyncio.get_running_loop()

        class Impatient(Reporter):
            def stage(self, name, status=None):
                loop.call_soon_threadsafe(task.cancel)
                return super().stage(name, status)

        task = asyncio.create_task(filial.arun(keys, plugins=[TOY], progress=Impatient()))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cell())
    result = filial.run(keys, plugins=[TOY], progress=False)
    assert result.summary["stages"][0]["made"] == 400


@pytest.mark.parametrize("line", ["import filial", "import filial; filial.__all__; filial.__version__"])
def test_import_loads_nothing_heavy(line):
    heavy = ["pydantic", "torch", "jsonschema", "click", "numpy", "yaml", "rich", "openai", "msgspec", "asyncio"]
    code = f"import sys; {line}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_has_a_docstring():
    functions = [name for name in filial.__all__ if name.islower() and callable(getattr(filial, name))]
    assert {"load", "generate", "evolve", "filter", "mix", "train", "judge", "run", "arun"} <= {*functions}
    for name in filial.__all__:
        assert getattr(filial, name) is not None
    assert [name for name in functions if not getattr(filial, name).__doc__] == []
    assert (filial.evolve.__name__, filial.aevolve.__name__) == ("evolve", "aevolve")
