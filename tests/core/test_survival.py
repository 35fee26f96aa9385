"""The survival table: what each strategy's attempts came to, what they cost, how far children go from parents."""

import json
import re

import pytest
from rouge_score.rouge_scorer import RougeScorer

from filial import Drop, Price, Record, Reply
from filial.storage import write_manifest
from filial_plugins.commands.tables import survival_table
from filial_plugins.stages.survival import SurvivalTable, novelty

PRICE = Price(prompt=2.0, completion=10.0)
PARENT = Record(id="p", instruction="name three rivers of europe")


def reply(prompt, completion):
    return Reply(text="x", prompt_tokens=prompt, completion_tokens=completion)


def child(text):
    return PARENT.evolved(instruction=text)


def table(price=PRICE):
    made = SurvivalTable(price)
    made.count("deepen", 1, PARENT, child("name three long rivers of europe by length now"), [reply(100, 20)] * 2)
    made.count("deepen", 1, PARENT, Drop("refused"), [reply(50, 10)])
    made.count("deepen", 2, PARENT, Drop("apology"))
    made.count("mutate", 1, PARENT, child("list two lakes"))
    return made.rows()


def test_a_row_counts_attempts_and_the_answers_they_used():
    row = table()["deepen"]["1"]
    assert (row["tried"], row["kept"], row["dropped"]) == (2, 1, {"refused": 1})
    assert (row["requests"], row["tokens"]) == (3, 300)
    assert row["usd"] == pytest.approx((250 * 2 + 50 * 10) / 1e6)
    assert row["length_growth"] == pytest.approx(9 / 5)
    assert table()["deepen"]["2"]["length_growth"] == 0.0


def test_money_is_not_known_without_a_price():
    assert table(None)["deepen"]["1"]["usd"] is None
    assert "–" in survival_table({"stages": [{"survival": table(None)}]})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name three rivers", "name three rivers"), ("name three rivers", "list two lakes"),
        ("sort these words by length", "sort the words by length and then reverse them"),
        ("a b c d a b c d", "d c b a a b c d"),
    ],
)  # fmt: skip
def test_novelty_is_one_minus_rouge_l(before, after):
    score = RougeScorer(["rougeL"], use_stemmer=False).score(before, after)["rougeL"].fmeasure
    assert novelty(before.split(), after.split()) == pytest.approx(1 - score)


def test_rounds_and_stages_add_up():
    stage = {"name": "01-evolve", "survival": table()}
    text = survival_table({"stages": [stage, stage, {"name": "02-filter"}]})
    assert re.search(r"deepen +6 +2 +33 % +6 +600 +\$0\.00100 +1.80 ×", text)
    assert re.search(r"deepen +apology 2, refused 2", text)
    assert survival_table({"stages": [{}]}) == ""


RECIPE = """
teacher: {use: echo}
data: data.jsonl
stages:
  - evolve:
      rounds: 2
      strategies: [longer, {use: longer, name: other, family: in-breadth, weight: 2}]
      eliminate: []
"""


@pytest.fixture
def done(cli):
    rows = [{"instruction": f"count to {i}"} for i in range(12)]
    cli.write("data.jsonl", *rows)
    (cli.folder / "r.yaml").write_text(RECIPE)
    assert cli("run", "r.yaml") == 0
    return cli


def test_the_command_shows_every_strategy_and_round_of_a_run(done):
    assert done("survival", "r") == 0
    assert re.search(r"longer +in-depth +1 +\d+", done.out)
    assert re.search(r"other +in-breadth +1 +\d+", done.out)
    assert re.search(r"\n +all +\d+ ", done.out)
    assert "1 - ROUGE-L" in done.out
    by_name = done.out
    assert done("survival", "runs/r") == 0
    assert done.out == by_name


def test_the_command_stays_within_80_columns(done):
    path = done.folder / "runs/r/stages/01-evolve/manifest.json"
    manifest = json.loads(path.read_text())
    rounds = manifest["report"]["survival"].pop("longer")
    for row in rounds.values():
        row.update(requests=1_234_567, tokens=987_654_321, usd=1234.5)
    manifest["report"]["survival"]["a-strategy-with-a-long-name" * 2] = rounds
    write_manifest(path, {key: value for key, value in manifest.items() if key != "checksum"})
    assert done("survival", "r") == 0
    assert max(map(len, done.out.splitlines())) <= 80
    for word in ("tried", "$/kept", "new", "1,234,567", "987,654,321"):
        assert word in done.out


def test_as_json_it_is_what_the_manifest_says(done):
    assert done("survival", "r", "--json") == 0
    (stage,) = json.loads(done.out)
    manifest = json.loads((done.folder / "runs/r/stages/01-evolve/manifest.json").read_text())
    assert stage["survival"] == manifest["report"]["survival"]
    tried = sum(row["tried"] for rounds in stage["survival"].values() for row in rounds.values())
    assert tried == manifest["counts"]["made"] == 24
    assert stage["families"] == {"longer": "in-depth", "other": "in-breadth"}


def test_a_run_that_is_none_is_a_sentence(cli):
    assert cli("survival", "nothing") == 2
    assert "runs/nothing is not a run" in cli.err


def test_a_run_that_evolved_nothing_says_so(cli):
    cli.write("data.jsonl", {"instruction": "count"})
    (cli.folder / "r.yaml").write_text("data: data.jsonl\nstages:\n  - filter: [short]\n")
    assert cli("run", "r.yaml") == 0
    assert cli("survival", "r") == 2
    assert "no finished evolve stage" in cli.err
