"""Commands that name one plugin stream: any number of records in little memory, in order, all or nothing."""

import errno
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import filial
from filial import Record
from filial.contracts import concurrency
from filial.contracts.records import IdSet, record_id, to_json
from filial.formats import opening, reading, streams, writing
from filial_plugins.commands import spool

WORDS = "and so on and on " * 60
BREAKING = """
from filial import Drop, Filter, Keep, hookimpl


class Breaks(Filter):
    \"\"\"Drops every third record and fails on the last.\"\"\"

    def check(self, record, ctx):
        number = int(record.id, 16)
        if number == 2999:
            raise ValueError("no more")
        return Drop("third") if number % 3 else Keep()


@hookimpl
def register_filters(register):
    register("breaks", Breaks)
"""


def write(path, count, ids=True, bad_every=0):
    """So many records of about a kilobyte, every second one with a long instruction; bad lines among them."""
    with path.open("w") as file:
        for i in range(count):
            row = {"id": f"{i:016x}"} if ids else {}
            row |= {"instruction": f"Write {i} words" + " more" * (i % 2 * 9), "output": WORDS}
            file.write("{\n" if bad_every and i % bad_every == 0 else json.dumps(row) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("filter", "short", "--drops", "why.jsonl"),
        ("filter", "short", "--to", "alpaca"),
        ("evolve", "longer", "--eliminate", "none", "--teacher", "echo"),
    ],
)
def test_four_times_the_records_take_little_more_memory(cli, monkeypatch, command):
    monkeypatch.setattr(concurrency, "BACKLOG", 128)  # what may wait for a slow taker does not count
    for module in (spool, writing, streams, opening, reading):  # nor do buffers of a fixed size
        monkeypatch.setattr(module, "CHUNK", 1 << 14)

    def peak(count):
        write(cli.folder / "in.jsonl", count, ids=False, bad_every=100)
        tracemalloc.start()
        try:
            assert cli(*command, "in.jsonl", "-o", f"{count}.jsonl") == 5  # bad lines are lost rows
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what is imported and cached once
    few, many = peak(1000), peak(4000)  # more than are under way at once
    assert many - few < 3000 * 250


def test_rows_are_those_and_in_the_order_of_the_verb_in_memory(cli):
    write(cli.folder / "in.jsonl", 3000, bad_every=700)  # of more than one `CHUNK`
    held = filial.filter("in.jsonl", "length", {"use": "length", "max_instruction": 3}, progress=False)
    options = ("--max-instruction", "3", "--drops", "why.jsonl")
    assert cli("filter", "length", *options, "in.jsonl", "-o", "out.jsonl") == 5
    assert (cli.folder / "out.jsonl").stat().st_size > 4 * spool.CHUNK
    assert [json.loads(to_json(record)) for record in held] == cli.rows("out.jsonl")
    assert [json.loads(row.encode()) for row in held.drops] == cli.rows("why.jsonl")
    assert len(held) == 1495
    assert held.summary["stages"][0]["reasons"] == {"bad-line": 5, "instruction-too-long": 1500}


def test_a_command_that_fails_leaves_everything_as_it_was(cli):
    (cli.folder / "breaks.py").write_text(BREAKING)
    write(cli.folder / "in.jsonl", 3000)
    cli.write("out.jsonl", {"instruction": "old"})
    cli.write("out.drops.jsonl", {"reason": "old"})
    before = {name: (cli.folder / name).read_bytes() for name in cli.files()}
    assert cli("--plugin", "breaks.py", "filter", "breaks", "in.jsonl", "-o", "out.jsonl") == 1
    assert "no more" in cli.err
    after = {name: (cli.folder / name).read_bytes() for name in cli.files()}
    assert {name: data for name, data in after.items() if ".partial." not in name} == before
    assert {"out.partial.jsonl", "out.drops.partial.jsonl"} <= after.keys()


def test_a_disk_that_is_full_while_rows_are_held_on_it_is_one_sentence(cli, monkeypatch):
    write(cli.folder / "in.jsonl", 3000)

    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool.os, "write", full)
    assert cli("filter", "short", "in.jsonl", "-o", "out.jsonl") == 1
    assert "the disk is full" in cli.err
    assert cli.files() == ["in.jsonl"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=20), st.integers(1, 30))
def test_lines_come_back_as_they_were_given_to_each_who_reads(lines, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "CHUNK", chunk)
        held = spool.LineSpool()
        for line in lines:
            held.write(line)
        first = held.lines()
        start = [next(first) for _ in lines[:3]]
        assert list(held.lines()) == lines
        assert [*start, *first] == lines
        assert len(held) == len(lines)
        held.close()


IDS = st.sampled_from(["", "", "7", "record-1", record_id(("a", "", ""), stage="read"), "ABCDEFABCDEFABCD", "é" * 16])


@given(st.lists(st.tuples(IDS, st.sampled_from("aab")), max_size=12))
def test_ids_are_the_same_in_little_memory(rows):
    def ids(compact):
        records = [Record(id=name, instruction=text) for name, text in rows]
        return [record.id for record in reading.add_ids(records, compact=compact)]

    assert ids(compact=True) == ids(compact=False)


@given(
    st.lists(
        st.integers(0, 3).map(lambda n: ("00" * n + "a0" * 8)[:16]) | st.binary(min_size=8, max_size=8).map(bytes.hex)
    )
)
def test_an_id_is_new_once(ids):
    """The first two bytes of many are the same, so that they lie side by side and some are found across two of them."""
    seen, found = set(), IdSet()
    for name in ids:
        assert found.add(name) == (name not in seen)
        seen.add(name)


def test_a_line_of_many_chunks_is_joined_once(monkeypatch):
    class Counting(bytes):
        """Counts what is copied by adding to a line that is not complete."""

        copied = 0

        def __radd__(self, begun):
            Counting.copied += len(begun)
            return bytes(begun) + bytes(self)

    held = spool.LineSpool()
    held.write(b"x" * 10_000)
    held.write(b"y")
    monkeypatch.setattr(spool, "CHUNK", 10)
    real = spool.os.pread
    monkeypatch.setattr(spool.os, "pread", lambda *where: Counting(real(*where)))
    assert list(held.lines()) == [b"x" * 10_000, b"y"]
    assert Counting.copied == 0
    held.close()
