"""``filial rewards``: a file that stands alone and decides as the filter does."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys

import pytest

from filial import Constraint, Message, Record
from filial.formats import read, write
from filial.testing import context
from filial_plugins.constraints.catalogue import CONSTRAINT_TYPES
from filial_plugins.constraints.rewards import build_reward_file
from filial_plugins.filters.constraints import Constraints
from filial_plugins.procedural.constrained_answers import write_answer

ALONE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import my_rewards
rows = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
asked = {"prompts": [r["prompt"] for r in rows], "completions": [r["completion"] for r in rows],
         "constraints": [r["constraints"] for r in rows], "trainer_state": None, "completion_ids": []}
heavy = sorted(m for m in sys.modules if m.partition(".")[0] in ("filial", "filial_plugins", "msgspec", "pydantic"))
print(json.dumps([my_rewards.reward(**asked), my_rewards.loose_reward(**asked), heavy]))
"""


def records():
    """A record for each pair of a type and a fate: obeyed, broken, wrapped in chatter, not in the least."""
    rng = random.Random(11)
    for kind in CONSTRAINT_TYPES.values():
        for broken in ("", kind.name):
            one = Constraint(type=kind.name, args=kind.draw(rng), text="Do so.")
            two = [one, Constraint(type="no-digits", args={}, text="Use no digits.")] if broken else [one]
            answer = write_answer("apple blue 7", two, broken)
            for number, text in enumerate((answer, f"Sure:\n{answer}", f'"{answer}"', "No 1, 2; nothing?", "")):
                record = Record(id=f"{kind.name}-{broken}-{number}", instruction="Do so. Use no digits.", output=text)
                yield record.replaced(constraints=tuple(two))


@pytest.fixture
def data(cli):
    rows = list(records())
    plain = Record(id="plain", instruction="Name a river.", output="Ob")
    write(cli.folder / "data.jsonl", [*rows, plain])
    return rows


def test_the_file_alone_gives_what_the_filter_scores(cli, data, tmp_path):
    assert cli("rewards", "data.jsonl", "-o", "my_rewards.py", "--prompts", "prompts.jsonl", toy=False) == 0, cli.err
    assert f"{len(data)} records with constraints, 1 without" in cli.err
    prompts = [json.loads(line) for line in (cli.folder / "prompts.jsonl").read_text().splitlines()]
    assert len(prompts) == len(data)
    rows = [{**row, "completion": record.output} for row, record in zip(prompts, data, strict=True)]
    for row in rows[::2]:  # as a list of messages every other time, as TRL has it for conversations
        row["completion"] = [{"role": "assistant", "content": row["completion"]}]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE, str(cli.folder), str(tmp_path / "answers.jsonl")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    strict, loose, heavy = json.loads(done.stdout)
    scores = [Constraints().check(record, context("")).scores for record in data]
    assert strict == [score["constraints_strict_share"] for score in scores]
    assert loose == [score["constraints_loose_share"] for score in scores]
    assert heavy == []
    assert {0.0, 0.5, 1.0} <= set(strict)


def test_it_imports_the_standard_library_only_and_defines_no_name_twice():
    tree = ast.parse(build_reward_file("my_rewards"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert all(name.split(".")[0] in {*sys.stdlib_module_names, "__future__"} for name in names)
    named = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    for node in tree.body:
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        named += [target.id for target in targets if isinstance(target, ast.Name)]
    twice = sorted({name for name in named if named.count(name) > 1})
    assert twice == []


def test_a_prompt_is_what_stands_before_the_answer(cli):
    one = Constraint(type="no-commas", args={}, text="Use no commas.")
    talk = Record(
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="Hi. Use no commas."),
            Message(role="assistant", content="Hi"),
        ),
        constraints=(one,),
    )
    single = Record(instruction="Sum up. Use no commas.", input="A river.", output="So.", constraints=(one,))
    write(cli.folder / "data.jsonl", [talk, single])
    assert cli("rewards", "data.jsonl", "-o", "r.py", "--prompts", "p.jsonl", toy=False) == 0
    first, second = [json.loads(line) for line in (cli.folder / "p.jsonl").read_text().splitlines()]
    assert [turn["role"] for turn in first["prompt"]] == ["system", "user"]
    assert second["prompt"] == [{"role": "user", "content": "Sum up. Use no commas.\n\nA river."}]
    assert json.loads(second["constraints"]) == [{"type": "no-commas", "args": {}}]
    assert cli("rewards", "data.jsonl", "-o", "r.py", "--prompts", "p.jsonl", "--text", toy=False) == 0
    assert json.loads((cli.folder / "p.jsonl").read_text().splitlines()[1])["prompt"].endswith("\n\nA river.")


def loaded(tmp_path):
    space = {}
    exec(compile(build_reward_file("r"), "r.py", "exec"), space)
    return space


def test_arguments_that_a_typed_column_filled_up_are_as_good_as_none(tmp_path):
    """Arrow gives every row of a column the same fields, and None to those that a row lacks."""
    import pyarrow as pa

    rows = [[{"type": "word-count", "args": {"at_most": 2}}], [{"type": "table", "args": {"columns": 2}}]]
    column = pa.array(rows).to_pylist()
    assert column[0][0]["args"] == {"at_most": 2, "columns": None}
    reward = loaded(tmp_path)["reward"]
    assert reward(prompts=["", ""], completions=["one two", "none"], constraints=column) == [1.0, 0.0]


def test_an_unknown_type_stops_the_training_before_it_learns_nonsense(tmp_path):
    space = loaded(tmp_path)
    with pytest.raises(ValueError, match="no check for the constraint 'rhyme'"):
        space["reward"](completions=["x"], constraints=[[{"type": "rhyme", "args": {}}]])
    assert space["reward"](completions=["x", []], constraints=[None, "[]"]) == [1.0, 1.0]
    assert space["reward"](completions=["", []], constraints=[[{"type": "no-commas", "args": {}}]] * 2) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (Record(instruction="Name a river."), "none of the 1 records has constraints"),
        (
            Record(id="r7", instruction="Rhyme.", constraints=(Constraint(type="rhyme", args={}, text="Rhyme."),)),
            "record r7: there is no type of constraint 'rhyme'",
        ),
    ],
)
def test_data_that_cannot_be_rewarded_is_refused_in_words(cli, record, said):
    write(cli.folder / "data.jsonl", [record])
    assert cli("rewards", "data.jsonl", "-o", "r.py", toy=False) == 2
    assert said in cli.err
    assert not (cli.folder / "r.py").exists()


def test_constraints_survive_a_file_of_records(cli, data):
    assert [record.constraints for record in read(cli.folder / "data.jsonl")][:-1] == [r.constraints for r in data]
