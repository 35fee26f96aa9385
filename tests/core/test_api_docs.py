"""The Python of docs/python.md: it runs from top to bottom, and type checkers find nothing in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"<!-- python(?:: (\w+))? -->\n```python\n(.*?)^```$",
    (ROOT / "docs/python.md").read_text(encoding="utf-8"),
    re.S | re.M,
)
WHOLE = "\n".join(code for _, code in BLOCKS)


def run(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/python.md", "exec"), {"__name__": "docs_python"})


def test_every_snippet_that_needs_no_training_runs(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    assert len(BLOCKS) == 7
    run("\n".join(code for mark, code in BLOCKS if not mark), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.train
def test_the_whole_page_runs(tmp_path, monkeypatch):
    run(WHOLE, tmp_path, monkeypatch)


def checked(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """What a type checker says of the page, to somebody who has no plugin for it."""
    (tmp_path / "page.py").write_text(WHOLE, encoding="utf-8")
    env = {**os.environ, "MYPYPATH": str(ROOT / "core"), "MYPY_CACHE_DIR": str(tmp_path / "cache")}
    return subprocess.run([*command, "page.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_mypy_finds_nothing_in_the_snippets(tmp_path):
    done = checked(tmp_path, sys.executable, "-m", "mypy", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pyright"), reason="pyright is not installed")
def test_pyright_finds_nothing_in_the_snippets(tmp_path):
    done = checked(tmp_path, "pyright", "--pythonpath", sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr
