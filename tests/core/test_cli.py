"""The command line as a whole: help, errors of one sentence, exit codes, pipes, Ctrl-C."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import filial
from filial.contracts.kinds import KINDS
from filial.plugins.discovery import index, singular
from filial_plugins.commands.plugins import kind_of

TOY = Path(__file__).parent / "toy.py"
FILIAL = [sys.executable, "-m", "filial"]


def start(*args, **options):
    return subprocess.Popen(
        [*FILIAL, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


@pytest.fixture
def closed_port():
    """A port on this machine at which nobody listens: it is held, so that nobody takes it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_help_names_every_command_and_every_command_has_help(cli):
    from filial.cli import FIRST

    assert cli("--help", toy=False) == 0
    page = cli.out
    own = [name for name, claims in index()["commands"].items() if claims[0].dist == "filial"]
    own = [*FIRST, *(name for name in own if name not in FIRST)]
    rows = [line for line in page.partition("Commands:\n")[2].splitlines() if line]
    assert [row.split()[0] for row in rows][: len(own)] == own
    for name in own:
        assert re.search(rf"^  {name} +[A-Z].+\.$", page, re.M), "one line that says what it does"
        assert cli(name, "-h", toy=False) == 0
        assert cli.out.startswith(f"Usage: filial {name}")
    assert max(map(len, page.splitlines())) <= 80


def test_what_other_packages_bring_stands_behind_filials_own(site, cli):
    site.dist("a-sail", {"filial.commands": {"aaa": "sail_module"}}, {"sail_module": '"""Set sail."""\n'})
    assert cli("--help", toy=False) == 0
    assert re.search(r"train +Train a model on records\.\n  aaa +Set sail\.", cli.out)


def test_filials_own_commands_stay_without_other_plugins(site, cli):
    site.dist("a-sail", {"filial.commands": {"aaa": "sail_module"}})
    own = {name for name, claims in index()["commands"].items() if claims[0].dist == "filial"}
    assert cli("--no-plugins", "--help", toy=False) == 0
    assert {line.split()[0] for line in cli.out.partition("Commands:\n")[2].splitlines()} == own
    assert cli("--no-plugins", "aaa", toy=False) == 2
    assert "command 'aaa' of a-sail 1.0 is left out by --no-plugins" in cli.err


SAIL = '''"""Set sail."""
import click
@click.command()
def command():
    click.echo("we sail")
'''


def test_a_command_that_filial_has_stays_filials_and_the_other_is_reached_by_its_distribution(site, cli):
    site.dist("a-sail", {"filial.commands": {"check": "sail_module"}}, {"sail_module": SAIL})
    assert cli("--help", toy=False) == 0
    assert re.search(r"check +Find every fault of a recipe; send nothing\.", cli.out)
    assert "sail" not in cli.out
    assert cli("check", "--help", toy=False) == 0
    assert "RECIPE" in cli.out
    assert cli("a-sail:check", toy=False) == 0
    assert cli.out == "we sail\n"
    assert cli("plugins", toy=False) == 0
    assert cli.err == "warning: command 'check' means filial's own; write a-sail:check for that of a-sail 1.0\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(3)", "sink = sink_module does not load: SystemExit: 3"),
        ("import nowhere_at_all", "sink = sink_module does not load: ModuleNotFoundError: No module named"),
        ("command = 'sink'", "filial-x 1.0 (entry point sink = sink_module) is not a click command"),
    ],
)
def test_a_broken_command_is_one_sentence_and_costs_only_those_who_name_it(site, cli, code, told):
    site.dist("filial-x", {"filial.commands": {"sink": "sink_module"}}, {"sink_module": code})
    assert cli("sink", toy=False) == 2
    assert told in cli.err
    assert len(cli.err.splitlines()) == 1
    assert cli("--help", toy=False) == 0
    assert re.search(r"sink +From filial-x 1\.0\.", cli.out)


def test_the_shell_completes_commands_and_imports_none(site):
    site.dist("filial-x", {"filial.commands": {"chart": "sink_module"}}, {"sink_module": "raise SystemExit(3)"})
    env = {"_FILIAL_COMPLETE": "bash_complete", "COMP_WORDS": "filial ch", "COMP_CWORD": "1"}
    path = os.pathsep.join([str(site.folder), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(FILIAL, env={**os.environ, **env, "PYTHONPATH": path}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "plain,check\nplain,chart\n", "")
    env |= {"COMP_WORDS": "filial nowhere x", "COMP_CWORD": "2"}
    done = subprocess.run(FILIAL, env={**os.environ, **env}, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_every_public_name_for_commands_is_there():
    from filial import commands

    assert len(set(commands.__all__)) == len(commands.__all__)
    for name in commands.__all__:
        assert getattr(commands, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        commands.nothing_of_that_name  # noqa: B018


def test_the_version_is_the_packages(cli):
    assert cli("--version", toy=False) == 0
    assert cli.out == f"filial {filial.__version__}\n"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["evlove"], "did you mean 'evolve'"),
        (["evolve", "longr", "x.jsonl"], "did you mean 'longer'"),
        (["evolve", "short", "x.jsonl"], "'short' is a filter"),
        (["filter", "short"], "INPUT"),
        (["filter", "short", "x.jsonl"], "--out"),
        (["run"], "RECIPE"),
        (["run", "nope.yaml"], "nope.yaml"),
        (["--nope"], "--nope"),
        (["schema", "nope"], "schema filter novelty"),
        (["plugins", "show", "lnoger"], "did you mean 'longer'"),
        (["ask", "echo", ""], "empty"),
        (["train", "sft", "x.jsonl", "--model", "m", "-o", "o"], "--template"),
        (["judge", "exact-match", "x.jsonl", "--model", "no/model"], "no/model"),
        (["render", "chat", "x.jsonl"], "--tokenizer"),
        (["render", "alpaca", "x.jsonl", "--mask"], "--tokenizer"),
        (["render", "alpaca", "x.jsonl", "--max-length", "9"], "--tokenizer"),
        (["render", "alpaca", "nope.jsonl"], "nope.jsonl: no such file"),
        (["--plugin", "nope.py", "plugins"], "nope.py"),
        (
            ["evolve", "longer", "x.jsonl", "--plugin", "nope.py"],
            "--plugin is an option of filial itself; write it before",
        ),
        (["check", "x.yaml", "--debug"], "--debug is an option of filial itself; write it before"),
        (["evolve", "nope", "x.jsonl"], "one in a file needs --plugin FILE"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_2(cli, args, told):
    cli.write("x.jsonl", {"instruction": "Name a river."})
    assert cli(*args) == 2
    assert told in cli.err
    assert len(cli.err.strip().splitlines()) == 1
    assert "Traceback" not in cli.err
    assert cli.out == ""


def test_a_bare_command_shows_its_help(cli):
    assert cli(toy=False) == 2
    assert "Commands:" in cli.err
    assert cli("evolve") == 2
    assert "longer" in cli.err


def test_the_traceback_comes_with_debug_alone(cli):
    assert cli("filter", "short", "nope.jsonl", "-o", "o.jsonl") == 2
    assert "Traceback" not in cli.err
    assert cli("--debug", "filter", "short", "nope.jsonl", "-o", "o.jsonl") == 2
    assert "Traceback" in cli.err
    assert cli.err.endswith("Error: nope.jsonl: no such file\n")
    assert cli("ask", "echo", "--", "--debug") == 0


@pytest.fixture
def crash(tmp_path):
    """A plugin file that kills the process while it is imported, as a fault in native code does."""
    path = tmp_path / "crash.py"
    path.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    return path


def test_a_crash_of_native_code_prints_its_file_and_line(crash):
    process = start("--plugin", crash, "filter", "short", "x.jsonl", "-o", "o.jsonl", cwd=crash.parent)
    _, told = process.communicate()
    assert process.returncode == -signal.SIGSEGV
    assert f'File "{crash}", line 2' in told


def test_a_closed_stderr_changes_nothing(crash):
    command = [*FILIAL, "--plugin", str(crash), "filter", "short", "x.jsonl", "-o", "o.jsonl"]
    closed = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command], cwd=crash.parent)
    assert closed.returncode == -signal.SIGSEGV
    closed = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *FILIAL, "--version"], capture_output=True, text=True)
    assert closed.returncode == 0
    assert closed.stdout.startswith("filial ")


def test_a_stderr_that_is_no_file_changes_nothing():
    code = "import io, sys; from filial.cli import main; sys.stderr = io.StringIO(); main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("filial ")


def test_plugins_are_listed_from_metadata_and_as_json(cli):
    assert cli("plugins", toy=False) == 0
    assert "strategies  deepen" in cli.out
    assert cli("plugins", "--json") == 0
    listed = json.loads(cli.out)
    assert {"kind": "strategies", "name": "deepen", "from": f"filial {filial.__version__}"} in listed
    assert any(p["name"] == "longer" and p["from"].startswith("toy.py ") for p in listed)


def test_long_names_of_plugins_and_packages_stay_within_80_columns(site, cli):
    name, other = "name-" * 8, "long-name-of-a-package-" * 2
    for dist in (f"{other}one", f"{other}two"):
        site.dist(dist, {"filial.strategies": {name: "m"}})
    assert cli("plugins", toy=False) == 0
    assert max(map(len, cli.out.splitlines())) <= 80
    row = "".join(cli.out.partition(name)[2].partition("strategies")[0].split())
    assert row == f"{other}one1.0and{other}two1.0"


@pytest.mark.parametrize("kind", ["strategy", "strategies"])
def test_a_kind_may_be_named_in_singular_and_plural(cli, kind):
    assert cli("plugins", "show", "deepen", "--kind", kind, toy=False) == 0
    assert cli.out.startswith("deepen (strategies)")
    assert cli("schema", kind, "deepen", toy=False) == 0
    assert "max_words" in json.loads(cli.out)["properties"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("filter", "no filter named 'deepen'; 'deepen' is a strategy"),
        ("strategie", "there is no such kind; kinds are generator, strategy, filter,"),
    ],
)
def test_a_plugin_of_another_kind_and_a_kind_there_is_not_are_told(cli, kind, told):
    assert cli("plugins", "show", "deepen", "--kind", kind, toy=False) == 2
    assert told in cli.err


def test_plugins_of_hooks_are_shown_with_their_options_too(cli):
    assert cli("plugins", "show", "redact", toy=False) == 0
    assert cli.out.startswith("redact (hooks), filial:redact==")
    assert "  what: list of 'email' | 'phone'" in cli.out
    assert cli("schema", "hook", "redact", toy=False) == 0
    assert json.loads(cli.out)["properties"]["what"]["minItems"] == 1


def test_every_kind_is_found_by_either_of_its_names():
    for kind in KINDS:
        assert kind_of(kind) == kind_of(singular(kind)) == kind
        assert kind_of(f"{kind}s") is None


def test_what_is_blocked_is_shown_and_refused(cli, monkeypatch):
    monkeypatch.setenv("FILIAL_BLOCK", "novelty")
    cli("plugins")
    assert "blocked by FILIAL_BLOCK" in cli.out
    cli.write("x.jsonl", {"instruction": "Name a river."})
    assert cli("filter", "novelty", "x.jsonl", "-o", "o.jsonl") == 2
    assert "blocked by FILIAL_BLOCK" in cli.err


@pytest.mark.parametrize("what", ["record", "recipe", "manifest", "filter novelty", "strategies deepen"])
def test_every_schema_is_a_json_schema(cli, what):
    from jsonschema import Draft202012Validator

    assert cli("schema", *what.split(), toy=False) == 0
    Draft202012Validator.check_schema(json.loads(cli.out))


def test_ask_prints_the_answer_alone_and_asks_once(cli):
    assert cli("ask", "echo", "Name a river.", "--log", "asked") == 0
    assert cli.out == "Name a river. indeed\n"
    cli("ask", "echo", "Name a river.", "--log", "asked", "--json")
    told = json.loads(cli.out)
    assert (told["text"], told["finish_reason"], told["prompt_tokens"]) == ("Name a river. indeed", "stop", 2)
    assert len((cli.folder / "asked").read_text().splitlines()) == 1
    cli("ask", "echo", "Name a river.", "--log", "asked", "--fresh")
    assert len((cli.folder / "asked").read_text().splitlines()) == 2


def test_ask_reads_a_prompt_from_stdin(cli, monkeypatch):
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("Name\na lake.\n"))
    assert cli("ask", "echo", "-") == 0
    assert cli.out == "Name\na lake. indeed\n"


def test_an_answer_that_fails_is_exit_1_with_what_there_was_of_it(cli):
    assert cli("ask", "echo", "a bad one", "--fail-on", "bad") == 1
    assert "broken: it fails here" in cli.err
    assert "half an answ" in cli.err


@pytest.mark.parametrize("command", ["ask", "evolve", "run"])
def test_a_teacher_nobody_can_reach_is_exit_4_and_nothing_is_written(cli, closed_port, command):
    url = f"http://127.0.0.1:{closed_port}/v1"
    cli.write("x.jsonl", {"instruction": "Name a river."})
    (cli.folder / "r.yaml").write_text(
        f"teacher: {{use: openai, model: m, base_url: '{url}', max_retries: 1}}\n"
        "data: x.jsonl\nstages:\n  - evolve: {strategies: [longer]}\n"
    )
    code = {
        "ask": lambda: cli("ask", "openai", "hi", "--model", "m", "--base-url", url, "--max-retries", "1"),
        "evolve": lambda: cli("evolve", "longer", "x.jsonl", "-o", "o.jsonl", "--teacher", "openai", "-T", "model=m",
                              "-T", f"base_url={url}", "-T", "max_retries=1"),
        "run": lambda: cli("run", "r.yaml"),
    }[command]()  # fmt: skip
    assert code == 4
    assert "'openai' cannot be reached" in cli.err
    assert not [f for f in cli.files() if f.endswith(("o.jsonl", "records.jsonl", ".tmp"))]


def test_render_shows_what_is_trained(cli):
    cli.write("x.jsonl", {"instruction": "Name a river.", "output": "The Rhine."})
    assert cli("render", "alpaca", "x.jsonl") == 0
    assert "⟦The Rhine.{eos}⟧" in cli.out
    cli("render", "alpaca", "x.jsonl", "--json")
    (row,) = json.loads(cli.out)["records"]
    assert [s["text"] for s in row["spans"] if s["train"]] == ["The Rhine.", "{eos}"]


def test_a_reader_that_has_enough_ends_us_quietly(tmp_path):
    rows = "".join(json.dumps({"instruction": f"Name river {i}."}) + "\n" for i in range(20_000))
    (tmp_path / "x.jsonl").write_text(rows)
    process = start("--plugin", TOY, "filter", "short", "x.jsonl", "-o", "-", cwd=tmp_path)
    assert "Name river 0." in process.stdout.readline()
    process.stdout.close()
    assert process.wait(300) == 0
    assert "Error" not in process.stderr.read()
    process.stderr.close()


def test_a_run_goes_on_when_nobody_reads_its_messages_any_more(tmp_path, held_run):
    process = held_run(answered=4)
    process.stderr.close()
    (tmp_path / "hold").unlink()
    assert "60 requests" in process.stdout.read()
    process.stdout.close()
    assert process.wait(300) == 0
    assert (tmp_path / "runs/r/summary.json").exists()
    assert lines(tmp_path / "asked") == 60


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-"])
def test_a_run_works_without_standard_error(tmp_path, closed):
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Name a river."}\n')
    (tmp_path / "r.yaml").write_text(
        "teacher: {use: echo}\nstages:\n  - generate: {use: count, count: 5, seeds: seeds.jsonl}\n"
    )
    command = shlex.join([*FILIAL, "--plugin", str(TOY), "run"])
    told = subprocess.run(["sh", "-c", f"{command} nope.yaml {closed}"], cwd=tmp_path, capture_output=True, check=False)
    assert (told.returncode, told.stdout) == (2, b""), "an error is still told by the exit code"
    done = subprocess.run(["sh", "-c", f"{command} r.yaml {closed}"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0
    assert (tmp_path / "runs/r/summary.json").exists()


def heedful():
    """Let a process notice every signal, also where whoever started the tests ignores some."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def hold(tmp_path):
    """``hold(n, *words)``: start a command whose teacher is told to write ``came`` and ``asked``, answers n times and
    then holds its answers until the file ``hold`` is removed; returns when two more requests are in flight."""

    begun = []

    def begin(answered, *words):
        (tmp_path / "hold").write_text("answer\n" * answered)
        begun.append(process := start(*words, cwd=tmp_path, preexec_fn=heedful))
        while lines(tmp_path / "came") < answered + 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        return process

    yield begin
    for process in begun:
        process.kill()  # it would wait for ever where the test has failed


@pytest.fixture
def held_run(tmp_path, hold):
    """``held_run(n)``: such a run of sixty requests, two at a time."""
    (tmp_path / "seeds.jsonl").write_text('{"instruction": "Name a river."}\n')
    (tmp_path / "r.yaml").write_text(
        "teacher: {use: echo, max_concurrency: 2, came: came, log: asked, hold: hold}\n"
        "stages:\n  - generate: {use: count, count: 60, seeds: seeds.jsonl}\n"
    )
    return lambda answered: hold(answered, "--plugin", TOY, "run", "r.yaml")


STOPS = pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


def lines(path):
    """How many lines a file has; none if it is not there."""
    return len(path.read_text().splitlines()) if path.exists() else 0


def told(process):
    """What a process tells next that is not about a stage."""
    return next(line for line in process.stderr if not re.match(r"\w+: ", line))


def end_of(process):
    """Its exit code and the rest of what it writes; `communicate` would lose what has been read ahead."""
    with process:
        out, err = process.stdout.read(), process.stderr.read()
    return process.returncode, out, err


@STOPS
def test_a_signal_to_stop_is_exit_130_and_waits_for_what_is_in_flight(tmp_path, held_run, sign):
    process = held_run(answered=4)
    process.send_signal(sign)
    assert told(process).startswith("finishing 2 requests in flight")
    (tmp_path / "hold").unlink()
    assert told(process).startswith("Interrupted;")
    assert end_of(process) == (130, "", "")
    assert lines(tmp_path / "asked") == 6
    assert not list((tmp_path / "runs").rglob("*.tmp"))
    again = subprocess.run([*FILIAL, "--plugin", TOY, "run", "r.yaml"], cwd=tmp_path, capture_output=True, check=False)
    assert again.returncode == 0
    assert lines(tmp_path / "asked") == 60, "nothing that was paid for is asked again"


@pytest.mark.parametrize("command", ["ask", "evolve"])
def test_single_commands_keep_what_is_in_flight_at_a_sigterm_too(tmp_path, hold, command):
    (tmp_path / "x.jsonl").write_text(
        "".join(json.dumps({"instruction": f"Name river {i}."}) + "\n" for i in range(40))
    )
    options = {"max_concurrency": 2, "came": "came", "log": "asked", "hold": "hold"}
    if command == "ask":
        flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        words = ["ask", "echo", "--prompts", "x.jsonl", *flags]
    else:
        flags = [word for name, value in options.items() for word in ("-T", f"{name}={value}")]
        words = ["evolve", "longer", "x.jsonl", "-o", "o.jsonl", "--no-answer", "--teacher", "echo", *flags]
    process = hold(4, "--plugin", TOY, *words)
    process.send_signal(signal.SIGTERM)
    assert "finishing 2 requests in flight" in told(process)
    (tmp_path / "hold").unlink()
    code, _, err = end_of(process)
    assert (code, "Interrupted;" in err) == (130, True)
    assert lines(tmp_path / "asked") == 6
    subprocess.run([*FILIAL, "--plugin", TOY, *words], cwd=tmp_path, capture_output=True, check=True)
    assert lines(tmp_path / "asked") == 40, "nothing that was paid for is asked again"


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_waits_for_nothing(tmp_path, held_run, sign):
    process = held_run(answered=0)
    process.send_signal(sign)
    assert "in flight" in told(process)
    process.send_signal(sign)
    code, out, err = end_of(process)
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("Interrupted;")
    assert lines(tmp_path / "asked") == 0


def test_a_terminal_gets_bars_and_a_pipe_plain_lines(tmp_path):
    import pty

    (tmp_path / "x.jsonl").write_text('{"instruction": "Name a river."}\n')
    ours, theirs = pty.openpty()
    command = [*FILIAL, "--plugin", str(TOY), "filter", "short", "x.jsonl", "-o", "o.jsonl"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    seen = b""
    while chunk := _read(ours):
        seen += chunk
    assert process.wait(300) == 0
    assert "✓ filter: 1 kept" in seen.decode()
    plain = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stderr.decode()
    assert plain.startswith("filter: 1 kept")
    assert "\x1b" not in plain


def _read(fd):
    """What comes from a pseudo-terminal; nothing once the other side is closed (Linux says so with an error)."""
    try:
        return os.read(fd, 4096)
    except OSError:
        os.close(fd)
        return b""
