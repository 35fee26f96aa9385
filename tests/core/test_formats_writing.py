"""Writing: checked, canonical, and all or nothing."""

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from filial import FilialError, Message, Record, Records, ToolCall, UsageError
from filial import storage as atomic
from filial.contracts.errors import PluginError
from filial.contracts.records import to_json
from filial.formats import Unfit, read, write

FORMATS = ["filial", "alpaca", "sharegpt", "openai", "seeds", "parquet"]
RECORDS = [Record(id=f"r{i}", instruction=f"Name river {i}.", output="The Elbe.") for i in range(3)]


def many(count: int = 20_000) -> Iterator[Record]:
    for i in range(count):
        yield Record(id=f"r{i}", instruction=f"Name river {i}.", output=f"The {i * i * 7919}th of them. " * 5)


def test_lines_are_the_canonical_ones_and_the_same_every_time(tmp_path: Path) -> None:
    assert write(tmp_path / "a.jsonl", RECORDS) == 3
    assert (tmp_path / "a.jsonl").read_bytes() == b"".join(to_json(record) + b"\n" for record in RECORDS)
    for suffix in (".jsonl.gz", ".jsonl.zst", ".parquet"):
        write(tmp_path / f"b{suffix}", RECORDS)
        write(tmp_path / f"c{suffix}", RECORDS)
        assert (tmp_path / f"b{suffix}").read_bytes() == (tmp_path / f"c{suffix}").read_bytes()


INVALID = {
    "lone surrogate in the output": (Record(id="r7", instruction="a", output="b\ud800"), "U+D800, half a character"),
    "lone surrogate in a turn": (Record(id="r7", messages=(Message("user", "\udfff"),)), "U+DFFF"),
    "score that is no number": (
        Record(id="r7", instruction="a", scores={"x": float("nan")}),
        "/scores: Expected `float`",
    ),
    "infinite score": (Record(id="r7", instruction="a", scores={"x": float("inf")}), "/scores: Expected `float`"),
    "text that is none": (Record(id="r7", instruction="a", output=None), "/output: Expected `str`, got `null`"),
    "unknown role": (Record(id="r7", messages=(Message("bot", "a"),)), "/messages/0/role"),
    "no JSON at all": (Record(id="r7", instruction="a", output=object()), "cannot be written as JSON"),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("case", INVALID)
def test_a_record_no_reader_would_accept_is_refused_by_name(tmp_path: Path, case: str, format: str) -> None:
    record, words = INVALID[case]
    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(UsageError) as error:
        write(path, [*RECORDS, record], format=format)
    assert str(error.value).startswith("record r7: ")
    assert words in str(error.value)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", FORMATS)
def test_any_error_of_the_source_passes_through_and_leaves_the_old_file(tmp_path: Path, format: str) -> None:
    def failing() -> Iterator[Record]:
        yield from RECORDS
        raise ConnectionResetError(errno.ECONNRESET, "gone")

    path = tmp_path / "out.jsonl"
    path.write_text("old")
    with pytest.raises(ConnectionResetError, match="gone"):
        write(path, failing(), format=format)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB; where it cannot be mounted, the test skips."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.parquet"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tiny: Path, name: str) -> None:
    _check_full_disk(tiny, name)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst", "out.parquet"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    real = os.write

    def write_until_full(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_size + len(data) > 200_000:
            raise OSError(code, os.strerror(code))
        return real(descriptor, data[:50_000])

    monkeypatch.setattr(atomic.os, "write", write_until_full)
    _check_full_disk(tmp_path, name)


def _check_full_disk(folder: Path, name: str) -> None:
    path = folder / name
    path.write_text("old")
    with pytest.raises(FilialError, match=r"out\.\S+: the disk is full") as error:
        write(path, many())
    assert error.value.exit_code == 1
    assert path.read_text() == "old"
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_disk_that_fails_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "out.jsonl"
    path.write_text("old")
    monkeypatch.setattr(atomic.os, failing, fail)
    with pytest.raises(UsageError, match="cannot be written: input/output error"):
        write(path, RECORDS)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_synced_before_it_takes_its_place_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def replaced(old: Path, new: Path) -> None:
        done.append("rename")
        replace(old, new)

    monkeypatch.setattr(atomic.os, "fsync", synced)
    monkeypatch.setattr(atomic.os, "replace", replaced)
    write(tmp_path / "out.jsonl", RECORDS)
    assert done == ["file", "rename", "folder"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, words in (
        (tmp_path / "file" / "out.jsonl", "not a directory"),
        (tmp_path / "none" / "out.jsonl", "no such file or directory"),
        (Path("/proc/out.jsonl"), "cannot be written"),
    ):
        with pytest.raises(UsageError, match=words) as error:
            write(path, RECORDS)
        assert str(error.value).startswith(f"{path}: ")
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        write(tmp_path / "folder.jsonl", RECORDS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="permission denied"):
        write(tmp_path / "out.jsonl", RECORDS)
    tmp_path.chmod(0o700)


def test_a_link_keeps_pointing_and_a_pipe_is_written_directly(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to("target.jsonl")
    write(tmp_path / "link.jsonl", RECORDS)
    assert (tmp_path / "link.jsonl").is_symlink()
    assert list(read(tmp_path / "target.jsonl")) == RECORDS
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        write(pipe, RECORDS)
        assert reader.communicate(timeout=300)[0].count(b"\n") == 3
    assert pipe.is_fifo()


def test_a_file_can_be_rewritten_from_itself(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    write(path, many(5000))
    assert write(path, (record.replaced(task="t") for record in read(path))) == 5000
    assert all(record.task == "t" for record in read(path))


def test_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert write("-", RECORDS) == 3
    assert capfdbinary.readouterr().out == b"".join(to_json(record) + b"\n" for record in RECORDS)
    with pytest.raises(UsageError, match="Parquet cannot be written to stdout"):
        write("-", RECORDS, format="parquet")


MARKS = {
    "label": False, "rejected": (Message("assistant", "c"),), "reasoning": "r", "tools": ({"a": 1},),
    "extra": {"a": 1},
}  # fmt: skip
WITHOUT_PLACE = {
    "alpaca": ("label", "rejected", "reasoning", "tools"), "sharegpt": ("label", "rejected", "reasoning"),
    "openai": ("label", "rejected", "reasoning"), "seeds": tuple(MARKS), "axolotl": ("label",),
    "llamafactory": ("reasoning",),
}  # fmt: skip


@pytest.mark.parametrize(("format", "mark"), [(name, mark) for name, marks in WITHOUT_PLACE.items() for mark in marks])
def test_what_a_format_would_lose_is_refused_by_name(tmp_path: Path, format: str, mark: str) -> None:
    record = Record(id="r7", instruction="a", output="b", **{mark: MARKS[mark]})
    with pytest.raises(UsageError, match=f"record r7: the format has no place for its {mark}"):
        write(tmp_path / "out.jsonl", [record], format=format)
    assert not (tmp_path / "out.jsonl").exists()


QALANG = """
import io
from typing import ClassVar
from filial import Format, Record, hookimpl
from filial.formats import RowFormat, add_extra

class QALang(RowFormat):
    '''Questions and answers.'''

    keys = ("q", "a")
    HOLDS

    def from_row(self, row):
        return [Record(instruction=row["q"], output=row["a"])]

    def to_rows(self, records):
        for record in records:
            yield add_extra(record, {"q": record.question(), "a": record.answer()}, ("reserved",))

class QA(Format):
    '''A question and an answer on two lines.'''

    def read(self, stream):
        lines = io.TextIOWrapper(stream, "utf-8").read().splitlines()
        for asked, answer in zip(lines[::2], lines[1::2]):
            yield Record(instruction=asked, output=answer)

    def write(self, records, stream):
        for record in records:
            stream.write(f"{record.question()}\\n{record.answer()}\\n".encode())

@hookimpl
def register_formats(register):
    register("qalang", QALang)
    register("qa", QA)
"""
CALL = Message("assistant", "", tool_calls=(ToolCall(name="f", arguments="{}"),))
MEANT = {
    "label": Record(id="r7", instruction="a", output="b", label=False),
    "reasoning": Record(id="r7", instruction="a", output="b", reasoning="r"),
    "rejected": Record(id="r7", instruction="a", output="b", rejected=(Message("assistant", "c"),)),
    "tools": Record(id="r7", instruction="a", output="b", tools=({"name": "f"},)),
    "system": Record(id="r7", instruction="a", output="b", system="s"),
    "messages": Record(id="r7", messages=(Message("user", "a"), Message("assistant", "b"), Message("user", "c"))),
    "tool_calls": Record(id="r7", messages=(Message("user", "a"), CALL)),
    "train": Record(id="r7", messages=(Message("user", "a"), Message("assistant", "b", train=False))),
}  # fmt: skip


@pytest.fixture
def theirs(site):
    """A manager that knows the formats `qalang` and `qa` of another package."""

    def manager(holds: str = ""):
        names = {"filial.formats": {"qalang": "filial_qa", "qa": "filial_qa"}}
        site.dist("filial-qa", names, {"filial_qa": QALANG.replace("HOLDS", f"holds = {holds}" if holds else "")})
        return site.manager()

    return manager


@pytest.mark.parametrize("format", ["qalang", "qa"])
@pytest.mark.parametrize("mark", MEANT)
def test_a_format_of_another_package_loses_no_meaning_either(
    tmp_path: Path, theirs: Any, mark: str, format: str
) -> None:
    with pytest.raises(Unfit, match=f"record r7: the format has no place for its .*{mark}"):
        write(tmp_path / "out.x", [MEANT[mark]], format=format, manager=theirs())
    assert not (tmp_path / "out.x").exists()


def test_what_a_format_says_it_holds_it_is_given(tmp_path: Path, theirs: Any) -> None:
    manager = theirs('("label", "system")')
    assert write(tmp_path / "x.jsonl", [MEANT["label"], MEANT["system"]], format="qalang", manager=manager) == 2


def test_a_conversation_of_one_question_comes_as_instruction_and_output(tmp_path: Path, theirs: Any) -> None:
    talk = Record(messages=(Message("user", "a"), Message("assistant", "b")))
    write(tmp_path / "out.jsonl", [talk], format="qalang", manager=theirs())
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {"q": "a", "a": "b"}


def test_what_is_left_out_is_said_in_one_line(tmp_path: Path, theirs: Any) -> None:
    said: list[str] = []
    records = [Record(id=f"r{i}", instruction="a", output="b", tags=("t",) if i else ()) for i in range(3)]
    write(tmp_path / "out.jsonl", records, format="qalang", manager=theirs(), note=said.append)
    assert said == [f"{tmp_path / 'out.jsonl'}: not written: id (3), tags (2)"]
    write(tmp_path / "out.csv", records, note=said.append)
    assert len(said) == 1


def test_save_says_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = Records([Record(id="r1", instruction="a", output="b", scores={"x": 1.0})])
    records.save(tmp_path / "out.json", "alpaca")
    assert capsys.readouterr().err == f"{tmp_path / 'out.json'}: not written: id (1), scores (1)\n"


@pytest.mark.parametrize("name", ["q", "reserved", "instruction", "messages"])
def test_an_extra_column_replaces_none_of_a_format(tmp_path: Path, theirs: Any, name: str) -> None:
    record = Record(id="r7", instruction="a", output="b", extra={name: "OVERWRITE"})
    with pytest.raises(Unfit, match=f"record r7: its extra column '{name}' has a name that means something else"):
        write(tmp_path / "out.jsonl", [record], format="qalang", manager=theirs('("extra",)'))


@pytest.mark.parametrize(
    ("holds", "why"),
    [('("reasonings",)', "QALang.holds has 'reasonings', which a record does not have"), ('"label"', "not a tuple")],
)  # fmt: skip
def test_an_unknown_word_in_holds_is_refused_when_the_plugin_loads(theirs: Any, holds: str, why: str) -> None:
    with pytest.raises(PluginError, match=why):
        theirs(holds).get("formats", "qalang")
