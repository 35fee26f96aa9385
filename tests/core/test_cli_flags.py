"""A plugin's options as flags, its help, and what happens when a flag's name is taken."""

import json

import pytest

PLUGIN = '''
from typing import Literal
from filial import Field, Filter, Keep, Drop, hookimpl

class Odd(Filter):
    """Options of every shape, some with the command's own names.

    More about it.
    """
    rounds: int = Field(default=3, ge=1, description="Plain.")
    seed: int = Field(default=0, description="Taken by the command.")
    limit: bool = Field(default=False, description="A switch whose name is taken.")
    teacher_option: str = Field(default="", description="Taken by flag, not by name.")
    help: str = Field(default="", description="Taken by click.")
    with_seed: int = Field(default=0, description="Taken by the way out itself.")
    words: list[str] = Field(default=[], description="A list.")
    rates: dict[str, float] = Field(default={}, description="A mapping.")
    level: Literal["low", "high"] = Field(default="low", description="A choice.")
    share: float | None = Field(default=None, gt=0, description="Optional.")

    def check(self, record, ctx):
        return Keep(tags=(self.model_dump_json(),))

class Needy(Filter):
    """One option must be given."""
    path: str = Field(description="Where.")
    def check(self, record, ctx):
        return Keep()

@hookimpl
def register_filters(register):
    register("odd", Odd)
    register("needy", Needy)
'''


@pytest.fixture
def odd(cli):
    (cli.folder / "odd.py").write_text(PLUGIN)
    cli.write("in.jsonl", {"instruction": "Name a river."})

    def run(*args):
        return cli("--plugin", "odd.py", "filter", "odd", "in.jsonl", "-o", "o.jsonl", *args)

    return run


def test_every_shape_of_option_arrives(odd, cli):
    code = odd(
        "--rounds", "4", "--words", "a", "--words", "b c", "--rates", "{x: 1, y: 0.5}", "--level", "high",
        "--share", "0.25",
    )  # fmt: skip
    assert code == 0
    got = json.loads(cli.rows("o.jsonl")[0]["tags"][0])
    assert (got["rounds"], got["words"], got["level"], got["share"]) == (4, ["a", "b c"], "high", 0.25)
    assert got["rates"] == {"x": 1.0, "y": 0.5}


def test_an_option_whose_flag_is_taken_is_reached_by_another_name(odd, cli):
    assert (
        odd(
            "--with-seed",
            "7",
            "--with-limit",
            "--with-help",
            "me",
            "--with-teacher-option",
            "t",
            "--with-with-seed",
            "8",
        )
        == 0
    )
    got = json.loads(cli.rows("o.jsonl")[0]["tags"][0])
    assert (got["seed"], got["limit"], got["help"], got["teacher_option"], got["with_seed"]) == (7, True, "me", "t", 8)


def test_a_switch_whose_flag_is_taken_can_be_turned_off(odd, cli):
    assert odd("--no-with-limit") == 0
    assert json.loads(cli.rows("o.jsonl")[0]["tags"][0])["limit"] is False


def test_the_help_tells_the_plugins_options_from_the_commands(odd, cli):
    assert odd("-h") == 0
    assert cli.out.startswith("Usage: filial filter odd -o OUT [OPTIONS] INPUT...")
    own, ours = cli.out.split("\nOptions:\n")
    assert "Options of odd:" in own
    assert all(flag in own for flag in ("--rounds", "--with-seed", "--with-limit", "--with-help", "--rates"))
    assert "Option 'seed' of the plugin. Taken by the command." in " ".join(own.split())
    assert all(flag in ours for flag in ("--out", "--seed", "--json", "--drops"))
    assert "More about it." in own


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--rounds", "0"], "--rounds"),
        (["--rounds", "many"], "--rounds"),
        (["--level", "middle"], "--level"),
        (["--rates", "[1"], "--rates"),
        (["--rates", "{x: much}"], "--rates"),
        (["--round", "1"], "--rounds"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_flag(odd, cli, args, told):
    assert odd(*args) == 2
    assert told in cli.err
    assert len(cli.err.strip().splitlines()) == 1
    assert "o.jsonl" not in cli.files()


def test_an_option_that_must_be_given_is_asked_for(odd, cli):
    assert cli("--plugin", "odd.py", "filter", "needy", "in.jsonl", "-o", "o.jsonl") == 2
    assert "--path" in cli.err


def test_plugins_of_a_kind_are_listed_with_a_line_about_each(cli):
    assert cli("filter", "--help") == 0
    assert cli.out.startswith("Usage: filial filter NAME ...")
    assert "novelty  " in cli.out
    assert "short" in cli.out
    assert "toy.py" in cli.out


def test_show_tells_every_option_with_type_and_default(odd, cli):
    assert cli("--plugin", "odd.py", "plugins", "show", "odd") == 0
    lines = [line.strip() for line in cli.out.splitlines()]
    assert "rounds: integer >= 1, default 3. Plain." in lines
    assert "words: list of string, default []. A list." in lines
    assert "level: 'low' | 'high', default 'low'. A choice." in lines
    assert "share: number > 0, optional. Optional." in lines
    cli("--plugin", "odd.py", "plugins", "show", "needy")
    assert "path: string, required. Where." in cli.out


def test_the_schema_of_a_plugin_is_what_validates_its_options(odd, cli):
    from jsonschema import Draft202012Validator

    assert cli("--plugin", "odd.py", "schema", "filter", "odd") == 0
    validator = Draft202012Validator(json.loads(cli.out))
    assert validator.is_valid({"rounds": 2, "level": "high"})
    assert not validator.is_valid({"rounds": 0})
    assert not validator.is_valid({"round": 2})


TRAINER = """
from filial import Field, Trainer, hookimpl

class Note(Trainer):
    '''Notes its seeds.'''
    seed: int | None = Field(default=None, description="Its own.")

    def train(self, data, model, template, out, ctx):
        out.mkdir()
        return {"seeds": f"{ctx.seed} {self.seed}"}

@hookimpl
def register_trainers(register):
    register("note", Note)
"""


@pytest.mark.parametrize(
    ("flags", "seeds"), [([], "42 None"), (["--seed", "7"], "7 None"), (["--seed", "7", "--with-seed", "8"], "7 8")]
)
def test_training_takes_its_seed_by_the_flag_that_all_commands_have(cli, flags, seeds):
    (cli.folder / "note.py").write_text(TRAINER)
    cli.write("d.jsonl", {"instruction": "a", "output": "b"})
    options = ["--model", "m", "--template", "alpaca", "-o", "out", "--json", *flags]
    assert cli("--plugin", "note.py", "train", "note", "d.jsonl", *options) == 0, cli.err
    assert json.loads(cli.out) == {"seeds": seeds}
