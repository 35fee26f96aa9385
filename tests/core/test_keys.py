"""A key goes where its user allowed it, and nowhere else; the bindings survive, and no value is shown."""

from __future__ import annotations

import json
import os
import stat

import pytest

from filial import Destination, UsageError
from filial.gateway import keys
from filial_plugins.commands.key_bindings import allow_key, forget_key

VALUE = "sk-canary-0123456789"


@pytest.fixture(autouse=True)
def set_key(config, monkeypatch):
    monkeypatch.setenv("MY_KEY", VALUE)


def refused(host, key="MY_KEY", known=False):
    with pytest.raises(UsageError) as caught:
        keys.secret(Destination(host, key, known))
    return str(caught.value)


def test_a_key_is_refused_until_its_host_is_allowed_and_again_once_forgotten(config):
    assert refused("a.example") == (
        "this would send $MY_KEY to a.example, which you have not allowed; if you trust it: "
        "filial keys allow MY_KEY a.example"
    )
    allow_key("MY_KEY", "a.example")
    assert keys.secret(Destination("a.example", "MY_KEY")) == VALUE
    assert "not allowed" in refused("b.example")
    assert "not allowed" in refused("a.example", key="OTHER")
    assert forget_key("MY_KEY") == ["a.example"]
    assert "not allowed" in refused("a.example")


@pytest.mark.parametrize(
    "host", ["xa.example", "a.example.evil.example", "a.exampl", "evil.example:a.example", "", "a"]
)
def test_a_host_that_only_looks_like_an_allowed_one_is_another(host):
    allow_key("MY_KEY", "a.example")
    assert "not allowed" in refused(host)


def test_a_host_without_a_port_stands_for_all_its_ports_one_with_a_port_for_itself():
    allow_key("MY_KEY", "a.example")
    allow_key("MY_KEY", "b.example:8000")
    allow_key("MY_KEY", "[::1]")
    for host in ("a.example", "a.example:8443", "A.Example", "b.example:8000", "[::1]:9"):
        assert keys.secret(Destination(host, "MY_KEY")) == VALUE
    for host in ("b.example", "b.example:80", "[::2]:9"):
        assert "not allowed" in refused(host)


def test_what_a_plugin_vouches_for_needs_no_allowance():
    assert keys.secret(Destination("api.a.example", "MY_KEY", known=True)) == VALUE


def test_no_key_is_nothing_to_refuse():
    assert keys.refusal(None) == ""
    assert keys.refusal(Destination("evil.example")) == ""


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_variable_that_is_not_set_is_said(monkeypatch, value):
    monkeypatch.delenv("MY_KEY") if value is None else monkeypatch.setenv("MY_KEY", value)
    assert "MY_KEY is not set" in refused("a.example", known=True)


def test_blanks_round_a_key_are_no_part_of_it(monkeypatch):
    monkeypatch.setenv("MY_KEY", f" {VALUE}\n")
    assert keys.secret(Destination("a.example", "MY_KEY", known=True)) == VALUE


@pytest.mark.parametrize("value", [f"{VALUE}\n{VALUE}", f"{VALUE}\r\nX-Evil: 1", f"{VALUE}\x00", f"{VALUE}ü"])
def test_a_value_that_is_more_than_a_key_is_refused_and_not_shown(monkeypatch, value):
    monkeypatch.setattr(os, "environ", {**os.environ, "MY_KEY": value})
    why = refused("a.example", known=True)
    assert "MY_KEY is not a key" in why
    assert VALUE not in why


def test_the_file_holds_names_and_hosts_for_its_owner_alone(config):
    allow_key("MY_KEY", "b.example")
    allow_key("MY_KEY", "a.example")
    path = config / "keys.json"
    assert json.loads(path.read_text()) == {"MY_KEY": ["a.example", "b.example"]}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in config.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"A": "a.example"}', '{"A": [1]}', '{"A": null}', "\xff"])
def test_a_damaged_file_is_a_clear_error_and_is_not_written_over(config, text):
    config.mkdir()
    (config / "keys.json").write_bytes(text.encode("latin-1"))
    for work in (
        lambda: allow_key("MY_KEY", "a.example"),
        lambda: forget_key("MY_KEY"),
        lambda: keys.secret(Destination("a.example", "MY_KEY")),
    ):
        with pytest.raises(UsageError, match=r"keys\.json: this file is damaged"):
            work()
    assert (config / "keys.json").read_bytes() == text.encode("latin-1")


def test_the_folder_is_where_the_user_or_the_desktop_says(tmp_path, monkeypatch):
    monkeypatch.setenv("FILIAL_CONFIG", str(tmp_path / "own"))
    assert keys.config_folder() == tmp_path / "own"
    monkeypatch.delenv("FILIAL_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert keys.config_folder() == tmp_path / "xdg" / "filial"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert keys.config_folder() == tmp_path / "home" / ".config" / "filial"


def test_the_command_allows_lists_and_forgets(cli, config):
    assert cli("keys", toy=False) == 0
    assert (cli.out, "filial keys allow NAME HOST" in cli.err) == ("", True)
    assert cli("keys", "allow", "MY_KEY", "https://A.example/v1", toy=False) == 0
    assert cli.err == "$MY_KEY may go to a.example from now on.\n"
    assert cli("keys", "allow", "UNSET_KEY", "b.example:80", toy=False) == 0
    assert cli("keys", "list", toy=False) == 0
    assert cli.out == "MY_KEY     a.example\nUNSET_KEY  b.example:80  (not set now)\n"
    assert cli("keys", "--json", toy=False) == 0
    assert json.loads(cli.out) == {"MY_KEY": ["a.example"], "UNSET_KEY": ["b.example:80"]}
    assert cli("keys", "forget", "MY_KEY", toy=False) == 0
    assert cli("keys", "list", "--json", toy=False) == 0
    assert json.loads(cli.out) == {"UNSET_KEY": ["b.example:80"]}
    assert cli("keys", "forget", "MY_KEY", "a.example", toy=False) == 2
    assert "is not an allowed key and host" in cli.err


@pytest.mark.parametrize(
    ("name", "host"),
    [
        (VALUE, "a.example"),
        ("MY KEY", "a.example"),
        ("MY_KEY", f"user:{VALUE}@a.example"),
        ("MY_KEY", ""),
        ("MY_KEY", "a b"),
    ],
)
def test_what_is_no_name_or_no_host_is_refused_and_not_repeated(cli, name, host):
    assert cli("keys", "allow", name, host, toy=False) == 2
    assert VALUE not in cli.out + cli.err
    assert keys.key_bindings() == {}


STRANGER = """
teacher: {use: openai, model: m, base_url: "https://evil.example/v1", api_key_env: MY_KEY}
data: x.jsonl
stages:
  - evolve: {strategies: [longer]}
"""


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_a_strangers_recipe_cannot_send_a_key_to_a_host_of_its_own(cli, monkeypatch, command):
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("a connection was opened"))
    cli.write("x.jsonl", {"instruction": "Name a river."})
    (cli.folder / "r.yaml").write_text(STRANGER)
    assert cli(command, "r.yaml") == 2
    assert cli.err.removeprefix("Error: ").startswith(
        "r.yaml:2:10: teacher 'openai': this would send $MY_KEY to evil.example, which you have not allowed"
    )
    assert cli.files() == ["r.yaml", "x.jsonl"]


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "openai", "Who?", "--model", "m", "--base-url", "https://evil.example/v1", "--api-key-env", "MY_KEY"],
        ["evolve", "longer", "x.jsonl", "-o", "o.jsonl", "--teacher", "openai", "-T", "model=m",
         "-T", "base_url=https://evil.example/v1", "-T", "api_key_env=MY_KEY"],
    ],
)  # fmt: skip
def test_neither_can_a_command_line(cli, monkeypatch, words):
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("a connection was opened"))
    cli.write("x.jsonl", {"instruction": "Name a river."})
    assert cli(*words) == 2
    assert "this would send $MY_KEY to evil.example" in cli.err


def test_an_allowed_host_passes_the_check(cli):
    allow_key("MY_KEY", "evil.example")
    cli.write("x.jsonl", {"instruction": "Name a river."})
    (cli.folder / "r.yaml").write_text(STRANGER)
    assert cli("check", "r.yaml") == 0
