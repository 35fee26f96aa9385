"""The published record schema, its agreement with the reader, and what is said of a bad line."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from filial import Constraint, Message, Origin, Record, ToolCall
from filial.contracts.records import to_json
from filial.formats import Fault
from filial.formats.records import FIELDS, decode, from_row, schema

ROOT = Path(__file__).parents[2]


def test_the_published_file_is_the_generated_one() -> None:
    made = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
    assert (ROOT / "schemas" / "record.schema.json").read_text("utf-8") == made, (
        "it is out of date: filial schema record > schemas/record.schema.json"
    )


def test_the_schema_is_a_valid_schema_and_describes_every_field() -> None:
    made = schema()
    Draft202012Validator.check_schema(made)
    assert list(made["properties"]) == list(Record.__struct_fields__)
    assert all("description" in field or "$ref" in field for field in made["properties"].values())
    for part in (Message, Origin, Constraint, ToolCall):
        assert list(made["$defs"][part.__name__]["properties"]) == list(part.__struct_fields__)
    described = [made["description"], *(part["description"] for part in made["$defs"].values())]
    assert not any("\n" in text or "Raises" in text for text in described)


@pytest.mark.parametrize(
    ("row", "pointer", "words"),
    [
        ({}, "", "needs an instruction"),
        ([], "", "Expected `object`, got `array`"),
        ({"instruction": ""}, "", "needs an instruction"),
        ({"instruction": 7}, "/instruction", "Expected `str`, got `int`"),
        ({"instruction": None}, "", "needs an instruction"),
        ({"instruction": "a", "messages": [None]}, "/messages/0", "Expected `object`, got `null`"),
        ({"instruction": "a", "ouput": "b"}, "", "unknown field `ouput`; did you mean output?"),
        ({"instruction": "a", "source": "b"}, "", "unknown field `source`; other columns go into extra"),
        ({"instruction": "a", "messages": [{"role": "user", "content": "b"}]}, "", "not both"),
        ({"system": "a", "messages": [{"role": "user", "content": "b"}]}, "", "not both"),
        ({"messages": [{"role": "bot", "content": ""}]}, "/messages/0/role", "Invalid enum value 'bot'"),
        ({"messages": [{"role": "user"}]}, "/messages/0", "missing required field `content`"),
        ({"messages": [{"role": "user", "content": "", "tool_calls": [{"name": "f"}]}]}, "/messages/0/tool_calls/0",
         "missing required field `arguments`"),
        ({"instruction": "a", "rejected": "b"}, "/rejected", "Expected `array`"),
        ({"instruction": "a", "label": 1}, "/label", "Expected `bool | null`"),
        ({"instruction": "a", "extra": []}, "/extra", "Expected `object`"),
        ({"instruction": "a", "tools": ["b"]}, "/tools/0", "Expected `object`"),
        ({"instruction": "a", "scores": {"x/y~": True}}, "/scores", "Expected `float`, got `bool`"),
        ({"instruction": "a", "origin": {"round": 1.5}}, "/origin/round", "Expected `int`, got `float`"),
        ({"instruction": "a", "origin": {"round": -1}}, "/origin/round", "Expected `int` >= 0"),
        ({"instruction": "a", "tags": ["b", 1]}, "/tags/1", "Expected `str`"),
        ({"instruction": "a", "constraints": [{"type": "t", "args": {}}]}, "/constraints/0", "field `text`"),
        ({"instruction": "a", "constraints": [{"type": "t", "args": 1, "text": ""}]}, "/constraints/0/args", "object"),
    ],
)  # fmt: skip
def test_a_fault_names_the_place_and_what_is_wrong(row: object, pointer: str, words: str) -> None:
    with pytest.raises(Fault) as fault:
        decode(json.dumps(row).encode())
    assert fault.value.pointer == pointer
    assert words in fault.value.message
    if isinstance(row, dict) and "" not in row.values() and [] not in row.values() and None not in row.values():
        with pytest.raises(Fault) as fault:
            from_row(row)
        assert fault.value.pointer == pointer


# Values near a record: every field with right and wrong values, and fields that do not exist.
words = st.text(max_size=3)
# Whole numbers are never written as fractions: to JSON Schema 1.0 is a whole number, to the reader it is none.
numbers = st.one_of(st.integers(), st.sampled_from([0, 0.5, -2.5, 1e300, 2**70]))
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, words),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(words, inner, max_size=2)),
    max_leaves=4,
)
calls = st.fixed_dictionaries({"name": words, "arguments": words}, optional={"id": words})
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool_call", "tool"]), "content": words},
    optional={
        "reasoning": words, "tool_calls": st.lists(calls, max_size=1), "tool_call_id": words, "name": words,
        "train": st.sampled_from([None, True, False]),
    },
)  # fmt: skip
origins = st.fixed_dictionaries(
    {},
    optional={
        "stage": words, "plugin": words, "parents": st.lists(words, max_size=2),
        "round": st.integers(-1), "answers": st.lists(words, max_size=2),
    },
)  # fmt: skip
rows = st.fixed_dictionaries(
    {},
    optional={
        "id": words, "instruction": words, "input": words, "output": words, "task": words,
        "messages": st.lists(turns, max_size=2), "scores": st.dictionaries(words, numbers, max_size=2),
        "tags": st.lists(words, max_size=2), "origin": origins, "system": words, "reasoning": words,
        "tools": st.lists(st.dictionaries(words, junk, max_size=1), max_size=1), "extra": st.dictionaries(words, junk),
        "rejected": st.lists(turns, max_size=1), "label": st.sampled_from([None, True, False]),
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
    """But for null, which the reader takes for an absent field, and other columns, which it puts into ``extra``."""
    line = json.dumps(row).encode()
    validator = Draft202012Validator(schema())
    valid = validator.is_valid(json.loads(line))
    if not valid and isinstance(row, dict):
        row = {key: value for key, value in row.items() if value is not None or key not in FIELDS}
        valid = validator.is_valid(row)
    try:
        record = decode(line)
    except Fault:
        assert not valid, f"the schema accepts what the reader refuses: {line!r}"
    else:
        if not valid:
            assert isinstance(row, dict)
            others = row.keys() - FIELDS
            assert others, f"the reader accepts what the schema refuses: {line!r}"
            assert others <= record.extra.keys()
            valid = validator.is_valid({**{k: v for k, v in row.items() if k in FIELDS}, "extra": record.extra})
        assert valid, f"the reader accepts what the schema refuses: {line!r}"
        assert validator.is_valid(json.loads(to_json(record)))
        assert decode(to_json(record)) == record


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400, "1" * 5000])
def test_numbers_beyond_a_float_are_refused_as_scores(number: str) -> None:
    with pytest.raises(Fault, match="out of range"):
        decode(b'{"instruction": "a", "scores": {"x": ' + number.encode() + b"}}")


def test_a_table_may_hold_a_round_as_a_float_and_nothing_where_a_turn_has_no_field() -> None:
    turn = {"role": "user", "content": "a", "reasoning": None, "tool_calls": None, "train": None}
    record = from_row({"messages": [turn], "origin": {"round": 2.0, "stage": None}, "label": False, "extra": "{}"})
    assert record == Record(messages=(Message("user", "a"),), origin=Origin(round=2), label=False)
    with pytest.raises(Fault, match="/origin/round"):
        from_row({"instruction": "a", "origin": {"round": 2.5}})
