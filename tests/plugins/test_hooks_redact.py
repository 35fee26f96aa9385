"""What identifies people and accounts reaches no teacher and no ledger; numbers in tasks stay what they are."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import string
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cpu_kit import bounded
from hypothesis import assume, given
from hypothesis import strategies as st

from filial import Message, Reply, Request, ToolCall
from filial.cli import invoke
from filial_plugins.hooks.redact import Redact, redact

TOY = Path(__file__).parents[1] / "core" / "toy.py"
MARKS = re.compile(r"\[(?:email|phone|iban|card|ip|key)\]")

# The registry's own examples, and the numbers that payment companies publish for tests.
IBANS = (
    "GB29NWBK60161331926819", "DE89370400440532013000", "FR1420041010050500013M02606", "NO9386011117947",
    "AT611904300234573201", "MT84MALT011000012345MTLCAST001S", "NL91ABNA0417164300",
)  # fmt: skip
CARDS = (
    "4242424242424242", "4111111111111111", "5555555555554444", "2223003122003222", "378282246310005",
    "6011111111111117", "30569309025904", "3566002020360505", "6200000000000005",
)  # fmt: skip
PHONES = (
    "+49 30 1234567", "+49 (0)30 1234567", "+1 (555) 234-5678", "+1-555-234-5678", "+33 6 12 34 56 78",
    "+1.555.234.5678", "+447911123456", "(555) 234-5678", "555-234-5678", "555.234.5678", "1-800-234-5678",
)  # fmt: skip
KEYS = (
    "sk-proj-Ab3dEf6hIj9kLm2nOp5q", "sk-ant-api03-Zx8cVb7nMq6wEr5t", "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dE3fG6",
    "github_pat_11ABCDEFG0aBcDeFgHiJkL_mNoP", "xoxb-123456789012-aBcDeFgHiJkL", "AKIAIOSFODNN7EXAMPLE",
    "AIzaSyA-1234567890abcdefghijklmnopqrstu", "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dE3fG6hI9j",
)  # fmt: skip


def grouped(text: str, *sizes: int) -> str:
    """Cut into groups of these sizes, the last one again and again."""
    parts, wanted = [], list(sizes)
    while text:
        size = wanted.pop(0) if len(wanted) > 1 else wanted[0]
        parts.append(text[:size])
        text = text[size:]
    return " ".join(parts)


def domains() -> st.SearchStrategy[str]:
    label = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
    return st.tuples(st.lists(label, min_size=1, max_size=3), st.sampled_from(["com", "org", "de", "museum"])).map(
        lambda parts: ".".join([*parts[0], parts[1]])
    )


def emails() -> st.SearchStrategy[str]:
    name = st.text(string.ascii_letters + string.digits + "._%+-", min_size=1, max_size=12)
    return st.tuples(name, domains()).map("@".join)


SECRETS = st.one_of(
    emails().map(lambda text: (text, "email")),
    st.sampled_from(PHONES).map(lambda text: (text, "phone")),
    st.sampled_from([*IBANS, *(grouped(iban, 4) for iban in IBANS)]).map(lambda text: (text, "iban")),
    st.sampled_from([*CARDS, *(grouped(c, 4) for c in CARDS if len(c) == 16), "3782 822463 10005"]).map(
        lambda text: (text, "card")
    ),
    st.ip_addresses(v=4).map(lambda ip: (str(ip), "ip")),
    st.lists(st.integers(0x1000, 0xFFFF), min_size=8, max_size=8).map(
        lambda n: (":".join(map("{:x}".format, n)), "ip")
    ),
    st.sampled_from(["2001:db8::1", "fe80::1", "2001:4860:4860::8888"]).map(lambda text: (text, "ip")),
    st.sampled_from(KEYS).map(lambda text: (text, "key")),
)
FRAMES = st.sampled_from(
    [
        "Write to {}.",
        "Is it {}?",
        "({})",
        "\n- {}\n",
        "a, {}, b",
        "“{}”",
        "<{}>",
        "| {} |",
        "{}",
        "At {}; then 12 of 30.",
    ]
)


@given(SECRETS, FRAMES)
def test_what_identifies_is_masked_and_nothing_round_it_changes(secret: tuple[str, str], frame: str) -> None:
    text, kind = secret
    assert redact(frame.format(text)) == frame.format(f"[{kind}]")


@given(st.lists(SECRETS, max_size=5), st.sampled_from(["; ", "\n", " and ", ", ", " | "]))
def test_several_of_them_are_all_masked(secrets: list[tuple[str, str]], between: str) -> None:
    text = between.join(text for text, _ in secrets)
    assert redact(text) == between.join(f"[{kind}]" for _, kind in secrets)


PIECES = st.one_of(
    SECRETS.map(lambda pair: pair[0]),
    st.sampled_from(
        ["@", ".", ":", "::", " ", "-", "+", "(", ")", "[ip]", "[email]", "1", "9999", "a", "é", "\n", "tel: "]
    ),
    st.text(max_size=4),
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_what_was_masked_once_stays_as_it_is(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


numbers = st.integers(-(10**11), 10**11)
decimals = st.decimals(-(10**8), 10**8, places=3)
dates = st.datetimes()
PLAIN = st.one_of(
    numbers.map(str),
    numbers.map("{:,}".format),
    st.integers(1 - 10**10, 10**10 - 1).map("{:+}".format),
    decimals.map("{:.2f}".format),
    decimals.map("{:,}".format),
    dates.map(lambda d: d.isoformat()),
    dates.map(lambda d: f"{d.day:02}/{d.month:02}/{d.year:04}"),
    dates.map(lambda d: f"{d.day:02}.{d.month:02}.{d.year:04}"),
    dates.map(lambda d: f"{d.hour}:{d.minute:02}:{d.second:02}"),
    st.lists(numbers, max_size=9).map(str),
    st.lists(st.integers(0, 999), max_size=12).map(lambda row: " ".join(map(str, row))),
    st.lists(st.integers(0, 9999), max_size=9).map(lambda row: "; ".join(map(str, row))),
    st.lists(numbers, min_size=2, max_size=5).flatmap(
        lambda row: st.sampled_from(["+", "-", "*", "/"]).map(lambda sign: f" {sign} ".join(map(str, row)) + " =")
    ),
    st.lists(st.sampled_from("01"), min_size=1, max_size=30).map("".join),
    st.sampled_from([
        "x[1::2]", "a[::-1]", "std::vector<int>", "1:2:3:4:5:6:7:8", "aa:bb:cc:dd:ee:ff", "v1.2.3.4", "1.2.3", "@dora",
        "3 @ 2.50 each", "e = mc^2", "5 +12345678901", "phone: 2024-05-06", "0.1.2", "ISBN 978-3-16-148410-0", "50%",
        "d41d8cd98f00b204e9800998ecf8427e", "4,111,111,111,111,111", "4111111111111111 * 3", "4111111111111112",
        "12 + 4111111111111111 = ?", "4242 4242 4242 4241", "GB29NWBK60161331926818", "a long-slug-of-1-2-3-4-words",
        "[email]", "https://example.org/a/2024/05/06?page=12", "3.14159265358979323846", "8-12-2020", "1-2-3",
    ]),
)  # fmt: skip


@given(st.lists(PLAIN, min_size=1, max_size=4), st.sampled_from([", then ", "\n", "; "]))
def test_numbers_and_code_stay(pieces: list[str], between: str) -> None:
    text = between.join(pieces)
    assert redact(text) == text


@given(st.text(st.characters(exclude_characters="@:.+-0123456789"), max_size=200))
def test_prose_stays(text: str) -> None:
    assert redact(text) == text


@given(st.integers(10**12, 10**19 - 1))
def test_long_numbers_that_no_card_has_stay(number: int) -> None:
    def luhn(digits: str) -> int:
        return sum(sum(divmod(int(d) * (1 + i % 2), 10)) for i, d in enumerate(digits[::-1])) % 10

    assume(luhn(str(number)))
    assert redact(f"Add 1 to {number}.") == f"Add 1 to {number}."


def test_a_private_key_is_masked_as_a_whole() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"
    assert redact(f"Use\n{key}\nplease") == "Use\n[key]\nplease"


def test_a_number_that_is_called_a_phone_is_one() -> None:
    assert redact("Tel. 030/1234567, Fax: 030 123-45 68; my phone number is 07911 123456.") == (
        "Tel. [phone], Fax: [phone]; my phone number is [phone]."
    )


def test_only_what_is_to_be_masked_is() -> None:
    said = f"ann@mail.example, +49 30 1234567, 10.1.2.3, 4242424242424242, {IBANS[0]}, {KEYS[5]}"
    marks = ("email", "phone", "ip", "card", "iban", "key")
    for kind, secret in zip(marks, said.split(", "), strict=True):
        assert redact(said, (kind,)) == said.replace(secret, f"[{kind}]")


RECIPE = """
seed: 1
hooks: {hooks}
teacher: {{use: echo, log: {log}}}
data: seeds.jsonl
stages:
  - evolve: {{strategies: [longer], eliminate: [{{use: short, words: 90}}]}}
"""
SECRET = "Ask Ann (ann@mail.example, +49 30 1234567, 10.1.2.3) what 12.5 + 30 is on 2024-05-06."
MASKED = "Ask Ann ([email], [phone], [ip]) what 12.5 + 30 is on 2024-05-06."


def test_in_a_run_neither_the_teacher_nor_the_ledger_sees_it(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("seeds.jsonl").write_text(json.dumps({"instruction": SECRET, "output": "42.5"}) + "\n")
    Path("r.yaml").write_text(RECIPE.format(log=tmp_path / "asked.txt", hooks="[redact]"))
    assert invoke(["--plugin", str(TOY), "run", "r.yaml"]) == 0
    asked = Path("asked.txt").read_text()
    with closing(sqlite3.connect(".filial/ledger.sqlite")) as db:
        stored = [
            zlib.decompress(blob).decode() for row in db.execute("select request, reply from answers") for blob in row
        ]
    assert f"longer: {MASKED}" in asked
    assert len(stored) == 2 * len(asked.splitlines()) > 0
    for text in (asked, *stored):
        assert MASKED in text
        assert not re.search(r"ann@|1234567|10\.1\.2\.3", text)


def test_a_recipe_says_what_is_masked(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("seeds.jsonl").write_text(json.dumps({"instruction": SECRET, "output": "42.5"}) + "\n")
    Path("r.yaml").write_text(RECIPE.format(log=tmp_path / "asked.txt", hooks="[{use: redact, what: [email]}]"))
    assert invoke(["--plugin", str(TOY), "run", "r.yaml"]) == 0
    assert f"longer: {SECRET.replace('ann@mail.example', '[email]')}" in Path("asked.txt").read_text()
    Path("r.yaml").write_text(RECIPE.format(log=tmp_path / "asked.txt", hooks="[{use: redact, what: [emails]}]"))
    assert invoke(["--plugin", str(TOY), "check", "r.yaml"]) == 2
    assert "r.yaml:3:30: 'emails' should be" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["1-", "a.b", "a@", ":", "DE89 ", "x@a."])
def test_hostile_text_takes_no_time(text: str) -> None:
    with bounded():
        redact(text * 100_000)


def test_what_is_masked_in_a_turn_is_all_that_it_says():
    mail, masked = "write to ann@example.org", "write to [email]"
    seen: list[Request] = []

    def turn(text: str) -> Message:
        return Message("assistant", text, reasoning=text, tool_calls=(ToolCall(name="send", arguments=text),))

    async def proceed(request):
        seen.append(request)
        return Reply(text="")

    asyncio.run(Redact().ask(Request(messages=(turn(mail),)), proceed))
    assert seen[0].messages == (turn(masked),)


def test_private_keys_are_masked_from_the_first_beginning_to_the_next_end():
    begin, end = "-----BEGIN EC PRIVATE KEY-----", "-----END EC PRIVATE KEY-----"
    assert redact(f"a {begin} b {begin} c {end} d {end} e {begin} f") == f"a [key] d {end} e {begin} f"
    assert redact(f"{begin}\nx\n{end} and {begin}\ny\n{end}") == "[key] and [key]"


def test_marks_without_an_end_are_read_once():
    with bounded():
        assert redact("-----BEGIN PRIVATE KEY-----" * 40_000).count("BEGIN") == 40_000
