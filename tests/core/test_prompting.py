"""Strategies that are one text: in code, in a recipe, in a file."""

import pytest
from pydantic import ValidationError

from filial import Drop, Field, PromptStrategy, Record, Reply
from filial.testing import StrategyContract, context, run_async

PLAIN = Record(id="p", instruction="Sort {these} words.", input="pear, fig", output="fig, pear")


class Pirate(PromptStrategy):
    """Retell as a pirate would."""

    wording = "Retell in {max_words} words: {prompt}"


class TestPirate(StrategyContract):
    component = Pirate()


def test_the_text_is_filled_with_the_record():
    assert Pirate().prompt(PLAIN) == "Retell in 20 words: Sort {these} words.\n\nInput:\npear, fig"
    own = Pirate(text="{instruction}|{input}|{output}|{{as it is}}")
    assert own.prompt(PLAIN) == "Sort {these} words.|pear, fig|fig, pear|{as it is}"


def test_an_option_of_the_subclass_is_a_name_in_its_text():
    class Retold(PromptStrategy):
        """Retell for a reader."""

        wording = "For a {reader} of {age}: {prompt}"
        reader: str = Field("child", description="Who reads it.")
        age: int = Field(7, description="How old the reader is.")
        topics: tuple[str, ...] = Field((), description="What it may be about.")

    assert Retold(reader="pilot").prompt(PLAIN.replaced(input="")) == "For a pilot of 7: Sort {these} words."
    with pytest.raises(
        ValidationError, match=r"\{topics\}, and there is no such name; there are .*\{reader\}, \{age\}"
    ):
        Retold(text="About {topics}: {prompt}")


def test_the_reply_is_the_child():
    child = run_async(Pirate().evolve(PLAIN, context(lambda request: Reply(text="Sort 'em.\n\nInput:\nfig", key="k"))))
    assert (child.instruction, child.input, child.output) == ("Sort 'em.", "fig", "")
    assert (child.origin.parents, child.origin.answers) == (("p",), ("k",))
    assert isinstance(run_async(Pirate().evolve(PLAIN, context("Sorry, I cannot do that."))), Drop)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": "Retell {promt}"}, "did you mean {prompt}?"),
        ({"text": "Retell {0}: {prompt}"}, "no such name"),
        ({"text": "Retell it."}, "write {prompt} where it goes"),
        ({"text": "Retell {prompt"}, "braces do not match"),
        ({"text": "{prompt}", "file": "a.txt"}, "keep one of them"),
    ],
)
def test_a_text_that_cannot_be_used_is_refused(options, words):
    with pytest.raises(ValidationError) as refused:
        Pirate(**options)
    assert words in str(refused.value)


RECIPE = """
teacher: {{use: echo}}
data: data.jsonl
stages:
  - evolve:
      strategies:
        - {{use: prompt, name: loud, family: in-breadth, {how}}}
      eliminate: []
"""


@pytest.fixture
def recipe(cli):
    cli.write("data.jsonl", {"instruction": "count to ten"})

    def write(how):
        (cli.folder / "r.yaml").write_text(RECIPE.format(how=how))
        return "r.yaml"

    return write


def test_a_recipe_needs_no_python(cli, recipe):
    assert cli("run", recipe("text: 'LOUDER {prompt}'")) == 0
    rows = cli.rows("runs/r/stages/01-evolve/records.jsonl")
    assert rows[1]["instruction"] == "LOUDER count to ten indeed"
    assert cli("survival", "r") == 0
    assert "loud" in cli.out
    assert "in-breadth" in cli.out


def test_a_text_in_a_file_is_found_beside_the_recipe_and_its_change_is_noticed(cli, recipe):
    (cli.folder / "loud.txt").write_text("LOUDER {prompt}\n")
    assert cli("run", recipe("file: loud.txt")) == 0
    assert cli("run", "r.yaml") == 0
    assert "done before" in cli.err
    (cli.folder / "loud.txt").write_text("STILL LOUDER {prompt}\n")
    assert cli("run", "r.yaml") == 0
    assert cli.rows("runs/r/stages/01-evolve/records.jsonl")[1]["instruction"].startswith("STILL LOUDER count")


@pytest.mark.parametrize(
    ("how", "text", "words"),
    [
        ("file: lowd.txt", "{prompt}", "r.yaml:7:63: no file 'lowd.txt'; did you mean 'loud.txt'?"),
        ("file: loud.txt", "{promt}", "did you mean {prompt}?"),
        ("max_words: 3", "{prompt}", "it has no text"),
    ],
)
def test_a_wrong_file_is_a_fault_of_the_recipe(cli, recipe, how, text, words):
    (cli.folder / "loud.txt").write_text(text)
    assert cli("check", recipe(how)) == 2
    assert words in cli.err


def test_on_the_command_line(cli):
    cli.write("in.jsonl", {"instruction": "count to ten"})
    (cli.folder / "loud.txt").write_text("LOUDER {prompt}")
    options = ["-o", "out.jsonl", "--teacher", "echo", "--eliminate", "none"]
    assert cli("evolve", "prompt", "in.jsonl", "--file", "loud.txt", *options) == 0
    assert cli.rows("out.jsonl")[1]["instruction"] == "LOUDER count to ten indeed"
    assert cli("evolve", "prompt", "in.jsonl", "--text", "SO {prompt}", *options) == 0
    assert cli.rows("out.jsonl")[1]["instruction"] == "SO count to ten indeed"


def test_a_byte_order_mark_is_no_part_of_a_prompt(tmp_path):
    (tmp_path / "p.txt").write_bytes("\ufeffMake it harder: {prompt}\n".encode())
    assert Pirate(file=str(tmp_path / "p.txt")).prompt(PLAIN).startswith("Make it harder: Sort")
