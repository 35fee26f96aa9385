"""How the `openai` teacher reads an answer that came with status 200: whether it is whole, and what is text in it."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from filial import Message, Request, TeacherError
from filial_plugins.teachers.answer_text import split_answer
from filial_plugins.teachers.openai_answers import AnswerReader
from filial_plugins.teachers.openai_usage import read_usage

WHOLE = ("stop", "STOP", "eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE")
CUT = (
    "length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "model_length", "model_context_window_exceeded",
    "Max-Tokens",
)  # fmt: skip
WITHHELD = (
    "content_filter", "content_filtered", "SAFETY", "RECITATION", "PROHIBITED_CONTENT", "refusal", "sensitive",
    "guardrail_intervened",
)  # fmt: skip
FAILED = (
    "error", "abort", "network_error", "insufficient_system_resource", "cancelled", "timeout", "tool_calls", "tool_use",
    "function_call", "MALFORMED_FUNCTION_CALL", "OTHER", "repetition", "load",
)  # fmt: skip


@pytest.fixture
def read(answers):
    """``read(text, finish, …)``: what one reader makes of one answer after another; ``read.warned`` is what it told."""

    def one(text="The river", finish="stop", *, limit=100, stop=(), usage=None, prompt="Which?", **message):
        body = answers.completion(text, finish=finish, **message)
        body["usage"] = body["usage"] if usage is None else usage
        if finish is ...:
            del body["choices"][0]["finish_reason"]
        asked = Request(messages=(Message(role="user", content=prompt),), stop=stop)
        return reader.read(json.dumps(body).encode(), limit, asked)

    one.warned = {}
    reader = AnswerReader("m", one.warned.setdefault)
    return one


def refused(read, *args, **options):
    with pytest.raises(TeacherError) as caught:
        read(*args, **options)
    return caught.value


@pytest.mark.parametrize("word", WHOLE)
def test_an_answer_that_its_endpoint_calls_whole_is_kept_with_its_word(read, word):
    reply = read(finish=word)
    assert (reply.text, reply.finish_reason) == ("The river", word)
    assert not read.warned


@pytest.mark.parametrize(
    ("words", "reason", "retry"),
    [(CUT, "length", False), (WITHHELD, "content-filter", False), (FAILED, "interrupted", True)],
)
def test_an_answer_that_is_not_whole_is_a_fault_that_is_charged_and_names_the_word(read, words, reason, retry):
    for word in words:
        error = refused(read, finish=word)
        assert (error.reason, error.retry, error.answer, error.billed) == (reason, retry, "The river", (7, 3)), word
        assert word in error.detail or word in ("length", "content_filter")
    assert not read.warned


def test_a_word_nobody_knows_is_never_taken_for_whole(read):
    for word in ("schluss", "eot!", "schluss"):
        error = refused(read, finish=word)
        assert (error.reason, error.retry, error.answer) == ("unknown-finish", True, "The river")
        assert repr(word) in error.detail


@pytest.mark.parametrize("none", [None, "", ...])
def test_an_answer_without_a_word_is_believed_whatever_came_before_it(read, none):
    finishes = [none, "stop", none, "length", none]
    kept = [refused(read, finish=f).reason if f == "length" else read(finish=f).finish_reason for f in finishes]
    assert kept == ["", "stop", "", "length", ""]


def test_an_answer_without_a_word_that_reached_its_limit_was_cut(read):
    assert read(finish=None, limit=4).text
    assert refused(read, finish=None, limit=3).reason == "length"


def test_a_broken_answer_is_asked_for_again_and_not_stored(endpoint, answers, tmp_path):
    from filial.gateway import Gateway, Ledger
    from filial_plugins.teachers.openai import OpenAI

    said = [("The ri", "abort"), ("The riv", "zzz"), ("The river", "stop")]
    served = endpoint([answers.Answer(answers.completion(text, finish=finish)) for text, finish in said])

    async def work():
        async with served.serving():
            teacher, ledger = OpenAI(model="m", base_url=served.url), Ledger(tmp_path / "l.sqlite")
            gateway = Gateway("openai", teacher, ledger, note=notes.append)
            try:
                asked = Request(messages=(Message(role="user", content="Which?"),))
                return (await gateway.ask(asked)).text, len(gateway.ledger), gateway.spent
            finally:
                await gateway.close()

    notes = []
    text, stored, spent = asyncio.run(asyncio.wait_for(work(), 300))
    assert (text, stored, spent.requests, spent.completion_tokens) == ("The river", 1, 3, 9)
    assert ["'zzz'" in note for note in notes] == [True]


COUNT = st.one_of(st.integers(0, 400), st.sampled_from([None, -5, 2**64 - 1, "7", True, 12.0, 1e300]))
USAGE = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
        "prompt_tokens_details": st.one_of(st.none(), st.fixed_dictionaries({"cached_tokens": COUNT})),
        "completion_tokens_details": st.one_of(st.none(), st.fixed_dictionaries({"reasoning_tokens": COUNT})),
    },
)


@given(USAGE)
def test_no_usage_object_counts_less_than_any_part_of_it(usage):
    def told(value):
        value = float(value) if isinstance(value, str) else value
        return int(value) if type(value) in (int, float) and 0 <= value <= 10**7 else 0

    prompt, completion, total = (told(usage.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    cached = told((usage.get("prompt_tokens_details") or {}).get("cached_tokens"))
    reasoning = told((usage.get("completion_tokens_details") or {}).get("reasoning_tokens"))
    found = read_usage({"usage": usage})
    assert found.prompt >= prompt
    assert found.completion >= completion
    assert found.prompt + found.completion >= total
    assert (found.cached, found.reasoning) == (cached, reasoning)
    assert found.prompt == 0 or found.prompt >= cached
    assert found.completion == 0 or found.completion >= reasoning
    if total == prompt + completion and min(prompt, completion) > 0 and cached <= prompt and reasoning <= completion:
        assert found[:4] == (prompt, completion, cached, reasoning)


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ((150, 60, 410, 0, 200), (150, 260, 0, 200)),  # xAI
        ((150, 60, None, 0, 200), (150, 260, 0, 200)),
        ((50, 60, 110, 9000, 0), (9050, 60, 9000, 0)),  # a gateway to Anthropic
        ((50, 60, 9110, 9000, 0), (9050, 60, 9000, 0)),
        ((50, 60, 310, 9000, 200), (9050, 260, 9000, 200)),
        ((150, 0, 410, 0, 0), (150, 260, 0, 0)),
        ((None, 60, 410, 0, 0), (350, 60, 0, 0)),
        ((150, 60, 20, 0, 0), (150, 60, 0, 0)),
    ],
)
def test_other_ways_to_count_are_counted_in_full_and_told_once(read, usage, counted):
    prompt, completion, total, cached, reasoning = usage
    body = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    body["prompt_tokens_details"] = {"cached_tokens": cached}
    body["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    for _ in range(2):
        reply = read(usage=body, limit=1000)
        got = (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens, reply.reasoning_tokens)
        assert got == counted
    plain = counted[0] == prompt and counted[1] == completion
    assert list(read.warned) == ([] if plain or prompt is None else ["usage"])
    assert refused(read, finish="error", usage=body).billed == counted[:2]


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 0, "completion_tokens": 0}, {"total_tokens": None}, "free"])
def test_a_fault_whose_counts_say_nothing_may_have_been_charged(read, usage):
    assert refused(read, finish="length", usage=usage).billed is None


TEXT = "Explain how rivers form. Use 3 < 4 in it.\n\n1. A list\n"
THOUGHT = "They want it harder.\n1. DRAFT\nInput: maybe"
WRAPPINGS = {
    "block": "<think>{t}</think>{a}",
    "as DeepSeek writes it": "<think>\n{t}\n</think>\n\n{a}",
    "after blanks": "\n\n<think>\n{t}\n</think>\n\n{a}",
    "other name": "<thinking>{t}</thinking>\n{a}",
    "other case": "<THINK>{t}</Think>\n{a}",
    "as Magistral writes it": "[THINK]{t}[/THINK]{a}",
    "closing tag alone": "{t}\n</think>\n\n{a}",
    "closing tag alone, of the other kind": "{t}[/THINK]\n{a}",
    "closing tag alone, at the end of a line": "{t}</think> \r\n\r\n{a}",
    "closing tag alone, after code in the thoughts": "```python\nx\n```\n{t}\n</think>\n\n{a}",
    "closing tag alone, after code that is never closed": "```python\n{t}\n</think>\n\n{a}",
    "closed twice": "<think>\n{t}\n</think>\n\n</think>\n\n{a}",
    "closing tag alone, twice": "{t}\n</think>\n</think>\n\n{a}",
    "two blocks": "<think>{t}</think>\n<think>{t}</think>\n{a}",
    "an empty block first": "<think>\n\n</think>\n\n<think>{t}</think>{a}",
    "names its own tag": "<think>{t}\n\nThe tag `<think>` opens.</think>{a}",
}


@pytest.mark.parametrize("wrapping", WRAPPINGS.values(), ids=WRAPPINGS)
def test_thoughts_round_an_answer_change_nothing_of_it_and_are_kept_apart(read, wrapping):
    plain = read(TEXT)
    reply = read(wrapping.format(t=THOUGHT, a=TEXT))
    assert reply.text == plain.text == TEXT
    assert THOUGHT in reply.reasoning
    assert plain.reasoning == ""
    assert list(read.warned) == ["thoughts"]


@given(st.text(), st.text(), st.sampled_from(list(WRAPPINGS.values())))
def test_no_wrapping_changes_any_answer(thought, answer, wrapping):
    assume(not any(mark in (thought + answer).lower() for mark in ("<think", "</think", "[think]", "[/think]")))
    assume("```" not in thought + answer and "~~~" not in thought + answer)
    assume(not thought.endswith(("`", "'", '"')) and not answer.startswith(("`", "'", '"')))
    found = split_answer(wrapping.format(t=thought, a=answer))
    assert found.text == answer.lstrip()
    assert (found.removed, found.remaining) == (True, False)
    assert thought.strip() in found.reasoning
    assert split_answer(answer) == (answer, "", False, False, "")


@pytest.mark.parametrize("empty", ["<think>\n\n</think>\n\n", "</think>\n\n", "<think></think>"])
def test_an_empty_thought_leaves_no_trace(read, empty):
    reply = read(empty + TEXT)
    assert (reply.text, reply.reasoning) == (TEXT, "")


@pytest.mark.parametrize(
    "text",
    [
        "The model writes <think> first, then </think>, then its answer.",
        "End thoughts with `</think>`, then answer.",
        "The model closes its thoughts with </think> and then answers.",
        "Look:\n```\nI think.\n</think>\nYes.\n```\nThat is all.",
        "~~~~\n~~~\n</think>\n~~~\n~~~~\nThat is all.",
        '{"tag": "</think>", "text": "thoughts end with </think>\\nand then comes the answer"}',
        '{\n  "ends": "so </think> it is"\n}',
        'Cut at "</think>" and take the rest.',
        "```\n<think>hm</think>\n```",
        "An answer.\n<think>And a thought after it.</think>\nMore.",
    ],
)
def test_an_answer_that_is_about_such_tags_stays_as_it_is_and_is_told_of(read, text):
    assert (read(text).text, read(text).reasoning) == (text, "")
    assert list(read.warned) == ["tags of thoughts"]


@pytest.mark.parametrize(
    "text", ["<think>\nThey want", "[THINK]They want", "<think>They want</think>\n\n", " <think>They want"]
)
def test_thoughts_without_an_answer_are_no_answer(read, text):
    error = refused(read, text)
    assert (error.reason, error.retry, error.answer, error.billed) == ("only-reasoning", False, "They want", (7, 3))
    assert refused(read, text, finish="length").reason == "length"
    assert refused(read, text, finish="length").answer == "", "thoughts are never part of an answer that is welcome"


def test_nothing_between_the_tags_and_nothing_after_them_is_asked_for_again(read):
    for text in ("<think>\n\n</think>\n\n", "<think>"):
        error = refused(read, text)
        assert (error.reason, error.retry) == ("empty-answer", True)


def test_a_stop_text_in_the_thoughts_stops_nothing(read):
    assert read("<think>Input: maybe</think>One. Input: two", stop=("Input:",)).text == "One. "


def test_thoughts_in_a_field_of_their_own_are_kept_too(read):
    for field in ("reasoning_content", "reasoning"):
        reply = read(TEXT, **{field: THOUGHT})
        assert (reply.text, reply.reasoning) == (TEXT, THOUGHT)
    assert not read.warned
    assert read(f"<think>{THOUGHT}</think>{TEXT}", reasoning=THOUGHT).reasoning == THOUGHT


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}, {"type": "text", "text": TEXT}],
        [
            {"type": "thinking", "thinking": THOUGHT},
            {"type": "text", "text": TEXT[:9]},
            {"type": "text", "text": TEXT[9:]},
        ],
        [{"type": "reasoning", "text": THOUGHT}, {"type": "output_text", "text": TEXT}],
        [f"<think>{THOUGHT}</think>", TEXT],
    ],
)
def test_a_content_of_parts_is_its_text_parts(read, content):
    reply = read(content)
    assert (reply.text, reply.reasoning) == (TEXT, THOUGHT)


@pytest.mark.parametrize("content", [[{"type": "image_url"}], [{"type": "text", "text": 5}], [5], 5, {"a": 1}])
def test_a_content_that_is_no_text_is_charged_as_told(read, content):
    error = refused(read, content)
    assert (error.reason, error.retry, error.billed) == ("malformed-answer", True, (7, 3))


def test_very_many_thoughts_are_parted_too():
    assert split_answer("```\n</think>\n" * 200_000 + "```").text.startswith("```")
    blocks = "<think></think>" * 200_000
    assert split_answer(blocks + "x") == ("x", "", True, False, "")
