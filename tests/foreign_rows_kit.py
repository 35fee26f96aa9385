"""Rows as public data sets have them, and what each is read as."""

import json
from typing import Any

from filial import Message, Record, ToolCall
from filial.formats import BadLine, read_rows

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


def read_all(*rows: dict[str, Any], **how: Any) -> tuple[list[Record], list[str]]:
    """The records of rows, without ids that they did not bring, and what is wrong with the bad ones."""
    bad: list[BadLine] = []
    records = list(read_rows(rows, ids=False, bad=bad, **how))
    return records, [str(line).partition(": ")[2] for line in bad]
