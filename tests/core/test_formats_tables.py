"""Parquet files and what ``datasets`` opens."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from filial import MissingExtra, Record, UsageError
from filial.formats import BadLine, read, read_rows, write
from filial_plugins.formats.parquet import Parquet

ROWS = [{"question": "2+2?", "answer": "4", "extra": 1}, {"question": "", "answer": "5", "extra": None}]


def pyarrow_table(path: Path, rows: list[dict[str, object]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="comes with the extra 'data'")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_a_foreign_parquet_file_is_recognised_by_its_columns(tmp_path: Path) -> None:
    path = pyarrow_table(tmp_path / "a.parquet", ROWS)
    bad: list[BadLine] = []
    assert [record.content() for record in read(path, bad=bad)] == [("2+2?", "", "4")]
    assert [str(fault) for fault in bad] == [f"{path}:2: /question: is empty"]
    turns = [{"conversations": [{"from": "human", "value": "Hi"}]}]
    [record] = read(pyarrow_table(tmp_path / "b.parquet", turns))
    assert record.messages[0].content == "Hi"


TURNS = {"role": ["user", "assistant"], "content": ["Hi", "Hello"]}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": TURNS},
        {"conversations": {"from": ["human", "gpt"], "value": ["Hi", "Hello"]}},
        {"prompt": {name: cells[:1] for name, cells in TURNS.items()},
         "completion": {name: cells[1:] for name, cells in TURNS.items()}},
    ],
)  # fmt: skip
def test_turns_as_an_object_of_lists(tmp_path: Path, row: dict[str, object]) -> None:
    """As a ``Sequence`` of `datasets` has them in Parquet, and in the JSON that is made of it."""
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "a.json").write_text(json.dumps([row]))
    own = {"messages": TURNS, "scores": {"x": 1.0}}
    (tmp_path / "own.jsonl").write_text(json.dumps(own) + "\n")
    paths = [tmp_path / name for name in ("a.jsonl", "a.json", "own.jsonl")]
    for path in (*paths, pyarrow_table(tmp_path / "a.parquet", [row])):
        [record] = read(path)
        assert [(turn.role, turn.content) for turn in record.messages] == [("user", "Hi"), ("assistant", "Hello")]
    assert [record.messages for record in read_rows([row])] == [record.messages]


def test_an_object_of_lists_that_are_no_turns_stays_what_it_is(tmp_path: Path) -> None:
    for value in ({"role": ["user"], "content": []}, {"role": "user", "content": ["a"]}, {"text": ["a"], "start": [3]}):
        bad: list[BadLine] = []
        (tmp_path / "a.jsonl").write_text(json.dumps({"messages": value}) + "\n")
        assert list(read(tmp_path / "a.jsonl", bad=bad)) == []
        assert bad[0].message == "must be an array, not an object"


def test_cells_of_types_that_json_does_not_know(tmp_path: Path) -> None:
    import datetime
    import decimal

    pyarrow = pytest.importorskip("pyarrow", reason="comes with the extra 'data'")
    from pyarrow import parquet

    table = pyarrow.table({
        "messages": pyarrow.array([[{"role": "user", "content": "Hi", "at": datetime.datetime(2024, 5, 1)}]]),
        "at": [datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)], "price": [decimal.Decimal("1.50")],
        "score": [float("nan")], "raw": [b"\xff"],
        "map": pyarrow.array([[("k", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int8())),
    })  # fmt: skip
    parquet.write_table(table, tmp_path / "a.parquet")
    form = Parquet()
    with open(tmp_path / "a.parquet", "rb") as file:
        [row] = form.read(file)
    assert row == {
        "messages": [{"role": "user", "content": "Hi", "at": "2024-05-01T00:00:00"}], "at": "2024-05-01T00:00:00Z",
        "price": "1.50", "score": None, "raw": "/w==", "map": {"k": 1},
    }  # fmt: skip
    assert len(list(read(tmp_path / "a.parquet"))) == 1


def test_columns_that_nothing_knows_are_listed(tmp_path: Path) -> None:
    path = pyarrow_table(tmp_path / "a.parquet", [{"text": "a", "meta": "b"}])
    with pytest.raises(UsageError, match="no known format has the columns text, meta"):
        list(read(path))


def test_own_parquet_is_read_by_datasets_and_pyarrow(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="comes with the extra 'data'")
    records = [Record(id="a", instruction="b", scores={"x": 0.5}, tags=("t",)), Record(id="c", instruction="d")]
    write(tmp_path / "a.parquet", records)
    rows = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [(row["id"], row["instruction"], row["tags"]) for row in rows] == [("a", "b", ["t"]), ("c", "d", [])]
    assert list(read(tmp_path / "a.parquet", limit=1)) == records[:1]


def test_more_rows_than_a_batch(tmp_path: Path) -> None:
    records = [Record(id=str(i), instruction=f"task {i}") for i in range(2500)]
    write(tmp_path / "a.parquet", records)
    assert list(read(tmp_path / "a.parquet")) == records


def test_a_torn_parquet_file(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [Record(id=str(i), instruction=f"task {i}") for i in range(2500)])
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(UsageError, match=r"torn\.parquet: cannot be read as Parquet"):
        list(read(tmp_path / "torn.parquet"))
    flipped = bytearray(data)
    flipped[4:400] = bytes(396)
    (tmp_path / "torn.parquet").write_bytes(flipped)
    with pytest.raises(UsageError, match=r"torn\.parquet: the Parquet data is damaged"):
        list(read(tmp_path / "torn.parquet"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="comes with the extra 'data'")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.usefixtures("offline")
def test_a_local_folder_is_streamed_through_datasets(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    bad: list[BadLine] = []
    assert [record.output for record in read(folder, bad=bad)] == ["4"]
    assert (bad[0].file, bad[0].line, bad[0].pointer) == (str(folder), 2, "/question")
    with pytest.raises(UsageError, match="the data set's split 'nowhere' cannot be read"):
        list(read(folder, split="nowhere"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.csv": "instruction,output\na b,c\n", "b.json": '[{"instruction":"a","output":"b"}]'}, r"a\.csv, b\.json"),
        ({"a.jsonl": '{"instruction":"a","output":"b"}\n', "in/b.csv.gz": "packed"}, r"a\.jsonl, in/b\.csv\.gz"),
        ({"a.jsonl": '{"instruction":"a","output":"b"}\n', "b.jsonl": '{"prompt":"a","completion":"b"}\n'}, "same col"),
        (
            {"a.jsonl": '{"instruction":"a","output":"b"}\n', "b.jsonl": '{"instruction":"a","output":["b"]}\n'},
            "same t",
        ),
        ({"a.jsonl": '{"instruction":"a","output":"b"}\n', "dataset_infos.json": "{}", ".cache/x.csv": "a"}, ""),
    ],
)
def test_a_folder_of_files_that_do_not_go_together_is_one_sentence(tmp_path: Path, files: Any, words: str) -> None:
    folder = tmp_path / "set"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    if not words:
        assert len(list(read(folder))) == 1
        return
    with pytest.raises(UsageError, match=words) as error:
        list(read(folder))
    assert str(error.value).startswith(f"{folder}: the ")


@pytest.mark.usefixtures("offline")
def test_a_data_set_saved_to_disk(tmp_path: Path) -> None:
    import datasets

    made = datasets.Dataset.from_list([{"instruction": "a", "input": "", "output": "b", "text": "c"}])
    made.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "many")
    for name in ("one", "many"):
        assert [record.content() for record in read(tmp_path / name)] == [("a", "", "b")]
    with pytest.raises(UsageError, match="one: there is no split test: it has no splits"):
        list(read(tmp_path / "one", split="test"))
    with pytest.raises(UsageError, match="one: a folder has no revisions"):
        list(read(tmp_path / "one", revision="v1"))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("saved", [True, False])
def test_a_data_set_without_train(tmp_path: Path, saved: bool, caplog: pytest.LogCaptureFixture) -> None:
    """As UltraChat 200k: several splits are listed, the only one is read and told."""
    import datasets

    def make(name: str, *splits: str) -> Path:
        folder = tmp_path / name
        parts = {split: datasets.Dataset.from_list([{"prompt": split, "completion": "b"}]) for split in splits}
        if saved:
            datasets.DatasetDict(parts).save_to_disk(folder)
        else:
            folder.mkdir()
            for split, part in parts.items():
                part.to_json(folder / f"{split}.jsonl")
        return folder

    several = make("several", "validation", "test")
    with pytest.raises(UsageError) as error:
        list(read(several))
    assert str(error.value).startswith(f"{several}: it has no split train; name one of ")
    assert {"validation", "test"} <= set(str(error.value).replace(",", "").split())
    assert [record.instruction for record in read(several, split="test")] == ["test"]
    with pytest.raises(UsageError, match=r"no split nowhere|nowhere.*test"):
        list(read(several, split="nowhere"))
    with caplog.at_level("WARNING", "filial"):
        assert [record.instruction for record in read(make("one", "test"))] == ["test"]
    assert [record.getMessage() for record in caplog.records if record.name.startswith("filial")] == [
        "the data set's only split is read: test"
    ]


def test_hub_names_are_given_to_datasets_with_their_config(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    class Datasets:
        @staticmethod
        def load_dataset(name: str, config: str | None, *, split: str | None, revision: str | None, streaming: bool):
            asked.append((name, config, split, revision))
            assert streaming
            rows = Rows([{"messages": [{"role": "user", "content": "Hi"}]}])
            return rows if split else {"train": rows, "test": Rows()}

    class Rows(list[object]):
        features = None

    monkeypatch.setitem(sys.modules, "datasets", Datasets)
    for source in ("hf:owner/name:config", "hf:name", "hf:name@v1", "hf:name:config@refs/convert/parquet"):
        assert len(list(read(source, split="test"))) == 1
    assert len(list(read("hf:name", revision="v2"))) == 1
    assert len(list(read("hf:name@v2", revision="v2"))) == 1
    assert asked == [
        ("owner/name", "config", "test", None), ("name", None, "test", None), ("name", None, "test", "v1"),
        ("name", "config", "test", "refs/convert/parquet"), ("name", None, None, "v2"), ("name", None, None, "v2"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="its name says the revision v1, and v2 is asked for"):
        list(read("hf:name@v1", revision="v2"))


def test_an_unreachable_data_set_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Datasets:
        @staticmethod
        def load_dataset(*args: object, **options: object):
            raise ConnectionError("no network\nat all")

    monkeypatch.setitem(sys.modules, "datasets", Datasets)
    with pytest.raises(UsageError, match=r"^hf:name: the data set cannot be read: ConnectionError: no network at all$"):
        list(read("hf:name"))
    with pytest.raises(UsageError, match=r"^hf:name: the data set's split 'test' cannot be read: ConnectionError"):
        list(read("hf:name", split="test"))


@pytest.mark.parametrize(("source", "missing"), [("hf:name", "datasets"), ("a.parquet", "pyarrow")])
def test_a_missing_package_is_named_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, missing: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r"pip install 'filial\[data\]'"):
        list(read(source))


def test_zstandard_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl.zst").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtra, match="pip install 'filial\\[data\\]'"):
        list(read(tmp_path / "a.jsonl.zst"))
    with pytest.raises(MissingExtra, match="pip install 'filial\\[data\\]'"):
        write(tmp_path / "b.jsonl.zst", [])
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl.zst"]


def test_a_missing_package_is_told_before_any_record_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    def asked() -> Iterator[Record]:
        raise AssertionError("records were made before the format was checked")
        yield

    with pytest.raises(MissingExtra, match=r"pip install 'filial\[data\]'"):
        write(tmp_path / "a.parquet", asked())
