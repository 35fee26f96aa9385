"""The named formats of `chat`: their texts to the character, what they need, what they refuse."""

import pytest
from tokenizer_kit import FORMAT_TOKENS, SPECIAL, byte_level

from filial import Message, Record, Span, UsageError
from filial.labels import Encoder
from filial_plugins.templates.chat import NEEDED_TOKENS, Chat, read_format

TOKENIZER = byte_level(bos=True, special=(*SPECIAL, *FORMAT_TOKENS))
SYSTEM, *TALK = [
    Message("system", "Be kind."), Message("user", " Hi\n"), Message("assistant", " Ho "), Message("user", "Bye"),
    Message("assistant", "Ciao"),
]  # fmt: skip

# Trained text in ⟦ ⟧. Contents are stripped where the format says so.
TEXTS = {
    "chatml": (
        "{bos}<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n Hi\n<|im_end|>\n<|im_start|>assistant\n"
        "⟦ Ho <|im_end|>⟧\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟦Ciao<|im_end|>⟧\n"
    ),
    "llama-2": (
        "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n Hi [/INST]⟦ Ho </s>⟧<s>[INST] Bye [/INST]⟦ Ciao </s>⟧"
    ),
    "llama-3": (
        "<s><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Ho<|eot_id|>⟧"
        "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n⟦Ciao<|eot_id|>⟧"
    ),
    "mistral": "<s>[INST]  Hi\n[/INST]⟦ Ho</s>⟧[INST] Be kind.\n\nBye[/INST]⟦ Ciao</s>⟧",
    "mistral-v1": "<s> [INST] Be kind.\n\n Hi\n [/INST]⟦  Ho </s>⟧ [INST] Bye [/INST]⟦ Ciao</s>⟧",
    "phi-3": (
        "{bos}<|system|>\nBe kind.<|end|>\n<|user|>\n Hi\n<|end|>\n<|assistant|>\n⟦ Ho <|end|>⟧\n"
        "<|user|>\nBye<|end|>\n<|assistant|>\n⟦Ciao<|end|>⟧\n</s>"
    ),
    "zephyr": (
        "{bos}<|system|>\nBe kind.</s>\n<|user|>\n Hi\n</s>\n<|assistant|>\n⟦ Ho </s>⟧\n"
        "<|user|>\nBye</s>\n<|assistant|>\n⟦Ciao</s>⟧\n"
    ),
}  # fmt: skip
TEXTS["qwen"] = TEXTS["chatml"]
WITHOUT_SYSTEM = {
    "gemma": (
        "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n⟦Ho<end_of_turn>⟧\n"
        "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n⟦Ciao<end_of_turn>⟧\n"
    ),
    "llama-2": "<s>[INST] Hi [/INST]⟦ Ho </s>⟧<s>[INST] Bye [/INST]⟦ Ciao </s>⟧",
    "mistral": "<s>[INST]  Hi\n[/INST]⟦ Ho</s>⟧[INST] Bye[/INST]⟦ Ciao</s>⟧",
    "qwen": TEXTS["qwen"].replace("Be kind.", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
}


def shown(spans: list[Span]) -> str:
    return "".join(f"⟦{s.text}⟧" if s.train else s.text for s in spans).replace("⟧⟦", "")


def bound(name: str, **options: object) -> Chat:
    return Chat(format=name, **options).bind(TOKENIZER)


@pytest.mark.parametrize("name", TEXTS)
def test_a_conversation_with_a_system_text(name: str) -> None:
    assert shown(bound(name).render(Record(messages=(SYSTEM, *TALK)))) == TEXTS[name]


@pytest.mark.parametrize("name", WITHOUT_SYSTEM)
def test_a_conversation_without_one(name: str) -> None:
    assert shown(bound(name).render(Record(messages=tuple(TALK)))) == WITHOUT_SYSTEM[name]


@pytest.mark.parametrize("name", NEEDED_TOKENS)
def test_line_ends_survive_jinja(name: str) -> None:
    """Pitfall 14: Jinja as transformers runs it swallows the line end behind a block. Each format's text is looked at
    for blanks that a block has left behind or eaten: outside of strings, none may come through."""
    spans = bound(name).render(Record(instruction="q", output="a"))
    control = "".join(s.text for s in spans if s.special)
    assert "    " not in control
    assert "\n\n\n" not in control
    assert "{#" not in control
    assert read_format(name).startswith("{#-"), "a format says where it is published"


@pytest.mark.parametrize("name", NEEDED_TOKENS)
def test_a_question_alone_is_the_beginning_of_the_answered_one(name: str) -> None:
    template, encoder = bound(name), Encoder(TOKENIZER)
    asked = encoder.encode(template.render(Record(instruction="q")))
    whole = encoder.encode(template.render(Record(instruction="q", output="a")))
    assert not asked.trained_ranges
    assert whole.ids[: len(asked.ids)] == asked.ids
    assert whole.trained_ranges[0][0] == len(asked.ids)


@pytest.mark.parametrize("name", NEEDED_TOKENS)
def test_the_last_answer_alone_can_be_trained(name: str) -> None:
    record = Record(messages=tuple(TALK))
    every, last = bound(name).render(record), bound(name, turns="last").render(record)
    assert [s.text for s in every] == [s.text for s in last]
    assert "Ciao" in "".join(s.text for s in last if s.train)
    assert "Ho" not in "".join(s.text for s in last if s.train)


def test_gemma_refuses_a_system_text_unless_it_may_go_into_the_question() -> None:
    record = Record(messages=(SYSTEM, *TALK))
    with pytest.raises(UsageError, match="no system turn; set system_in_question"):
        bound("gemma").render(record)
    spans = bound("gemma", system_in_question=True).render(record)
    assert shown(spans).startswith("<s><start_of_turn>user\nBe kind.\n\n Hi<end_of_turn>")
    assert not any(s.special for s in spans if "Be kind." in s.text)


@pytest.mark.parametrize("name", ["gemma", "llama-2", "mistral", "mistral-v1"])
def test_formats_that_alternate_refuse_what_does_not(name: str) -> None:
    two, first = (TALK[0], TALK[0]), (TALK[1], TALK[0])
    for turns in (two, first):
        with pytest.raises(UsageError, match="must take turns"):
            bound(name).render(Record(messages=turns))


@pytest.mark.parametrize("name", ["phi-3", "zephyr"])
def test_roles_that_a_format_does_not_know_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no turn of role tool"):
        bound(name).render(Record(messages=(TALK[0], TALK[1], Message("tool", "42"), TALK[1])))


@pytest.mark.parametrize(("name", "needed"), [(n, t) for n, tokens in NEEDED_TOKENS.items() for t in tokens])
def test_a_format_needs_its_tokens(name: str, needed: str) -> None:
    """Pitfall 2: a model whose end of an answer is no token of its vocabulary could never be told to stop."""
    lacking = byte_level(special=[t for t in (*SPECIAL, *FORMAT_TOKENS) if t != needed])
    if needed == "the end token":
        lacking.eos_token = None
    with pytest.raises(UsageError, match=f"format {name} needs the special tokens") as told:
        Chat(format=name).bind(lacking)
    assert needed.removeprefix("the ") in str(told.value)


def test_every_format_is_an_option_and_every_option_a_file() -> None:
    from importlib.resources import files

    there = {f.name.removesuffix(".jinja") for f in (files("filial_plugins.templates") / "formats").iterdir()}
    assert there == set(NEEDED_TOKENS) == set(Chat.model_fields["format"].annotation.__args__) - {"tokenizer"}
