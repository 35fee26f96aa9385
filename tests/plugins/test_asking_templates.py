"""A saved tokenizer asks as the model was trained: its chat template and the template it stands for agree token by
token."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizer_kit import FORMAT_TOKENS, SPECIAL, byte_level, sentencepiece
from training_kit import TAUGHT, make, write
from transformers import AutoTokenizer

from filial import BEGIN, END, Message, Record, Span, Template, TrainContext
from filial.labels import Encoder
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.chat import Chat
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.vicuna import Vicuna
from filial_plugins.trainers.results.saving import set_chat_template
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train

ALL = (*SPECIAL, *FORMAT_TOKENS)
KINDS = {
    "byte-level": lambda: byte_level(special=ALL),
    "byte-level with bos": lambda: byte_level(bos=True, special=ALL),
    "sentencepiece": lambda: sentencepiece(legacy=False, special=ALL),
    "sentencepiece legacy": lambda: sentencepiece(legacy=True, special=ALL),
}
OWN = "{{ bos_token }}{% for m in messages %}{{ m.role + m.content }}<|end|>{% endfor %}{{ 'assistant' }}"
TEMPLATES: dict[str, Template] = {
    "alpaca": Alpaca(),
    "alpaca-lora": Alpaca(newline_after_response=True),
    "plain": Plain(),
    "vicuna": Vicuna(),
    "vicuna with a system text": Vicuna(system="Say \"no\", {{ messages }} and 'yes' \\n 東 🙂\n{% raw %}"),
    "own": Chat(system_in_question=True),
    **{
        name: Chat(format=name, system_in_question=name in ("gemma", "mistral", "mistral-v1"))
        for name in ("chatml", "gemma", "llama-2", "llama-3", "mistral", "mistral-v1", "phi-3", "qwen", "zephyr")
    },
}
TEXTS = st.text(st.sampled_from("ab:\n {}%'\"\\é東🙂"), min_size=1, max_size=12).filter(str.strip)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Perhaps a system text, then exchanges, then a question."""
    system = [Message("system", draw(TEXTS))] if draw(st.booleans()) else []
    roles = ["user", "assistant"] * draw(st.integers(0, 2)) + ["user"]
    return [*system, *(Message(role, draw(TEXTS)) for role in roles)]


def asked(tokenizer: Any, turns: list[Message]) -> list[int]:
    """The tokens by which a program without filial asks."""
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)["input_ids"])


@pytest.fixture(scope="module", params=[(name, kind) for name in TEMPLATES for kind in KINDS], ids=" / ".join)
def pair(request: pytest.FixtureRequest) -> tuple[Template, Encoder, Any]:
    """A bound template, the encoder of its tokenizer as it was, and the tokenizer as it is saved."""
    name, kind = request.param
    before, saved = KINDS[kind](), KINDS[kind]()
    before.chat_template = saved.chat_template = OWN
    set_chat_template(saved, TEMPLATES[name].bind(saved), pytest.fail)
    return TEMPLATES[name].bind(before), Encoder(before), saved


@settings(max_examples=25, deadline=None)
@given(conversations())
def test_any_conversation_is_asked_as_it_was_trained(pair: tuple[Template, Encoder, Any], turns: list[Message]) -> None:
    """But for a conversation that begins with a blank, to which SentencePiece adds none; and but for tokens that reach
    into an earlier answer, which are cut where it is trained and whole where it is only read."""
    template, encoder, saved = pair
    assume(not turns[0].content[0].isspace())
    read = [Span(s.text, special=s.special) for s in template.render(Record(messages=tuple(turns)))]
    assert asked(saved, turns) == encoder.encode(read).ids


def test_a_trained_model_brings_the_chat_template_it_was_trained_with(tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "train.jsonl", TAUGHT)
    SFT(max_steps=1, threads=1).train(tmp_path / "data", str(base), Alpaca(), tmp_path / "m", TrainContext(0))
    saved = AutoTokenizer.from_pretrained(tmp_path / "m")
    expected = Encoder(saved).encode(Alpaca().render(Record(instruction="Say red."))).ids
    assert asked(saved, [Message("user", "Say red.")]) == expected


class Third(Template):
    """A template of somebody else's, which knows nothing of Jinja."""

    def render(self, record: Record) -> list[Span]:
        return [BEGIN, Span(f"Q: {record.instruction}\nA: "), Span(record.output, train=True), END]


def test_a_template_that_cannot_be_saved_as_one_says_so() -> None:
    tokenizer, notes = byte_level(special=ALL), []
    set_chat_template(tokenizer, Third(), notes.append)
    assert (tokenizer.chat_template, notes) == (None, []), "there is nothing to mistake it for"
    tokenizer.chat_template = OWN
    set_chat_template(tokenizer, Third(), notes.append)
    assert tokenizer.chat_template == OWN
    assert len(notes) == 1
    assert "writes other prompts than in training, since the template has none" in notes[0]


class Broken(Third):
    """Its Jinja is none."""

    def chat_template(self) -> str:
        return "{% for m in messages %}"


class Other(Third):
    """Its Jinja is of another format."""

    def chat_template(self) -> str:
        return "{{ messages[0].content }}"


def test_a_chat_template_that_asks_otherwise_is_not_saved() -> None:
    tokenizer, notes = byte_level(special=ALL), []
    set_chat_template(tokenizer, Other(), notes.append)
    assert tokenizer.chat_template is None
    assert "has one with other tokens" in notes[0]


def test_a_chat_template_that_fails_ends_no_training() -> None:
    tokenizer, notes = byte_level(special=ALL), []
    set_chat_template(tokenizer, Broken(), notes.append)
    assert tokenizer.chat_template is None
    assert "fails with TemplateSyntaxError" in notes[0]


def test_of_several_chat_templates_the_default_is_trained_and_all_are_kept() -> None:
    tokenizer = byte_level(special=ALL)
    both = {"default": OWN, "tool_use": "{{ messages[0].content }}<|end|>"}
    tokenizer.chat_template = dict(both)
    template = Chat().bind(tokenizer)
    assert "".join(s.text for s in template.render(Record(instruction="a"))) == "<s>usera<|end|>assistant"
    set_chat_template(tokenizer, template, pytest.fail)
    assert tokenizer.chat_template == both
