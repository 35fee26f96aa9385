"""No text from a file, an endpoint or a plugin controls the terminal, through whatever message it gets there."""

import json
import os
import pty
import sys

import pytest

from filial.contracts.texts import defuse, printable_lines

BAD = "\x1b]0;OWNED\x07\x9bOWNED\u202eOWNED\x1b[2J\x08"
RAW = ("\x1b]", "\x9b", "\u202e", "\x1b[2J", "\x08")


@pytest.fixture
def on_terminal(tmp_path, monkeypatch):
    """``on_terminal(*args)``: run filial on a terminal in an empty folder; what came to it."""
    monkeypatch.chdir(tmp_path)

    def run(*args, plugins=""):
        (tmp_path / "mine.py").write_text(plugins)
        child, terminal = pty.fork()
        if child == 0:
            flags = ["--plugin", "mine.py"] if plugins else []
            os.execve(sys.executable, [sys.executable, "-m", "filial", *flags, *args], {**os.environ, "TERM": "xterm"})
        out = b""
        while True:
            try:
                part = os.read(terminal, 65536)
            except OSError:  # Linux says so at the end
                break
            if not part:
                break
            out += part
        os.waitpid(child, 0)
        os.close(terminal)
        return out.decode()

    return run


NOISY = f"""
import logging, warnings
from filial import Filter, Keep, hookimpl

class Noisy(Filter):
    \"\"\"Says much.\"\"\"
    def check(self, record, ctx):
        bad = {BAD!r}
        warnings.warn(bad)
        logging.getLogger("x").warning(bad)
        print(bad)
        ctx.note(bad)
        return Keep()

class Broken(Filter):
    \"\"\"Fails.\"\"\"
    def check(self, record, ctx):
        raise ValueError({BAD!r})

@hookimpl
def register_filters(register):
    register("noisy", Noisy)
    register("broken", Broken)
"""


def write(name, *rows):
    with open(name, "w") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "plugins"),
    [
        (["filter", "length", "columns.jsonl"], ""),
        (["convert", "columns.jsonl", "-o", "o.jsonl"], ""),
        (["show", "data.jsonl"], ""),
        (["show", "data.jsonl", "--json"], ""),
        (["show", "data.jsonl", "--id", BAD], ""),
        (["check", "bad.yaml"], ""),
        (["plan", "bad.yaml"], ""),
        (["run", "bad.yaml"], ""),
        (["check", BAD], ""),
        ([BAD], ""),
        (["show", "data.jsonl", "--where", BAD], ""),
        (["plugins", "show", BAD], ""),
        (["ledger", "import", "cassette.jsonl"], ""),
        (["ledger", "prune", "--teacher", BAD, "--dry-run"], ""),
        (["ask", "openai", "--model", BAD, "--base-url", "http://127.0.0.1:9/v1", "hi"], ""),
        (["filter", "noisy", "data.jsonl", "-o", "o.jsonl"], NOISY),
        (["filter", "broken", "data.jsonl", "-o", "o.jsonl"], NOISY),
        (["--debug", "filter", "broken", "data.jsonl", "-o", "o.jsonl"], NOISY),
    ],
    ids=lambda value: " ".join(value).replace(BAD, "BAD") if isinstance(value, list) else "",
)
def test_no_control_character_gets_to_the_terminal(on_terminal, args, plugins):
    write("columns.jsonl", {BAD: "a question", "x" + BAD: "an answer"})
    write("data.jsonl", {"instruction": f"Do {BAD}", "output": BAD, BAD: BAD})
    write("cassette.jsonl", {"filial_cassette": 1, "answers": 0, "teachers": {}, BAD: 1})
    with open("bad.yaml", "w") as file:
        file.write(json.dumps({"data": "data.jsonl", "teacher": {"use": "openai", "model": BAD}, "stages": [{BAD: 1}]}))
    out = on_terminal(*args, plugins=plugins)
    assert out.strip()
    assert [raw for raw in RAW if raw in out] == []


def test_json_on_a_terminal_is_json_still(on_terminal):
    write("data.jsonl", {"instruction": f"Do {BAD}", "output": "ok"})
    row = json.loads(on_terminal("show", "data.jsonl", "--json").splitlines()[0])
    assert row["instruction"] == f"Do {BAD}"


def test_colours_and_cursor_moves_of_filials_own_get_through():
    assert defuse("\x1b[1;32mgreen\x1b[0m\x1b[2K", styles=True) == "\x1b[1;32mgreen\x1b[0m\x1b[2K"
    assert defuse("\x1b[1mbold", styles=False) == "\\u001b[1mbold"
    assert defuse("\x1b]0;title\x07 \x9b2J", styles=True) == "\\u001b]0;title\\u0007 \\u009b2J"
    assert defuse("한국어\té 🙂\n", styles=False) == "한국어\té 🙂\n"
    assert printable_lines("a\x1b\nb") == "a\\x1b\nb"
