"""What the templates write, which of it is trained, and that data never turns into control tokens."""

import pytest
from answers_kit import note_template
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_kit import FORMAT_TOKENS, byte_level
from tokenizer_kit import SPECIAL as KIT_TOKENS
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from filial import Message, Record, Span, ToolCall, UsageError
from filial.commands import load_template
from filial.labels import Encoder
from filial_plugins.teachers.local_prompts import make_template_reader
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.chat import Chat, read_format
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.vicuna import SYSTEM, Vicuna

SPECIAL = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
CHATML = read_format("chatml")
TRIMMING = CHATML.replace("message.content +", "(message['content'] | trim) +")
BLANK_FIRST = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}"
    "{% else %}{{ '[Q] ' + m.content + ' [/Q]' }}{% endif %}{% endfor %}"
)


def tokenizer(chat_template: str | None = CHATML) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    corpus = ["USER: a ASSISTANT: b", "### Instruction:\nx\n\n### Response:\ny :) :x"] * 9
    backend.train_from_iterator(
        corpus, trainers.BpeTrainer(vocab_size=350, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|pad|>", bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    made.chat_template = chat_template
    return made


TOKENIZER = tokenizer()
ENCODER = Encoder(TOKENIZER)
TEMPLATES = {
    "alpaca": Alpaca(),
    "alpaca-lora": Alpaca(newline_after_response=True),
    "plain": Plain(),
    "vicuna": Vicuna(),
    "chat": Chat().bind(TOKENIZER),
    "chatml": Chat(format="chatml").bind(TOKENIZER),
    "chat, blank first": Chat().bind(tokenizer(BLANK_FIRST)),
}


def shown(spans: list[Span]) -> str:
    """Trained text in brackets, special tokens by name."""
    return "".join(f"[{s.text}]" if s.train else s.text for s in spans)


def conversation(*turns: tuple[str, str]) -> Record:
    return Record(messages=tuple(Message(role, content) for role, content in turns))


ADD = Record(instruction="Add.", input="1 2", output="3")
TALK = conversation(("user", "Hi"), ("assistant", "Ho"), ("user", "Bye"), ("assistant", "Ciao"))


def test_alpaca_with_and_without_input() -> None:
    assert shown(Alpaca().render(ADD)).endswith(
        "appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:[3][{eos}]"
    )
    bare = shown(Alpaca().render(Record(instruction="Say {hi}.", output="hi")))
    assert "paired with an input" not in bare
    assert bare.endswith("request.\n\n### Instruction:\nSay {hi}.\n\n### Response:[hi][{eos}]")
    lora = Alpaca(newline_after_response=True).render(ADD)
    assert shown(lora).endswith("### Response:\n[3][{eos}]")


def test_plain_is_alpaca_without_preamble() -> None:
    assert shown(Plain().render(ADD)) == ("{bos}### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n[3][{eos}]")


def test_vicuna_writes_no_blank_after_the_end_token_and_trains_the_one_before_the_answer() -> None:
    assert shown(Vicuna().render(TALK)) == (
        "{bos}" + SYSTEM + " USER: Hi ASSISTANT:[ Ho][{eos}]USER: Bye ASSISTANT:[ Ciao][{eos}]"
    )
    assert shown(Vicuna(system="Be brief.").render(ADD)) == "{bos}Be brief. USER: Add.\n\n1 2 ASSISTANT:[ 3][{eos}]"


def test_later_turns_and_system_texts() -> None:
    record = conversation(("system", "Be kind."), *((m.role, m.content) for m in TALK.messages))
    assert shown(Alpaca().render(record)) == (
        "{bos}Be kind.\n\n### Instruction:\nHi\n\n### Response:[Ho][{eos}]"
        "\n\n### Instruction:\nBye\n\n### Response:[Ciao][{eos}]"
    )
    assert shown(Plain().render(record)).startswith("{bos}Be kind.\n\n### Instruction:\nHi\n\n### Response:\n[Ho]")
    assert shown(Vicuna().render(record)).startswith("{bos}Be kind. USER: Hi ASSISTANT:[ Ho]")
    assert shown(TEMPLATES["chat"].render(record)).startswith(
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user"
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_record_without_answer_is_the_beginning_of_the_one_with_it(name: str) -> None:
    template = TEMPLATES[name]
    with_answer, without = template.render(ADD), template.render(ADD.replaced(output=""))
    assert not any(s.train for s in without)
    whole, prompt = ENCODER.encode(with_answer), ENCODER.encode(without)
    assert whole.text.startswith(prompt.text)
    assert whole.ids[: len(prompt.ids)] == prompt.ids
    assert whole.mask.index(True) == len(prompt.ids)
    open_end = conversation(*((m.role, m.content) for m in TALK.messages[:3]), ("assistant", ""))
    assert ENCODER.encode(template.render(open_end)).text.endswith(prompt.text[-1:])


INJECTIONS = ["<|im_end|>", "<|im_start|>assistant\n", "{eos}", "{{ x }}", " ASSISTANT: ", "</s>"]
data = st.lists(
    st.sampled_from(["yes", " ", "\n", ":)", "é", "🙂", *INJECTIONS])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    min_size=1, max_size=6,
).map("".join).filter(bool)  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=40, deadline=None)
@given(turns=st.lists(st.tuples(data, data), min_size=1, max_size=3), system=st.none() | data)
def test_exactly_the_answers_are_trained(name: str, turns: list[tuple[str, str]], system: str | None) -> None:
    messages = [("system", system)] if system and name != "chat, blank first" else []
    for asked, answer in turns:
        messages += [("user", asked), ("assistant", answer)]
    row = ENCODER.encode(TEMPLATES[name].render(conversation(*messages)))
    trained = [i for i, on in zip(row.ids, row.mask, strict=True) if on]
    blank = " " if name in ("vicuna", "chat, blank first") else ""
    assert TOKENIZER.decode(trained) == "".join(f"{blank}{answer}<|im_end|>" for _, answer in turns)
    ends = [i for i in row.ids if i == TOKENIZER.eos_token_id]
    others = len(messages) - len(turns) if name in ("chat", "chatml") else 0
    assert len(ends) == len(turns) + others
    assert TOKENIZER.decode(row.ids) == row.text


def test_chat_ids_are_those_of_apply_chat_template() -> None:
    for template in (CHATML, TRIMMING, BLANK_FIRST):
        made = tokenizer(template)
        messages = [{"role": m.role, "content": m.content} for m in TALK.messages]
        ids = Encoder(made).encode(Chat().bind(made).render(TALK)).ids
        assert ids == made.apply_chat_template(messages, tokenize=True, return_dict=False)


def test_a_template_that_strips_its_contents_is_followed() -> None:
    spans = Chat().bind(tokenizer(TRIMMING)).render(conversation(("user", "  a \n"), ("assistant", "\n b ")))
    assert shown(spans) == "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[b][<|im_end|>]\n"


@pytest.mark.parametrize(
    ("chat_template", "message"),
    [
        (None, "no chat template"),
        ("{% for m in messages %}{{ m.role + m.content }}{% endfor %}", "no special token after an answer"),
        ("{% for m in messages %}{{ m.content }}{{ m.content }}<|im_end|>{% endfor %}", "writes a turn twice"),
        ("{{ messages[0].content }}<|im_end|>", "leaves out the assistant turn"),
        ("{{ raise_exception('not today') }}", "refuses a conversation of user, assistant: not today"),
    ],
)
def test_chat_templates_that_cannot_be_trained_on_are_refused_at_once(chat_template: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Chat().bind(tokenizer(chat_template))


def test_a_template_that_rewrites_what_a_turn_says_is_noticed() -> None:
    shouting = CHATML.replace("message.content +", "(message['content'] | replace('quiet', 'LOUD')) +")
    template = Chat().bind(tokenizer(shouting))
    assert template.render(ADD)
    with pytest.raises(UsageError, match="changes the text of a turn"):
        template.render(conversation(("user", "be quiet"), ("assistant", "yes")))


def test_a_named_format_needs_its_tokens() -> None:
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), eos_token=AddedToken("</s>"))
    with pytest.raises(UsageError, match=r"<\|im_start\|> and <\|im_end\|>"):
        Chat(format="chatml").bind(made)


def test_binding_leaves_the_template_as_it_was() -> None:
    template = Chat()
    template.bind(TOKENIZER)
    with pytest.raises(UsageError, match="needs a tokenizer"):
        template.render(ADD)


@pytest.mark.parametrize("name", ["alpaca", "plain", "vicuna"])
def test_turns_out_of_order_are_named(name: str) -> None:
    with pytest.raises(UsageError, match="turn 2 of the conversation is 'user' where this template needs 'assistant'"):
        TEMPLATES[name].render(conversation(("user", "a"), ("user", "b")))
    with pytest.raises(UsageError, match="no user turn"):
        TEMPLATES[name].render(conversation(("system", "a")))


def test_what_stands_before_an_answer_beyond_the_prompt_is_the_models_to_write() -> None:
    """A thinking model's template puts an empty thought before an answer, and asks without it."""
    thinking = CHATML.replace(
        "message.role + '\\n' +", "message.role + '\\n' + ('<t></t>' if message.role == 'assistant' else '') +"
    )
    assert thinking != CHATML
    spans = Chat().bind(tokenizer(thinking)).render(TALK)
    assert "".join(f"[{s.text}]" if s.train else s.text for s in spans).startswith(
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n[<t></t>][Ho][<|im_end|>]\n"
    )


def test_a_template_that_asks_otherwise_than_it_goes_on_is_refused() -> None:
    asking = CHATML.replace("{{- '<|im_start|>assistant\\n' }}", "{{- '<|im_start|>assistant\\n<t>' }}")
    assert asking != CHATML
    with pytest.raises(UsageError, match="the prompt would differ from that in training"):
        Chat().bind(tokenizer(asking))


@pytest.mark.parametrize("name", ["alpaca", "plain", "vicuna"])
def test_turns_says_which_answers_are_trained(name: str) -> None:
    last = TEMPLATES[name].model_copy(update={"turns": "last"})
    every, some = TEMPLATES[name].render(TALK), last.render(TALK)
    assert [s.text for s in every] == [s.text for s in some]
    assert [s.text.strip() for s in every if s.train] == ["Ho", "{eos}", "Ciao", "{eos}"]
    assert [s.text.strip() for s in some if s.train] == ["Ciao", "{eos}"]
    # An answer that is still to come is none.
    asked = TALK.replaced(messages=(*TALK.messages, Message("user", "More?")))
    assert [s.text.strip() for s in last.render(asked) if s.train] == ["Ciao", "{eos}"]
    assert last.render(ADD) == TEMPLATES[name].render(ADD)


@pytest.mark.parametrize("spec", [
    {"use": "chat", "format": "llama-2", "turns": "last"},
    {"use": "chat", "format": "gemma", "system_in_question": True},
    {"use": "vicuna", "system": "Be brief.", "turns": "last"}, {"use": "alpaca", "newline_after_response": True},
])  # fmt: skip
def test_a_model_is_asked_with_the_template_it_was_saved_with(spec: dict, tmp_path) -> None:
    """`filial ask transformers` and `judge` read conversations with the template noted beside the weights."""
    made = byte_level(bos=True, special=(*KIT_TOKENS, *FORMAT_TOKENS))
    note_template(tmp_path, spec)
    template = load_template(tmp_path)
    assert template is not None
    assert {"use": spec["use"], **template.model_dump(exclude_defaults=True)} == spec
    told = (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Ho"), Message("user", "Bye"))
    whole = Encoder(made).encode(template.bind(made).render(Record(messages=(*told, Message("assistant", "Ciao")))))
    asked = make_template_reader(made, template)(told, "")
    assert asked == whole.ids[: whole.trained_ranges[-1][0]]
    assert asked == Encoder(made).encode(template.bind(made).render(Record(messages=told).without_answer())).ids


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_system_text_of_a_single_turn_record_stands_where_that_of_a_conversation_does(name: str) -> None:
    single = Record(instruction="Who?", output="I.", system="Be brief.")
    template = TEMPLATES[name]
    assert template.render(single) == template.render(Record(messages=single.turns()))
    assert "Be brief." in shown(template.render(single))


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_answer_that_is_not_to_be_trained_is_only_read(name: str) -> None:
    turns = (Message("user", "a"), Message("assistant", "ONE", train=False), Message("user", "b"))
    record = Record(messages=(*turns, Message("assistant", "TWO")))
    plain = Record(messages=tuple(Message(turn.role, turn.content) for turn in record.messages))
    spans, all_trained = (TEMPLATES[name].render(r) for r in (record, plain))
    assert "".join(span.text for span in spans) == "".join(span.text for span in all_trained)
    taught = "".join(span.text for span in spans if span.train)
    assert "ONE" not in taught
    assert "TWO" in taught


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_a_template_cannot_write_or_train_is_refused(name: str) -> None:
    call = Message("assistant", "", tool_calls=(ToolCall(name="f", arguments="{}"),))
    answer = Message("assistant", "b")
    for record, words in (
        (Record(instruction="a", output="b", tools=({"name": "f"},)), "does not write tools"),
        (Record(messages=(Message("user", "a"), call, Message("user", "c"), answer)), "does not write tools"),
        (Record(messages=(Message("user", "a", train=True), answer)), "turn 1 of the conversation, of user"),
    ):
        with pytest.raises(UsageError, match=words):
            TEMPLATES[name].render(record)
