"""Preparation: every record is a row or counted, over-long rows are cut where no harm is done, stores are whole."""

import importlib
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from filial import BEGIN, END, FilialError, Message, Record, Span, Template, UsageError
from filial.contracts.records import to_json
from filial.labels import Encoder
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.vicuna import Vicuna
from filial_plugins.trainers.rows import cache, preparation
from filial_plugins.trainers.rows.cache import prepare_rows
from filial_plugins.trainers.rows.preparation import DataFile, write_rows
from filial_plugins.trainers.rows.store import StoreWriter, TokenStore

EOS = 1
HEADER = "### Response:\n"


def tokenizer(extra: int = 0) -> PreTrainedTokenizerFast:
    """One token per byte."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<pad>", "</s>", *letters, *(f"<extra{i}>" for i in range(extra))]
    backend = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")


TOKENIZER = tokenizer()
ENCODER = Encoder(TOKENIZER)


def text_of(ids) -> str:
    return TOKENIZER.decode([int(i) for i in ids], skip_special_tokens=False)


def store_of(records, folder: Path, *, template=None, max_length=200, over_long="drop") -> TokenStore:
    return write_rows(records, template or Plain(), ENCODER, max_length, over_long, folder / "store")


def talk(*turns: str, system: str = "", name: str = "talk") -> Record:
    roles = ("user", "assistant")
    said = tuple(Message(roles[i % 2], turn) for i, turn in enumerate(turns))
    return Record(id=name, messages=(Message("system", system), *said) if system else said)


ANSWERED = [Record(id=f"r{i}", instruction=f"say {i}", output="naïve 東京 " * (i % 4) + "ok") for i in range(40)]


@pytest.mark.parametrize("one_shot", [False, True])
def test_rows_are_the_records_in_order_tokenised_whole(tmp_path: Path, one_shot: bool) -> None:
    store = store_of(iter(ANSWERED) if one_shot else ANSWERED, tmp_path)
    assert (len(store), store.dropped, store.ends) == (40, {}, {EOS})
    for row, record in zip(store, ANSWERED, strict=True):
        one = ENCODER.encode(Plain().render(record))
        assert row.ids.tolist() == one.ids
        assert row.trained_positions.tolist() == [i for i, t in enumerate(one.mask) if t]
    assert store.lengths.tolist() == [len(row.ids) for row in store]
    assert store.tokens == sum(store.lengths)
    assert store.trained_tokens == sum(len(row.trained_positions) for row in store)
    assert store.largest == max(int(row.ids.max()) for row in store)
    assert store.engine.startswith("tokenizer" if one_shot else "word table")
    assert [r.ids.tolist() for r in store[-2:]] == [store[38].ids.tolist(), store[-1].ids.tolist()]


class Picky(Template):
    """Refuses some records, breaks on others, and asks for no loss in others."""

    def render(self, record: Record) -> list[Span]:
        if record.instruction == "refuse":
            raise UsageError("not this one")
        if record.instruction == "break":
            raise KeyError("oops")
        return [BEGIN, Span(record.instruction), Span(record.output, train=record.instruction != "no loss"), END][:3]


BAD = {
    "no-answer": Record(id="x", instruction="who answers?"),
    "not-renderable": Record(id="x", instruction="refuse", output="a"),
    "template-failed": Record(id="x", instruction="break", output="a"),
    "no-trained-token": Record(id="x", instruction="no loss", output="a"),
    "not-unicode": Record(id="x", instruction="half \ud83d", output="a"),
    "too-long": Record(id="x", instruction="q" * 300, output="a"),
    "bad-line": "train.jsonl:3: not JSON",
}


@pytest.mark.parametrize("reason", BAD)
def test_one_bad_row_in_ten_thousand_is_one_counted_drop(tmp_path: Path, reason: str) -> None:
    """Pitfalls 8 and 25: a row without anything to learn from ends some runs and makes others' loss no number."""
    good = Record(id="good", instruction="q", output="a")
    store = store_of([*[good] * 5000, BAD[reason], *[good] * 4999], tmp_path, template=Picky())
    assert (len(store), store.dropped) == (9999, {reason: 1})
    assert ("3: not JSON" if reason == "bad-line" else "record x") in store.examples[reason]
    assert all(len(row.trained_positions) == 1 for row in store[4990:5010])


def test_a_prompt_that_fills_the_row_leaves_nothing_to_train_and_is_dropped_by_every_policy(tmp_path: Path) -> None:
    """Pitfall 8: cut to size, such a row would have no label, and its loss would be 0 divided by 0."""
    rows = [Record(id="long", instruction="q" * 300, output="a")]
    for policy in ("drop", "cut-answer", "cut-oldest-turns"):
        store = store_of(rows, tmp_path, over_long=policy)
        assert (len(store), store.dropped, store.report.changed) == (0, {"too-long": 1}, {})
        assert store.examples["too-long"].endswith("tokens, max_length is 200")


@settings(max_examples=60, deadline=None)
@given(question=st.integers(0, 60), answer=st.integers(1, 90), limit=st.integers(40, 120))
def test_a_cut_answer_keeps_its_header_and_has_an_end_token_only_where_it_is_whole(
    tmp_path_factory, question: int, answer: int, limit: int
) -> None:
    """Pitfall 9: others cut the prompt's tail, header and all, or put an end token after half an answer."""
    record = Record(instruction="q" * (question + 1), output="a" * answer)
    whole = ENCODER.encode(Plain().render(record)).ids
    store = store_of([record], tmp_path_factory.mktemp("s"), max_length=limit, over_long="cut-answer")
    first = len(whole) - answer - 1
    if first >= limit:
        assert store.dropped == {"too-long": 1}
        return
    ids = store[0].ids.tolist()
    assert ids == whole[:limit]
    assert HEADER in text_of(ids)
    assert (EOS in ids) == (len(whole) <= limit) == (store.report.changed == {})
    assert store[0].trained_positions.tolist() == list(range(first, min(limit, len(whole))))


def test_only_the_last_answer_is_ever_cut(tmp_path: Path) -> None:
    record = talk("q" * 20, "a" * 20, "r" * 20, "b" * 20, "s" * 20, "c" * 60)
    store = store_of([record], tmp_path, template=Vicuna(system="S"), max_length=200, over_long="cut-answer")
    whole = ENCODER.encode(Vicuna(system="S").render(record)).ids
    assert store[0].ids.tolist() == whole[:200]
    learned = text_of(store[0].ids[store[0].trained_positions])
    assert learned == f" {'a' * 20}</s> {'b' * 20}</s> {learned[51:]}"
    assert set(learned[51:]) == {"c"}
    short = store_of([record], tmp_path, template=Vicuna(system="S"), max_length=100, over_long="cut-answer")
    assert short.dropped == {"too-long": 1}, "its last answer begins after token 100"


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=6),
    limit=st.integers(60, 300),
    system=st.sampled_from(["", "Be kind."]),
)
def test_the_oldest_exchanges_give_way_and_no_more_than_must(
    tmp_path_factory, sizes: list[tuple[int, int]], limit: int, system: str
) -> None:
    turns = [x for i, (q, a) in enumerate(sizes) for x in (f"{i}" + "q" * q, f"{i}" + "a" * a)]
    shorter = [talk(*turns[2 * k :], system=system) for k in range(len(sizes))]
    fitting = [i for r in shorter if len(i := ENCODER.encode(Plain().render(r)).ids) <= limit]
    store = store_of(shorter[:1], tmp_path_factory.mktemp("s"), max_length=limit, over_long="cut-oldest-turns")
    assert [row.ids.tolist() for row in store] == fitting[:1]
    whole = len(fitting) == len(sizes)
    assert store.report.changed == ({"cut-oldest-turns": 1} if fitting and not whole else {})
    assert store.dropped == ({} if fitting else {"too-long": 1})


class Whole(Plain):
    """Refuses conversations that do not begin at the beginning."""

    def render(self, record: Record) -> list[Span]:
        if record.messages[0].content != "first":
            raise UsageError("begin at the beginning")
        return super().render(record)


def test_a_record_is_counted_once_whatever_became_of_its_parts(tmp_path: Path) -> None:
    record = talk("first", "a" * 150, "second", "b</s>")
    store = store_of([record, record], tmp_path, template=Whole(), max_length=100, over_long="cut-oldest-turns")
    assert (len(store), store.dropped) == (0, {"too-long": 2})
    assert store.report.noticed == {"end-token-in-answer": 2}


class Everything(Template):
    """Trains all of a text, the question included."""

    def render(self, record: Record) -> list[Span]:
        return [BEGIN, Span(record.instruction + record.output, train=True), END]


def test_with_loss_on_all_tokens_every_token_but_a_rows_first_is_a_target(tmp_path: Path) -> None:
    """Pitfall 11: in a packed row the first token of a document would be predicted from another document's last."""
    store = store_of(ANSWERED, tmp_path, template=Everything())
    assert store.trained_tokens == sum(n - 1 for n in store.lengths)
    assert all(row.trained_positions[0] == 1 for row in store)


def test_an_end_token_of_another_model_in_an_answer_is_noticed(tmp_path: Path) -> None:
    """Pitfall 16: data made by other models often ends in their end token, which is text to this one."""
    rows = [Record(id="a", instruction="q", output="done<|endoftext|>"), Record(id="b", instruction="q", output="ok")]
    store = store_of(rows, tmp_path)
    assert (len(store), store.report.noticed) == (2, {"end-token-in-answer": 1})
    assert store.examples["end-token-in-answer"] == "record a"


class Endless(Template):
    """Forgets the end token."""

    def render(self, record: Record) -> list[Span]:
        return [Span(f"{record.instruction} "), Span(record.output, train=True)]


def test_a_template_that_ends_no_answer_is_noticed(tmp_path: Path) -> None:
    store = store_of(ANSWERED, tmp_path, template=Endless())
    assert store.report.noticed == {"no-end-token": len(store)}
    assert "the model never stops" in store.report.examples["no-end-token"]
    assert not store_of(ANSWERED, tmp_path / "again").report.noticed


@pytest.mark.parametrize(("extra", "dtype"), [(0, "<u2"), (66_000, "<i4")])
def test_ids_take_two_bytes_where_the_vocabulary_fits(tmp_path: Path, extra: int, dtype: str) -> None:
    encoder = Encoder(tokenizer(extra))
    store = write_rows(ANSWERED, Plain(), encoder, 200, "drop", tmp_path / "store")
    assert json.loads((store.folder / "header.json").read_bytes())["dtype"] == dtype
    assert (store.folder / "ids.bin").stat().st_size == store.tokens * int(dtype[2])
    assert store[3].ids.dtype == np.int32
    assert store[3].ids.tolist() == encoder.encode(Plain().render(ANSWERED[3])).ids


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(to_json(r) + b"\n" for r in ANSWERED) + b"garbage\n")
    return path


def cached(data: Path, template: Template | None = None, encoder: Encoder = ENCODER, **changed) -> TokenStore:
    limits = {"max_length": 200, "over_long": "drop"} | changed
    return prepare_rows(data, template or Plain(), encoder, cache=data.parent / "cache", **limits)


def test_the_same_again_prepares_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached(data)
    monkeypatch.setattr(cache, "write_rows", lambda *args: pytest.fail("prepared again"))
    again = cached(data)
    assert (first.fresh, again.fresh) == (True, False)
    assert [r.ids.tolist() for r in again] == [r.ids.tolist() for r in first]
    assert (again.dropped, again.examples, again.ends) == (first.dropped, first.examples, first.ends)
    assert again.dropped == {"bad-line": 1}
    TOKENIZER("a b c", truncation=True, max_length=2, padding="max_length")
    assert not cached(data, encoder=Encoder(TOKENIZER)).fresh, "what a call left set on the tokenizer changes no row"


def test_whatever_changes_rows_makes_another_store(data: Path) -> None:
    cached(data)
    assert cached(data, max_length=201).fresh
    assert cached(data, over_long="cut-answer").fresh
    assert cached(data, template=Vicuna()).fresh
    assert cached(data, template=Vicuna(system="Hm.")).fresh
    assert cached(data, encoder=Encoder(tokenizer(1))).fresh
    other = tokenizer()
    other.eos_token = "<pad>"
    assert cached(data, encoder=Encoder(other)).fresh
    with open(data, "ab") as f:
        f.write(to_json(Record(instruction="one", output="more")) + b"\n")
    assert cached(data).fresh
    assert not cached(data).fresh


def test_a_template_whose_code_changed_makes_another_store(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(data)
    monkeypatch.setattr(Plain, "render", lambda self, record: [Span("Q: "), Span(record.output, train=True), END])
    assert cached(data).fresh


@pytest.mark.parametrize(
    "source",
    [
        "filial/labels/token_splitting.py",
        "filial/labels/control_tokens.py",
        "filial/formats/reading.py",
        "filial/contracts/records.py",
        "filial_plugins/templates/layout.py",
        "filial_plugins/templates/formats/chatml.jinja",
        "filial_plugins/trainers/rows/spelling.py",
    ],
)
def test_an_edit_of_the_code_behind_rows_makes_another_store(
    data: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    cached(data)
    read_bytes, edited = Path.read_bytes, []

    def read_edited(self: Path) -> bytes:
        if not self.as_posix().endswith(f"/{source}"):
            return read_bytes(self)
        edited.append(self)
        return read_bytes(self) + b"# edited"

    monkeypatch.setattr(Path, "read_bytes", read_edited)
    assert cached(data).fresh
    assert edited, "the file is there"


def test_what_else_is_in_the_folder_of_a_single_file_plugin_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alone.py").write_text("from filial_plugins.templates.plain import Plain\nclass Mine(Plain): pass\n")
    (tmp_path / "other.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("alone").Mine
    assert cache._list_sources(mine) == {tmp_path / "alone.py"}


def flipped(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


@pytest.mark.parametrize("damage", [flipped, lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-1])])
@pytest.mark.parametrize("name", ["ids.bin", "lengths.bin", "trained.bin", "header.json"])
def test_a_damaged_store_is_noticed_and_made_anew(data: Path, name: str, damage) -> None:
    first = cached(data)
    rows = [r.ids.tolist() for r in first]
    damage(first.folder / name)
    again = cached(data)
    assert again.fresh
    assert [r.ids.tolist() for r in again] == rows
    assert not cached(data).fresh


def test_a_half_written_store_is_never_taken_for_one(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends in the middle leaves nothing under the store's name, and the next one starts over."""
    monkeypatch.setattr(StoreWriter, "finish", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(StoreWriter, "__exit__", lambda *args: None)  # as after kill -9
    with pytest.raises(KeyboardInterrupt):
        cached(data)
    (left,) = (p for p in (data.parent / "cache").iterdir() if p.is_dir())
    assert left.name.startswith(".")
    monkeypatch.undo()
    assert cached(data).fresh
    assert [p.name for p in (data.parent / "cache").iterdir() if p.is_dir()] == [left.name[1:].removesuffix(".tmp")]


def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, part: object) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    real = StoreWriter.__enter__

    def entered(self: StoreWriter) -> StoreWriter:
        real(self)
        self._files["trained.bin"] = Full()
        return self

    monkeypatch.setattr(StoreWriter, "__enter__", entered)
    with pytest.raises(FilialError, match="prepared rows cannot be written: no space left on device; free some space"):
        cached(data)
    assert [p for p in (data.parent / "cache").iterdir() if p.is_dir()] == []


def test_of_several_at_once_one_prepares(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = preparation.write_rows
    monkeypatch.setattr(cache, "write_rows", lambda *args: made.append(1) or real(*args))
    stores: list[TokenStore] = []
    threads = [threading.Thread(target=lambda: stores.append(cached(data, encoder=Encoder(TOKENIZER)))) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert [len(s) for s in stores] == [40, 40, 40]


def test_a_store_that_is_kept_nowhere_lives_as_long_as_it_is_used(data: Path) -> None:
    store = prepare_rows(data, Plain(), ENCODER, 200, "drop", None)
    assert not store.folder.exists()
    assert len(store) == sum(1 for _ in store) == 40


def test_rows_of_a_table_that_proves_wrong_are_made_by_the_tokenizer(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = [r.ids.tolist() for r in store_of(iter(ANSWERED), tmp_path)]
    monkeypatch.setattr(
        "filial_plugins.trainers.rows.word_table._WordIds.__missing__",
        lambda self, word: b"\x07\0\0\0" * len(word.encode()),
    )
    store = store_of(DataFile(data), tmp_path)
    assert store.engine == "tokenizer, because the word table gave other ids"
    assert [r.ids.tolist() for r in store] == right


def test_a_record_whose_answer_is_not_wanted_is_never_trained(tmp_path: Path) -> None:
    records = [Record(id=str(label), instruction="q", output="a", label=label) for label in (None, True, False)]
    store = store_of(records, tmp_path)
    assert (len(store), store.dropped, store.examples) == (
        2,
        {"unwanted-answer": 1},
        {"unwanted-answer": "record False"},
    )


def test_an_answer_marked_not_to_be_trained_carries_no_loss(tmp_path: Path) -> None:
    turns = (Message("user", "one"), Message("assistant", "uno", train=False), Message("user", "two"))
    store = store_of([Record(messages=(*turns, Message("assistant", "dos")))], tmp_path)
    assert text_of(store[0].ids[store[0].trained_positions]) == "dos</s>"
    assert "uno" in text_of(store[0].ids)
    untrained = Record(id="x", messages=turns[:2])
    assert store_of([untrained], tmp_path / "b").dropped == {"no-trained-token": 1}


class Forgetful(Template):
    """Leaves out the system text."""

    def render(self, record: Record) -> list[Span]:
        return [BEGIN, Span(record.question()), Span(record.output, train=True), END]


def test_what_the_template_leaves_out_of_a_record_is_counted(tmp_path: Path) -> None:
    """Training goes on without it, but not in silence."""
    thought = Record(id="a", instruction="q", output="a", reasoning="because", system="Be brief.")
    turns = (Message("user", "q"), Message("assistant", "a", reasoning="because"))
    records = [
        thought, Record(id="b", messages=turns), Record(id="c", instruction="q", output="a"),
        Record(id="d", instruction="q", output="a", rejected=(Message("assistant", "worse"),)),
    ]  # fmt: skip
    store = store_of(records, tmp_path)
    assert (len(store), store.dropped) == (4, {})
    assert store.report.noticed == {"reasoning-left-out": 2, "rejected-left-out": 1}
    assert store.report.examples["reasoning-left-out"] == "record a"
    store = store_of([thought], tmp_path / "b", template=Forgetful())
    assert store.report.noticed["system-left-out"] == 1


def test_what_needs_tools_is_dropped_with_the_reason(tmp_path: Path) -> None:
    store = store_of([Record(id="x", instruction="q", output="a", tools=({"name": "f"},))], tmp_path)
    assert store.dropped == {"not-renderable": 1}
    assert "does not write tools" in store.examples["not-renderable"]
