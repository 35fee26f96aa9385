"""Which answers are whole, by the word that their teacher ends them with; the same for every teacher."""

import asyncio

import pytest
from gateway_kit import Moody, ask

from filial import Context, Reply, TeacherError
from filial.gateway import Gateway, Ledger, fault_of_end

CUT, WITHHELD = ("length", "max_tokens", "MAX_TOKENS", "Max-Tokens"), ("content_filter", "SAFETY", "refusal")
FAILED, UNKNOWN = ("error", "abort", "tool_calls"), ("schluss", "-")
NOT_WHOLE = {"length": CUT, "content-filter": WITHHELD, "interrupted": FAILED, "unknown-finish": UNKNOWN}


@pytest.fixture
def gateway(tmp_path):
    """``gateway(*replies)``: one to a teacher that gives these in turn; ``notes`` are what it told."""
    made = []

    def make(*replies, **options):
        notes = []
        teacher = Moody.saying(lambda request, n: replies[min(n, len(replies)) - 1], max_retries=0, **options)
        made.append(Gateway("moody", teacher, Ledger(tmp_path / "l.sqlite"), note=notes.append))
        made[-1].notes = notes
        return made[-1]

    yield make
    for g in made:
        g.ledger.close()


def reply(finish, completion=2):
    return Reply(text="The ri", finish_reason=finish, prompt_tokens=3, completion_tokens=completion)


@pytest.mark.parametrize(("reason", "word"), [(reason, word) for reason, words in NOT_WHOLE.items() for word in words])
def test_an_answer_that_is_not_whole_is_no_answer_of_any_teacher(gateway, reason, word):
    g = gateway(reply("stop"), reply(word))
    kept, lost = ask(g, "q1")[0], ask(g, "q2")[0]
    assert kept.text == "The ri"
    assert isinstance(lost, TeacherError)
    assert (lost.reason, lost.answer, lost.billed) == (reason, "The ri", (3, 2))
    assert (len(g.ledger), g.spent.tokens) == (1, 10)


@pytest.mark.parametrize("word", ["stop", "STOP", "end_turn", "eos"])
def test_a_whole_answer_is_kept_with_its_word(gateway, word):
    g = gateway(reply(word))
    assert (ask(g, "q")[0].finish_reason, g.notes) == (word, [])


def test_a_word_nobody_knows_is_told_once(gateway):
    g = gateway(*map(reply, ("schluss", "ende", "schluss")))
    for n in range(3):
        ask(g, f"q{n}")
    assert ["'schluss'" in note for note in g.notes] == [True]


def test_answers_without_a_word_are_kept_whatever_the_order_and_told_once(gateway):
    g = gateway(*map(reply, ("", "stop", "")))
    assert [ask(g, f"q{n}")[0].finish_reason for n in range(3)] == ["", "stop", ""]
    assert ["without a finish_reason" in note for note in g.notes] == [True]


def test_an_answer_without_a_word_that_has_all_its_tokens_was_cut(gateway):
    g = gateway(reply("", 4096))
    assert ask(g, "q")[0].reason == "length"
    assert fault_of_end("", "", None, full=False) is None


def test_a_welcome_part_is_called_cut_in_one_word(gateway):
    g = gateway(reply("MAX_TOKENS"))
    part = asyncio.run(Context(g.ask).ask("go on", partial=True))
    assert (part.text, part.finish_reason) == ("The ri", "length")


# What endpoints document or were seen to send; a word of several is at its first.
SPOKEN = {
    # OpenAI, and the Responses API behind gateways (platform.openai.com/docs/api-reference/chat/object)
    "openai": ("stop completed", "length max_output_tokens incomplete", "content_filter", "tool_calls function_call"),
    # Anthropic behind gateways (docs.claude.com: stop reasons)
    "anthropic": (
        "end_turn stop_sequence",
        "max_tokens model_context_window_exceeded",
        "refusal",
        "tool_use pause_turn",
    ),
    # Gemini and Vertex: FinishReason (genkit-ai/genkit#6259, simstudioai/sim#6302)
    "gemini": (
        "STOP FINISH_REASON_STOP FinishReason.STOP",
        "MAX_TOKENS FINISH_REASON_MAX_TOKENS FinishReason.MAX_TOKENS",
        "SAFETY RECITATION LANGUAGE BLOCKLIST PROHIBITED_CONTENT SPII IMAGE_SAFETY MODEL_ARMOR",
        "OTHER FINISH_REASON_UNSPECIFIED MALFORMED_FUNCTION_CALL UNEXPECTED_TOOL_CALL MALFORMED_RESPONSE "
        "MISSING_THOUGHT_SIGNATURE NO_IMAGE",
    ),
    # Bedrock Converse and Titan
    "bedrock": (
        "FINISH",
        "LENGTH",
        "guardrail_intervened content_filtered CONTENT_FILTERED",
        "malformed_model_output malformed_tool_use",
    ),
    # Cohere (docs.cohere.com: finish_reason)
    "cohere": (
        "COMPLETE STOP_SEQUENCE",
        "MAX_TOKENS ERROR_LIMIT",
        "ERROR_TOXIC",
        "ERROR TOOL_CALL USER_CANCEL TIMEOUT",
    ),
    "deepseek": ("stop", "length", "content_filter", "insufficient_system_resource"),
    "mistral": ("stop", "model_length", "", "error"),
    # Zhipu (earendil-works/pi#1509)
    "zhipu": ("stop", "length", "sensitive", "network_error abort"),
    # OpenRouter (razzant/claudexor#144)
    "openrouter": ("stop", "length", "content_filter", "error"),
    # Together (vespa-engine/vespa#33327), TGI and LiteLLM before it (spring-projects/spring-ai#4900)
    "together, tgi": ("eos eos_token stop_sequence", "length", "", "error"),
    "vllm, sglang": ("stop", "length", "", "abort error repetition preempt"),
    "ollama": ("stop", "length", "", "load unload"),
    # llama.cpp's own endpoint and LM Studio
    "llama.cpp, lm studio": (
        "eos eosFound stopStringFound",
        "limit maxPredictedTokensReached contextLengthReached",
        "",
        "userStopped modelUnloaded",
    ),
    "xai": ("REASON_STOP", "REASON_MAX_LEN REASON_MAX_CONTEXT", "", "REASON_TIME_LIMIT"),
    "watsonx": ("eos_token stop_sequence", "max_tokens token_limit", "", "time_limit cancelled not_finished"),
    "aleph alpha, ai21": ("end_of_text stop_sequence_reached endoftext", "maximum_tokens", "", ""),
    "baidu, minimax, dashscope": ("normal stop", "length", "data_inspection_failed input_sensitive", ""),
    "vercel's names": ("stop", "length", "content-filter", "tool-calls error other unknown"),
    "camel case": ("endTurn stopSequence", "maxTokens", "contentFilter", "toolUse"),
}


@pytest.mark.parametrize("source", SPOKEN)
def test_the_words_of_every_endpoint_are_known(source):
    reasons = (None, "length", "content-filter", "interrupted")
    for words, reason in zip(SPOKEN[source], reasons, strict=True):
        for word in words.split():
            error = fault_of_end(word, "The ri", (3, 2), full=False)
            assert (error and error.reason) == reason, word
