"""YAML in: data and places, and faults instead of surprises."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from cpu_kit import bounded
from hypothesis import given
from hypothesis import strategies as st

from filial.plugins.yaml import MAX_BYTES, MAX_DEPTH, parse, parse_bytes
from filial.recipe import dump


def faults(text: str | bytes) -> list[tuple[int, int, str]]:
    document = parse_bytes(text) if isinstance(text, bytes) else parse(text)
    return [(f.line, f.column, f.message) for f in document.faults]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("Off", "Off"), ("n", "n"),
        ("true", True), ("False", False), ("TRUE", True), ("tRue", "tRue"),
        ("null", None), ("~", None), ("", None), ("None", "None"),
        ("12:30:00", "12:30:00"), ("2024-01-31", "2024-01-31"), ("1_000", "1_000"),
        ("1e-5", 1e-5), ("1e5", 1e5), (".5", 0.5), ("1.", 1.0), ("-3.25E+2", -325.0),
        ("010", 10), ("0o17", 15), ("0x1F", 31), ("-7", -7), ("+7", 7), ("0b11", "0b11"), ("-0x1F", "-0x1F"),
        ("'12'", "12"), ('"true"', "true"), ("1.2.3", "1.2.3"), ("=", "="), ("<<", "<<"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_yaml_1_2_core_schema(text: str, value: Any) -> None:
    document = parse(f"a: {text}\n")
    assert document.faults == []
    assert document.data == {"a": value}
    assert type(document.data["a"]) is type(value)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", "1e999", "9" * 5000])
def test_numbers_without_a_finite_value_are_refused(text: str) -> None:
    ((line, column, _),) = faults(f"a: {text}\n")
    assert (line, column) == (1, 4)


def test_every_key_and_value_has_its_place() -> None:
    document = parse("a: 1\nb:\n  - x\n  - {c: y}\n")
    assert document.keys[("b", 1, "c")] == (4, 6)
    assert document.values[("b", 1, "c")] == (4, 9)
    assert document.values[("b", 0)] == (3, 5)
    assert document.values[()] == (1, 1)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_counted_as_editors_count_them(newline: str) -> None:
    text = newline.join(["# é", "a: é", "b: [1"])
    assert faults(text)[0][:2] == (3, 6)


def test_columns_count_characters_not_bytes() -> None:
    assert parse("{é: 1, ü: 2}").keys[("ü",)] == (1, 8)


def test_a_repeated_key_names_both_places() -> None:
    ((line, column, message),) = faults("seed: 1\nb:\n  c: 2\n  c: 3\n")
    assert (line, column) == (4, 3)
    assert "'c'" in message
    assert "line 3, column 3" in message


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert parse("<<: {a: 1}\n").data == {"<<": {"a": 1}}


def test_aliases_are_refused_so_nothing_can_grow() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for here, before in zip("bcdefghij", "abcdefghi", strict=True):
        bomb += f"{here}: &{here} [{', '.join([f'*{before}'] * 9)}]\n"
    with bounded():
        document = parse(bomb)
    assert len(document.faults) == 10 + 9 * 9
    assert document.data["j"] == [None] * 9


def test_tags_are_refused_and_run_nothing(tmp_path: Any) -> None:
    target = tmp_path / "made"
    ((line, column, _),) = faults(f"a: !!python/object/apply:os.mkdir ['{target}']\n")
    assert (line, column) == (1, 4)
    assert not target.exists()
    assert len(faults("a: !!str 1\nb: !x 2\n")) == 2


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("", (1, 1), "empty"),
        ("# only a comment\n", (2, 1), "empty"),
        ("a: [1, 2\nb: 3\n", (2, 2), "line 1, column 4"),
        ("a: {b: 1", (1, 9), "line 1, column 4"),
        ("a: 'x\n", (2, 1), "a quoted scalar that begins at line 1, column 4: found unexpected end"),
        ("\ta: 1\n", (1, 1), "character '\\t'"),
        ("a:\n\tb: 1\n", (2, 1), "character '\\t'"),
        ("a: b: c\n", (1, 5), "quotes"),
        ("a: 1\n b: 2\n", (2, 3), "indentation"),
        ("a:\n   b: 1\n  c: 2\n", (3, 3), "indentation"),
        ("a: @x\n", (1, 4), "quotes"),
        ("a: *\n", (1, 5), "quotes"),
        ("a: |x\n", (1, 5), "quotes"),
        ("a: 1\n---\nb: 2\n", (2, 1), "only one"),
        ("a\0b", (1, 2), "U+0000"),
        ("a: \ud800\n", (1, 4), "U+D800"),
        ('a: "\\uD800"\n', (1, 4), "surrogate"),
        ('"\\uD800": 1\n', (1, 1), "surrogate"),
        ("a: x\u2028y\n", (1, 5), "write \\u2028 in double quotes"),
        ("a: |\n  x\u0085y\n", (2, 4), "U+0085"),
        ('a: "\\UFFFFFFFF"\n', (1, 7), "escape"),
        ("? [x]\n: 1\n", (1, 3), "key"),
        (b"a: 1\nb: \xff\n", (2, 4), "UTF-8"),
        ("a: 1".encode("utf-16"), (1, 1), "UTF-8"),
    ],
)
def test_broken_text_says_where_and_what(text: str | bytes, place: tuple[int, int], word: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0][:2] == place
    assert word in found[0][2]


def test_an_escaped_surrogate_pair_is_one_character() -> None:
    assert parse('a: "\\ud83d\\ude00"').data == {"a": "😀"}


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    document = parse_bytes(b"\xef\xbb\xbfa: 1\n")
    assert document.data == {"a": 1}
    assert document.keys[("a",)] == (1, 1)


def test_size_and_depth_are_capped() -> None:
    assert "MiB" in faults(b"a" * (MAX_BYTES + 1))[0][2]
    assert faults("[" * MAX_DEPTH + "]" * MAX_DEPTH) == []
    ((_, column, message),) = faults("[" * 20000)
    assert column == MAX_DEPTH + 1
    assert "nesting" in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=80), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
def test_json_is_read_as_json(value: Any) -> None:
    document = parse(json.dumps(value))
    assert document.faults == []
    assert document.data == value


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=4))
def test_what_is_dumped_is_read_back(data: dict[str, Any]) -> None:
    document = parse(dump(data))
    assert document.faults == []
    assert document.data == data


@pytest.mark.parametrize(
    "text",
    ["no", "1e-5", "1e5", "0o17", "12:30:00", "1_000", "null", "0x1F", ".5", ".inf", "a\nb", "\ud7ff", "a \u2028 b",
     "\u0085"],
)  # fmt: skip
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    assert parse(dump({"a": text, text: 1})).data == {"a": text, text: 1}


yaml_like = st.text(st.sampled_from(list("ab:-?[]{},#&*!|>'\"%@`\\ \n\t~0x1e.+<=\ud800é\u2028\x00")), max_size=60)


@given(st.text(max_size=60) | yaml_like)
def test_any_text_gives_data_or_faults(text: str) -> None:
    document = parse(text)
    assert document.readable or document.faults
    for fault in document.faults:
        assert fault.line >= 1
        assert fault.column >= 1


@given(st.binary(max_size=60))
def test_any_bytes_give_data_or_faults(raw: bytes) -> None:
    document = parse_bytes(raw)
    assert document.readable or document.faults


@given(yaml_like)
def test_what_is_accepted_means_what_pyyaml_says(text: str) -> None:
    """Where we find no fault, PyYAML's own composer agrees that this is one document of the same shape."""
    document = parse(text)
    if document.faults:
        return
    node = yaml.compose(text.removeprefix("\ufeff"), Loader=yaml.SafeLoader)

    def same(node: yaml.Node, data: Any) -> bool:
        if isinstance(node, yaml.MappingNode):
            return list(data) == [k.value for k, _ in node.value] and all(same(v, data[k.value]) for k, v in node.value)
        if isinstance(node, yaml.SequenceNode):
            return len(data) == len(node.value) and all(map(same, node.value, data))
        return not isinstance(data, str) or data == node.value

    assert same(node, document.data)
