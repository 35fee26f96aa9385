"""What the documents say holds: examples run, generated blocks are those of the code, links lead somewhere."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from index_kit import stages

import filial
from filial import Drop, Message, Record, Reply, Request, TeacherError, formats, testing
from filial.cli import invoke
from filial.contracts.kinds import KINDS
from filial.plugins import Manager
from filial.plugins.hooks import SPECS
from filial.recipe import loads
from filial.testing import ScriptedTeacher, context, run_async

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "sample" / "filial-pirate"
MARKED = re.compile(
    r"<!-- (plugin|tests|command|stage|pyproject|recipe|python)(?:: (\S+))? -->\n```(\w+)\n(.*?)^```$", re.S | re.M
)
GENERATED = re.compile(r"<!-- made by docs/build\.py: (\S+) -->\n.*?<!-- end -->", re.S)
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"))
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


INDEX = read("docs/plugins/index.md")
GUIDE = {page: read(page) for page in PAGES if page.startswith("docs/plugins/")}
"""The pages about plugins."""
PLUGINS = {name: code for text in GUIDE.values() for kind, name, _, code in MARKED.findall(text) if kind == "plugin"}


def marked(kind: str, text: str) -> str:
    """The code of the only block with this mark."""
    (code,) = [code for found, _, _, code in MARKED.findall(text) if found == kind]
    return code


def build() -> Any:
    """docs/build.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def loaded(tmp_path):
    """``loaded(name, …)``: a manager that has loaded these examples and nothing else, and what they register."""

    def load(*names: str) -> tuple[Manager, list[tuple[str, str]]]:
        manager, found = Manager(stages()), []
        for name in names:
            (tmp_path / name).write_text(PLUGINS[name], encoding="utf-8")
            found += manager.load_file(tmp_path / name)
        return manager, found

    yield load
    for name in [name for name in sys.modules if name.startswith("filial_file_")]:
        del sys.modules[name]


SNIPPETS = {"docs/teachers.md"}
"""Pages with a fragment of Python that is no program."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/")])
def test_every_block_of_python_is_marked_so_that_it_is_run(page):
    text = GENERATED.sub("", read(page))
    marks = [language for _, _, language, _ in MARKED.findall(text)]
    assert text.count("```python\n") == marks.count("python") + (page in SNIPPETS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_each_kind_has_its_contract_an_example_and_the_built_ins(kind, loaded):
    page = read(f"docs/plugins/{kind}.md")
    assert {f"contract:filial.{KINDS[kind].__name__}", kind} <= set(GENERATED.findall(page))
    _, found = loaded(*(name for mark, name, _, _ in MARKED.findall(page) if mark == "plugin"))
    assert kind in {kind for kind, _ in found}


CONTRACTS = {
    "pirate.py": testing.StrategyContract, "parrot.py": testing.TeacherContract, "quota.py": testing.FilterContract,
    "paraphrase.py": testing.GeneratorContract, "root.py": testing.MixerContract, "letter.py": testing.TemplateContract,
    "lookup.py": testing.TrainerContract, "overlap.py": testing.JudgeContract, "cards.py": testing.FormatContract,
    "qa.py": testing.FormatContract,
    "buccaneer.py": testing.StrategyContract, "glossary.py": testing.TeacherContract,
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRACTS)
def test_examples_keep_the_contract_of_their_kind(loaded, name):
    manager, found = loaded(name)
    kind, short = found[-1]
    component = manager.build(kind, short)
    settings: dict[str, Any] = {"component": component, "offline": True}
    if name == "qa.py":  # an input is a paragraph of its own, and a question is one line
        settings["records"] = [record for record in testing.FormatContract.records if not record.input]
    checks = type("Checks", (CONTRACTS[name],), settings)()
    for check in [method for method in dir(checks) if method.startswith("test_")]:
        if check != "test_is_registered_under_the_name_it_promises":  # a file promises nothing
            with suppress(pytest.skip.Exception):  # what is of formats of rows only
                getattr(checks, check)()


def test_the_tests_of_a_format_are_those_of_its_page(loaded, monkeypatch):
    manager, _ = loaded("cards.py")
    cards = types.ModuleType("filial_cards")
    cards.Cards = manager.get("formats", "cards")
    monkeypatch.setitem(sys.modules, "filial_cards", cards)
    found: dict[str, Any] = {}
    exec(marked("tests", GUIDE["docs/plugins/formats.md"]), found)
    case = found["TestCards"]()
    case.test_what_it_writes_it_reads()
    case.test_what_changes_a_meaning_is_refused_or_read_back()


def test_the_pirate_evolves_a_record(loaded):
    manager, _ = loaded("pirate.py")
    record = Record(id="s1", instruction="Name three colours.", output="Red, green, blue.")
    asked = []

    def teacher(request):
        asked.append(request.messages[-1].content)
        return " Arr, three colours! "

    pirate = manager.build("strategies", {"use": "pirate", "accent": "welsh"})
    child = run_async(pirate.evolve(record, context(teacher)))
    assert (child.instruction, child.output, child.origin.parents) == ("Arr, three colours!", "", ("s1",))
    assert asked == ["Retell this task as a welsh pirate would:\n\nName three colours."]
    assert run_async(pirate.evolve(record, context(""))) == Drop("empty-reply")


def test_the_commands_under_the_first_example_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pirate.py", "parrot.py"):
        Path(name).write_text(PLUGINS[name], encoding="utf-8")
    echo, evolve = re.findall(r"^    (echo .*|filial --plugin .*)$", INDEX, re.M)
    Path("seeds.jsonl").write_text(echo.split("'")[1] + "\n")
    assert invoke(evolve.split()[1:]) == 0
    seed, child = formats.read("out.jsonl")
    assert child.origin.parents == (seed.id,)
    assert child.instruction == "Arr! Name three colours."
    assert child.output == "Arr! Arr! Name three colours."
    assert child.origin.plugin.startswith("pirate.py:pirate==0+")
    assert len(child.origin.answers) == 2


@pytest.mark.slow
def test_the_package_of_the_guide_is_the_sample(tmp_path):
    assert (SAMPLE / "filial_pirate.py").read_text() == PLUGINS["pirate.py"]
    assert (SAMPLE / "pyproject.toml").read_text() == marked("pyproject", INDEX)
    assert (SAMPLE / "tests" / "test_pirate.py").read_text() == marked("tests", INDEX)
    path = os.pathsep.join([str(SAMPLE), str(ROOT / "core")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "tests"]
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, "-c", os.devnull], cwd=SAMPLE, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_the_command_of_the_guide_becomes_one_of_filial(site, tmp_path, capsys):
    code = marked("command", read("docs/plugins/commands.md"))
    site.dist("filial-longest", {"filial.commands": {"longest": "filial_longest"}}, {"filial_longest": code})
    (tmp_path / "data.jsonl").write_text('{"instruction": "One."}\n{"instruction": "One, two."}\n')
    assert invoke(["--help"]) == 0
    assert re.search(r"longest +Show the longest instruction of a file\.", capsys.readouterr().out)
    assert invoke(["longest", str(tmp_path / "data.jsonl")]) == 0
    assert capsys.readouterr().out == "One, two.\n"


def test_the_stage_of_the_guide_is_the_sample():
    page = read("docs/plugins/stages.md")
    assert (SAMPLE.parent / "filial-dedupe" / "filial_dedupe.py").read_text() == marked("stage", page)
    assert '"filial.stages"]\ndedupe = "filial_dedupe:Dedupe"\n```' in page


def test_the_lookup_of_the_guide_is_judged_in_a_recipe_and_by_the_command(cli):
    """By the guide's own judge, beside the copying baseline; a model that is no Hugging Face model."""
    plugins = ("lookup.py", "letter.py", "overlap.py")
    for name in plugins:
        (cli.folder / name).write_text(PLUGINS[name], encoding="utf-8")
    files = [word for name in plugins for word in ("--plugin", name)]
    cli.write("data.jsonl", *({"instruction": f"Name river {i}.", "output": f"River {i}"} for i in range(20)))
    cli.write("exam.jsonl", *({"instruction": f"Name river {i} now.", "output": f"River {i}"} for i in range(3)))
    (cli.folder / "r.yaml").write_text(
        "data: data.jsonl\ntemplate: letter\ntrain: {use: lookup, model: none}\nheldout: 4\nbudget: {requests: 1}\n"
        "judge:\n- {use: overlap, data: heldout, against: [nearest]}\n"
        "- {use: exact-match, name: exam, data: exam.jsonl, against: [nearest]}\n"
    )
    assert cli(*files, "run", "r.yaml", toy=False) == 0, cli.err
    judge = json.loads((cli.folder / "runs/r/summary.json").read_text())["judge"]
    assert list(judge["overlap"]) == list(judge["exam"]) == ["model", "nearest"]
    assert judge["overlap"]["model"] == {"records": 4, "judged": 4, "mean": 0.0, "passed": 0.0}, "it was not taught"
    assert judge["overlap"]["nearest"]["mean"] == 0.5, "another river"
    model = cli.folder / "runs/r/model"
    note = json.loads((model / "filial_teacher.json").read_text())
    assert note == {"use": "lookup.py:recall", "known": "known.json"}
    model.rename(cli.folder / "moved")
    assert cli(*files, "judge", "exact-match", "runs/r/dataset/train.jsonl", "--model", "moved", toy=False) == 0, (
        cli.err
    )
    assert cli.out == "exact-match on runs/r/dataset/train.jsonl: 100.0 % of 16 records\n"


def test_the_diary_is_kept(loaded, tmp_path):
    manager, _ = loaded("diary.py")
    run = type("Run", (), {"folder": tmp_path})()
    manager.hook.stage_finished(run, "02-evolve", 7, {"copied": 1})
    manager.hook.run_finished(run, None)
    assert (tmp_path / "diary.txt").read_text() == "02-evolve: 7 kept, dropped {'copied': 1}\ndone\n"


def question(text: str) -> Request:
    return Request(messages=(Message(role="user", content=text),))


def test_the_wrapper_changes_what_is_asked(loaded):
    manager, _ = loaded("polite.py", "parrot.py")
    teacher = ScriptedTeacher(script=lambda request: Reply(text=request.messages[0].content))
    asker = manager.hook.ask(teacher, teacher.reply)
    reply = run_async(asker(question("Why?")))
    assert reply.text == "Answer in full sentences."


def test_the_glossary_answers_what_it_knows_and_refuses_the_rest(loaded):
    manager, _ = loaded("glossary.py")
    glossary = manager.build("teachers", {"use": "glossary", "terms": {"river": "Water that flows."}})
    assert run_async(glossary.reply(question("What is a river?"))).text == "Water that flows."
    with pytest.raises(TeacherError, match="none of 1 terms") as caught:
        run_async(glossary.reply(question("What is a hill?")))
    assert not caught.value.retry


def test_the_checkup_finds_what_is_missing(loaded, monkeypatch):
    monkeypatch.delenv("PIRATE_KEY", raising=False)
    manager, _ = loaded("keys.py")
    assert [level for _, level, _ in manager.hook.checkup()] == ["warn"]


def test_every_hook_is_documented_with_its_arguments():
    section = read("docs/plugins/hooks.md").split("\n## Every hook\n")[1].split("\n## ")[0]
    said = dict(re.findall(r"^### (\w+)\((.*)\)$", section, re.M))
    specs = {name: ", ".join(inspect.signature(spec).parameters) for name, spec in SPECS.items()}
    assert said == specs


def test_every_contract_and_public_name_of_the_guide_exists():
    contracts = set(re.findall(r"`(\w+Contract)`", INDEX))
    assert len(contracts) == len(KINDS)
    assert all(hasattr(testing, name) for name in contracts)
    table = INDEX.split("## What you return")[1].split("## Where your code runs")[0]
    values, attributes = set(re.findall(r"`([A-Z]\w+)\(", table)), set(re.findall(r"ctx\.(\w+)", table))
    assert len(values) > 4
    assert len(attributes) > 6
    assert values <= set(filial.__all__)
    ctx = context()
    assert all(hasattr(ctx, name) for name in attributes)


def test_generated_tables_are_those_of_the_code():
    module = build()
    assert module.stale(module.installed()) == [], "run: make docs"


def test_every_built_in_stands_in_the_reference():
    index = build().installed().index
    for kind in (*KINDS, "hooks"):
        section = read(f"docs/plugins/{kind}.md").split(f"\n## Built-in {kind}\n")[1]
        assert re.findall(r"^### (\S+)$", section, re.M) == list(index[kind])
        assert index[kind]


def test_a_page_is_only_changed_inside_its_blocks():
    module = build()
    text = "before\n<!-- made by docs/build.py: Budget -->\nstale\n<!-- end -->\nafter\n"
    made = module.page(text, module.installed())
    assert made.startswith("before\n<!-- made by docs/build.py: Budget -->\n\n| name |")
    assert made.endswith("\n\n<!-- end -->\nafter\n")
    assert "stale" not in made
    assert module.page(made, module.installed()) == made


def test_the_recipe_of_the_reference_has_no_fault(tmp_path):
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Name three rivers."}\n')
    (tmp_path / "base-model").mkdir()
    recipe = loads(marked("recipe", read("docs/recipe.md")), "my.yaml", build().installed(), base=tmp_path)
    assert [stage.verb for stage in recipe.stages] == ["generate", "evolve", "filter", "mix"]
    changed = ["stages.evolve.rounds=3"]
    again = loads(marked("recipe", read("docs/recipe.md")), "my.yaml", build().installed(), changed, base=tmp_path)
    assert again.stages[1].settings.rounds == 3


def examples() -> dict[str, str]:
    """Format -> the line that docs/formats.md shows of it."""
    sections = read("docs/formats.md").split("\n## ")[1:]
    return {s.split("\n")[0]: s.split("```json\n")[1].split("\n```")[0] for s in sections if "```json" in s}


FORMATS = ["filial", *build().installed().index["formats"]]
OF_FILES = ("parquet", "hf", "csv", "tsv", "cot-tsv", "columns")  # and what is only found by name


def test_every_format_has_a_section_and_every_text_format_an_example():
    assert sorted(re.findall(r"^## ([\w-]+)$", read("docs/formats.md"), re.M)) == sorted(FORMATS)
    assert sorted(examples()) == sorted(set(FORMATS) - set(OF_FILES))


@pytest.mark.parametrize("name", sorted(set(FORMATS) - set(OF_FILES)))
def test_the_example_of_a_format_is_recognised_and_written_as_it_is_read(name, tmp_path):
    line = examples()[name]
    (tmp_path / "in.jsonl").write_text(line + "\n", encoding="utf-8")
    found = list(formats.read(tmp_path / "in.jsonl"))
    assert found == list(formats.read(tmp_path / "in.jsonl", format=name))
    writes = name == "filial" or build().installed().build("formats", name).writes()
    if writes:
        formats.write(tmp_path / "out.jsonl", found, format=name)
        assert json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8")) == json.loads(line)
    section = read("docs/formats.md").split(f"## {name}\n")[1].split("\n## ")[0]
    assert ("*Only read.*" in section) == (not writes)


def test_the_example_of_csv_is_read_and_written_as_it_is(tmp_path):
    text = read("docs/formats.md").split("## csv\n")[1].split("```text\n")[1].split("```")[0]
    (tmp_path / "in.csv").write_text(text, encoding="utf-8")
    found = list(formats.read(tmp_path / "in.csv"))
    assert found[0].extra == {"ticket": "T-17"}
    formats.write(tmp_path / "out.csv", found)
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == text


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links, as GitHub names them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: str) -> list[tuple[str, Path, str]]:
    """(text, file, anchor) of every link of a page to a file of the repository, or within the page."""
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.S | re.M)
    found = re.findall(r"\[([^\]]*)\]\((?!https?://)([^)#\s]*)(?:#([^)\s]*))?\)", text)
    here = ROOT / page
    return [(name, here.parent / target if target else here, anchor) for name, target, anchor in found]


def test_the_readme_shows_the_plugin_of_the_guide_and_its_package():
    assert f"```python\n{PLUGINS['pirate.py']}```" in read("README.md")
    assert f"```toml\n{marked('pyproject', INDEX)}```" in read("README.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_lead_somewhere(page):
    for name, target, anchor in links(page):
        assert target.exists(), f"{name}: {target}"
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{name}: {target}#{anchor}"


def test_every_page_is_in_the_list_of_documents():
    listed = {str(target.resolve().relative_to(ROOT)) for _, target, _ in links("docs/index.md")}
    assert set(PAGES) - listed == {"docs/index.md"}


def defined(path: Path) -> set[str]:
    """The classes, functions and methods of a file, methods as Class.method."""
    out = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            out.add(node.name)
            out |= {f"{node.name}.{part.name}" for part in ast.walk(node) if isinstance(part, METHODS)}
    return out


METHODS = (ast.FunctionDef, ast.AsyncFunctionDef)


def test_the_architecture_names_what_is_in_the_code():
    named = [(name.strip("`"), path) for name, path, _ in links("docs/architecture.md") if name.startswith("`")]
    assert len(named) > 40
    assert [f"{path}: {name}" for name, path in named if name not in defined(path)] == []


def test_the_architecture_draws_every_room():
    drawn = re.search(r"core/filial/ .*?plugins/filial_plugins/ ", read("docs/architecture.md"), re.S)[0]
    rooms = {path.parent.name for path in (ROOT / "core" / "filial").glob("*/__init__.py")}
    assert set(re.findall(r"^      (\w+)/ ", drawn, re.M)) == rooms


@pytest.mark.skipif("evolve" not in filial.__all__, reason="filial has no functions for Python yet")
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    seeds = (ROOT / "plugins/filial_plugins/procedural/seeds.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    (tmp_path / "seeds.jsonl").write_text("\n".join(seeds) + "\n", encoding="utf-8")
    exec(compile(marked("python", read("README.md")), "README.md", "exec"), {})
    assert re.search(r"^4 seeds, \d+ records, \d+ dropped$", capsys.readouterr().out, re.M)
    assert list(formats.read("harder.jsonl"))


def imports(folder: Path) -> list[tuple[Path, str]]:
    """(file, what it imports) of every import in a folder; names are written out: ``filial.formats``."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found += [(path, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found += [(path, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def test_the_core_imports_and_names_no_built_in():
    for path in (ROOT / "core").rglob("*.py"):
        assert "filial_plugins" not in path.read_text(encoding="utf-8"), path


def test_what_the_readme_shows_of_check_is_what_check_says(cli):
    text = (Path(__file__).parents[2] / "README.md").read_text()
    recipe = re.search(r"## A recipe\n\n```yaml\n(.*?)```", text, re.DOTALL)[1]
    (shown,) = re.findall(r"^recipe\.yaml:.*$", text, re.MULTILINE)
    (cli.folder / "recipe.yaml").write_text(recipe.replace("max_words", "max_word"))
    assert cli("check", "recipe.yaml", toy=False) == 2
    assert shown in cli.err.splitlines()
