"""The published record schema, and its agreement with the fast check."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from filial import Constraint, Message, Origin, Record
from filial.contracts.records import to_json
from filial.formats import Fault
from filial.formats.records import FIELDS, decode, explain, published, schema

ROOT = Path(__file__).parents[2]


def test_the_published_file_is_the_generated_one() -> None:
    assert (ROOT / "schemas" / "record.schema.json").read_text("utf-8") == published(), (
        "schemas/record.schema.json is out of date: write filial.formats.records.published() into it"
    )


def test_the_schema_is_a_valid_schema_and_names_every_field() -> None:
    Draft202012Validator.check_schema(schema())
    assert set(schema()["properties"]) == FIELDS
    assert set(schema()["$defs"]["message"]["properties"]) == set(Message.__struct_fields__)
    assert set(schema()["$defs"]["origin"]["properties"]) == set(Origin.__struct_fields__)
    assert set(schema()["$defs"]["constraint"]["properties"]) == set(Constraint.__struct_fields__)


@pytest.mark.parametrize(
    ("row", "pointer", "words"),
    [
        ({}, "", "needs an instruction"),
        ([], "", "must be an object, not an array"),
        ({"instruction": ""}, "/instruction", "not empty"),
        ({"instruction": 7}, "/instruction", "must be a string, not a number"),
        ({"instruction": None}, "/instruction", "must be a string, not null"),
        ({"instruction": "a", "ouput": "b"}, "", "did you mean output?"),
        ({"instruction": "a", "messages": [{"role": "user", "content": "b"}]}, "/instruction", "not both"),
        ({"messages": [{"role": "bot", "content": ""}]}, "/messages/0/role", 'not "bot"'),
        ({"messages": [{"role": "user"}]}, "/messages/0", "lacks content"),
        ({"instruction": "a", "scores": {"x/y~": True}}, "/scores/x~1y~0", "a number, not a boolean"),
        ({"instruction": "a", "origin": {"round": 1.5}}, "/origin/round", "must be a whole number"),
        ({"instruction": "a", "tags": ["b", 1]}, "/tags/1", "must be a string"),
        ({"instruction": "a", "constraints": [{"type": "t", "args": {}}]}, "/constraints/0", "lacks text"),
        ({"instruction": "a", "constraints": [{"type": "t", "args": 1, "text": ""}]}, "/constraints/0/args", "object"),
    ],
)
def test_explanations_name_the_place_and_the_fault(row: object, pointer: str, words: str) -> None:
    [(place, message)] = explain(row)
    assert place == pointer
    assert words in message


def test_all_faults_of_a_line_are_found() -> None:
    row = {"instruction": 1, "scores": {"a": "b"}, "origin": {"parents": "c"}}
    assert [pointer for pointer, _ in explain(row)] == ["/instruction", "/origin/parents", "/scores/a"]
    with pytest.raises(Fault, match=r"^/instruction: .* \(and 2 more\)$"):
        decode(json.dumps(row).encode())


# Values near a record: every field with right and wrong values, and fields that do not exist.
words = st.text(max_size=3)
numbers = st.one_of(
    st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0, 1.0, -0.0, 2**70, 10**400])
)
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(words, inner, max_size=2)),
    max_leaves=4,
)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool_call", "tool"]), "content": words}
)
origins = st.fixed_dictionaries(
    {},
    optional={
        "stage": words, "plugin": words, "parents": st.lists(words, max_size=2),
        "round": st.one_of(st.integers(), st.just(2.0)), "answers": st.lists(words, max_size=2),
    },
)  # fmt: skip
rows = st.fixed_dictionaries(
    {},
    optional={
        "id": words, "instruction": words, "input": words, "output": words, "task": words,
        "messages": st.lists(turns, max_size=2), "scores": st.dictionaries(words, numbers, max_size=2),
        "tags": st.lists(words, max_size=2), "origin": origins,
    },
)  # fmt: skip


def _places(value: object, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in _places(part, (*path, key)))]


def _changed(value, path: tuple, new):
    if not path:
        return new
    key, *rest = path
    copy = value.copy()
    copy[key] = _changed(value[key], tuple(rest), new)
    return copy


@st.composite
def mutated(draw: st.DrawFn) -> object:
    """A row as it may come, with up to two changes: a value replaced, a field added or taken away."""
    row = draw(rows)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(_places(row)))
        match draw(st.sampled_from(["replace", "add", "remove"])):
            case "replace":
                row = _changed(row, place, draw(junk))
            case "add":
                found = row
                for key in place:
                    found = found[key]
                if isinstance(found, dict):
                    row = _changed(row, place, {**found, draw(words): draw(junk)})
            case "remove":
                if place and isinstance(row, dict):
                    found = row
                    for key in place[:-1]:
                        found = found[key]
                    if isinstance(found, dict):
                        row = _changed(row, place[:-1], {k: v for k, v in found.items() if k != place[-1]})
    return row


@settings(max_examples=600, deadline=None)
@given(mutated())
def test_reader_and_schema_accept_the_same_lines(row: object) -> None:
    line = json.dumps(row).encode()
    valid = Draft202012Validator(schema()).is_valid(json.loads(line))
    try:
        record = decode(line)
    except Fault:
        assert not valid, f"the schema accepts what the reader refuses: {line!r}"
    else:
        assert valid, f"the reader accepts what the schema refuses: {line!r}"
        assert decode(to_json(record)) == record


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_the_fast_check_alone_differs_only_in_whole_numbers_written_as_fractions(row: object) -> None:
    line = json.dumps(row).encode()
    try:
        msgspec.json.decode(line, type=Record)
        fast = True
    except msgspec.DecodeError:
        fast = False
    round_ = row.get("origin", {}) if isinstance(row, dict) else {}
    round_ = round_.get("round") if isinstance(round_, dict) else None
    if not isinstance(round_, float):
        assert fast == (not explain(json.loads(line)))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400, "1" * 5000])
def test_numbers_beyond_a_float_are_refused_as_scores(number: str) -> None:
    with pytest.raises(Fault, match=r"range|too large"):
        decode(b'{"instruction": "a", "scores": {"x": ' + number.encode() + b"}}")


def test_a_whole_number_written_as_a_fraction_is_a_round() -> None:
    assert decode(b'{"instruction": "a", "origin": {"round": 2.0}}').origin.round == 2
