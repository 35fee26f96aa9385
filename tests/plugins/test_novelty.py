"""The novelty filter: what it compares with, and what it says."""

from __future__ import annotations

import unicodedata

import pytest

from filial import Context, Drop, Keep, Message, Origin, Record, UsageError
from filial.formats import write
from filial.testing import FilterContract
from filial_plugins.filters.novelty import Novelty


class TestContract(FilterContract):
    component = Novelty()


def run(novelty: Novelty, *records: Record) -> list[Keep | Drop]:
    ctx = Context(None)
    return [novelty.check(record, ctx) for record in records]


def kept(results: list[Keep | Drop]) -> list[bool]:
    return [isinstance(result, Keep) for result in results]


A = Record(id="a", instruction="Sort the list of words by length.", input="bee, ox", output="ox, bee")


def test_a_drop_names_its_nearest_neighbour_and_score():
    near = A.replaced(id="b", instruction="Sort the list of words by their length.")
    _, drop = run(Novelty(), A, near)
    assert isinstance(drop, Drop)
    assert drop.reason == "too-similar"
    assert drop.detail == "ROUGE-L 0.933 with a: Sort the list of words by length."


def test_further_examples_of_an_accepted_instruction_stay_unless_unwanted():
    more = A.replaced(id="b", input="cow, ant, gnat")
    assert kept(run(Novelty(), A, more, more)) == [True, True, False]
    assert kept(run(Novelty(instances="keep"), A, more, more)) == [True, True, True]
    assert kept(run(Novelty(instances="drop"), A, more)) == [True, False]


COPIES = {
    "itself": ("Name three rivers.", "Name three rivers."),
    "zero-width blanks": ("Name three rivers.", "Na\u200bme three\u2060 rivers."),
    "full-width forms": ("Name three rivers.", "Ｎａｍｅ　ｔｈｒｅｅ ｒｉｖｅｒｓ．"),
    "a mark at the beginning": ("Name three rivers.", "\ufeffName three rivers.\r\n"),
    "a no-break space": ("Name three rivers.", "Name\xa0three  rivers."),
    "Vietnamese decomposed": ("Hãy tả con bò.", unicodedata.normalize("NFD", "Hãy tả con bò.")),
    "Korean in parts": ("시를 써 주세요.", unicodedata.normalize("NFD", "시를 써 주세요.")),
    "Devanagari": ("क़लम से लिखो।", unicodedata.normalize("NFD", "क़लम से लिखो।")),
    "emoji alone": ("🎉🎉👍🏽", "🎉🎉👍🏽"),
    "an emoji with a variation selector": ("❤", "❤\ufe0f"),
    "marks alone": ("?!", "?!"),
    "nothing that is seen": ("\u200b", " "),
}
RULES = {"default": {}, "a threshold of 1": {"threshold": 1}, "question": {"compare": "question"}}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("options", RULES.values(), ids=RULES)
def test_a_copy_is_never_new(name, options):
    first, second = (Record(id=text, instruction=text, output="x") for text in COPIES[name])
    assert kept(run(Novelty(**options), first, second, first)) == [True, False, False]
    assert kept(run(Novelty(**options), second, first)) == [True, False]


def test_the_same_question_with_another_answer_is_a_copy_unless_answers_are_preferences():
    other = A.replaced(id="b", output="[bee, ox]")
    assert kept(run(Novelty(), A, other)) == [True, False]
    assert kept(run(Novelty(), A.replaced(label=True), other.replaced(label=False), A.replaced(label=True))) == [
        True, True, False,
    ]  # fmt: skip
    worse = (Message(role="assistant", content="ox, bee"),)
    pairs = [A.replaced(rejected=worse), other.replaced(rejected=worse), other.replaced(rejected=worse)]
    assert kept(run(Novelty(), *pairs)) == [True, True, False]


def test_conversations_that_open_alike_go_on_unless_they_are_copies():
    def talk(*turns: str) -> Record:
        roles = ("user", "assistant") * len(turns)
        return Record(
            messages=tuple(Message(role=role, content=turn) for role, turn in zip(roles, turns, strict=False))
        )

    one, other = talk("Who are you?", "Me.", "And he?", "He."), talk("Who are you?", "Me.", "And she?", "She.")
    assert kept(run(Novelty(), one, other, one, Record(instruction="Who are you?", output="I."), other)) == [
        True, True, False, True, False,
    ]  # fmt: skip
    alone = [Record(messages=(Message(role="assistant", content=text),)) for text in ("Hi.", "Good day.", "Hi.")]
    assert kept(run(Novelty(), *alone)) == [True, True, False]


def test_a_copy_in_the_letters_of_the_original_is_its_affair():
    """The original finds no word in these, so both are new to it; a copy that it can find is one for both."""
    for text, wanted in {"🎉🎉🎉": True, "写一首诗": True, "Écris: à la mer": False}.items():
        record = Record(instruction=text, output="x")
        assert kept(run(Novelty(scripts="latin"), record, record)) == [True, wanted]


def test_a_rejected_instruction_opens_no_door_for_its_own_copies():
    near = A.replaced(instruction="Sort the list of words by their length.")
    assert kept(run(Novelty(), A, near, near)) == [True, False, False]


def test_compare_question_takes_the_input_into_account():
    rose = Record(instruction="Describe it.", input="a red rose in a glass of water on the table")
    ship = rose.replaced(input="an old ship far out on a cold sea")
    assert kept(run(Novelty(compare="question"), rose, ship, rose)) == [True, True, False]


def test_the_two_rules_differ_on_an_exact_tie():
    tie = [Record(instruction="one two three four five six seven " + rest) for rest in ("a b c", "x y z")]
    assert kept(run(Novelty(), *tie)) == [True, True]
    assert kept(run(Novelty(rule="<"), *tie)) == [True, False]


def test_conversations_are_compared_by_their_first_question():
    def talk(text: str) -> Record:
        return Record(messages=(Message(role="user", content=text), Message(role="assistant", content="Well.")))

    near = "Who wrote this very old song?"
    assert kept(run(Novelty(), talk("Who wrote this very old poem?"), talk(near))) == [True, False]


def test_a_copy_in_another_script_is_dropped_unless_the_original_is_followed():
    texts = [Record(instruction=text) for text in ("写一首关于秋天的诗。", "写一首关于春天的诗。")]
    assert kept(run(Novelty(), *texts)) == [True, False]
    assert kept(run(Novelty(scripts="latin"), *texts)) == [True, True]


def test_two_filters_of_one_stage_do_not_share_a_pool():
    ctx = Context(None)
    assert isinstance(Novelty().check(A, ctx), Keep)
    assert isinstance(Novelty(instances="drop").check(A, ctx), Keep)


@pytest.mark.parametrize("text", ["\ud800", "x" * 1_000_000, "the " * 20_000, "字" * 20_000, "...", "\x00"])
def test_strange_texts_never_raise(text):
    assert kept(run(Novelty(instances="drop"), A, Record(instruction=text), Record(instruction=text)))[:2] == [True] * 2


# What it is new against -------------------------------------------------------------------------------------

SEED = Record(id="s1", instruction="Name three rivers that flow through Germany.")
NEAR_SEED = SEED.replaced(id="b", instruction="Name three rivers that flow through France.")


def against_seeds(novelty: Novelty, *records: Record) -> list[Keep | Drop]:
    ctx = Context(None, seeds=lambda: [SEED])
    return [novelty.check(record, ctx) for record in records]


def test_against_seeds_drops_what_is_like_a_seed_but_no_seed():
    results = against_seeds(Novelty(against=("pool", "seeds")), SEED, NEAR_SEED, A, A.replaced(id="c", input="cow"))
    assert kept(results) == [True, False, True, True]
    assert results[1].detail == "ROUGE-L 0.857 with seed s1: Name three rivers that flow through Germany."


def test_a_further_example_of_a_seed_is_not_new_against_seeds():
    copy = SEED.replaced(id="b", output="Rhine, Elbe, Oder")
    assert kept(against_seeds(Novelty(against=("pool", "seeds")), copy)) == [False]
    assert kept(against_seeds(Novelty(), SEED, copy.replaced(input="No tributaries."))) == [True, True]


def test_a_seed_passes_once():
    assert kept(against_seeds(Novelty(against=("pool", "seeds")), SEED, SEED)) == [True, False]


def test_without_the_pool_records_may_be_like_each_other():
    near = A.replaced(id="b", instruction="Sort the list of words by their length.")
    assert kept(against_seeds(Novelty(against=("seeds",)), A, near, NEAR_SEED)) == [True, True, False]


def test_seeds_that_are_not_there_and_nothing_to_compare_with_are_refused():
    with pytest.raises(UsageError, match="this recipe has none; name a file of seeds in files"):
        run(Novelty(against=("seeds",)), A)
    for against in ((), ("files",)):
        with pytest.raises(ValueError, match="nothing to compare with"):
            Novelty(against=against)


FORMATS = {
    "old.jsonl": "filial",
    "old.json": "alpaca",
    "old.parquet": "parquet",
    "seeds.jsonl": "seeds",
    "o.jsonl.gz": "openai",
}


@pytest.mark.parametrize("name", FORMATS)
def test_against_a_file_in_any_format(tmp_path, name):
    old = [Record(instruction=f"Say {word}.", output="Done.") for word in ("ah", "oh")]
    write(tmp_path / name, [*old, SEED.replaced(output="Rhine, Elbe, Oder")], format=FORMATS[name])
    novelty = Novelty(files=(str(tmp_path / name),))
    fresh, near = run(novelty, A, NEAR_SEED)
    assert isinstance(fresh, Keep)
    assert near.detail == f"ROUGE-L 0.857 with record 3 of {name}: Name three rivers that flow through Germany."


# Ancestors ---------------------------------------------------------------------------------------------------

ROOT = Record(id="r", instruction="Sort these words by length.")


def evolve(parent: Record, more: str) -> Record:
    return parent.evolved(instruction=f"{parent.instruction[:-1]}{more}.").replaced(id=f"{parent.id}{more[-1]}")


CHILD = evolve(ROOT, ", longest first")
GRANDCHILD = evolve(CHILD, ", in French")
COMPARE = Novelty(ancestors="compare")


def test_an_evolved_record_is_not_compared_with_its_ancestors_by_default():
    assert kept(run(Novelty(), ROOT, CHILD, GRANDCHILD)) == [True, True, True]
    assert kept(run(COMPARE, ROOT, CHILD, GRANDCHILD)) == [True, False, False]


def test_with_siblings_and_strangers_it_is_compared():
    sibling, stranger = evolve(ROOT, ", longest last"), CHILD.replaced(id="x", origin=ROOT.origin)
    results = run(Novelty(), ROOT, CHILD, sibling.replaced(id="s"), stranger)
    assert kept(results) == [True, True, False, False]
    assert "with rt: Sort these words by length, longest first." in results[2].detail
    like = Record(id="l", instruction="Sort now by length, longest first, please.")
    results = run(Novelty(), ROOT, like, CHILD)  # ROOT is the nearest
    assert results[2].detail == "ROUGE-L 0.714 with l: Sort now by length, longest first, please."
    assert "ROUGE-L 0.833 with r: " in run(COMPARE, ROOT, like, CHILD)[2].detail
    generated = CHILD.replaced(origin=Origin(parents=("r",)))  # shown as an example: a parent, but nobody evolved it
    assert kept(run(Novelty(), ROOT, generated)) == [True, False]


def test_a_copy_of_an_ancestor_is_dropped():
    for copy in (ROOT.instruction, "sort  these words\u200b, by length"):
        child = ROOT.evolved(instruction=copy).replaced(id="c")
        assert kept(run(Novelty(), ROOT, child)) == [True, False]
        assert kept(run(Novelty(), ROOT, CHILD, child.replaced(origin=GRANDCHILD.origin))) == [True, True, False]
    filled = ROOT.evolved(input="bee, ox").replaced(id="c")
    assert kept(run(Novelty(), ROOT, filled)) == [True, True]


def test_an_ancestor_is_known_though_the_one_between_was_dropped_by_this_filter():
    like = Record(id="l", instruction=CHILD.instruction)
    last = CHILD.evolved(instruction="Sort these words by length in French.").replaced(id="g")
    assert kept(run(Novelty(threshold=0.8), ROOT, last)) == [True, False]  # nothing tells that they are related
    assert kept(run(Novelty(threshold=0.8), ROOT.replaced(id="r"), CHILD, last)) == [True, True, True]
    results = run(Novelty(threshold=0.8), like, ROOT, CHILD, last)
    assert kept(results) == [True, False, False, True]


def test_the_order_of_parent_and_child_makes_no_difference():
    assert kept(run(Novelty(), GRANDCHILD, CHILD, ROOT)) == [True, True, True]
    assert kept(run(COMPARE, GRANDCHILD, CHILD, ROOT)) == [True, False, False]


def test_an_ancestor_among_the_seeds_does_not_count_either_but_one_in_a_file_does(tmp_path):
    child = evolve(SEED, ", please")
    assert kept(against_seeds(Novelty(against=("pool", "seeds")), child)) == [True]
    assert kept(against_seeds(Novelty(against=("pool", "seeds"), ancestors="compare"), child)) == [False]
    write(tmp_path / "old.jsonl", [SEED], format="filial")
    assert kept(run(Novelty(files=(str(tmp_path / "old.jsonl"),)), child)) == [False]


OWN = '''
from filial import Strategy, hookimpl


class More(Strategy):
    """Add a demand; the first one is none."""

    async def evolve(self, record, ctx):
        demand = {0: "", 1: ", longest first", 2: ", in French"}[record.origin.round]
        return record.evolved(instruction=f"{record.instruction[:-1]}{demand}.", output="x")


@hookimpl
def register_strategies(register):
    register("more", More)
'''


def test_evolved_records_in_recipes_stay_beside_those_they_were_evolved_from(cli):
    (cli.folder / "own.py").write_text(OWN)
    cli.write("data.jsonl", {"instruction": ROOT.instruction, "output": "x"})
    recipe = (
        "data: data.jsonl\nteacher: {use: procedural}\nstages:\n"
        "- evolve: {rounds: 3, strategies: [more], eliminate: [%s], answer: false}\n%s"
    )
    texts = [ROOT.instruction, CHILD.instruction, GRANDCHILD.instruction]
    for name, eliminate, stage, wanted in (
        ("default", "", "- filter: novelty\n", texts),
        ("compare", "", "- filter: {use: novelty, ancestors: compare}\n", texts[:1]),
        ("eliminate", "novelty", "", [texts[0], *texts]),
    ):
        (cli.folder / "r.yaml").write_text(recipe % (eliminate, stage))
        assert cli("--plugin", "own.py", "run", "r.yaml", "--name", name) == 0, cli.err
        last = sorted((cli.folder / "runs" / name / "stages").iterdir())[-1]
        assert [row["instruction"] for row in cli.rows(last / "records.jsonl")] == wanted


# On the command line ----------------------------------------------------------------------------------------

TASKS = {
    "en": ["Name three rivers in Germany.", "Name three rivers in France, please.", "Write a limerick about ducks."],
    "zh": ["用 Python 写一个排序函数。", "用 Python 写一个排序的函数。", "解释 Python 的垃圾回收机制。"],
    "ko": ["대한민국의 수도는 어디인가요?", "대한민국의 수도가 어디인가요?", "가을에 대한 시를 써 주세요."],
}


@pytest.mark.parametrize("language", TASKS)
@pytest.mark.parametrize("name", ["in.jsonl", "in.json", "in.parquet"])
def test_users_own_files_in_any_language(cli, name, language):
    rows = [{"instruction": text, "input": "", "output": "…"} for text in TASKS[language]]
    write(cli.folder / name, [Record(**row) for row in rows], format="parquet" if "parquet" in name else "alpaca")
    assert cli("filter", "novelty", name, "--threshold", "0.6", "-o", "out.jsonl") == 0
    assert [row["instruction"] for row in cli.rows("out.jsonl")] == [TASKS[language][0], TASKS[language][2]]


def test_against_files_alone(cli):
    cli.write("old.jsonl", *({"instruction": text, "output": "…"} for text in TASKS["zh"][:1]))
    cli.write("in.jsonl", *({"instruction": text, "output": "…"} for text in TASKS["en"][:1] * 2 + TASKS["zh"][1:]))
    assert cli("filter", "novelty", "in.jsonl", "--against", "files", "--files", "old.jsonl", "-o", "out.jsonl") == 0
    assert [row["instruction"] for row in cli.rows("out.jsonl")] == TASKS["en"][:1] * 2 + TASKS["zh"][2:]
    assert cli("filter", "novelty", "in.jsonl", "--files", "none.jsonl", "-o", "o.jsonl") == 2
    assert "filter: 0.files.0: no file 'none.jsonl'" in cli.err
    cli.write("bad.jsonl", {"instruction": [7]})
    assert cli("filter", "novelty", "in.jsonl", "--files", "bad.jsonl", "-o", "o.jsonl") == 2
    assert "bad.jsonl:1: /instruction" in cli.err
