"""What a layout holds of a record, it gives back: read(write(x)) = x, and what is lost is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filial import Format, Message, Record, ToolCall
from filial.formats import RowFormat, read_rows
from filial_plugins.formats.alpaca import Alpaca
from filial_plugins.formats.axolotl import Axolotl
from filial_plugins.formats.llamafactory import LLaMAFactory
from filial_plugins.formats.openai_chat import OpenAIChat
from filial_plugins.formats.sharegpt import ShareGPT
from filial_plugins.formats.trl import TRL

texts = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() == text)
names = st.text("abcxyz_", min_size=1, max_size=6)
extras = st.dictionaries(
    names.map(lambda name: f"x_{name}"), st.one_of(texts, st.integers(1, 9), st.lists(texts, min_size=1, max_size=2)),
    max_size=2,
)  # fmt: skip
arguments = st.dictionaries(names, st.one_of(texts, st.integers(), st.booleans()), max_size=2)
tools = st.lists(
    st.builds(lambda name, text: {"type": "function", "function": {"name": name, "description": text}}, names, texts),
    min_size=1, max_size=2,
).map(tuple)  # fmt: skip
flags = st.sampled_from([None, None, True, False])


@st.composite
def talks(draw: Any, called: bool = False, marked: bool = False, thought: bool = False) -> Record:
    """A conversation that alternates, perhaps with calls of tools, marks of answers, reasoning."""
    turns = [Message("system", draw(texts))] if draw(st.booleans()) else []
    for number in range(draw(st.integers(1, 3))):
        turns.append(Message("user", draw(texts)))
        if called and draw(st.booleans()):
            call = ToolCall(id=f"c{number}", name=draw(names), arguments=json.dumps(draw(arguments)))
            turns += [Message("assistant", "", tool_calls=(call,)), Message("tool", draw(texts), "", (), call.id)]
        answer = Message("assistant", draw(texts), draw(texts) if thought and draw(st.booleans()) else "")
        turns.append(Message(answer.role, answer.content, answer.reasoning, train=draw(flags) if marked else None))
    return Record(messages=tuple(turns), tools=draw(tools) if called else (), extra=draw(extras))


def there_and_back(form: RowFormat, record: Record) -> Record:
    (row,) = form.to_rows([record])
    (found,) = form.records_in(json.loads(json.dumps(row)))
    return found


def without_ids(record: Record) -> Record:
    """What a layout without ids of calls can say."""
    turns = [
        Message(
            turn.role, turn.content, turn.reasoning, tuple(ToolCall(name=c.name, arguments=c.arguments)
                                                           for c in turn.tool_calls), train=turn.train
        )
        for turn in record.messages
    ]  # fmt: skip
    return record.replaced(messages=tuple(turns))


@settings(max_examples=60, deadline=None)
@given(talks(called=True, marked=True))
def test_openai_gives_back_tools_calls_and_weights(record: Record) -> None:
    found = there_and_back(OpenAIChat(), record)
    extra = {name: value for name, value in found.extra.items() if name != "messages_extra"}  # weights as they stood
    assert found.replaced(extra=extra) == record


@settings(max_examples=60, deadline=None)
@given(talks(called=True, marked=True, thought=True))
def test_axolotl_gives_back_tools_calls_marks_and_reasoning(record: Record) -> None:
    assert there_and_back(Axolotl(), record) == record


@settings(max_examples=60, deadline=None)
@given(talks(called=True, thought=True))
def test_trl_gives_back_tools_calls_and_reasoning(record: Record) -> None:
    found = there_and_back(TRL(), record)
    assert normal(found) == normal(record)


def normal(record: Record) -> Record:
    """A record with the arguments of its calls spelled in one way."""
    turns = [
        Message(
            turn.role, turn.content, turn.reasoning,
            tuple(ToolCall(id=c.id, name=c.name, arguments=json.dumps(json.loads(c.arguments), sort_keys=True))
                  for c in turn.tool_calls), turn.tool_call_id, turn.name, turn.train
        )
        for turn in record.messages
    ]  # fmt: skip
    return record.replaced(messages=tuple(turns))


@pytest.mark.parametrize("form", [ShareGPT(), LLaMAFactory()])
@settings(max_examples=60, deadline=None)
@given(record=talks(called=True))
def test_sharegpt_gives_back_tools_and_calls_but_no_ids(form: RowFormat, record: Record) -> None:
    assert normal(without_ids(there_and_back(form, record))) == normal(without_ids(record))
    assert form.losses(record) == (["call ids"] if any(turn.tool_calls for turn in record.messages) else []) + (
        ["extra"] if "extra" not in form.holds and record.extra else []
    )


@pytest.mark.parametrize("form", [TRL(), Axolotl(), LLaMAFactory()])
@settings(max_examples=60, deadline=None)
@given(record=talks(), worse=texts)
def test_preferences_come_back(form: RowFormat, record: Record, worse: str) -> None:
    pair = record.replaced(rejected=(Message("assistant", worse),))
    assert there_and_back(form, pair) == pair


@pytest.mark.parametrize("form", [TRL(), LLaMAFactory()])
@settings(max_examples=60, deadline=None)
@given(record=talks(), label=st.booleans())
def test_feedback_comes_back(form: RowFormat, record: Record, label: bool) -> None:
    assert there_and_back(form, record.replaced(label=label)) == record.replaced(label=label)


@settings(max_examples=60, deadline=None)
@given(st.builds(Record, instruction=texts, input=texts | st.just(""), output=texts, system=texts | st.just(""),
                 extra=extras))  # fmt: skip
def test_alpaca_gives_back_a_system_text_and_extra_columns(record: Record) -> None:
    assert there_and_back(Alpaca(), record) == record


@pytest.mark.parametrize("form", [OpenAIChat(), ShareGPT(), TRL(), Axolotl(), LLaMAFactory()])
@settings(max_examples=40, deadline=None)
@given(record=talks(called=True))
def test_it_is_found_without_being_named(form: Format, record: Record) -> None:
    rows = json.loads(json.dumps(list(form.to_rows([record]))))  # type: ignore[attr-defined]
    (found,) = read_rows(rows)
    assert normal(without_ids(found)).replaced(id="") == normal(without_ids(record))
