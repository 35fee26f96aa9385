"""Rows for other programs: what each layout says of tools, calls, marks, preferences and extra columns, and what it
refuses. `benchmarks/layouts.py` loads them with the programs themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from filial import Format, Message, Record, ToolCall
from filial.formats import Row, Unfit, check_fits
from filial_plugins.formats import layouts
from filial_plugins.formats.alpaca import Alpaca
from filial_plugins.formats.axolotl import Axolotl
from filial_plugins.formats.llamafactory import LLaMAFactory
from filial_plugins.formats.openai_chat import OpenAIChat
from filial_plugins.formats.seeds import Seeds
from filial_plugins.formats.sharegpt import ShareGPT
from filial_plugins.formats.trl import TRL

ASK, SAY = Message("user", "Warm?"), Message("assistant", "Yes.")
WORSE = (Message("assistant", "No."),)
FUNCTION = {"name": "weather", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FUNCTION}
CALL = ToolCall(id="c7", name="weather", arguments='{"city": "Köln"}')
CALLING, FOUND = Message("assistant", "", tool_calls=(CALL,)), Message("tool", "30", tool_call_id="c7")
USED = Record(messages=(ASK, CALLING, FOUND, SAY), tools=(TOOL,))
"""A conversation in which a tool is called as OpenAI has it."""
OF_SHAREGPT = Record(
    messages=(
        ASK, Message("tool_call", '{"name": "weather", "arguments": {"city": "Köln"}}'), Message("tool", "30"), SAY
    ),
    tools=(FUNCTION,),
)  # fmt: skip
"""The same as ShareGPT has it: calls are JSON, and nothing has an id."""
ROWS = (Alpaca, Axolotl, LLaMAFactory, OpenAIChat, ShareGPT, TRL)


def row_of(form: Any, record: Record) -> Row:
    (row,) = form.to_rows([record])
    assert json.loads(json.dumps(row)) == row, "JSON can hold it"
    return row


def refusal(form: Any, *records: Record) -> str:
    def write() -> None:
        for record in records:
            check_fits(form.settle(records[0]), record)
        list(form.to_rows(records))

    with pytest.raises(Unfit) as told:
        write()
    return str(told.value)


def test_openai_ties_calls_and_answers_by_id() -> None:
    row = row_of(OpenAIChat(), USED)
    assert row["messages"][1:3] == [
        {
            "role": "assistant", "content": "", "tool_calls": [
                {"id": "c7", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
            ],
        },
        {"role": "tool", "content": "30", "tool_call_id": "c7"},
    ]  # fmt: skip
    assert row["tools"] == [TOOL]


def test_openai_writes_sharegpts_calls_with_ids_of_its_own() -> None:
    row = row_of(OpenAIChat(), OF_SHAREGPT)
    call, answer = row["messages"][1:3]
    assert call["tool_calls"][0]["id"] == answer["tool_call_id"] == "call_1"
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"city": "Köln"}
    assert row["tools"] == [TOOL]


def test_ids_that_are_made_up_are_no_given_ones_and_go_by_order() -> None:
    given, plain = ToolCall(id="call_1", name="a", arguments="{}"), ToolCall(name="b", arguments="{}")
    turns = (
        ASK, Message("assistant", "", tool_calls=(given, plain)), Message("tool", "x"), Message("tool", "y"), SAY
    )  # fmt: skip
    messages = row_of(OpenAIChat(), Record(messages=turns))["messages"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_1", "call_2"]
    assert [turn["tool_call_id"] for turn in messages[2:4]] == ["call_1", "call_2"]


def test_calls_in_a_row_are_one_turn_whose_answers_follow() -> None:
    calls = [Message("tool_call", json.dumps({"name": name, "arguments": {}})) for name in "ab"]
    record = Record(messages=(ASK, *calls, Message("tool", "x"), Message("tool", "y"), SAY))
    messages = row_of(OpenAIChat(), record)["messages"]
    assert [turn["role"] for turn in messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == [turn["tool_call_id"] for turn in messages[2:4]]


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ((ASK, Message("tool", "30")), "its turn 2 answers a call of a tool that no turn before it makes"),
        ((ASK, CALLING, Message("tool", "30", tool_call_id="c8")), "its turn 3 answers a call"),
        ((ASK, CALLING, FOUND, FOUND), "its turn 4 answers a call"),
        ((ASK, Message("tool_call", "weather in Köln")), "its turn 2 calls a tool, but is no JSON with a name"),
        ((ASK, Message("tool_call", "[]")), "its turn 2 calls a tool, but is no JSON with a name"),
        ((ASK, Message("tool_call", '{"name": "a"}')), "its turn 2 calls a tool, but is no JSON with a name"),
    ],
)
def test_calls_that_cannot_be_tied_are_refused(turns: tuple[Message, ...], why: str) -> None:
    for form in (OpenAIChat(), TRL(rows="messages"), Axolotl()):
        assert why in refusal(form, Record(messages=turns))


def test_openai_has_weights_of_answers() -> None:
    turns = (
        Message("system", "s", train=False), ASK, Message("assistant", "a", train=False), ASK,
        Message("assistant", "b", train=True), ASK, SAY,
    )  # fmt: skip
    messages = row_of(OpenAIChat(), Record(messages=turns))["messages"]
    assert [turn.get("weight") for turn in messages] == [None, None, 0, None, 1, None, None]
    asked = Record(messages=(Message("user", "q", train=True), SAY))
    assert "a turn of the user is to be trained" in refusal(OpenAIChat(), asked)


def test_sharegpt_says_calls_as_json() -> None:
    row = row_of(ShareGPT(), USED)
    assert [turn["from"] for turn in row["conversations"]] == ["human", "function_call", "observation", "gpt"]
    assert json.loads(row["conversations"][1]["value"]) == {"name": "weather", "arguments": {"city": "Köln"}}
    assert json.loads(row["tools"]) == [TOOL]
    several = Message("assistant", "", tool_calls=(CALL, CALL))
    found = row_of(ShareGPT(), Record(messages=(ASK, several)))["conversations"][1]["value"]
    assert [call["name"] for call in json.loads(found)] == ["weather", "weather"]


def test_sharegpt_refuses_what_a_turn_cannot_say() -> None:
    both = Message("assistant", "I look.", tool_calls=(CALL,))
    assert "is text or calls of tools, and one of its turns is both" in refusal(
        ShareGPT(), Record(messages=(ASK, both))
    )
    odd = Message("assistant", "", tool_calls=(ToolCall(name="weather", arguments="Köln"),))
    assert "arguments of its call of weather are no JSON object" in refusal(ShareGPT(), Record(messages=(ASK, odd)))


def test_llamafactory_has_system_and_tools_in_every_row() -> None:
    system = Record(messages=(Message("system", "Be kind."), ASK, SAY))
    rows = list(LLaMAFactory().to_rows([system, USED]))
    assert [(row["system"], row["tools"] and json.loads(row["tools"])) for row in rows] == [
        ("Be kind.", ""), ("", [TOOL])
    ]  # fmt: skip
    assert [turn["from"] for turn in rows[0]["conversations"]] == ["human", "gpt"]


@pytest.mark.parametrize(
    ("turns", "why"),
    [
        ((ASK, ASK, SAY), "human is out of order"),
        ((SAY, ASK), "gpt is out of order"),
        ((ASK, SAY, Message("system", "s"), SAY), "system is out of order"),
        ((ASK, CALLING, FOUND, FOUND, SAY), "observation is out of order"),
        ((ASK, SAY, ASK), "it has no answer"),
        ((ASK, Message("assistant", "")), "it has no answer"),
        ((Message("system", "s"),), "it has no answer"),
    ],
)
def test_llamafactory_refuses_what_would_be_passed_over(turns: tuple[Message, ...], why: str) -> None:
    assert why in refusal(LLaMAFactory(), Record(messages=turns))


def test_llamafactorys_preferences_and_feedback() -> None:
    row = row_of(LLaMAFactory(), Record(messages=(ASK, SAY, ASK, SAY), rejected=WORSE))
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt", "human"]
    assert (row["chosen"], row["rejected"]) == ({"from": "gpt", "value": "Yes."}, {"from": "gpt", "value": "No."})
    row = row_of(LLaMAFactory(), Record(instruction="q", output="a", label=False))
    assert (row["label"], len(row["conversations"])) == (False, 2)


def test_llamafactorys_entries() -> None:
    common = {"messages": "conversations", "system": "system", "tools": "tools"}
    file = {"file_name": "a.json", "formatting": "sharegpt"}
    for record, entry in [
        (USED, {**file, "columns": common}),
        (USED.replaced(messages=(ASK, SAY), rejected=WORSE),
         {**file, "ranking": True, "columns": {**common, "chosen": "chosen", "rejected": "rejected"}}),
        (USED.replaced(label=True), {**file, "columns": {**common, "kto_tag": "label"}}),
    ]:  # fmt: skip
        row = row_of(LLaMAFactory(), record)
        assert LLaMAFactory().usage(Path("x/a.json"), row) == ("", entry)
        assert set(entry["columns"].values()) <= row.keys(), "it reads no column that is not there"
    for record, more in [(Record(instruction="q", output="a"), {}),
                         (Record(instruction="q", output="a", system="s"), {"system": "system"})]:  # fmt: skip
        named = {"prompt": "instruction", "query": "input", "response": "output", **more}
        found = Alpaca().usage(Path("a.json"), row_of(Alpaca(), record))
        assert found == ("", {"file_name": "a.json", "columns": named})


def test_trl_goes_by_the_first_record() -> None:
    single, bare = Record(instruction="q", output="a"), Record(instruction="q")
    for record, columns, trainer in [
        (USED, {"messages", "tools"}, "SFTTrainer"),
        (single, {"messages"}, "SFTTrainer"),
        (bare, {"prompt"}, "GRPOTrainer"),
        (single.replaced(rejected=WORSE), {"prompt", "chosen", "rejected"}, "DPOTrainer"),
        (single.replaced(label=False), {"prompt", "completion", "label"}, "KTOTrainer"),
    ]:
        row = row_of(TRL(), record)
        assert row.keys() == columns
        text, entry = TRL().usage(Path("a.jsonl"), row)
        assert trainer in text
        assert not entry
    assert "SFTTrainer" in TRL().usage(Path("a.jsonl"), row_of(TRL(rows="prompt-completion"), single))[0]


@pytest.mark.parametrize("form", [TRL, Axolotl, LLaMAFactory])
def test_a_file_has_rows_of_one_kind(form: type[Format]) -> None:
    plain, pair = (
        Record(id="p", instruction="q", output="a"),
        Record(id="r", instruction="q", output="a", rejected=WORSE),
    )
    assert "record r: the format has no place for its rejected" in refusal(form(), plain, pair)
    assert refusal(form(), pair, plain).startswith("record p: ")


@pytest.mark.parametrize("form", [TRL(), ShareGPT(), LLaMAFactory()])
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"n": NaN}', "NaN is not a number of JSON"),
        ('{"n": -Infinity}', "-Infinity is not a number of JSON"),
        ('{"n": 1e400}', "more than a float holds"),
        ('{"n": 0.12345678901234567890}', "more than a float holds"),
        ('{"n": 1, "n": 2}', "the key 'n' stands twice"),
        ('{"a": {"n": 1, "n": 1}}', "the key 'n' stands twice"),
        ('{"n": "\\ud800"}', "no JSON object"),
        ("[1]", "no JSON object"),
        ("{", "no JSON object"),
        ("", "no JSON object"),
    ],
)
def test_arguments_that_an_object_would_change_are_refused(form: Format, arguments: str, why: str) -> None:
    calling = Message("assistant", "", tool_calls=(ToolCall(id="c7", name="weather", arguments=arguments),))
    assert why in refusal(form, Record(messages=(ASK, calling, FOUND, SAY), tools=(TOOL,)))
    same = OpenAIChat().from_row(row_of(OpenAIChat(), Record(messages=(ASK, calling, FOUND, SAY)))) if arguments else []
    assert all(record.messages[1].tool_calls[0].arguments == arguments for record in same), "a text stays as it is"


@pytest.mark.parametrize("form", [TRL(), ShareGPT(), LLaMAFactory()])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: {"value": value})
)
def test_arguments_say_the_same_after_they_were_written_and_read(form: Any, value: dict[str, Any]) -> None:
    calling = Message(
        "assistant", "", tool_calls=(ToolCall(id="c7", name="weather", arguments=json.dumps(value)),)
    )  # fmt: skip
    row = json.loads(json.dumps(row_of(form, Record(messages=(ASK, calling, FOUND, SAY)))))
    (record,) = form.from_row(row)
    (call,) = (call for turn in layouts.resolve_calls(record) for call in turn.tool_calls)
    assert json.loads(call.arguments) == value


def test_trl_takes_arguments_as_objects_and_reasoning_beside_the_answer() -> None:
    row = row_of(TRL(), USED)
    assert row["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"city": "Köln"}
    assert json.loads(row["tools"]) == [TOOL]
    row = row_of(TRL(), Record(instruction="q", output="a", reasoning="since"))
    assert row["messages"][1] == {"role": "assistant", "content": "a", "reasoning_content": "since"}


def test_a_completion_is_the_last_answer_and_no_other_is_trained() -> None:
    form = TRL(rows="prompt-completion")
    earlier = Message("assistant", "Hm.", train=False)
    row = row_of(form, Record(messages=(ASK, earlier, ASK, SAY)))
    assert [[turn["content"] for turn in row[key]] for key in ("prompt", "completion")] == [
        ["Warm?", "Hm.", "Warm?"], ["Yes."]
    ]  # fmt: skip
    assert "trains the last answer only, and it has others" in refusal(form, Record(messages=(ASK, SAY, ASK, SAY)))
    untrained = Message("assistant", "Yes.", train=False)
    assert "its marks of turns to train are other" in refusal(form, Record(messages=(ASK, untrained)))
    assert "the format has no place for its train" in refusal(TRL(rows="messages"), Record(messages=(ASK, untrained)))


@pytest.mark.parametrize("form", [TRL(rows="messages"), TRL(rows="prompt-completion"), Axolotl(), LLaMAFactory()])
def test_layouts_for_training_refuse_questions_alone(form: Format) -> None:
    assert "it has no answer" in refusal(form, Record(instruction="q"))


def test_a_prompt_is_no_answered_question() -> None:
    assert "it has an answer" in refusal(TRL(rows="prompt"), Record(instruction="q", output="a"))


def test_axolotl_has_marks_of_turns_and_a_configuration_that_reads_them() -> None:
    turns = (Message("user", "q", train=True), Message("assistant", "a", train=False), ASK, SAY)
    row = row_of(Axolotl(), Record(messages=turns))
    assert [turn.get("train") for turn in row["messages"]] == [True, False, None, None]
    (data,) = yaml.safe_load(Axolotl().usage(Path("my: data.jsonl"), row)[0])["datasets"]
    assert (data["path"], data["type"]) == ("my: data.jsonl", "chat_template")
    assert (data["field_messages"], data["message_field_training"]) == ("messages", "train")


def test_axolotls_preferences() -> None:
    row = row_of(Axolotl(), Record(instruction="q", output="a", rejected=WORSE))
    assert row == {
        "messages": [{"role": "user", "content": "q"}], "chosen": {"role": "assistant", "content": "a"},
        "rejected": {"role": "assistant", "content": "No."},
    }  # fmt: skip
    config = yaml.safe_load(Axolotl().usage(Path("a.jsonl"), row)[0])
    assert (config["rl"], config["datasets"][0]["type"]) == ("dpo", "chat_template.default")
    assert "has no place for its tool_calls" in refusal(Axolotl(), USED.replaced(tools=(), rejected=WORSE))


def test_a_rejected_answer_that_calls_a_tool_is_one_too() -> None:
    rejected = (Message("tool_call", '{"name": "weather", "arguments": {}}'),)
    record = Record(messages=(ASK, SAY), rejected=rejected)
    (turn,) = row_of(TRL(), record)["rejected"]
    assert (turn["role"], turn["tool_calls"][0]["function"]) == ("assistant", {"name": "weather", "arguments": {}})
    assert row_of(LLaMAFactory(), record)["rejected"]["from"] == "function_call"
    assert "no calls of tools" in refusal(Axolotl(), record)
    thought = Record(instruction="q", output="a", rejected=(Message("assistant", "b", reasoning="r"),))
    assert row_of(TRL(), thought)["rejected"][0]["reasoning_content"] == "r"
    for form in (LLaMAFactory(), Axolotl()):
        assert "no place for its reasoning" in refusal(form, thought)


def test_alpaca_holds_a_conversation_of_one_exchange_with_its_system_text() -> None:
    turns = (Message("system", "Be kind."), ASK, SAY)
    assert row_of(Alpaca(), Record(messages=turns)) == {
        "instruction": "Warm?", "input": "", "output": "Yes.", "system": "Be kind."
    }  # fmt: skip
    assert "not the turns user, assistant, user, assistant" in refusal(Alpaca(), Record(messages=(ASK, SAY, ASK, SAY)))


@pytest.mark.parametrize("form", ROWS)
def test_extra_columns_are_written_and_read_again(form: type[Any]) -> None:
    extra = {"lang": "de", "ticket": 7, "meta": {"a": [1, None]}}
    row = row_of(form(), Record(instruction="q", output="a", extra=extra))
    assert extra.items() <= row.items()
    (again,) = form().records_in(row)
    assert again.extra == extra
    assert again.turns() == Record(instruction="q", output="a").turns()


@pytest.mark.parametrize("form", [Axolotl, LLaMAFactory, TRL])
def test_a_preference_is_read_again(form: type[Any]) -> None:
    record = Record(messages=(ASK, SAY, ASK, SAY), rejected=WORSE)
    (again,) = form().records_in(row_of(form(), record))
    assert (again.messages, again.rejected, again.extra) == (record.messages, WORSE, {})


@pytest.mark.parametrize("name", ["messages", "conversations", "prompt", "scores", "id", "text", "label"])
@pytest.mark.parametrize("form", ROWS)
def test_an_extra_column_that_would_mean_something_is_refused(form: type[Format], name: str) -> None:
    record = Record(instruction="q", output="a", extra={name: "x"})
    assert f"its extra column {name!r} has a name that means something else" in refusal(form(), record)


UNWANTED = Record(instruction="q", output="a", label=False)


@pytest.mark.parametrize("form", [Alpaca(), Axolotl(), OpenAIChat(), ShareGPT(), Seeds(), TRL(rows="messages")])
def test_an_unwanted_answer_is_never_written_as_a_wanted_one(form: Format) -> None:
    assert "no place for its label" in refusal(form, UNWANTED)


@pytest.mark.parametrize("form", [LLaMAFactory(), TRL()])
def test_an_unwanted_answer_is_marked_where_that_is_possible(form: Format) -> None:
    assert row_of(form, UNWANTED)["label"] is False


def test_each_layout_names_what_it_does_not_keep() -> None:
    record = Record(id="r", instruction="q", input="i", output="a", task="t", scores={"s": 1.0}, tags=("x",))
    assert OpenAIChat().losses(record) == ["id", "input", "task", "scores", "tags"]
    assert ShareGPT().losses(record) == ["input", "task", "scores", "tags"]
    assert Alpaca().losses(record) == ["id", "task", "scores", "tags"]
    assert Seeds().losses(record) == ["scores", "tags"]
    assert ShareGPT().losses(USED) == ["call ids"]
    assert LLaMAFactory().losses(USED.replaced(id="r")) == ["id", "call ids"]
    assert OpenAIChat().losses(USED) == TRL().losses(USED) == []


@pytest.mark.parametrize("form", [Alpaca, LLaMAFactory, ShareGPT, TRL])
def test_a_mark_that_says_what_is_done_anyway_is_no_reason_to_refuse(form: type[Any]) -> None:
    asked = Message("user", "q", train=False)
    record = Record(messages=(asked, Message("assistant", "a", train=True)))
    assert row_of(form(), record)
    assert form().losses(record) == ["train"]
    for turns in [(asked, Message("assistant", "a", train=False)), (Message("user", "q", train=True), SAY)]:
        assert "no place for its train" in refusal(form(), Record(messages=turns))


def test_names_of_turns_are_kept_or_missed() -> None:
    record = Record(messages=(Message("user", "q", name="Ann"), SAY))
    for form in (OpenAIChat(), TRL(), Axolotl()):
        assert row_of(form, record)["messages"][0]["name"] == "Ann"
        assert form.losses(record) == []
    for form in (Alpaca(), ShareGPT(), LLaMAFactory()):
        assert row_of(form, record)
        assert form.losses(record) == ["name"]
