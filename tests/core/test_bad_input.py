"""Bad input, bad places and a full disk: one clear sentence, the exit code of the design, nothing half-written."""

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

GOOD = {"instruction": "Name a river.", "output": "The Rhine."}
GARBAGE = {
    "empty": (b"", "no record"),
    "blank lines": (b"\n\n \n", "no record"),
    "prose": (b"These are my seeds.\nThere are two.\n", "seeds.jsonl"),
    "binary": (bytes(range(256)) * 40, "seeds.jsonl"),
    "a list": (b"[1, 2]\n", "seeds.jsonl"),
    "no record": (b'{"colour": "red"}\n', "seeds.jsonl"),
    "half a character": (b'{"instruction": "a \\ud800 b"}\n', "seeds.jsonl"),
    "not utf-8": (b'{"instruction": "caf\xe9"}\n', "seeds.jsonl"),
    "cut short": (b'{"instruction": "Name a', "seeds.jsonl"),
}


@pytest.fixture
def commands(cli):
    """Every way to read a file of records, each of which asks a teacher when it gets that far."""
    (cli.folder / "r.yaml").write_text(
        "teacher: {use: echo, log: asked}\nstages:\n  - generate: {use: count, seeds: seeds.jsonl}\n"
    )
    (cli.folder / "d.yaml").write_text(
        "teacher: {use: echo, log: asked}\ndata: seeds.jsonl\nstages:\n  - evolve: {strategies: [longer]}\n"
    )
    files = ["seeds.jsonl", "-o", "o.jsonl"]
    return {
        "run with seeds": ["run", "r.yaml"],
        "run with data": ["run", "d.yaml"],
        "generate": ["generate", "count", *files, "--teacher", "echo", "-T", "log=asked"],
        "evolve": ["evolve", "longer", *files, "--teacher", "echo", "-T", "log=asked"],
        "filter": ["filter", "short", *files],
        "mix": ["mix", "even", *files],
    }


@pytest.mark.parametrize("way", ["run with seeds", "run with data", "generate", "evolve", "filter", "mix"])
@pytest.mark.parametrize("what", GARBAGE)
def test_a_file_without_a_record_is_one_sentence_that_names_it_before_anything_is_asked(cli, commands, way, what):
    data, told = GARBAGE[what]
    (cli.folder / "seeds.jsonl").write_bytes(data)
    before = cli.files()
    assert cli(*commands[way]) == 2
    assert told in cli.err
    assert len(cli.err.strip().splitlines()) == 1
    assert "Traceback" not in cli.err
    assert str(cli.folder) not in cli.err, "the file is called what the user called it"
    assert not (cli.folder / "asked").exists()
    assert [f for f in cli.files() if not f.startswith("runs/")] == before
    assert not [f for f in cli.files() if f.endswith((".tmp", "manifest.json", "records.jsonl"))]


def test_bad_lines_among_good_ones_cost_only_themselves(cli):
    lines = [json.dumps(GOOD).encode(), b'{"instruction": "half \\udc00"}', b"\xff\xfe", b"[]", b'{"instruction": 7}']
    (cli.folder / "x.jsonl").write_bytes(b"\n".join(lines))
    assert cli("filter", "short", "x.jsonl", "-o", "o.jsonl") == 5
    assert len(cli.rows("o.jsonl")) == 1
    drops = cli.rows("o.drops.jsonl")
    assert [d["reason"] for d in drops] == ["bad-line"] * 4
    assert [d["detail"].partition(": ")[0] for d in drops] == [f"x.jsonl:{n}" for n in (2, 3, 4, 5)]
    assert drops[0]["answer"] == lines[1].decode()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_a_line_of_200_mb_is_told_in_bounded_memory(tmp_path, name):
    """Three lines, the middle one 200 MB: under a limit of 1 GB of address space the others get through."""
    with open(tmp_path / name, "wb") as f:
        f.write(json.dumps(GOOD).encode() + b'\n{"instruction": "')
        for _ in range(200):
            f.write(b"x" * 1_000_000)
        f.write(b'"}\n' + json.dumps(GOOD).encode() + b"\n")
    command = ["filter", "length", name, "-o", "o.jsonl", "--format", "filial"]
    done = limited(tmp_path, command, 1 << 30)
    assert done.returncode == 5, done.stderr
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 2
    (row,) = [json.loads(line) for line in (tmp_path / "o.drops.jsonl").read_text().splitlines()]
    assert row["reason"] == "bad-line"
    assert f"{name}:2: the line is longer" in row["detail"]
    assert len(row["answer"]) <= 200


def limited(folder, command, size):
    """Run filial with so many bytes of address space."""
    import resource
    import sys

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    return subprocess.run(
        [sys.executable, "-m", "filial", *command], cwd=folder, capture_output=True, text=True, check=False,
        preexec_fn=limit, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.parametrize("out", ["file/o.jsonl", "folder", "/proc/nope/o.jsonl"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_asked(cli, out):
    cli.write("x.jsonl", GOOD)
    (cli.folder / "file").write_text("in the way")
    (cli.folder / "folder").mkdir()
    before = cli.files()
    assert cli("evolve", "longer", "x.jsonl", "-o", out, "--to", "filial", "--teacher", "echo", "-T", "log=asked") == 2
    assert len(cli.err.strip().splitlines()) == 1
    assert "Traceback" not in cli.err
    assert cli.files() == before


def test_a_ledger_that_cannot_be_opened_names_the_way_out(cli):
    cli.write("x.jsonl", GOOD)
    command = ["evolve", "longer", "x.jsonl", "-o", "o.jsonl", "--teacher", "echo"]
    (cli.folder / ".filial").mkdir()
    (cli.folder / ".filial" / "ledger.sqlite").write_bytes(b"no ledger at all, but long enough to be sure" * 40)
    assert cli(*command) == 1
    assert "move it away" in cli.err
    (cli.folder / ".filial" / "ledger.sqlite").unlink()
    (cli.folder / ".filial" / "ledger.sqlite").mkdir()
    assert cli(*command) == 2
    assert "give another home" in cli.err
    assert cli.files() == ["x.jsonl"]


@pytest.fixture
def small_disk(cli):
    """A file system of 192 KB in the folder ``disk``."""
    disk = cli.folder / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs may be mounted here ({done.stderr.strip()}); the injected full disk is tested instead")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def rows(n):
    return [{"instruction": f"Name river {i}.", "output": "x" * 300} for i in range(n)]


def test_a_full_disk_leaves_the_old_output(cli, small_disk):
    cli.write("few.jsonl", *rows(5))
    cli.write("many.jsonl", *rows(2000))
    assert cli("filter", "short", "few.jsonl", "-o", "disk/o.jsonl") == 0
    whole = (small_disk / "o.jsonl").read_bytes()
    for out in ("disk/o.jsonl", "disk/new.jsonl"):
        assert cli("filter", "short", "many.jsonl", "-o", out) == 1
        assert "the disk is full" in cli.err
        assert len([line for line in cli.err.splitlines() if line.startswith("Error")]) == 1
        assert os.listdir(small_disk) == ["o.jsonl"]
    assert (small_disk / "o.jsonl").read_bytes() == whole


def test_a_full_disk_of_drops_leaves_the_old_output(cli, small_disk):
    cli.write("many.jsonl", *rows(2000))
    assert cli("filter", "short", "many.jsonl", "-o", "disk/o.jsonl", "--words", "1") == 1
    assert "the disk is full" in cli.err
    assert os.listdir(small_disk) == []


def test_a_run_on_a_full_disk_stops_and_goes_on_when_there_is_room(cli, small_disk):
    cli.write("seeds.jsonl", GOOD)
    (cli.folder / "r.yaml").write_text(
        "teacher: {use: echo}\nstages:\n  - generate: {use: count, count: 2000, seeds: seeds.jsonl}\n"
    )
    assert cli("run", "r.yaml", "--home", "disk") == 1
    (error,) = [line for line in cli.err.splitlines() if line.startswith("Error")]
    assert "the disk is full" in error
    assert "Traceback" not in cli.err
    left = [p.name for p in small_disk.rglob("*") if p.is_file()]
    assert not {"records.jsonl", "drops.jsonl", "manifest.json", "summary.json"} & set(left)
    assert not [name for name in left if name.endswith(".tmp")]
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    code = cli("run", "r.yaml", "--home", "disk")
    assert code == 0, cli.err
    assert cli("run", "r.yaml", "--home", "other") == 0
    records = "runs/r/stages/01-generate/records.jsonl"
    assert (small_disk / records).read_bytes() == (cli.folder / "other" / records).read_bytes()


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("command", ["filter", "run"])
def test_a_disk_that_fills_up_at_the_last_moment(cli, monkeypatch, call, command):
    cli.write("seeds.jsonl", GOOD)
    (cli.folder / "r.yaml").write_text("data: seeds.jsonl\nstages:\n  - filter: [short]\n")
    before = cli.files()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    args = ["run", "r.yaml"] if command == "run" else ["filter", "short", "seeds.jsonl", "-o", "o.jsonl"]
    assert cli(*args) == 1
    assert "the disk is full" in cli.err
    assert [f for f in cli.files() if not f.endswith(".lock")] == before


FAULTS = {
    "gb18030": ('{"instruction": "说出三条河"}\n'.encode("gb18030") * 2, "in.jsonl:1: byte 0xb3", "filial, UTF-8"),
    "a list for text": (
        b'{"instruction": "Do it", "output": [42], "n": 1}\n',
        "in.jsonl:1: /output: must be a string",
        "alpaca, UTF-8",
    ),
    "UTF-16, cut": ('{"instruction": "a\n'.encode("utf-16"), "in.jsonl:1: not JSON", "filial, utf-16"),
    "lines that are lists": (b"[1, 2]\n[3]\n", "in.jsonl:1: Expected `object`, got `array`", "filial, UTF-8"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_where_nothing_can_be_read_the_first_fault_is_told_with_what_the_file_was_taken_for(cli, what):
    data, fault, taken = FAULTS[what]
    (cli.folder / "in.jsonl").write_bytes(data)
    (cli.folder / "r.yaml").write_text("data: in.jsonl\nstages:\n- filter: [length]\n")
    for command in (["filter", "length", "in.jsonl", "-o", "o.jsonl"], ["run", "r.yaml"], ["plan", "r.yaml"]):
        assert cli(*command) == 2
        assert f"lines is a record; it was read as {taken}, and the first fault is {fault}" in cli.err


BROKEN = '{"instruction": "broken\n'


@pytest.fixture
def mostly_good(cli):
    """Three good lines and a bad one, and a recipe that asks about the good ones."""
    good = "".join(json.dumps({**GOOD, "instruction": f"Name river {i}."}) + "\n" for i in range(3))
    (cli.folder / "d.jsonl").write_text(good + BROKEN)
    (cli.folder / "r.yaml").write_text(
        "teacher: {use: echo, log: asked}\ndata: d.jsonl\nstages:\n- evolve: {strategies: [longer]}\n"
    )
    return cli


def test_a_bad_line_of_a_recipes_data_is_a_drop_and_ends_nothing(mostly_good):
    cli = mostly_good
    assert cli("run", "r.yaml") == 5, "something was lost"
    summary = json.loads((cli.folder / "runs/r/summary.json").read_text())
    (stage,) = summary["stages"]
    assert (stage["entered"], stage["reasons"]["bad-line"]) == (3, 1)
    assert stage["entered"] + stage["made"] == stage["out"] + stage["dropped"]
    drops = [row for row in cli.rows("runs/r/stages/01-evolve/drops.jsonl") if row["reason"] == "bad-line"]
    assert [row["detail"] for row in drops] == ["d.jsonl:4: not JSON: unterminated string starting at column 17"]
    assert drops[0]["answer"] == BROKEN.strip()
    assert "bad-line 1" in cli.out
    asked = (cli.folder / "asked").read_text()
    before = (cli.folder / "runs/r/stages/01-evolve/records.jsonl").read_bytes()
    assert cli("run", "r.yaml") == 5
    assert "done before" in cli.err
    assert cli("run", "r.yaml", "--retry-lost") == 5
    assert (cli.folder / "asked").read_text() == asked, "a rerun asks nothing"
    assert (cli.folder / "runs/r/stages/01-evolve/records.jsonl").read_bytes() == before


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_bad_line_counts_once_however_a_run_is_done(mostly_good, processes):
    (mostly_good.folder / "r.yaml").write_text("data: d.jsonl\nstages:\n- filter: [short]\n- filter: [first]\n")
    assert mostly_good("run", "r.yaml", "--processes", processes) == 5
    first, second = json.loads((mostly_good.folder / "runs/r/summary.json").read_text())["stages"]
    assert (first["reasons"]["bad-line"], second["reasons"].get("bad-line")) == (1, None)


def test_a_strict_source_ends_at_its_first_bad_line_before_anything_is_asked(mostly_good):
    assert mostly_good("run", "r.yaml", "--set", "data.strict=true") == 2
    assert "d.jsonl:4: not JSON" in mostly_good.err
    assert not (mostly_good.folder / "asked").exists()
    assert mostly_good("filter", "short", "d.jsonl", "-o", "o.jsonl", "--strict") == 2
    assert "d.jsonl:4: not JSON" in mostly_good.err
    assert "o.jsonl" not in mostly_good.files()


TRAINING = '''
from filial import Trainer, hookimpl
from toy import Echo


class Pretend(Trainer):
    """Write a file."""

    def train(self, data, model, template, out, ctx):
        out.mkdir(exist_ok=True)
        (out / "weights").write_text(model)
        return {"rows": sum(1 for _ in open(data / "train.jsonl"))}

    def teacher(self, out):
        return Echo()


@hookimpl
def register_trainers(register):
    register("pretend", Pretend)
'''


def test_bad_lines_that_enter_no_stage_are_kept_by_the_run(mostly_good, monkeypatch):
    cli = mostly_good
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    (cli.folder / "exam.jsonl").write_text(json.dumps({"instruction": "Who?", "output": "Who? indeed"}) + "\n" + BROKEN)
    (cli.folder / "p.py").write_text(TRAINING)
    (cli.folder / "r.yaml").write_text(
        "data: d.jsonl\ntemplate: alpaca\ntrain: {use: pretend, model: some-model}\n"
        "judge: {use: exact-match, data: exam.jsonl}\n"
    )
    for _ in range(2):
        assert cli("--plugin", "p.py", "run", "r.yaml") == 5, cli.err
        summary = json.loads((cli.folder / "runs/r/summary.json").read_text())
        assert summary["bad_lines"] == {"data": 1, "judge exact-match": 1}
        assert summary["train"]["rows"] == 3
        assert [(row["stage"], row["detail"].partition(": ")[0]) for row in cli.rows("runs/r/drops.jsonl")] == [
            ("data", "d.jsonl:4"),
            ("judge exact-match", "exam.jsonl:2"),
        ]
        assert "judge exact-match: 1 lines are no records" in cli.err
    for name in ("d.jsonl", "exam.jsonl"):
        path = cli.folder / name
        path.write_text(path.read_text().replace(BROKEN, ""))
    assert cli("--plugin", "p.py", "run", "r.yaml") == 0, cli.err
    assert "runs/r/drops.jsonl" not in cli.files()
