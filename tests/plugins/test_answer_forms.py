"""One answer in all the forms in which models and servers send it: whatever is round it, the same records come out."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from cpu_kit import bounded
from hypothesis import example, given, settings
from hypothesis import strategies as st
from self_instruct_kit import SEEDS, Model
from stage_kit import Rows, evolution

from filial import Message, Record, Reply, Request, TeacherError
from filial.engine.stage import StageContext
from filial_plugins.filters.agreement import Agreement
from filial_plugins.filters.evolved import Evolved
from filial_plugins.generators.self_instruct import SelfInstruct
from filial_plugins.stages.evolve import Choice, evolve_records
from filial_plugins.stages.filter import FilterStep, filter_records
from filial_plugins.stages.generate import generate_records
from filial_plugins.strategies.deepen import Deepen
from filial_plugins.teachers.answer_text import find_json, split_answer
from filial_plugins.teachers.openai_answers import AnswerReader

T = "They want it harder.\n1. DRAFT about stones.\nInput: maybe\nEqual. Yes."

BLOCKS = {
    # vllm.reasoning: deepseek_r1, qwen3, glm45, hy_v3; waybarrios/vllm-mlx
    "think": "<think>\n{t}\n</think>\n\n{a}",
    "think, closed alone": "{t}\n</think>\n\n{a}",  # sglang separate_reasoning: DeepSeek-R1 has no opening tag
    "think, closed alone after a sentence": "{t}</think>{a}",  # QwenLM/qwen-code#6007
    "thinking": "<thinking>{t}</thinking>\n{a}",  # QwenLM/qwen-code#10791, earendil-works/pi#303
    "thought": "<thought>\n{t}\n</thought>\n\n{a}",  # EXAONE Deep; Gemini behind gateways
    "reasoning": "<reasoning>\n{t}\n</reasoning>\n{a}",
    "seed": "<seed:think>{t}</seed:think>{a}",  # vllm seedoss_reasoning_parser
    "minimax": "<mm:think>{t}</mm:think>{a}",  # vllm minimax_m3_reasoning_parser
    "mistral": "[THINK]{t}[/THINK]{a}",  # vllm mistral_reasoning_parser
    "kimi": "◁think▷{t}◁/think▷{a}",  # sglang kimi
    "kimi k3": "<|open|>think<|sep|>{t}<|close|>think<|sep|><|open|>response<|sep|>{a}<|close|>response<|sep|>",
    "gemma": "<|channel>thought\n{t}<channel|>{a}",  # vllm gemma4_reasoning_parser
    "medgemma": "<unused94>thought\n{t}<unused95>{a}",
    "cohere": "<|START_THINKING|>{t}<|END_THINKING|><|START_RESPONSE|>{a}<|END_RESPONSE|>",  # vllm cohere_command
    "openthinker": "<|begin_of_thought|>{t}<|end_of_thought|>\n\n<|begin_of_solution|>{a}<|end_of_solution|>",
    "apertus": "<|inner_prefix|>{t}<|inner_suffix|>{a}",
    "granite": "Here is my thought process: {t} Here is my response: {a}",  # vllm granite_reasoning_parser
    "granite, quantized": "Here's my thought process:\n{t}\nHere's my response:\n{a}",
    "hunyuan": "<think>\n{t}\n</think>\n<answer>\n{a}\n</answer>",  # vllm hunyuan_a13b_reasoning_parser
    "ernie": "{t}\n</think>\n\n<response>\n{a}\n</response>\n",  # vllm ernie45_reasoning_parser
    "open webui": '<details type="reasoning" done="true" duration="3">\n{t}\n</details>\n{a}',
    # openai-cookbook, articles/openai-harmony.md
    "harmony": "<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final<|message|>{a}<|return|>",
    "harmony, with its start": "<|start|>assistant<|channel|>analysis<|message|>{t}<|end|>"
    "<|start|>assistant<|channel|>final<|message|>{a}",
    "harmony, commentary": "<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>commentary<|message|>"
    "Now.<|end|><|start|>assistant<|channel|>final<|message|>{a}<|end|>",
    "harmony, constrained": "<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final "
    "<|constrain|>json<|message|>{a}<|return|>",
    "harmony, first header swallowed": "{t}<|end|><|start|>assistant<|channel|>final<|message|>{a}",
    "harmony, marks swallowed": "analysis{t}assistantfinal{a}",  # InternLM/lmdeploy#3954 and others
    "harmony, no analysis": "<|channel|>final<|message|>{a}<|return|>",
    # Qwen3 without thinking; with leaks round it
    "empty": "<think>\n\n</think>\n\n{a}",
    "two blocks": "<think>{t}</think>\n<think>more</think>\n{a}",
    "behind the start of a turn": "<|im_start|>assistant\n<think>\n{t}\n</think>\n\n{a}<|im_end|>",
    "names its own tags": "<think>{t} It ends with `</think>`.</think>{a}",
}
"""Reasoning in the text."""
LEAKS = {
    # thinking-machines-lab/tinker-feedback#90, togethercomputer/together-python#137 and others
    **{
        mark: f"{{a}}{mark}"
        for mark in (
            "<|im_end|>", "</s>", "<|eot_id|>", "<|endoftext|>", "<end_of_turn>", "<|return|>", "<|end|>", "<|eom_id|>",
            "<|end_of_text|>", "<eos>", "<turn|>", "<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>", "[|endofturn|]",
            "<|user|>", "<seed:eos>", "<|im_end|>\n<|endoftext|>",
        )
    },
    "goes on": "{a}<|im_end|>\n<|im_start|>user\nAnother question?",
    "goes on, Llama": "{a}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nMore.",
    "begins again": "<|im_start|>assistant\n{a}",
    "byte order mark": "\ufeff{a}",
}  # fmt: skip
"""Marks of the chat format."""


def body_of(message: dict[str, Any], finish: Any = "stop") -> bytes:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}], "usage": usage}).encode()


def chunks(*deltas: dict[str, Any], finish: Any = "stop", end: str = "\n\n", done: bool = True) -> bytes:
    """A stream of chunks."""
    events: list[Any] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    events.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}})
    lines = [f"data: {json.dumps(event)}" for event in events] + ["data: [DONE]"] * done
    return "".join(line + end for line in lines).encode()


def pieces(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": ""}, *({"content": text[i : i + 5]} for i in range(0, len(text), 5))]


FORMS: dict[str, Callable[[str], bytes]] = {
    **{name: lambda a, form=form: body_of({"content": form.format(t=T, a=a)}) for name, form in BLOCKS.items()},
    **{name: lambda a, form=form: body_of({"content": form.format(a=a)}) for name, form in LEAKS.items()},
    # fields: DeepSeek, vLLM, Ollama, Groq, OpenRouter, LiteLLM
    **{
        f"field {name}": lambda a, name=name: body_of({"content": a, name: T})
        for name in ("reasoning_content", "reasoning", "thinking", "thought")
    },
    "reasoning_details": lambda a: body_of(
        {"content": a, "reasoning": T, "reasoning_details": [{"type": "reasoning.text", "text": T}]}
    ),
    "encrypted": lambda a: body_of({"content": a, "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}),
    "thinking_blocks": lambda a: body_of({"content": a, "thinking_blocks": [{"type": "thinking", "thinking": T}]}),
    # parts: microsoft/agent-framework#6978, simonw/llm-mistral#39, mistralai/client-python#252
    "parts": lambda a: body_of({"content": [{"type": "text", "text": a}]}),
    "output_text": lambda a: body_of({"content": [{"type": "output_text", "text": a, "annotations": []}]}),
    "thinking part": lambda a: body_of(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": T}]}, {"type": "text", "text": a}]}
    ),
    "reasoning part": lambda a: body_of({"content": [{"type": "reasoning", "summary": [{"text": T}]}, {"text": a}]}),
    "thought part": lambda a: body_of({"content": [{"text": T, "thought": True}, {"text": a}]}),
    "strange part": lambda a: body_of({"content": [{"type": "text", "text": a}, {"type": "citation", "source": "x"}]}),
    "one part": lambda a: body_of({"content": {"type": "text", "text": a}}),
    "text of a completion": lambda a: json.dumps({"choices": [{"text": a, "finish_reason": "stop"}]}).encode(),
    "finish in an object": lambda a: body_of({"content": a}, {"type": "stop", "matched": 2}),
    # streams: sgl-project/mini-sglang#51, unslothai/unsloth#6570, decolua/9router#3492, infiniflow/ragflow#5912
    "stream": lambda a: chunks(*pieces(a)),
    "stream, CRLF": lambda a: chunks(*pieces(a), end="\r\n\r\n"),
    "stream, single line ends": lambda a: chunks(*pieces(a), end="\n"),
    "stream, comments": lambda a: b": keep-alive\n\nevent: message\nid: 1\nretry: 5\n" + chunks(*pieces(a)),
    "stream without [DONE]": lambda a: chunks(*pieces(a), done=False),
    "stream of thoughts": lambda a: chunks({"reasoning_content": T[:9]}, {"reasoning_content": T[9:]}, *pieces(a)),
    "stream with thoughts in the text": lambda a: chunks(*pieces(f"<think>\n{T}\n</think>\n\n{a}")),
    "stream of parts": lambda a: chunks(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": T}]}]},
        *({"content": [{"type": "text", "text": a[i : i + 7]}]} for i in range(0, len(a), 7)),
    ),
    "stream whose reason comes early": lambda a: (
        chunks(finish="stop", done=False) + chunks(*pieces(a), finish=None)
    ),  # adolfousier/opencrabs#1499: empty reasons in between
    "stream, null as a word": lambda a: chunks(*pieces(a)).replace(
        b'"finish_reason": null', b'"finish_reason": "null"'
    ),
    "JSON and [DONE]": lambda a: body_of({"content": a}) + b"\n\ndata: [DONE]\n\n",
    "data and JSON": lambda a: b"data: " + body_of({"content": a}) + b"\n\ndata: [DONE]\n\n",
    "JSON on many lines and [DONE]": lambda a: (
        json.dumps(json.loads(body_of({"content": a})), indent=1).encode() + b"\n\ndata: [DONE]\n\n"
    ),
    "JSON lines": lambda a: chunks(*pieces(a), done=False, end="\n").replace(b"data: ", b""),
    "JSON behind a mark": lambda a: b"\xef\xbb\xbf" + body_of({"content": a}),
}
"""All forms of a body; ``FORMS[name](text)``."""
EACH_FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
JSON_FORMS = {
    # ggml-org/llama.cpp#13212, spring-ai-alibaba/DataAgent#615
    "fence": "```json\n{a}\n```", "words before": "Here is the JSON:\n```json\n{a}\n```", "words": "Sure! {a}",
    "words after": "```json\n{a}\n```\nAnything else?", "one line": "```json {a} ```", "one line, bare": "```{a}```",
    "words round it": "As {you} asked [1]: {a} That is all.", "twice": "{a}\n\n{a}", "no language": "~~~\n{a}\n~~~",
}  # fmt: skip
"""What is written round an answer in JSON."""


@pytest.fixture
def warned() -> dict[str, str]:
    return {}


@pytest.fixture
def read(warned) -> Callable[..., Reply]:
    """``read(body, prompt)``: what the reader makes of a body."""
    reader = AnswerReader("m", warned.setdefault)

    def one(raw: bytes, prompt: str = "Which?", limit: int = 100, **options: Any) -> Reply:
        return reader.read(raw, limit, Request(messages=(Message(role="user", content=prompt),), **options))

    return one


def fault(read, *args: Any, **options: Any) -> TeacherError:
    with pytest.raises(TeacherError) as caught:
        read(*args, **options)
    return caught.value


ANSWER = "Explain how rivers form; use 3 < 4 and [x].\n\n1. A list"


@EACH_FORM
def test_every_form_of_an_answer_is_read_as_the_same_text(read, form):
    reply = read(form(ANSWER))
    assert reply.text.strip() == ANSWER
    assert reply.reasoning in ("", "more", T) or reply.reasoning.startswith(T.strip())
    assert not any(mark in reply.text for mark in ("think", "<|", "THINK", "DRAFT"))


@pytest.mark.parametrize("name", [name for name in FORMS if "{t}" in BLOCKS.get(name, "") or "thought" in name])
def test_thoughts_are_kept(read, name):
    assert "1. DRAFT about stones." in read(FORMS[name](ANSWER)).reasoning


@pytest.mark.parametrize("name", [name for name in BLOCKS if "{t}" in BLOCKS[name]])
def test_thoughts_that_do_not_end_are_no_answer(read, name):
    start = BLOCKS[name].split("{t}")[0]
    if not start or name.startswith(("granite", "open webui", "harmony, marks")):
        return  # words alone may be an answer
    error = fault(read, body_of({"content": start + T}))
    assert (error.reason, error.retry, error.billed) == ("only-reasoning", False, (7, 3))


@pytest.mark.parametrize(
    "text",
    [
        "HTML has no <think> tag; write <think>hm</think> in a comment.",
        "Models write <|channel|>analysis<|message|> first.",
        "ChatML looks so:\n```\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n```",
        "ChatML looks so:\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>",
        "Each turn ends with `<|im_end|>`",
        "The price is <s>10</s>",
        "Use </s> to end a sequence.",
        "Explain [THINK] and [/THINK] in Mistral's format.",
        "Here is my answer: it depends.",
        "analysis of rivers: they flow.",
        "Write <answer>7</answer>.",
        '{"step": "First I think.</think>", "then": "I answer"}',
        "Tell me what\n</think> means.",
        "<thinker>is no tag of this kind</thinker>",
    ],
)
def test_a_text_about_marks_is_not_changed(read, text):
    assert (read(body_of({"content": text})).text, read(body_of({"content": text})).reasoning) == (text, "")
    assert read(body_of({"content": f"<think>{T}</think>{text}"})).text == text


def test_an_answer_may_end_with_a_mark_that_the_prompt_has(read, warned):
    asked = "With which mark does a turn of Llama end, <|eot_id|> or </s>?"
    assert read(body_of({"content": "It ends with <|eot_id|>"}), asked).text == "It ends with <|eot_id|>"
    assert not warned
    assert read(body_of({"content": "It ends with that.<|eot_id|>"})).text == "It ends with that."
    assert "<|eot_id|>" in warned["leaks"]


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "reasoning_details": [{"type": "reasoning.summary", "summary": T}]},
        {"content": "", "thinking_blocks": [{"type": "thinking", "thinking": T, "signature": "x"}]},
        {"content": [{"type": "thinking", "thinking": T}]},
    ],
)
def test_thoughts_in_fields_and_parts_alone_are_no_answer(read, message):
    assert fault(read, body_of(message)).reason == "only-reasoning"


def test_a_closing_mark_may_stand_right_before_the_answer(read):
    reply = read(body_of({"content": f"{T}\n</think>{ANSWER}"}))
    assert (reply.text, reply.reasoning) == (ANSWER, T)


def test_a_refusal_may_be_a_part(read):
    error = fault(read, body_of({"content": [{"type": "refusal", "refusal": "No."}]}))
    assert (error.reason, error.answer) == ("refused", "No.")


def test_a_part_of_a_kind_nobody_knows_is_told_of(read, warned):
    assert read(FORMS["strange part"]("Text.")).text == "Text."
    assert "citation" in warned["part citation"]


@pytest.mark.parametrize(
    ("raw", "reason", "retry"),
    [
        (chunks(*pieces("The ri"), finish=None, done=False), "interrupted", True),  # vercel/ai#19165
        (chunks(*pieces("The ri"), finish=""), "interrupted", True),  # Growth-Circle/cadis#2547
        (chunks(*pieces("The ri"), finish="length"), "length", False),
        (chunks(*pieces("The river"), finish="error"), "interrupted", True),
        # diegosouzapw/OmniRoute#8210, aaif-goose/goose#8027: an error after status 200
        (
            chunks(*pieces("The ri"), finish=None, done=False)
            + b'data: {"error": {"message": "busy", "code": 502}, "choices": []}\n\n',
            "http-502",
            True,
        ),
        (b'event: error\ndata: {"message": "overloaded"}\n\n', "error-in-answer", True),
        (chunks({"role": "assistant"}), "empty-answer", True),
        (chunks({"reasoning_content": T}), "only-reasoning", False),
        (chunks(*pieces("The river"))[:-70] + b"\n\n", "malformed-answer", True),
        (b"data: [DONE]\n\n", "malformed-answer", True),
        (b": keep-alive\n\n", "malformed-answer", True),
        (b"data: 5\n\n", "malformed-answer", True),
        (b'data: {"choices": [5]}\n\n', "malformed-answer", True),
        (b'data: {"choices": 5}\n\n', "malformed-answer", True),
    ],
)
def test_a_stream_that_breaks_off_is_no_answer(read, raw, reason, retry):
    error = fault(read, raw)
    assert (error.reason, error.retry) == (reason, retry)


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        ({"base_resp": {"status_code": 1004, "status_msg": "no"}, "choices": None}, "error-in-answer", "no"),  # MiniMax
        ({"object": "error", "message": "too long", "code": 40303}, "error-in-answer", "too long"),  # FastChat
        ({"detail": "Not Found"}, "error-in-answer", "Not Found"),
        ({"code": 429, "msg": "slow down"}, "rate-limited", "slow down"),
    ],
)
def test_an_error_in_a_body_of_another_form_is_told(read, body, reason, detail):
    error = fault(read, json.dumps(body).encode())
    assert (error.reason, error.detail) == (reason, detail)


@pytest.mark.parametrize("form", JSON_FORMS.values(), ids=JSON_FORMS)
@pytest.mark.parametrize("value", ['{"score": 7}', '{"a": [{"b": "}"}, 1], "c": "```"}', '["x", {"y": 2}]', "{}"])
def test_words_and_fences_round_json_are_left_out_where_json_is_asked_for(read, form, value):
    if "```" in value and "```" in form:
        return  # a fence in a fence
    if "[1]" in form and value.startswith("["):
        return  # two lists
    text = form.replace("{a}", value)
    asked = {"schema": {"type": ["object", "array"]}}
    assert read(body_of({"content": text}), **asked).json() == json.loads(value)
    assert read(body_of({"content": f"<think>{T}</think>{text}"}), **asked).json() == json.loads(value)
    assert read(body_of({"content": text})).text == text


@pytest.mark.parametrize(
    "text", ['{"a": 1} or {"a": 2}', '{"of": {"a": 1}, "x', '[{"a": 1} {"a": 1}]', "seven", "{name}", "", "[" * 5000]
)
def test_what_is_no_single_json_value_stays_as_it_is(text):
    assert find_json(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "<|channel|>analysis<|message|>a" * 50_000, "<|im_end|> " * 50_000, "</think>\n" * 50_000, "◁think▷" * 50_000,
        "<|end|>" + " " * 10**6 + "x", "<|start|>assistant" * 50_000, "<" * 10**6, "<answer>" * 50_000,
        '{"a":[' * 50_000, "``` " * 50_000, "```" + " " * 10**6, '["' + "a," * 500_000, '{"a":1}x' * 50_000,
    ],
)  # fmt: skip
def test_long_texts_are_read_in_little_time(text):
    with bounded():
        split_answer(text)
        find_json(text)


# No form changes any record.


class Grade(Deepen):
    """Asks with a schema, and writes the value."""

    async def evolve(self, record, ctx):
        schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
        reply = await ctx.ask("Grade: " + record.instruction, schema=schema)
        return record.evolved(instruction=f"{record.instruction} It has {reply.json()['score']} points.")


model = Model()


async def say(request: Request) -> str:
    """The plain answer of a teacher that depends on the request alone."""
    asked = request.messages[-1].content
    if request.schema:
        return '{"score": 7}'
    if "new tasks" in asked or "Is it classification?" in asked or re.search(r"\nTask: ", asked):
        return (await model(request)).text
    if "Equal" in asked:
        return "Equal" if "2 rivers" in asked else "Not equal"
    return f"Explain how rivers form, with {len(asked)} names." if "Given Prompt" in asked else "Rain."


def records(form: Callable[[str], bytes], words: str = "{a}") -> tuple[list[Record], list[Any]]:
    """What all that asks makes of the answers of one teacher, in a form."""
    reader = AnswerReader("m", {}.setdefault)

    async def ask(request: Request) -> Reply:
        text = await say(request)
        if request.schema:
            text = words.replace("{a}", text)
        return reader.read(form(text), 4096, request)

    async def work() -> tuple[list[Record], list[Any]]:
        kept, dropped = [], []
        questions = [Record(id=f"q{i}", instruction=f"Explain {i} rivers.", output="Rain.") for i in range(3)]
        judge = FilterStep("evolved", Evolved(equality="ask"))
        choices = [Choice("deepen", "deepen", Deepen()), Choice("grade", "grade", Grade())]
        stages = [
            lambda env: evolve_records(questions, evolution(choices, [judge], rounds=2, order="fixed"), env),
            lambda env: generate_records(SEEDS, "self-instruct", SelfInstruct(count=4), env),
            lambda env: filter_records(questions, [FilterStep("agreement", Agreement())], env),
        ]
        for stage in stages:
            env = StageContext(stage="s", seed=1, writer=Rows(), ask=ask)
            await stage(env)
            kept += env.writer.kept
            dropped += [(row.reason, row.record) for row in env.writer.dropped]
        return kept, dropped

    return asyncio.run(work())


@pytest.fixture(scope="module")
def plain() -> tuple[list[Record], list[Any]]:
    kept, dropped = records(lambda a: body_of({"content": a}))
    assert len(kept) > 10
    assert {reason for reason, _ in dropped} >= {"no-information-gain"}
    return kept, dropped


@EACH_FORM
def test_no_form_of_an_answer_changes_a_record(plain, form):
    assert records(form) == plain


@pytest.mark.parametrize("words", JSON_FORMS.values(), ids=JSON_FORMS)
def test_no_words_round_json_change_a_record(plain, words):
    assert records(FORMS["think"], words) == plain


def test_reasoning_is_kept_in_records_where_a_recipe_says_so():
    reader = AnswerReader("m", {}.setdefault)

    async def ask(request: Request) -> Reply:
        return reader.read(FORMS["harmony"](await say(request)), 4096, request)

    async def work(**settings: Any) -> list[Record]:
        env = StageContext(stage="s", seed=1, writer=Rows(), ask=ask)
        plan = evolution([Choice("deepen", "deepen", Deepen())], [], keep="last", **settings)
        await evolve_records([Record(id="q", instruction="Explain rivers.")], plan, env)
        return env.writer.kept

    (kept,), (dropped,) = asyncio.run(work(reasoning="keep")), asyncio.run(work())
    assert (kept.output, kept.reasoning) == ("Rain.", T)
    assert (dropped.output, dropped.reasoning) == ("Rain.", "")


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<>[]|◁▷`~{}\"'"), max_size=60)


@settings(deadline=None)
@given(WORDS, WORDS, st.sampled_from(sorted(BLOCKS)), st.sampled_from(["{a}", *sorted(LEAKS.values())]))
@example("", "x", "think", "{a}")
def test_any_thought_and_any_answer_are_parted(thought, answer, block, leak):
    answer = answer.strip() or "x"
    thought = thought.strip() or "Hm."
    if block.startswith(("granite", "harmony, marks")) or "closed alone after" in block:
        thought = "Hm."  # these have words as marks
    if answer.startswith("\ufeff"):
        return
    inside = leak.replace("{a}", BLOCKS[block].replace("{t}", thought).replace("{a}", answer))
    found = split_answer(inside)
    assert found.text.strip() == answer
    assert "{t}" not in BLOCKS[block] or thought in found.reasoning
