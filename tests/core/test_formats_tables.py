"""Parquet files and what ``datasets`` opens."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from filial import MissingExtra, Record, UsageError
from filial.formats import BadLine, read, write

ROWS = [{"question": "2+2?", "answer": "4", "extra": 1}, {"question": "", "answer": "5", "extra": None}]


def pyarrow_table(path: Path, rows: list[dict[str, object]]) -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="comes with the extra 'train'")
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


def test_columns_that_nothing_knows_are_listed(tmp_path: Path) -> None:
    path = pyarrow_table(tmp_path / "a.parquet", [{"text": "a", "meta": "b"}])
    with pytest.raises(UsageError, match="no known format has the fields meta, text"):
        list(read(path))


def test_own_parquet_is_read_by_datasets_and_pyarrow(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="comes with the extra 'train'")
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
    datasets = pytest.importorskip("datasets", reason="comes with the extra 'train'")
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
def test_a_data_set_saved_to_disk(tmp_path: Path) -> None:
    import datasets

    made = datasets.Dataset.from_list([{"instruction": "a", "input": "", "output": "b", "text": "c"}])
    made.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": made}).save_to_disk(tmp_path / "many")
    for name in ("one", "many"):
        assert [record.content() for record in read(tmp_path / name)] == [("a", "", "b")]


def test_hub_names_are_given_to_datasets_with_their_config(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    class Datasets:
        @staticmethod
        def load_dataset(name: str, config: str | None, *, split: str, streaming: bool):
            asked.append((name, config, split, streaming))
            return iter([{"messages": [{"role": "user", "content": "Hi"}]}])

    monkeypatch.setitem(sys.modules, "datasets", Datasets)
    assert len(list(read("hf:owner/name:config", split="test"))) == 1
    assert len(list(read("hf:name"))) == 1
    assert asked == [("owner/name", "config", "test", True), ("name", None, "train", True)]


def test_an_unreachable_data_set_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Datasets:
        @staticmethod
        def load_dataset(*args: object, **options: object):
            raise ConnectionError("no network\nat all")

    monkeypatch.setitem(sys.modules, "datasets", Datasets)
    with pytest.raises(UsageError, match=r"^hf:name: the data set's split 'train' cannot be read: .*no network$"):
        list(read("hf:name"))


@pytest.mark.parametrize(("source", "missing"), [("hf:name", "datasets"), ("a.parquet", "pyarrow")])
def test_a_missing_package_is_named_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, missing: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r"pip install 'filial\[train\]'"):
        list(read(source))


def test_zstandard_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl.zst").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtra, match="pip install zstandard"):
        list(read(tmp_path / "a.jsonl.zst"))
    with pytest.raises(MissingExtra, match="pip install zstandard"):
        write(tmp_path / "b.jsonl.zst", [])
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl.zst"]


def test_a_missing_package_is_told_before_any_record_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    def asked() -> Iterator[Record]:
        raise AssertionError("records were made before the format was checked")
        yield

    with pytest.raises(MissingExtra, match=r"pip install 'filial\[train\]'"):
        write(tmp_path / "a.parquet", asked())
