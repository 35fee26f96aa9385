"""For any conversation, template and kind of tokenizer: trained are the answers and their end tokens, exactly."""

import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_kit import FORMAT_TOKENS, SPECIAL, WORDS, byte_level, sentencepiece, trained_runs, word_level
from transformers import PreTrainedTokenizerFast

from filial import Message, Record, Span, Template
from filial.labels import Encoded, Encoder
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.chat import Chat
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.question import Question
from filial_plugins.templates.vicuna import Vicuna

ALL = (*SPECIAL, *FORMAT_TOKENS)
TOKENIZERS = {
    "byte-level": byte_level(special=ALL),
    "byte-level across words": byte_level(use_regex=False, special=ALL),
    "byte-level with bos": byte_level(bos=True, special=ALL),
    "sentencepiece": sentencepiece(legacy=False, special=ALL),
    "sentencepiece legacy": sentencepiece(legacy=True, special=ALL),
    "word-level": word_level(special=ALL),
}
ENCODERS = {name: Encoder(tokenizer) for name, tokenizer in TOKENIZERS.items()}
HABIT = {"byte-level with bos", "sentencepiece", "sentencepiece legacy"}
OWN = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|assistant|> ' + m.content + '<|end|>' }}"
    "{% else %}{{ '[' + m.role + '] ' + m.content + '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Expected:
    """What a template trains for an answer: ``before``, the answer (stripped or not), ``end``.

    ``bos``: how BOS is written, None as the tokenizer is used to, else once, or once per exchange.
    """

    template: Template
    before: str = ""
    end: str = "</s>"
    strip: bool = False
    bos: str | None = None


EXPECTED = {
    "alpaca": Expected(Alpaca()),
    "alpaca-lora": Expected(Alpaca(newline_after_response=True)),
    "plain": Expected(Plain()),
    "vicuna": Expected(Vicuna(), before=" "),
    "question": Expected(Question(), before="\n\n"),
    "chatml": Expected(Chat(format="chatml"), end="<|im_end|>"),
    "gemma": Expected(Chat(format="gemma", system_in_question=True), end="<end_of_turn>", strip=True, bos="once"),
    "llama-2": Expected(Chat(format="llama-2"), before=" ", end=" </s>", strip=True, bos="each"),
    "llama-3": Expected(Chat(format="llama-3"), end="<|eot_id|>", strip=True, bos="once"),
    "mistral": Expected(Chat(format="mistral"), before=" ", strip=True, bos="once"),
    "mistral-v1": Expected(Chat(format="mistral-v1"), before=" ", bos="once"),
    "phi-3": Expected(Chat(format="phi-3"), end="<|end|>"),
    "qwen": Expected(Chat(format="qwen"), end="<|im_end|>"),
    "zephyr": Expected(Chat(format="zephyr")),
    "own": Expected(Chat(), before=" ", end="<|end|>", bos="once"),
}


def _bound(case: Expected, tokenizer: PreTrainedTokenizerFast, turns: str) -> Template:
    tokenizer.chat_template = OWN
    return case.template.model_copy(update={"turns": turns}).bind(tokenizer)


BOUND = {
    (name, kind, turns): _bound(case, tokenizer, turns)
    for name, case in EXPECTED.items()
    for kind, tokenizer in TOKENIZERS.items()
    for turns in ("all", "last")
}

ODD = [
    "yes", "no", " ", "\n", "\t", ":)", ":", "x", "b", "é", "e\u0301", "東京", "🙂", "{bos}", "{eos}", "{{ x }}",
    "ASSISTANT:", "### Response:", "[INST] ", "<|endoftext|>", *ALL,
]  # fmt: skip
free = st.lists(
    st.sampled_from(ODD) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=4),
    max_size=8,
).map("".join)
words = st.lists(st.sampled_from([*WORDS, "never", "<s>", "</s>", "<|end|>"]), min_size=1, max_size=5).map(" ".join)


@st.composite
def conversations(draw: st.DrawFn, kind: str) -> tuple[list[tuple[str, str]], list[Message]]:
    """Exchanges, and the turns of a conversation of them: with or without a system text, perhaps with a last question
    that nobody has answered."""
    text = words if kind == "word-level" else free
    pairs = draw(st.lists(st.tuples(text, text.filter(bool)), min_size=1, max_size=4))
    turns = [Message("system", draw(text))] if draw(st.booleans()) else []
    for asked, answer in pairs:
        turns += [Message("user", asked), Message("assistant", answer)]
    if draw(st.booleans()):
        turns.append(Message("user", draw(text)))
    return pairs, turns


def occurrences(spans: list[Span], kind: str) -> dict[str, int]:
    """How often each special token is written as control text."""
    control = "\0".join(s.text.replace("{eos}", "</s>") for s in spans if s.special)
    control = control.replace("{bos}", "<s>" if kind in HABIT else "")
    longest_first = "|".join(sorted(map(re.escape, ALL), key=len, reverse=True))
    found = re.findall(longest_first, control)
    return {token: found.count(token) for token in ALL}


def own_blank(row: Encoded, low: int, kind: str) -> str:
    """The blank which a tokenizer of SentencePiece's kind puts in front of a text by itself, the legacy kind also
    behind every special token. Where an answer stands there, it is trained with it."""
    first = row.offsets[low][0] == 0
    behind = low > 0 and row.ids[low - 1] in ENCODERS[kind].special_ids
    return " " if kind.startswith("sentencepiece") and (first or ("legacy" in kind and behind)) else ""


def check(name: str, kind: str, turns: str, pairs: list[tuple[str, str]], messages: list[Message]) -> None:
    case, tokenizer, encoder = EXPECTED[name], TOKENIZERS[kind], ENCODERS[kind]
    spans = BOUND[name, kind, turns].render(Record(messages=tuple(messages)))
    row = encoder.encode(spans)
    answers = [answer.strip() if case.strip else answer for _, answer in pairs][0 if turns == "all" else -1 :]
    wanted = [f"{case.before}{answer}{case.end}" for answer in answers]
    if kind == "word-level":
        trained = [tokenizer.convert_ids_to_tokens(row.ids[low:high]) for low, high in row.trained_ranges]
        known = [[*(w if w in WORDS else "<unk>" for w in answer.split()), case.end.strip()] for answer in answers]
        assert trained == known
    else:
        blanks = [own_blank(row, low, kind) for low, _ in row.trained_ranges]
        assert trained_runs(tokenizer, row) == [blank + text for blank, text in zip(blanks, wanted, strict=True)]
    # Special tokens are those of the control text, none of the data.
    held = {token: row.ids.count(tokenizer.convert_tokens_to_ids(token)) for token in ALL}
    written = occurrences(spans, kind)
    if kind == "word-level":
        del held["<unk>"], written["<unk>"]
    assert held == written
    exchanges = len(pairs) + (messages[-1].role == "user")
    begun = {None: int(kind in HABIT), "once": 1, "each": exchanges}[case.bos]
    assert held["<s>"] == begun


@pytest.mark.parametrize("kind", TOKENIZERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(EXPECTED)), turns=st.sampled_from(["all", "last"]))
def test_exactly_the_answers_and_their_end_tokens_are_trained(
    kind: str, data: st.DataObject, name: str, turns: str
) -> None:
    check(name, kind, turns, *data.draw(conversations(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
@settings(max_examples=400, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(TOKENIZERS)), turns=st.sampled_from(["all", "last"]))
def test_exactly_the_answers_and_their_end_tokens_are_trained_at_length(
    name: str, data: st.DataObject, kind: str, turns: str
) -> None:
    check(name, kind, turns, *data.draw(conversations(kind)))


@settings(max_examples=100, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(n for n in EXPECTED if isinstance(EXPECTED[n].template, Chat))))
def test_a_named_formats_spans_are_what_its_jinja_text_writes(name: str, data: st.DataObject) -> None:
    """The spans of named formats are not compared with the Jinja text when records are rendered, so here they are."""
    template = BOUND[name, "sentencepiece", "all"]
    assert isinstance(template, Chat)
    _, turns = data.draw(conversations("free"))
    record = Record(messages=tuple(turns))
    spans = template.render(record)
    if template.system_in_question and turns[0].role == "system":
        turns = [Message("user", f"{turns[0].content}\n\n{turns[1].content}"), *turns[2:]]
    assert template._renderer is not None
    written = template._renderer([(t.role, t.content) for t in turns], prompt=turns[-1].role == "user")
    assert "".join(s.text for s in spans).removeprefix("{bos}") == written
