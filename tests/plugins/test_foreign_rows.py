"""Rows as public data sets have them: what each is read as, that nothing is lost of it, and what is refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from filial import Message, Record, ToolCall, UsageError
from filial.formats import BadLine, read_rows
from filial.plugins import Manager
from filial_plugins.formats import names

Q, A = "Name three rivers.", "Ob, Indus, Mekong"
SYSTEM, USER, ANSWER = Message("system", "Be brief."), Message("user", Q), Message("assistant", A)
U, Y = {"role": "user", "content": Q}, {"role": "assistant", "content": A}
HUMAN, GPT = {"from": "human", "value": Q}, {"from": "gpt", "value": A}
THINKING = Message("assistant", A, reasoning="Hm.")
WORSE = Message("assistant", "I don't know.")
WEATHER = {"name": "weather", "description": "Tells it.", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": WEATHER}
CALL = ToolCall(id="c1", name="weather", arguments='{"city":"Omsk"}')
CALLED = {"name": "weather", "arguments": {"city": "Omsk"}}
BARE = ToolCall(name="weather", arguments='{"city":"Omsk"}')
SINGLE = Record(instruction=Q, output=A)
TALK = Record(messages=(USER, ANSWER))


def single(**fields: Any) -> Record:
    return SINGLE.replaced(**fields)


def talk(*turns: Message, **fields: Any) -> Record:
    return Record(messages=turns or (USER, ANSWER), **fields)


def read_one(row: dict[str, Any], format: str = "auto") -> Record:
    """The one record of a row, without an id that it did not bring."""
    [record] = read_rows([row], format=format)
    return record if "id" in row else record.replaced(id="")


KINDS: dict[str, tuple[str, dict[str, Any], Record]] = {
    # Question and answer
    "Alpaca": (
        "alpaca",
        {"instruction": Q, "input": "in Asia", "output": A, "x": 1},
        single(input="in Asia", extra={"x": 1}),
    ),
    "LLaMA-Factory's Alpaca": (
        "alpaca",
        {"instruction": "And more?", "input": "", "output": "Lena", "system": "Be brief.", "history": [[Q, A]]},
        talk(SYSTEM, USER, ANSWER, Message("user", "And more?"), Message("assistant", "Lena")),
    ),
    "Alpaca with a system prompt": (
        "alpaca",
        {"instruction": Q, "output": A, "system_prompt": "S", "y": 2},
        single(system="S", extra={"y": 2}),
    ),
    "a rationale": (
        "cot",
        {"question": Q, "rationale": "They flow.", "answer": A},
        single(reasoning="They flow.", tags=("cot",)),
    ),
    "Dolly": (
        "pairs",
        {"instruction": Q, "context": "in Asia", "response": A, "category": "open_qa"},
        single(input="in Asia", extra={"category": "open_qa"}),
    ),
    "OpenOrca": (
        "pairs",
        {"id": "flan.1", "system_prompt": "S", "question": Q, "response": A},
        single(id="flan.1", system="S"),
    ),
    "GSM8K": ("pairs", {"question": Q, "answer": A}, SINGLE),
    "FLAN": ("pairs", {"inputs": Q, "targets": A, "task": "geo"}, single(task="geo")),
    "Firefly": ("pairs", {"kind": "NLI", "input": Q, "target": A}, single(extra={"kind": "NLI"})),
    "BELLE": ("alpaca", {"instruction": Q, "input": "", "output": A, "kind": "x"}, single(extra={"kind": "x"})),
    "NuminaMath": ("pairs", {"problem": Q, "solution": A, "answer": "3"}, single(extra={"answer": "3"})),
    "HumanEval": (
        "pairs",
        {"task_id": "H/0", "prompt": Q, "canonical_solution": A, "entry_point": "f"},
        single(extra={"task_id": "H/0", "entry_point": "f"}),
    ),
    "MBPP+": ("pairs", {"task_id": 2, "code": A, "prompt": Q}, single(extra={"task_id": 2})),
    "distilabel": (
        "pairs",
        {"instruction": Q, "generation": A, "model_name": "m", "distilabel_metadata": {"raw": 1}},
        single(extra={"model_name": "m", "distilabel_metadata": {"raw": 1}}),
    ),
    "DataDesigner": (
        "pairs",
        {"instruction": Q, "response": A, "response__reasoning_content": "Hm.", "topic": "geo"},
        single(reasoning="Hm.", extra={"topic": "geo"}),
    ),
    "heads of a table": ("pairs", {"Question": Q, "Answer": A, "System Prompt": "S"}, single(system="S")),
    "ms-swift": (
        "pairs",
        {"system": "Be brief.", "query": Q, "response": A, "history": [["Hi", "Hello"]]},
        talk(SYSTEM, Message("user", "Hi"), Message("assistant", "Hello"), USER, ANSWER),
    ),
    "history as objects": (
        "pairs",
        {"query": Q, "response": A, "history": [{"role": "user", "content": "Hi"}, Y]},
        talk(Message("user", "Hi"), ANSWER, USER, ANSWER),
    ),
    "TRL's prompt and completion": ("pairs", {"prompt": [U], "completion": [Y]}, TALK),
    "xLAM": (
        "pairs",
        {
            "id": 7,
            "query": Q,
            "tools": json.dumps([WEATHER]),
            "answers": json.dumps([{"name": "weather", "arguments": {"city": "Omsk"}}]),
        },
        talk(USER, Message("assistant", "", tool_calls=(BARE,)), id="7", tools=(TOOL,)),
    ),
    # Questions alone
    "a prompt": ("prompts", {"prompt": Q}, Record(instruction=Q)),
    "a question with an id": ("prompts", {"id": "1", "question": Q}, Record(id="1", instruction=Q)),
    "an instruction": (
        "prompts",
        {"instruction": Q, "input": "in Asia", "topic": 1},
        Record(instruction=Q, input="in Asia", extra={"topic": 1}),
    ),
    "WizardLM's test set": (
        "prompts",
        {"idx": 1, "Skill": "Geo", "Difficulty": 2, "Instruction": Q},
        Record(instruction=Q, extra={"idx": 1, "Skill": "Geo", "Difficulty": 2}),
    ),
    "BELLE's evaluation": (
        "prompts",
        {"question": Q, "class": "open", "std_answer": ""},
        Record(instruction=Q, extra={"class": "open"}),
    ),
    "MT-Bench": (
        "prompts",
        {"question_id": 81, "category": "writing", "turns": [Q, "And more?"], "reference": [A]},
        Record(
            instruction=Q, extra={"question_id": 81, "category": "writing", "turns": [Q, "And more?"], "reference": [A]}
        ),
    ),
    "Arena-Hard": (
        "prompts",
        {"question_id": "a", "turns": [{"content": Q}]},
        Record(instruction=Q, extra={"question_id": "a"}),
    ),
    "Vicuna's benchmark": (
        "prompts",
        {"question_id": 1, "text": Q, "category": "c"},
        Record(instruction=Q, extra={"question_id": 1, "category": "c"}),
    ),
    "IFEval": (
        "prompts",
        {"key": 1, "prompt": Q, "instruction_id_list": ["a"], "kwargs": [{}]},
        Record(instruction=Q, extra={"key": 1, "instruction_id_list": ["a"], "kwargs": [{}]}),
    ),
    "TRL's prompt": ("prompts", {"prompt": [U]}, talk(USER)),
    # Conversations
    "OpenAI": ("openai", {"messages": [U, {**Y, "weight": 1}]}, talk(USER, Message("assistant", A, train=True))),
    "OpenAI, not trained": (
        "openai",
        {"messages": [U, {**Y, "weight": 0}]},
        talk(USER, Message("assistant", A, train=False)),
    ),
    "OpenAI, a developer": (
        "openai",
        {"messages": [{"role": "developer", "content": "Be brief.", "name": "x"}, U]},
        talk(Message("system", "Be brief.", name="x"), USER),
    ),
    "OpenAI with tools": (
        "openai",
        {
            "messages": [
                U,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city":"Omsk"}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "cold"},
                Y,
            ],
            "tools": [TOOL],
            "parallel_tool_calls": False,
        },
        talk(
            USER,
            Message("assistant", "", tool_calls=(CALL,)),
            Message("tool", "cold", tool_call_id="c1"),
            ANSWER,
            tools=(TOOL,),
            extra={"parallel_tool_calls": False},
        ),
    ),
    "OpenAI with functions": (
        "openai",
        {
            "messages": [
                U,
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "weather", "arguments": '{"city":"Omsk"}'},
                },
                {"role": "function", "name": "weather", "content": "cold"},
            ],
            "functions": [WEATHER],
        },
        talk(
            USER, Message("assistant", "", tool_calls=(BARE,)), Message("tool", "cold", name="weather"), tools=(TOOL,)
        ),
    ),
    "arguments and results as objects": (
        "openai",
        {
            "messages": [
                U,
                {"role": "assistant", "tool_calls": [{"name": "weather", "arguments": {"city": "Omsk"}}]},
                {"role": "tool", "content": {"t": -30}},
            ]
        },
        talk(USER, Message("assistant", "", tool_calls=(BARE,)), Message("tool", '{"t":-30}')),
    ),
    "Anthropic": (
        "openai",
        {
            "messages": [
                U,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm."},
                        {"type": "text", "text": "Let me see."},
                        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Omsk"}},
                    ],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "cold"}]},
            ]
        },
        talk(
            USER,
            Message("assistant", "Let me see.", reasoning="Hm.", tool_calls=(CALL,)),
            Message("tool", "cold", tool_call_id="c1"),
        ),
    ),
    "LLaMA-Factory v1": (
        "openai",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "value": Q}], "loss_weight": 0.0},
                {
                    "role": "assistant",
                    "content": [{"type": "reasoning", "value": "Hm."}, {"type": "text", "value": A}],
                    "loss_weight": 1.0,
                },
            ]
        },
        talk(
            Message("user", Q, train=False),
            Message("assistant", A, reasoning="Hm.", train=True),
        ),
    ),
    "parts with more than text": (
        "openai",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": Q, "cache_control": {"type": "ephemeral"}}]},
                Y,
            ]
        },
        talk(
            extra={
                "messages_extra": [
                    {"content": [{"type": "text", "text": Q, "cache_control": {"type": "ephemeral"}}]},
                    {},
                ]
            }
        ),
    ),
    "calls that say more": (
        "openai",
        {"messages": [U, {"role": "assistant", "tool_calls": [{**CALLED, "cost": 2}]}]},
        talk(
            USER,
            Message("assistant", "", tool_calls=(BARE,)),
            extra={"messages_extra": [{}, {"tool_calls": [{**CALLED, "cost": 2}]}]},
        ),
    ),
    "messages as JSON text": ("openai", {"messages": json.dumps([U, Y])}, TALK),
    "messages by columns": (
        "openai",
        {"messages": {"role": ["user", "assistant"], "content": [Q, A]}, "x": 1},
        talk(extra={"x": 1}),
    ),
    "ShareGPT": ("sharegpt", {"conversations": [HUMAN, GPT]}, TALK),
    "ShareGPT's items": ("sharegpt", {"id": "a", "items": [HUMAN, {"from": "chatgpt", "value": A}]}, talk(id="a")),
    "Bing's": ("sharegpt", {"conversations": [HUMAN, {"from": "bing", "value": A}]}, TALK),
    "role and content": ("sharegpt", {"conversations": [U, Y]}, TALK),
    "names in capitals": (
        "sharegpt",
        {"conversations": [{"Role": "User", "Content": Q}, {"Role": "Bot", "Content": A}]},
        TALK,
    ),
    "Pygmalion": (
        "sharegpt",
        {"conversations": [{"role": "user", "value": Q}, {"role": "assistant", "value": A}]},
        TALK,
    ),
    "LIMA": ("sharegpt", {"conversations": [Q, A], "source": "wiki"}, talk(extra={"source": "wiki"})),
    "LLaMA-Factory's tools": (
        "sharegpt",
        {
            "conversations": [
                HUMAN,
                {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Omsk"}}'},
                {"from": "observation", "value": "cold"},
                GPT,
            ],
            "tools": json.dumps([WEATHER]),
            "system": "Be brief.",
        },
        talk(
            SYSTEM, USER, Message("assistant", "", tool_calls=(BARE,)), Message("tool", "cold"), ANSWER, tools=(TOOL,)
        ),
    ),
    "a call that is no JSON": (
        "sharegpt",
        {"conversations": [{"from": "function_call", "value": "f"}]},
        talk(Message("tool_call", "f")),
    ),
    "mistral-finetune": (
        "sharegpt",
        {"conversations": [HUMAN, {**GPT, "weight": 0}]},
        talk(USER, Message("assistant", A, train=False)),
    ),
    "axolotl": (
        "sharegpt",
        {"conversations": [{**HUMAN, "train": True}, {**GPT, "train": False}]},
        talk(Message("user", Q, train=True), Message("assistant", A, train=False)),
    ),
    "NeMo": (
        "sharegpt",
        {
            "system": "Be brief.",
            "mask": "User",
            "conversations": [
                {"from": "User", "value": Q, "label": None},
                {"from": "Assistant", "value": A, "label": "quality:4"},
            ],
        },
        talk(SYSTEM, USER, ANSWER, extra={"mask": "User", "conversations_extra": [{}, {"label": "quality:4"}]}),
    ),
    "LMSYS": (
        "dialogues",
        {"conversation_id": "c", "model": "m", "conversation": [U, Y], "turn": 1, "redacted": False},
        talk(extra={"conversation_id": "c", "model": "m", "turn": 1, "redacted": False}),
    ),
    "WildChat": (
        "dialogues",
        {"conversation": [{**U, "country": "Peru", "toxic": False}, {**Y, "state": None}], "toxic": False},
        talk(extra={"toxic": False, "conversation_extra": [{"country": "Peru", "toxic": False}, {}]}),
    ),
    "UltraChat": ("dialogues", {"id": "0", "data": [Q, A]}, talk(id="0")),
    "Firefly, several turns": (
        "dialogues",
        {"conversation_id": 1, "conversation": [{"human": Q, "assistant": A}]},
        talk(extra={"conversation_id": 1}),
    ),
    "Capybara": (
        "dialogues",
        {"source": "s", "conversation": [{"input": Q, "output": A}]},
        talk(extra={"source": "s"}),
    ),
    "ms-swift's tools": (
        "dialogues",
        {"conversation": [{"tool": "cold", "assistant": A}]},
        talk(Message("tool", "cold"), ANSWER),
    ),
    # Preferences
    "chosen and rejected": (
        "preferences",
        {"prompt": Q, "chosen": A, "rejected": WORSE.content, "margin": 2},
        single(rejected=(WORSE,), extra={"margin": 2}),
    ),
    "LLaMA-Factory's Alpaca pairs": (
        "preferences",
        {"instruction": Q, "input": "in Asia", "chosen": A, "rejected": WORSE.content},
        single(input="in Asia", rejected=(WORSE,)),
    ),
    "LLaMA-Factory's ShareGPT pairs": (
        "preferences",
        {"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": WORSE.content}},
        talk(rejected=(WORSE,)),
    ),
    "Orca's pairs": (
        "preferences",
        {"system": "S", "input": Q, "chosen": A, "rejected": WORSE.content},
        single(system="S", rejected=(WORSE,)),
    ),
    "TRL's implicit prompt": (
        "preferences",
        {"chosen": [U, Y], "rejected": [U, {"role": "assistant", "content": WORSE.content}]},
        talk(rejected=(WORSE,)),
    ),
    "TRL's explicit prompt": (
        "preferences",
        {"prompt": [U], "chosen": [Y], "rejected": [{"role": "assistant", "content": WORSE.content}]},
        talk(rejected=(WORSE,)),
    ),
    "UltraFeedback, binarized": (
        "preferences",
        {
            "prompt": Q,
            "chosen": [U, Y],
            "rejected": [U, {"role": "assistant", "content": WORSE.content}],
            "score_chosen": 9,
        },
        talk(rejected=(WORSE,), extra={"prompt": Q, "score_chosen": 9}),
    ),
    "distilabel's pairs": (
        "preferences",
        {"instruction": Q, "chosen": A, "rejected": WORSE.content, "chosen_model": "gpt 4", "rejected_rating": 1},
        single(rejected=(WORSE,), extra={"chosen_model": "gpt 4", "rejected_rating": 1}),
    ),
    "HH-RLHF": (
        "preferences",
        {"chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}", "rejected": f"\n\nHuman: {Q}\n\nAssistant: {WORSE.content}"},
        talk(rejected=(WORSE,)),
    ),
    "ms-swift's pairs": ("openai", {"messages": [U, Y], "rejected_response": WORSE.content}, talk(rejected=(WORSE,))),
    "UltraFeedback": (
        "candidates",
        {
            "source": "s",
            "instruction": Q,
            "completions": [
                {"model": "a", "response": WORSE.content, "overall_score": 2.5},
                {"model": "b", "response": A, "overall_score": 9},
            ],
        },
        single(
            rejected=(WORSE,),
            extra={
                "source": "s",
                "completions": [
                    {"model": "a", "response": WORSE.content, "overall_score": 2.5},
                    {"model": "b", "response": A, "overall_score": 9},
                ],
            },
        ),
    ),
    "distilabel's ratings": (
        "candidates",
        {"instruction": Q, "generations": [A, WORSE.content], "ratings": [5, 1], "rationales": ["a", "b"]},
        single(
            rejected=(WORSE,),
            extra={"generations": [A, WORSE.content], "ratings": [5, 1], "rationales": ["a", "b"]},
        ),
    ),
    "Nectar": (
        "candidates",
        {"prompt": Q, "answers": [{"answer": WORSE.content, "rank": 7.0}, {"answer": A, "rank": 1.0}]},
        single(
            rejected=(WORSE,), extra={"answers": [{"answer": WORSE.content, "rank": 7.0}, {"answer": A, "rank": 1.0}]}
        ),
    ),
    "TRL's KTO": ("pairs", {"prompt": Q, "completion": A, "label": False}, single(label=False)),
    "a label in words": ("pairs", {"prompt": Q, "completion": A, "label": "True"}, single(label=True)),
    "LLaMA-Factory's KTO": ("openai", {"messages": [U, Y], "kto_tag": False}, talk(label=False)),
    # Marks of a row
    "a row of weight 0": (
        "pairs",
        {"prompt": Q, "completion": A, "weight": 0},
        talk(USER, Message("assistant", A, train=False)),
    ),
    "a row of weight 1": ("pairs", {"prompt": Q, "completion": A, "weight": 1.0}, SINGLE),
    "a class": ("pairs", {"prompt": Q, "completion": A, "label": "sports"}, single(extra={"label": "sports"})),
    "numbers of images": (
        "openai",
        {"messages": [{**U, "image": False}, Y], "images": 0},
        talk(extra={"images": 0, "messages_extra": [{"image": False}, {}]}),
    ),
    "an id that is an object": (
        "pairs",
        {"id": {"$oid": "f"}, "prompt": Q, "completion": A},
        single(id="*", extra={"id": {"$oid": "f"}}),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_this_kind_is_read(kind: str) -> None:
    format, row, expected = KINDS[kind]
    record = read_one(row)
    if expected.id == "*":
        record, expected = record.replaced(id=""), expected.replaced(id="")
    assert record == expected
    assert read_one(row, format).replaced(id="") == expected.replaced(id="")


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_those_that_are_no_extra(kind: str) -> None:
    """The core keeps what ``columns`` does not name, and a format itself may keep what it has read as well."""
    format, row, _ = KINDS[kind]
    form = Manager().build("formats", format)
    read, before = set(form.columns(row)), json.dumps(row)
    [record, *_] = form.records_in(row)
    assert json.dumps(row) == before
    for name in row.keys() - read:
        assert record.extra.get(name) == row[name] or row[name] in (None, "", [], {})


CALLING = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather", "arguments": "{}"}}]}
MIXED: dict[str, list[dict[str, Any]]] = {
    "tools, called or not": [{"messages": [U, Y], "tools": [TOOL]}, {"messages": [U, CALLING], "tools": [TOOL]}],
    "marks of turns": [{"messages": [U, Y]}, {"messages": [U, {**Y, "weight": 0}]}],
    "labels": [{"messages": [U, Y], "label": True}, {"messages": [U, {**Y, "weight": 0}], "label": False}],
    "worse answers": [{"messages": [U, Y], "rejected": [Y]}, {"messages": [U, Y], "rejected": "worse"}],
    "reasoning": [{"instruction": Q, "output": A, "reasoning": "Hm."}, {"instruction": Q, "output": A, "cot": "Hm."}],
}


@pytest.mark.parametrize("kind", MIXED)
def test_rows_some_of_which_could_be_filials_own_are_read_alike(kind: str) -> None:
    for rows in (MIXED[kind], MIXED[kind][::-1]):
        assert len(list(read_rows(rows))) == 2


def read_all(*rows: dict[str, Any], **how: Any) -> tuple[list[Record], list[str]]:
    """The records of rows, without ids that they did not bring, and what is wrong with the bad ones."""
    bad: list[BadLine] = []
    records = list(read_rows(rows, ids=False, bad=bad, **how))
    return records, [str(line).partition(": ")[2] for line in bad]


GRADED: dict[str, dict[str, Any]] = {
    "marks of right answers": {"question": Q, "responses": ["w", A], "correct": [False, True]},
    "marks in words": {"question": Q, "responses": ["w", A], "correct": ["no", "yes"]},
    "marks in numbers": {"problem": Q, "generations": ["w", A], "correctness_math_verify": [0, 1]},
    "places": {"question": Q, "responses": ["x", A, "w"], "rank": [2, 1, 3]},
    "places of another name": {"question": Q, "responses": ["x", A, "w"], "ranks": [2, 1, 3]},
    "a ranking that says the same both ways": {"question": Q, "responses": ["w", A], "ranking": [2, 1]},
    "a ranking in the answers": {"question": Q, "responses": [{"text": "w", "ranking": 2}, {"text": A, "ranking": 1}]},
    "marks in the answers": {"question": Q, "responses": [{"text": "w", "correct": 0}, {"text": A, "correct": 1}]},
    "an answer that is missing": {"question": Q, "responses": ["w", None, A], "ratings": [1, None, 5]},
}  # fmt: skip


@pytest.mark.parametrize("kind", GRADED)
def test_the_best_of_several_answers_is_trained_and_the_worst_is_rejected(kind: str) -> None:
    [record], bad = read_all(GRADED[kind])
    assert (record.instruction, record.output, [turn.content for turn in record.rejected], bad) == (Q, A, ["w"], [])


UNGRADED: dict[str, tuple[dict[str, Any], str]] = {
    "no grades": ({"generations": [A, "b", None]}, "/generations: holds 2 answers, and nothing says which is the best"),
    "figures of no name": ({"responses": [{"text": A, "loss": 1}, {"text": "b", "loss": 2}]}, "/responses: holds 2"),
    "accepted answers": ({"answers": {"text": [A, "b"], "answer_start": [1, 2]}}, "/answers: holds 2 answers"),
    "solutions": ({"solutions": json.dumps([A, "b"])}, "/solutions: holds 2 answers"),
    "a missing grade": ({"generations": [A, "b", "c"], "ratings": [1, None, 3]}, "/ratings: has a grade for some"),
    "fewer grades": ({"generations": [A, "b", "c"], "ratings": [1, 5]}, "/ratings: has 2 entries, and there are 3"),
    "steps": ({"completions": [A, "b"], "labels": [True, False]}, "/labels: labels beside completions are"),
    "places or an order": ({"responses": [A, "b", "c"], "ranking": [2, 3, 1]}, "/ranking: could be the place of each"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNGRADED)
def test_several_answers_are_never_trained_where_nothing_says_which(kind: str) -> None:
    row, words = UNGRADED[kind]
    records, [why] = read_all({"question": Q, **row})
    assert (records, why[: len(words)]) == ([], words)


BETTER: dict[str, dict[str, Any]] = {
    "PKU-SafeRLHF": {"prompt": Q, "response_0": "w", "response_1": A, "better_response_id": 1, "safer_response_id": 1},
    "HelpSteer2": {"prompt": Q, "response_1": A, "response_2": "w", "preference_strength": -2},
    "HelpSteer3": {"context": [U], "response1": "w", "response2": A, "overall_preference": 3},
    "Arena's marks": {"prompt": Q, "response_a": A, "response_b": "w", "winner_model_a": 1, "winner_model_b": 0},
    "Arena's word": {"prompt": Q, "response_a": "w", "response_b": A, "winner": "model_b"},
    "MT-Bench": {"conversation_a": [U, Y], "conversation_b": [U, {**Y, "content": "w"}], "winner": "model_a"},
    "AlpacaEval": {"instruction": Q, "output_1": "w", "output_2": A, "preference": 2.0},
    "winner and loser": {"prompt": Q, "winner": A, "loser": "w"},
    "accepted": {"prompt": Q, "accepted": A, "rejected": "w"},
    "OpenAI": {
        "input": {"messages": [U], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [Y],
        "non_preferred_output": [{**Y, "content": "w"}],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", BETTER)
def test_the_better_of_two_answers_is_trained_and_the_other_is_rejected(kind: str) -> None:
    [record], bad = read_all(BETTER[kind])
    assert [(turn.role, turn.content) for turn in record.turns()] == [("user", Q), ("assistant", A)]
    assert ([turn.content for turn in record.rejected], bad) == (["w"], [])


UNCLEAR: dict[str, tuple[dict[str, Any], str]] = {
    "no word": ({"prompt": Q, "response_a": A, "response_b": "w"}, "nothing says which of response_a and response_b"),
    "a tie": ({"prompt": Q, "response_a": A, "response_b": "w", "winner": "tie"}, "response_a and response_b are"),
    "two words": (
        {"prompt": Q, "response_0": A, "response_1": "w", "better_response_id": 0, "safer_response_id": 1},
        "it is not said clearly which",
    ),
    "two questions of preferences": (
        {"chosen": [U, Y], "rejected": [{**U, "content": "Else?"}, Y]},
        "/rejected: has another question than chosen",
    ),
    "a worse answer alone": ({"prompt": Q, "rejected": "w"}, "has a worse answer, and no better one"),
    "two questions": ({"instruction": "Be brief.", "prompt": Q, "response": A}, "/instruction: is a second question"),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNCLEAR)
def test_what_is_not_clear_is_a_bad_row(kind: str) -> None:
    row, words = UNCLEAR[kind]
    records, [why] = read_all(row)
    assert (records, why[: len(words)]) == ([], words)


def test_names_of_parts_that_are_plain_are_read() -> None:
    read = [
        ({"Question": Q, "Complex_CoT": "Hm.", "Response": A}, single(reasoning="Hm.")),
        ({"prompt": Q, "response": A, "system_instruction": "S"}, single(system="S")),
        ({"definition": Q, "inputs": "in Asia", "targets": A}, single(input="in Asia")),
        ({"article": "in Asia", "question": Q, "answer": A}, single(input="in Asia")),
        ({"prompt": Q, "completion": A, "thumbs_up": False}, single(label=False)),
    ]
    for row, expected in read:
        assert read_all(row) == ([expected], [])


@pytest.mark.parametrize(
    "name", ["opa", "cop", "A", "option_a", "choices", "deepseek_thinking_trajectory", "solutions"]
)
def test_choices_and_reasoning_of_others_are_not_passed_over(name: str) -> None:
    with pytest.raises(UsageError, match=f"the column '{name}' changes what a row means"):
        read_all({"question": Q, "answer": A, name: "x"})


def test_an_answer_that_is_given_twice_or_marked_as_wrong_is_one_record() -> None:
    row = {"question": Q, "answers": {"text": [A, A], "answer_start": [1, 9]}}
    assert read_all(row) == ([single(extra={"answers": row["answers"]})], [])
    [record], _ = read_all({"question": Q, "responses": ["w", "v"], "correct": [False, False]})
    assert record.label is False
    row = {"question": Q, "answers": ["a", A]}
    assert read_all(row, columns={"output": "answers.1"}) == ([single(extra={"answers": ["a", A]})], [])


LABELS = [
    (word, label)
    for words, label in (
        ((True, "true", "True", "yes", "good", "accepted", "desirable", "thumbs_up"), True),
        ((False, "false", "NO", "bad", "rejected", "undesirable", "dislike", "wrong"), False),
    )
    for word in words
]


@pytest.mark.parametrize(("said", "label"), LABELS)
def test_every_spelling_of_a_label(said: Any, label: bool) -> None:
    assert read_all({"prompt": Q, "completion": A, "label": said}) == ([single(label=label)], [])


@pytest.mark.parametrize(
    ("said", "label"), [(1, True), (0, False), ("1", True), ("0", False), (-1, False), ("yes", True), (1.0, True)]
)
def test_numbers_are_labels_under_names_of_labels_alone_or_by_a_mapping(said: Any, label: bool) -> None:
    row = {"prompt": Q, "completion": A}
    assert read_all({**row, "kto_tag": said}) == ([single(label=label)], [])
    assert read_all({**row, "label": said}, columns={"label": "label"}) == ([single(label=label)], [])
    assert read_all({**row, "vote": said}, columns={"label": "vote"}) == ([single(label=label)], [])


@pytest.mark.parametrize(("name", "said"), [("label", 0), ("label", -1), ("label", "positive"), ("weight", 0.3)])
def test_a_mark_that_is_not_understood_is_never_trained_in_silence(name: str, said: Any) -> None:
    row = {"prompt": Q, "completion": A, name: said}
    with pytest.raises(UsageError, match=f"the column '{name}' changes what a row means"):
        read_all(row)
    late = [{"prompt": Q, "completion": A}] * 100
    assert read_all(*late, row)[1] == [f"/{name}: changes what a row means, and pairs does not read it"]


def test_what_is_mapped_to_a_label_and_is_none_is_a_bad_row() -> None:
    rows = [{"prompt": Q, "completion": A, "vote": vote} for vote in (True, "sports", 3)]
    records, bad = read_all(*rows, columns={"label": "vote"})
    assert records == [single(label=True)]
    assert bad == [
        "/label: pairs cannot read what is mapped to it",
        "/label: must be true or false, yes or no, 1 or 0, not 3",
    ]


@pytest.mark.parametrize("beside", [{}, {"version": "1.1"}])
@pytest.mark.parametrize("name", ["data", "items", "examples"])
@pytest.mark.parametrize(
    "rows", [[{"instruction": Q, "output": A}] * 3, [{"question": Q, "answer": A}], [{"prompt": Q, "completion": A}]]
)
def test_an_object_around_all_rows_is_no_conversation(name: str, rows: list[Any], beside: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"save that array alone, as with jq .{name}"):
        read_all({**beside, name: rows})


def test_a_list_of_texts_is_a_conversation_where_rows_have_ids_or_there_are_several() -> None:
    texts = [Q, A, "And more?", "Lena"]
    with pytest.raises(UsageError, match="save that array alone"):
        read_all({"data": texts})
    for rows in ([{"id": "0", "data": texts}], [{"data": texts}, {"data": texts}]):
        records, bad = read_all(*rows)
        assert ([len(record.messages) for record in records], bad) == ([4] * len(rows), [])
    records, [why] = read_all({"data": [U, Y]}, {"data": [{"question": Q, "answer": A}]})
    assert (len(records), why) == (1, "/data: holds rows, not turns; save that array alone, as a file of its own")


def test_what_an_instance_of_a_seed_task_says_beside_is_kept() -> None:
    instances = [{"input": "", "output": A, "constraints": "None."}, {"output": "Lena"}]
    found = list(read_rows([{"id": "s", "instruction": Q, "instances": instances, "name": "t", "task": "u"}]))
    assert [(r.id, r.output, r.task, r.extra) for r in found] == [
        ("s#1", A, "t", {"task": "u", "instance": {"constraints": "None."}}), ("s#2", "Lena", "t", {"task": "u"}),
    ]  # fmt: skip


def test_what_a_turn_says_beside_is_kept_with_what_was_kept_before() -> None:
    row = {"messages": [U, {**Y, "score": 2}], "messages_extra": [{"a": 1}, {"b": 2}]}
    assert read_one(row).extra == {"messages_extra": [{"a": 1}, {"b": 2, "score": 2}]}


THOUGHT: dict[str, tuple[dict[str, Any], Message, list[str]]] = {
    "OpenRouter's details": (
        {"content": A, "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]}, THINKING, [],
    ),
    "details of a model that signs": (
        {"content": A, "reasoning_details": [{"type": "reasoning.summary", "summary": "Hm.", "signature": "x"}]},
        THINKING, ["reasoning_details"],
    ),
    "details beside the text of them": (
        {"content": A, "reasoning": "Hm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
        THINKING, ["reasoning_details"],
    ),
    "details in front of the text of them": (
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}], "content": A, "reasoning": "Hm."},
        THINKING, ["reasoning"],
    ),
    "sealed details": (
        {"content": A, "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        ANSWER, ["reasoning_details"],
    ),
    "LiteLLM's blocks": ({"content": A, "thinking_blocks": [{"type": "thinking", "thinking": "Hm."}]}, THINKING, []),
    "Anthropic's parts": (
        {"content": [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": A}]},
        THINKING, ["content"],
    ),
    "Anthropic's sealed parts": (
        {"content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": A}]}, ANSWER, ["content"],
    ),
    "Gemini's parts": ({"parts": [{"thought": True, "text": "Hm."}, {"text": A}]}, THINKING, []),
    "an empty name first": ({"content": A, "reasoning": "", "reasoning_content": "Hm."}, THINKING, []),
    "a refusal": ({"content": None, "refusal": A}, ANSWER, []),
    "a refusal of an empty answer": ({"content": "", "refusal": A}, ANSWER, []),
    "no refusal": ({"content": A, "refusal": None, "audio": None, "tool_calls": None}, ANSWER, []),
    "citations and figures": (
        {"content": A, "annotations": [{"url": "x"}], "tokens": 5, "id": "3", "model": "m", "prefix": False},
        ANSWER, ["annotations", "id", "model", "prefix", "tokens"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", THOUGHT)
def test_what_a_turn_says_beside_its_text_is_read_or_named(kind: str) -> None:
    turn, expected, kept = THOUGHT[kind]
    said: list[str] = []
    [record] = read_rows([{"messages": [U, {"role": "assistant", **turn}]}], format="openai", note=said.append)
    assert record.messages == (USER, expected)
    assert sorted(key for part in record.extra.get("messages_extra", []) for key in part) == kept
    assert said == ["records: read as openai (messages)" + (
        f"; kept as extra: messages_extra ({', '.join(kept)})" if kept else ""
    )]  # fmt: skip


@pytest.mark.parametrize(
    "system", ["Be brief.", [{"type": "text", "text": "Be "}, {"text": "brief."}], {"parts": [{"text": "Be brief."}]}]
)
def test_a_system_text_in_parts(system: Any) -> None:
    expected = talk(SYSTEM, USER, ANSWER)
    assert read_one({"system": system, "messages": [U, Y]}) == expected
    contents = [{"role": "user", "parts": [{"text": Q}]}, {"role": "model", "parts": [{"text": A}]}]
    assert read_one({"systemInstruction": system, "contents": contents}) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [(42, "42"), (0, "0"), (True, "true"), (False, "false"), (3.5, "3.5"), (0.1 + 0.2, "0.30000000000000004"),
     (10**28, "1" + 28 * "0"), (-1e-7, "-1e-7")],
)  # fmt: skip
def test_numbers_and_switches_are_texts_as_json_spells_them(value: Any, text: str) -> None:
    for asked, answer in (("instruction", "output"), ("question", "answer"), ("prompt", "completion")):
        assert read_one({asked: Q, answer: value, "x": 1}).output == text
    assert read_one({"instruction": value, "output": A, "x": 1}).instruction == text
    assert read_one({"messages": [U, {**Y, "content": value}]}).messages[1].content == text
    assert read_one({"conversations": [HUMAN, {**GPT, "value": value}]}).messages[1].content == text
    assert read_one({"prompt": Q, "chosen": value, "rejected": "x"}).output == text
    assert read_one({"question": Q, "rationale": "Hm.", "answer": value}).output == text
    assert read_one({"instruction": Q, "instances": [{"input": value, "output": value}]}).output == text


@pytest.mark.parametrize("key", names.TRAINED)
@pytest.mark.parametrize("turns", [(U, Y), (HUMAN, GPT)])
@pytest.mark.parametrize(
    ("value", "train"),
    [(0, False), (0.0, False), (False, False), ("false", False), (1, True), (1.0, True), (True, True), (None, None)],
)
def test_every_spelling_of_a_mark_for_training(key: str, turns: Any, value: Any, train: bool | None) -> None:
    for column in ("messages", "conversations", "conversation"):
        record = read_one({column: [turns[0], {**turns[1], key: value}], "x": 1})
        assert record.messages[1].train is train


@pytest.mark.parametrize("key", names.UNTRAINED)
@pytest.mark.parametrize(("value", "train"), [(True, False), (1, False), (False, True), (None, None)])
def test_every_spelling_of_a_mark_against_training(key: str, value: Any, train: bool | None) -> None:
    assert read_one({"messages": [U, {**Y, key: value}], "x": 1}).messages[1].train is train


@pytest.mark.parametrize("key", names.REASONING)
def test_every_spelling_of_reasoning(key: str) -> None:
    assert read_one({"messages": [U, {**Y, key: "Hm."}], "x": 1}).messages[1].reasoning == "Hm."
    assert read_one({"prompt": Q, "completion": A, key: "Hm."}).reasoning == "Hm."
    assert read_one({"instruction": Q, "output": A, key: "Hm.", "x": 1}).reasoning == "Hm."
    assert read_one({"conversations": [HUMAN, GPT], key: "Hm."}).messages[1].reasoning == "Hm."


@pytest.mark.parametrize("name", [name for name, role in names.ROLES.items() if role != "tool_call"])
def test_every_name_of_a_speaker(name: str) -> None:
    for spelled in (name, name.upper()):
        [turn] = read_one({"conversations": [{"from": spelled, "value": "x"}]}).messages
        assert turn == Message(names.ROLES[name], "x")


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "images of a row": ({"messages": [U, Y], "images": ["a.png"]}, "/images: images, audio and video have no place"),
    "an image of a pair": ({"question": Q, "answer": A, "image": {"bytes": "x"}}, "/image: images, audio"),
    "images of a turn": ({"messages": [{**U, "images": ["a.png"]}, Y]}, "/messages/0/images: images, audio"),
    "a part that is an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "/messages/0/content/0/type: only text parts are supported, not 'image_url'",
    ),
    "half a weight": (
        {"messages": [U, {**Y, "weight": 0.5}]},
        "/messages/1/weight: must be true or false, 1 or 0, not 0.5",
    ),
    "marks that contradict": (
        {"messages": [U, {**Y, "train": True, "weight": 0}]},
        "/messages/1/weight: contradicts train",
    ),
    "a mask of no meaning": ({"messages": [U, {**Y, "mask": 0}]}, "/messages/1/mask: masks and parts of a turn"),
    "a mask": ({"messages": [U, {**Y, "mask": 1}]}, "/messages/1/mask: masks and parts of a turn"),
    "parts to train": (
        {"conversations": [HUMAN, {**GPT, "train_detail": [{"begin_offset": 0}]}]},
        "/conversations/1/train_detail: masks and parts",
    ),
    "two system texts": ({"messages": [{"role": "system", "content": "a"}, U, Y], "system": "b"}, "/system: differs"),
    "reasoning of no answer": (
        {"conversations": [HUMAN], "reasoning": "Hm."},
        "/reasoning: the conversation does not end",
    ),
    "an unknown speaker": (
        {"messages": [{"role": "narrator", "content": "x"}]},
        "/messages/0/role: unknown role 'narrator'",
    ),
    "no speaker": ({"messages": [{"content": "x"}]}, "/messages/0: lacks role"),
    "no text": ({"conversations": [{"from": "human"}]}, "/conversations/0: lacks value"),
    "a call without a name": (
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]},
        "/messages/0/tool_calls/0: must be a call of a tool",
    ),
    "a history of numbers": (
        {"query": Q, "response": A, "history": [[1, 2]]},
        "/history/0: must be an object or a pair",
    ),
    "tools that are none": ({"messages": [U, Y], "tools": 7, "x": 1}, "/tools: must be an array of tools"),
    "several worse answers": ({"prompt": Q, "chosen": A, "rejected": ["a", "b"]}, "/rejected: "),
    "an answer that is an array": ({"question": Q, "answer": [2]}, "/answer: must be a string"),
    "an answer that is an object": ({"instruction": Q, "output": {"a": 2}}, "/output: must be a string"),
    "a begun answer": ({"messages": [U, {**Y, "prefix": True}]}, "/messages/1/prefix: changes what a turn means"),
    "a partial answer": ({"messages": [U, {**Y, "partial": True}]}, "/messages/1/partial: changes what a turn means"),
    "an unwanted turn": ({"messages": [U, {**Y, "label": False}]}, "/messages/1/label: changes what a turn means"),
    "a worse turn": ({"messages": [U, {**Y, "rejected": "x"}]}, "/messages/1/rejected: changes what a turn means"),
    "a system text in a turn": ({"messages": [{**U, "system": "x y"}, Y]}, "/messages/0/system: changes what a turn"),
    "choices in a turn": ({"messages": [{**U, "choices": ["a"]}, Y]}, "/messages/0/choices: changes what a turn means"),
    "replies to a turn": ({"prompt": {**U, "replies": [Y]}}, "/prompt/0/replies: changes what a turn means"),
    "two reasonings": (
        {"messages": [U, {**Y, "reasoning": "a", "thinking": "b"}]},
        "/messages/1/thinking: differs from reasoning",
    ),
    "sound of a turn": ({"messages": [U, {**Y, "audio": {"id": "1"}}]}, "/messages/1/audio: images, audio and video"),
    "a taken name": ({"messages": [U, {**Y, "x": 1}], "messages_extra": "mine"}, "/messages_extra: is the name"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_record_cannot_say_is_a_bad_row_with_its_reason(kind: str) -> None:
    row, words = REFUSED[kind]
    bad: list[BadLine] = []
    assert list(read_rows([row], bad=bad)) == []
    assert str(bad[0]).startswith(f"records:1: {words}")


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
