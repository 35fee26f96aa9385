"""Options that name files: found beside the recipe, refused when missing, noticed when they change."""

import pytest

PLUGIN = '''
from pathlib import Path
from filial import Drop, Field, Filter, InputFile, Keep, hookimpl

class Listed(Filter):
    """Drops instructions that stand in files."""
    files: tuple[InputFile, ...] = Field((), description="Files.")
    only: InputFile | None = Field(None, description="One more.")

    def check(self, record, ctx):
        paths = [*self.files, *([self.only] if self.only else [])]
        lines = {line for path in paths for line in Path(path).read_text().splitlines()}
        seeds = {seed.instruction for seed in ctx.seeds()}
        if record.instruction in seeds:
            return Drop("seed")
        return Drop("listed") if record.instruction in lines else Keep()

@hookimpl
def register_filters(register):
    register("listed", Listed)
'''
RECIPE = "data: data.jsonl\nstages:\n  - filter: {use: listed, files: [a.txt, sub/b.txt]}\n"


@pytest.fixture
def folder(cli):
    (cli.folder / "listed.py").write_text(PLUGIN)
    recipes = cli.folder / "recipes"
    (recipes / "sub").mkdir(parents=True)
    (recipes / "data.jsonl").write_text('{"instruction": "one"}\n{"instruction": "two"}\n{"instruction": "three"}\n')
    (recipes / "a.txt").write_text("one\n")
    (recipes / "sub" / "b.txt").write_text("nothing\n")
    (recipes / "r.yaml").write_text(RECIPE)
    return recipes


def run(cli, *more):
    return cli("--plugin", "listed.py", "run", "recipes/r.yaml", *more)


def kept(cli):
    return [row["instruction"] for row in cli.rows("runs/r/stages/01-filter/records.jsonl")]


def test_paths_start_at_the_recipe(cli, folder):
    assert run(cli) == 0
    assert kept(cli) == ["two", "three"]
    assert "- a.txt" in (cli.folder / "runs/r/recipe.lock.yaml").read_text(), "the recipe stays as it was written"


def test_a_changed_file_is_a_changed_option(cli, folder):
    run(cli)
    run(cli)
    assert "done before" in cli.err
    (folder / "sub" / "b.txt").write_text("two\n")
    run(cli)
    assert kept(cli) == ["three"]


def test_a_missing_file_is_a_fault_at_its_place(cli, folder):
    (folder / "sub" / "b.txt").unlink()
    assert cli("--plugin", "listed.py", "check", "recipes/r.yaml") == 2
    assert "r.yaml:3:42: no file 'sub/b.txt'" in cli.err


def test_a_file_that_is_a_default_is_looked_for_too(cli, folder):
    (cli.folder / "listed.py").write_text(PLUGIN.replace("Field(None", 'Field("known.txt"'))
    assert cli("--plugin", "listed.py", "check", "recipes/r.yaml") == 2
    assert "r.yaml:3:13: no file 'known.txt'; paths start at the recipe's folder" in cli.err
    (folder / "known.txt").write_text("two\n")
    assert run(cli) == 0
    assert kept(cli) == ["three"]


def test_the_schema_says_that_it_is_a_file(cli, folder):
    assert cli("--plugin", "listed.py", "schema", "filter", "listed") == 0
    assert cli.out.count('"format": "file"') == 2


def test_on_the_command_line_paths_start_here(cli, folder):
    files = ["--files", "recipes/a.txt", "--only", "recipes/sub/b.txt"]
    assert cli("--plugin", "listed.py", "filter", "listed", "recipes/data.jsonl", "-o", "o.jsonl", *files) == 0
    assert [row["instruction"] for row in cli.rows("o.jsonl")] == ["two", "three"]


def test_a_filter_is_given_the_seeds_of_the_recipe(cli, folder):
    (folder / "seeds.jsonl").write_text('{"instruction": "three"}\n')
    (cli.folder / "echo.py").write_text(
        "from filial import Generator, Record, hookimpl\n"
        "class Say(Generator):\n    '''Says the seeds and more.'''\n"
        "    asks = False\n"
        "    async def generate(self, seeds, ctx):\n"
        "        for text in ('three', 'four'):\n            yield Record(instruction=text)\n"
        "@hookimpl\ndef register_generators(register):\n    register('say', Say)\n"
    )
    (folder / "r.yaml").write_text("stages:\n  - generate: {use: say, seeds: seeds.jsonl}\n  - filter: listed\n")
    assert cli("--plugin", "listed.py", "--plugin", "echo.py", "run", "recipes/r.yaml") == 0
    rows = cli.rows("runs/r/stages/02-filter/records.jsonl")
    assert [row["instruction"] for row in rows] == ["four"]
