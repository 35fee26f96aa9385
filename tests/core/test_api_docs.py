"""The Python of docs/python.md: it runs from top to bottom, and type checkers find nothing in it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
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
    pytest.importorskip("datasets", reason="needs the extra data")
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
@pytest.mark.skipif(not find_spec("pyright"), reason="pyright is not installed")
def test_pyright_finds_nothing_in_the_snippets(tmp_path):
    done = checked(tmp_path, sys.executable, "-m", "pyright", "--pythonpath", sys.executable)
    assert done.returncode == 0, done.stdout + done.stderr


OWN = {"strip", "items", "append"}
"""Methods of Python's own types."""


def names(code: str) -> set[str]:
    """Modules, classes, functions, methods and attributes of libraries that a program uses."""
    out = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            out |= {alias.name for alias in node.names} | ({node.module} if isinstance(node, ast.ImportFrom) else set())
        elif isinstance(node, ast.Attribute):
            out.add(node.attr)
    return out - OWN


def test_the_ten_steps_are_as_long_as_the_page_says():
    page = (ROOT / "docs/ten_steps.md").read_text(encoding="utf-8")
    cells = json.loads((ROOT / "docs/notebooks/ten_cells.ipynb").read_text(encoding="utf-8"))["cells"]
    programs = {"filial": "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")}
    programs |= dict(re.findall(r"<!-- steps: ([^>]+) -->\n```py\n(.*?)^```$", page, re.S | re.M))
    found = {}
    for tool, code in programs.items():
        lines = [line.strip() for line in code.splitlines()]
        found[tool] = (sum(bool(line) and not line.startswith("#") for line in lines), len(names(code)))
    said = re.findall(r"^\| (\S.*?) \| (\d+) \| (\d+) \|$", page, re.M)
    assert {tool: (int(lines), int(known)) for tool, lines, known in said} == found
