"""Nothing of a foreign row is lost, and what other programs write is read as it was meant."""

import json
from typing import Any

import msgspec
from foreign_rows_kit import (
    KINDS,
    TOOL,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filial import Message, ToolCall, UsageError
from filial.formats import BadLine, read_rows
from filial_plugins.formats import names

# Nothing is lost: whatever columns a row has, each text in it stands in its record, or the row is refused.

COLUMNS = sorted(
    {name for table in vars(names).values() if isinstance(table, tuple) for name in table if isinstance(name, str)}
    | {"id", "ID", "task", "Task", "notes", "Notes", "system prompt"}
)
COLUMNS = [name for name in COLUMNS if not name.startswith("_")]


@st.composite
def cells(draw: st.DrawFn) -> Any:
    """The form of a cell; every text in it is told apart by a number later."""
    turn = st.fixed_dictionaries(
        {}, optional={name: st.just("?") for name in ("role", "content", "from", "value", "name", "weight", "score")}
    )
    return draw(
        st.one_of(
            st.just("?"), st.none(), st.just(""), st.lists(st.just("?"), max_size=2), turn, st.lists(turn, max_size=2),
            st.just([{"role": "user", "content": "?"}, {"role": "assistant", "content": "?", "score": "?"}]),
        )
    )  # fmt: skip


def number_texts(value: Any, told: list[str]) -> Any:
    """Put a text of its own for each "?", but for speakers."""
    if value == "?":
        told.append(f"text{len(told)}")
        return told[-1]
    if isinstance(value, list):
        return [number_texts(item, told) for item in value]
    if isinstance(value, dict):
        speaker = {"role": "user", "from": "human", "weight": 1}
        return {k: speaker[k] if k in speaker and v == "?" else number_texts(v, told) for k, v in value.items()}
    return value


@settings(max_examples=400, deadline=None)
@given(
    base=st.sampled_from(sorted(KINDS)),
    more=st.dictionaries(st.sampled_from(COLUMNS), cells(), max_size=3),
    format=st.sampled_from(["auto", *sorted({format for format, _, _ in KINDS.values()})]),
)
@example(base="GSM8K", more={"task": ["?"], "label": "?", "weight": "?"}, format="auto")
@example(base="UltraFeedback", more={"completions": ["?", "?"], "ratings": ["?"]}, format="candidates")
def test_every_text_of_a_row_is_in_its_record_or_the_row_is_refused(
    base: str, more: dict[str, Any], format: str
) -> None:
    told: list[str] = []
    row = KINDS[base][1] | number_texts(more, told)
    bad: list[BadLine] = []
    try:
        found = list(read_rows([row], format=format, bad=bad))
    except UsageError:  # no format knows such rows, or a column changes what they mean
        return
    assert bool(found) is not bool(bad)
    if found:
        said = msgspec.json.encode(found).decode()
        assert [text for text in told if text not in said] == []


# Round trips: what another program writes for a record is read as that record.

texts = st.text(min_size=1, max_size=12)
calls = st.builds(
    ToolCall, id=st.sampled_from(["c1", "c2"]), name=texts,
    arguments=st.dictionaries(texts, texts, max_size=2).map(lambda given: json.dumps(given)),
)  # fmt: skip
flags = st.sampled_from([None, True, False])
turns = st.one_of(
    st.builds(Message, role=st.sampled_from(["system", "user"]), content=texts, train=flags),
    st.builds(
        Message, role=st.just("assistant"), content=texts, reasoning=st.text(max_size=9),
        tool_calls=st.lists(calls, max_size=2).map(tuple), train=flags,
    ),
    st.builds(Message, role=st.just("tool"), content=texts, tool_call_id=texts, name=st.text(max_size=9)),
)  # fmt: skip
talks = st.lists(turns, min_size=1, max_size=4).map(tuple)


def as_openai(turn: Message, reasoning: str = "reasoning_content", train: str = "train") -> dict[str, Any]:
    wrapped = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in turn.tool_calls
    ]
    said = {"role": turn.role, "content": turn.content, "tool_calls": wrapped, "tool_call_id": turn.tool_call_id}
    marks = {} if turn.train is None else {train: turn.train}
    return {
        key: value for key, value in {**said, reasoning: turn.reasoning, "name": turn.name}.items() if value
    } | marks


@settings(max_examples=60, deadline=None)
@given(talks=st.lists(talks, min_size=1, max_size=3), reasoning=st.sampled_from(names.REASONING))
def test_chats_of_others_are_read_as_they_were_meant(talks: list[tuple[Message, ...]], reasoning: str) -> None:
    rows = [{"messages": [as_openai(turn, reasoning) for turn in talk], "tools": [TOOL]} for talk in talks]
    found = list(read_rows(rows, format="openai"))
    assert [(record.messages, record.tools) for record in found] == [(talk, (TOOL,)) for talk in talks]


@settings(max_examples=60, deadline=None)
@given(asked=st.lists(turns, min_size=1, max_size=3).map(tuple), better=texts, worse=texts)
def test_preferences_of_others_are_read_as_they_were_meant(asked: tuple[Message, ...], better: str, worse: str) -> None:
    prompt = [as_openai(turn) for turn in asked]
    answers = [[{"role": "assistant", "content": text}] for text in (better, worse)]
    explicit = {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}
    implicit = {"chosen": prompt + answers[0], "rejected": prompt + answers[1]}
    for row in (explicit, implicit) if asked[0].role != "assistant" else (explicit,):
        [record] = read_rows([row], format="preferences")
        assert record.messages == (*asked, Message("assistant", better))
        assert record.rejected == (Message("assistant", worse),)
