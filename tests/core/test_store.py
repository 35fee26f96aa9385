"""Files are whole or not there, and any torn or flipped byte is noticed."""

import errno
import os
import subprocess
import sys

import pytest

from filial import FilialError, UsageError
from filial.storage import (
    file_sha256,
    lock_folder,
    read_manifest,
    refuse_links,
    remove_temporary_files,
    replace_file,
    write_bytes,
    write_manifest,
)


@pytest.fixture
def stage(tmp_path):
    data = b'{"instruction": "Name a river."}\n' * 3
    write_bytes(tmp_path / "records.jsonl", data)
    facts = {"sha256": file_sha256(tmp_path / "records.jsonl"), "rows": 3}
    write_manifest(tmp_path / "manifest.json", {"key": "k", "files": {"records.jsonl": facts}, "n": [1, 2]})
    return tmp_path


def test_a_whole_manifest_is_read_back(stage):
    assert read_manifest(stage / "manifest.json")["n"] == [1, 2]


@pytest.mark.parametrize("name", ["manifest.json", "records.jsonl"])
def test_every_cut_is_noticed(stage, name):
    whole = (stage / name).read_bytes()
    for length in range(len(whole)):
        (stage / name).write_bytes(whole[:length])
        assert read_manifest(stage / "manifest.json") is None, f"{name} cut to {length} bytes"


@pytest.mark.parametrize("name", ["manifest.json", "records.jsonl"])
def test_every_flipped_bit_is_noticed(stage, name):
    whole = (stage / name).read_bytes()
    for place in range(len(whole)):
        for bit in (0, 3, 6):
            torn = bytearray(whole)
            torn[place] ^= 1 << bit
            (stage / name).write_bytes(bytes(torn))
            assert read_manifest(stage / "manifest.json") is None, f"{name} byte {place} bit {bit}"


def test_a_missing_file_makes_the_manifest_void(stage):
    (stage / "records.jsonl").unlink()
    assert read_manifest(stage / "manifest.json") is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "out.jsonl"
    write_bytes(target, b"old")

    def half_way():
        with replace_file(target) as f:
            f.write(b"new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        half_way()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_a_full_disk_is_one_sentence_and_nothing_half_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(FilialError, match="disk is full"):
        write_bytes(tmp_path / "out.jsonl", b"data")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        write_bytes(tmp_path / "file" / "out.jsonl", b"data")


def test_a_run_directory_is_held_by_one_process_and_freed_when_it_dies(tmp_path):
    code = f"""
import sys; from pathlib import Path; from filial.storage import lock_folder
with lock_folder(Path({str(tmp_path)!r})):
    print("held", flush=True); sys.stdin.read()
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=f"process {holder.pid}"), lock_folder(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with lock_folder(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()}"


def test_leftovers_of_a_killed_process_are_swept(tmp_path):
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / ".records.jsonl.4711.tmp").write_text("half")
    (tmp_path / "stages" / "records.jsonl").write_text("whole")
    remove_temporary_files(tmp_path)
    assert os.listdir(tmp_path / "stages") == ["records.jsonl"]


def test_sweeping_never_leaves_the_folder(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".mine.tmp").write_text("mine")
    (tmp_path / "run" / "stages").mkdir(parents=True)
    (tmp_path / "run" / "stages" / "out").symlink_to(tmp_path / "other")
    (tmp_path / "run" / ".x.tmp").symlink_to(tmp_path / "other" / ".mine.tmp")
    (tmp_path / "linked").symlink_to(tmp_path / "other")
    remove_temporary_files(tmp_path / "run")
    remove_temporary_files(tmp_path / "linked")
    assert (tmp_path / "other" / ".mine.tmp").read_text() == "mine"
    assert os.listdir(tmp_path / "run") == ["stages"]


def test_a_lock_is_never_taken_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(UsageError, match="cannot be written"), lock_folder(tmp_path / "run"):
        pass
    assert (tmp_path / "mine").read_text() == "precious"


def test_links_that_stay_in_the_folder_are_let_be_and_others_named(tmp_path):
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    (run / "model" / "latest").symlink_to("step-3")
    (run / "model" / "back").symlink_to(run)
    refuse_links(run)
    (tmp_path / "run-2").mkdir()
    (run / "model" / "near").symlink_to("../../run-2")
    with pytest.raises(UsageError, match=r"model/near is a link to .*run-2"):
        refuse_links(run)
