"""The data set of a run: nothing held back is trained on, and what is held back asks about what was taught."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filial import Message, Record, UsageError
from filial.contracts.records import question_key
from filial.engine.dataset import choose_heldout, write_dataset
from filial.storage import read_manifest

TEXTS = st.text("abc", min_size=1, max_size=2)
SINGLE = st.builds(lambda i, x, o: Record(instruction=i, input=x, output=o), TEXTS, st.text("xy", max_size=1), TEXTS)
CHAT = st.builds(
    lambda q, a: Record(messages=(Message(role="user", content=q), Message(role="assistant", content=a))), TEXTS, TEXTS
)


def question(record):
    """What is said before the last answer, as one text: our own reading, not the package's."""
    if record.messages:
        return "\n\n".join(m.content for m in record.messages[:-1])
    return record.instruction + ("\n\n" + record.input if record.input else "")


def split(records, heldout, seed):
    """What is trained on and what is kept back."""
    asked, tasks = [question_key(record) for record in records], [record.instruction for record in records]
    questions = [asked.index(each) for each in asked]
    chosen = choose_heldout(questions, [tasks.index(task) + 1 if task else 0 for task in tasks], heldout, seed)
    return [r for i, r in enumerate(records) if i not in chosen], [records[i] for i in sorted(chosen)]


@settings(max_examples=200)
@given(st.lists(SINGLE | CHAT, min_size=2, max_size=30), st.integers(1, 12), st.integers(0, 5))
def test_no_held_out_question_is_trained_on_or_held_out_twice(records, heldout, seed):
    try:
        train, kept_back = split(records, heldout, seed)
    except UsageError:
        own = sum(n == 1 for n in Counter(map(question, records)).values())
        assert own < heldout or heldout >= len(records)
        return
    assert len(kept_back) == heldout
    assert train
    asked = Counter(map(question, kept_back))
    assert max(asked.values()) == 1
    assert not asked.keys() & set(map(question, train))
    places = [next(i for i, r in enumerate(records) if r is one) for one in train]
    assert places == sorted(places), "what is trained on stays in its order"
    assert split(records, heldout, seed) == (train, kept_back)


def test_records_whose_instruction_others_share_are_held_back_first():
    shared = [Record(instruction="sort", input=str(i), output="o") for i in range(6)]
    lonely = [Record(instruction=f"only {i}", output="o") for i in range(20)]
    train, kept_back = split(lonely + shared, 5, seed=1)
    assert {r.instruction for r in kept_back} == {"sort"}
    assert [r.instruction for r in train].count("sort") == 1, "one is left to teach the instruction"
    assert len(split(lonely + shared, 8, seed=1)[1]) == 8


@pytest.mark.parametrize("seed", range(5))
def test_what_other_questions_show_is_not_held_back(tmp_path, seed):
    records = [
        Record(id=str(i), instruction=f"Task {i}?", output="x", tags=("exemplar",) if i % 3 else ()) for i in range(30)
    ]
    write_dataset(tmp_path, records, 10, seed, "key")
    held = [json.loads(line) for line in (tmp_path / "heldout.jsonl").read_text().splitlines()]
    assert {row["id"] for row in held} == {str(i) for i in range(0, 30, 3)}
    with pytest.raises(UsageError, match="11 records"):
        write_dataset(tmp_path, records, 11, seed, "other")


def test_another_seed_holds_others_back():
    records = [Record(instruction=f"task {i}", output="o") for i in range(50)]
    assert split(records, 10, 1)[1] != split(records, 10, 2)[1]


def test_nothing_held_back_is_everything_trained_on():
    records = [Record(instruction="a"), Record(instruction="a")]
    assert split(records, 0, 1) == (records, [])


@pytest.mark.parametrize("heldout", [2, 3, 9])
def test_too_much_to_hold_back_says_how_many_there_are(heldout):
    records = [Record(instruction="a"), Record(instruction="a"), Record(instruction="b")]
    with pytest.raises(UsageError, match=rf"heldout: {heldout} .* only 1 of 3"):
        split(records, heldout, 1)


def test_both_files_are_written_once_per_key(tmp_path):
    records = [Record(id=str(i), instruction=f"task {i}", output="o") for i in range(10)]
    manifest = write_dataset(tmp_path, records, 3, 1, "key")
    rows = {n: (tmp_path / n).read_text().splitlines() for n in ("train.jsonl", "heldout.jsonl")}
    assert (len(rows["train.jsonl"]), len(rows["heldout.jsonl"])) == (7, 3) == (manifest["train"], manifest["heldout"])
    assert {json.loads(line)["id"] for lines in rows.values() for line in lines} == {str(i) for i in range(10)}
    assert read_manifest(tmp_path / "manifest.json") == manifest
    stamp = (tmp_path / "train.jsonl").stat().st_mtime_ns
    assert write_dataset(tmp_path, records, 3, 1, "key") == manifest
    assert (tmp_path / "train.jsonl").stat().st_mtime_ns == stamp
    assert write_dataset(tmp_path, records, 4, 1, "other key")["heldout"] == 4


def test_what_an_exam_asks_is_not_trained_on_whatever_form_it_has(tmp_path):
    records = [Record(id=str(i), instruction=f"task {i}", output="o") for i in range(6)]
    exams = {("task 1",), ("name a river", "which one?", "the longest")}
    turns = ("name a river", "which one?", "the longest", "Nile")
    talk = tuple(
        Message(role=r, content=t) for r, t in zip(("user", "assistant") * 2, turns, strict=True)
    )  # fmt: skip
    records.append(Record(id="talk", messages=talk))
    manifest = write_dataset(tmp_path, records, 2, 1, "key", exams)
    rows = {n: [json.loads(x)["id"] for x in (tmp_path / f"{n}.jsonl").read_text().splitlines()] for n in NAMES}
    assert rows["contaminated"] == ["1", "talk"]
    assert {n: len(ids) for n, ids in rows.items()} == {n: manifest[n] for n in NAMES}
    assert sorted(i for ids in rows.values() for i in ids) == sorted(r.id for r in records)


NAMES = ("train", "heldout", "contaminated")


def test_records_pass_by_once_and_are_not_kept(tmp_path):
    alive, most = 0, 0

    class Watched(Record):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def passing():
        nonlocal alive, most
        for i in range(200):
            alive += 1
            most = max(most, alive)
            yield Watched(id=str(i), instruction=f"task {i}", output="o")

    manifest = write_dataset(tmp_path, passing(), 20, 1, "key")
    assert (manifest["train"], manifest["heldout"]) == (180, 20)
    assert most <= 3


@pytest.mark.parametrize("heldout", [0, 500])
def test_a_data_set_that_cannot_be_made_leaves_the_one_before(tmp_path, heldout):
    records = [Record(id=str(i), instruction=f"task {i}", output="o") for i in range(10)]
    before = write_dataset(tmp_path, records, 3, 1, "key")

    def broken():
        yield from records
        if not heldout:
            raise UsageError("line 11 is no record")

    with pytest.raises(UsageError, match="line 11 is no record" if not heldout else "heldout: 500"):
        write_dataset(tmp_path, broken(), heldout, 1, "other key")
    assert read_manifest(tmp_path / "manifest.json") == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "contaminated.jsonl", "heldout.jsonl", "manifest.json", "train.jsonl",
    ]  # fmt: skip


def test_a_fault_of_the_source_is_not_laid_to_the_folder(tmp_path):
    def failing():
        yield Record(id="a", instruction="task", output="o")
        raise OSError("the network is down")

    with pytest.raises(OSError, match="the network is down"):
        write_dataset(tmp_path, failing(), 0, 1, "key")
    assert not list(tmp_path.iterdir())
