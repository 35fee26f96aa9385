"""Chat renderings and masks against those of transformers, TRL, axolotl, FastChat and LLaMA-Factory.

Every recorded rendering is compared, or counted under the reason why not. Formats that filial does not ship are written
here as chat templates of a tokenizer; the recorded texts say whether they are right, and `chat` must read them right.
"""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from tokenizer_kit import labels_of

from filial import Message, Record, Span, Template, UsageError
from filial.labels import Encoder
from filial_plugins.local.pretrained import load_tokenizer
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.chat import Chat
from filial_plugins.templates.vicuna import Vicuna

SHARED = Path(__file__).parents[2].parent / "shared"
CASES = SHARED / "reference" / "templates"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the originals' recorded cases are not here (templates/)")

NO_RECORDS = {
    "nobody speaks": "An empty conversation is no record.",
    "asks again": "A conversation that ends with an answer is whole; nobody is asked for another answer.",
    "asks for nothing": "A question alone is rendered to be answered, so with the beginning of the answer.",
}
DIFFERENCES = {
    "no end token": "The format ends an answer with no special token: such a model would never stop, so it is refused.",
    "stripped": "The model's own format strips contents, which FastChat and LLaMA-Factory do not: ours is the model's.",
    "system text": "FastChat drops the system text for Gemma, whose own template refuses it: refused here, too.",
    "closing tokens": "FastChat and LLaMA-Factory write other tokens behind a whole conversation: FastChat begins the "
    "next exchange of Llama 2, LLaMA-Factory leaves out the end of text of Phi-3.",
    "blanks": "LLaMA-Factory leaves out blanks that the published format has: round the answer (Llama 2, Vicuna), "
    "behind the system text (Vicuna), the line end behind a turn (Zephyr, with a system text of its own).",
}


def turns_of(*, user: str, answer: str, prompt: str, system: str = "", default: str = "") -> str:
    """A chat template in which each turn is written by itself; ``{}`` is its content."""
    parts = {"user": user, "assistant": answer, "system": system}
    written = {role: " + m.content + ".join(map(repr, text.split("{}"))) for role, text in parts.items() if text}
    body = "".join(f"{{% if m.role == {role!r} %}}{{{{ {text} }}}}{{% endif %}}" for role, text in written.items())
    first = f"{{% if messages[0].role != 'system' %}}{{{{ {default!r} }}}}{{% endif %}}" if default else ""
    asks = f"{{% if add_generation_prompt %}}{{{{ {prompt!r} }}}}{{% endif %}}"
    return f"{first}{{% for m in messages %}}{body}{{% endfor %}}{asks}"


PREAMBLE = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
)
OWN = {
    "alpaca_axolotl": "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}{{ '### Instruction:\\n' + m.content }}"
    "{% elif m.role == 'assistant' %}{{ '### Response:\\n' + m.content + eos_token }}"
    "{% else %}{{ m.content }}{% endif %}"
    "{% if not loop.last %}{{ '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\n### Response:\\n' }}{% endif %}",
    "phi_3_axolotl": "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}{{ '<|user|>\\n' + m.content + '<|end|>\\n<|assistant|>\\n' }}"
    "{% else %}{{ m.content + '<|end|>\\n' }}{% endif %}{% endfor %}",
    "qwen3_training": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if m.role == 'assistant' %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{{ m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "dolly_v2": turns_of(
        system="{}", default=PREAMBLE, user="### Instruction:\n{}\n\n", answer="### Response:\n{}### End\n\n",
        prompt="### Response:\n",
    ),
    "openchat_3.5": turns_of(
        system="{}<|end_of_turn|>", user="GPT4 Correct User: {}<|end_of_turn|>",
        answer="GPT4 Correct Assistant: {}<|end_of_turn|>", prompt="GPT4 Correct Assistant:",
    ),
    "starchat": turns_of(
        system="<system>\n{}<|end|>\n", default="<system>\n<|end|>\n", user="<|user|>\n{}<|end|>\n",
        answer="<|assistant|>\n{}<|end|>\n", prompt="<|assistant|>\n",
    ),
    "oasst_pythia": turns_of(
        user="<|prompter|>{}<|endoftext|>", answer="<|assistant|>{}<|endoftext|>", prompt="<|assistant|>"
    ),
    "fastchat mistral": "{% for m in messages %}{% if m.role == 'system' %}{{ '[INST] ' + m.content + '\\n' }}"
    "{% elif m.role == 'user' %}{{ ('' if messages[0].role == 'system' and loop.index0 == 1 else '[INST] ') "
    "+ m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + '</s>' }}{% endif %}{% endfor %}",
    "fastchat alpaca": turns_of(
        system="{}\n\n", default=PREAMBLE, user="### Instruction: {}\n\n", answer="### Response: {}</s>",
        prompt="### Response:",
    ),
    "default": turns_of(
        system="System: {}</s>\n", user="Human: {}</s>\nAssistant:", answer="{}</s>\n", prompt=""
    ),
}  # fmt: skip
NO_END = {"one_shot", "chatglm3", "tulu"}
OWN["one_shot"] = turns_of(system="{}", user="\n### Human: {}", answer="\n### Assistant: {}", prompt="\n### Assistant:")
OWN["chatglm3"] = turns_of(user="<|user|>\n{}", answer="<|assistant|>\n{}", prompt="<|assistant|>")
OWN["tulu"] = turns_of(user="<|user|>\n{}\n", answer="<|assistant|>\n{}\n", prompt="<|assistant|>\n")
NAMED = {
    "chatml": "chatml", "qwen2_5": "qwen", "qwen2_5_training": "qwen", "qwen": "qwen", "llama3": "llama-3",
    "llama3_axolotl": "llama-3", "llama3_training": "llama-3", "llama-3": "llama-3", "gemma": "gemma",
    "gemma_training": "gemma", "mistral_v1": "mistral-v1", "mistral_v2v3": "mistral", "mistral": "mistral",
    "phi3": "phi-3", "phi3_training": "phi-3", "phi": "phi-3", "llama-2": "llama-2", "llama2": "llama-2",
    "zephyr": "zephyr", "qwen-7b-chat": "chatml", "mpt-7b-chat": "chatml",
}  # fmt: skip
TOKENS = [
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>",
    "<end_of_turn>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "[INST]", "[/INST]", "### End",
    "<|end_of_turn|>", "<|endoftext|>",
]  # fmt: skip


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").split("\n") if line]


@cache
def bound(name: str, bos: str | None, eos: str = "</s>") -> tuple[Template, Encoder]:
    tokenizer = load_tokenizer(CASES.parent / "tokenizer" / "llama4k_nonleg")
    tokenizer.add_special_tokens(
        {
            "bos_token": bos or "<s>",
            "eos_token": eos,
            "additional_special_tokens": [t for t in TOKENS if t not in (bos, eos)],
        }
    )
    if name in ("vicuna", "vicuna_v1.1"):
        return Vicuna(), Encoder(tokenizer)
    if name == "alpaca":
        return Alpaca(newline_after_response=True), Encoder(tokenizer)
    tokenizer.chat_template = OWN.get(name)
    return Chat(format="tokenizer" if name in OWN else NAMED[name]).bind(tokenizer), Encoder(tokenizer)


def record_of(messages: list[dict]) -> Record:
    return Record(messages=tuple(Message(m["role"], m["content"]) for m in messages))


def text(spans: list[Span]) -> str:
    return "".join(span.text for span in spans).removeprefix("{bos}").replace("{eos}", "</s>")


def why_no_record(case: dict) -> str | None:
    if not case["messages"]:
        return "nobody speaks"
    answered = case["messages"][-1]["role"] == "assistant"
    if case["add_generation_prompt"] == answered:
        return "asks again" if answered else "asks for nothing"
    return None


def test_every_rendering_of_trl_and_axolotl_with_its_ids() -> None:
    found: Counter[str] = Counter()
    for case in lines("jinja_renderings.jsonl"):
        if reason := why_no_record(case):
            found[reason] += 1
            continue
        template, encoder = bound(case["template"], case["bos_token"], case["eos_token"])
        record = record_of(case["messages"])
        if "error" in case:
            found["refused by both"] += 1
            with pytest.raises(UsageError, match="refuses"):
                template.render(record)
            continue
        spans = template.render(record)
        assert text(spans) == case["rendered"], case["template"]
        row = encoder.encode(spans)
        ids = encoder.tokenizer(case["rendered"], add_special_tokens=False)["input_ids"]
        if case["conversation"] == "unicode_special":  # its data holds control tokens, which become such there
            found["equal, but for control tokens in data"] += 1
            assert row.ids != ids
        else:
            found["equal"] += 1
            begun = [encoder.bos] if spans[0].text == "{bos}" and encoder.bos is not None else []
            assert row.ids == begun + ids
    assert found.total() == 90
    assert found.keys() - NO_RECORDS.keys() == {"equal", "refused by both", "equal, but for control tokens in data"}
    assert found["equal"] >= 25


def test_every_rendering_of_fastchat() -> None:
    found: Counter[str] = Counter()
    cases = lines("fastchat_renderings.jsonl")
    for case in cases:
        name = case["template"]
        if reason := why_no_record(case):
            found[reason] += 1
        elif name in NO_END:
            found["no end token"] += 1
            with pytest.raises(UsageError, match="would never stop"):
                bound(name, None)
        else:
            found[compared_with_fastchat(name, case)] += 1
    assert found.total() == len(cases) == 112
    assert found.keys() - NO_RECORDS.keys() - DIFFERENCES.keys() == {"equal"}
    assert found["equal"] >= 30


def compared_with_fastchat(name: str, case: dict) -> str:
    """How ours compares with one rendering: "equal", or the name of the difference, the rest being equal."""
    eos = {"gemma": "<eos>", "oasst_pythia": "<|endoftext|>"}.get(name, "</s>")
    template, _ = bound(
        f"fastchat {name}" if name in ("mistral", "alpaca") else name,
        {"gemma": "<bos>", "llama-3": "<|begin_of_text|>"}.get(name), eos,
    )  # fmt: skip
    messages = case["messages"]
    if messages[0]["role"] != "system" and name in ("zephyr", "qwen-7b-chat", "mpt-7b-chat"):
        # FastChat has a system text of its own there (an empty one for Zephyr); given it, the texts are the same.
        opening = case["rendered"].split("\n", 1)[1]
        said = opening.split("</s>" if name == "zephyr" else "<|im_end|>")[0]
        messages = [{"role": "system", "content": said}, *messages]
    ours, theirs = text(template.render(record_of(messages))), case["rendered"]
    if ours == theirs:
        return "equal"
    if name == "llama-2":
        closed = "<s>" if messages[-1]["role"] == "assistant" else ""
        if theirs == ours.removeprefix("<s>") + closed:
            return "closing tokens"
    assert case["conversation"] == "whitespace"
    assert name in ("gemma", "llama-2")
    assert "".join(ours.split()).removeprefix("<s>") == "".join(theirs.split())
    return "stripped"


def test_every_prompt_of_fastchat() -> None:
    found: Counter[str] = Counter()
    for case in lines("../vicuna/fastchat_prompts.jsonl"):
        name = case["template"]
        if name == "vicuna_v1.1":
            continue  # in test_vicuna_reference
        said = [m for m in case["messages"] if m[1] is not None]
        messages = [{"role": role, "content": content} for role, content in said]
        if case["system"] is not None:
            messages.insert(0, {"role": "system", "content": case["system"]})
        if name in NO_END:
            found["no end token"] += 1
        elif name == "gemma" and case["system"] is not None:
            found["system text"] += 1
            with pytest.raises(UsageError, match="no system turn"):
                bound(name, "<bos>", "<eos>")[0].render(record_of(messages))
        else:
            whole = {"messages": messages, "rendered": case["prompt"], "conversation": ""}
            found[compared_with_fastchat(name, whole)] += 1
    assert found == {"equal": 17, "closing tokens": 4, "no end token": 2, "system text": 1}


BLANKS = {"vicuna", "llama2", "zephyr"}


def test_every_turn_of_llama_factory() -> None:
    found: Counter[str] = Counter()
    cases = lines("llamafactory_turns.jsonl")
    for case in cases:
        name = case["template"]
        template, _ = bound(name, "<s>", "<|endoftext|>" if name == "phi" else "</s>")
        open_end = case["messages"][-1]["role"] == "user"
        messages = case["messages"]
        if name == "zephyr" and messages[0]["role"] == "user":
            messages = [{"role": "system", "content": "You are Zephyr, a helpful assistant."}, *messages]
        theirs = "".join(case["turn_strings"][:-1] if open_end else case["turn_strings"])
        ours = text(template.render(record_of(messages)))
        if ours == theirs:
            found["equal"] += 1
        elif name in BLANKS:
            found["blanks"] += 1
            assert "".join(ours.split()) == "".join(theirs.split())
        elif case["conversation"] == "whitespace":
            found["stripped"] += 1
            assert name in ("gemma", "mistral")
            assert "".join(ours.split()) == "".join(theirs.split())
        else:
            found["closing tokens"] += 1
            assert (name, theirs) in {("phi", ours.removesuffix("<|endoftext|>")), ("alpaca", f"{ours}\n\n")}
    assert found.total() == len(cases) == 33
    assert found.keys() - DIFFERENCES.keys() == {"equal"}
    assert found["equal"] >= 15


# What TRL's training templates train beside the answer and its end token, as (before, after).
BESIDE = {
    "llama3_training": ("", ""), "gemma_training": ("", "\n"), "phi3_training": ("", "\n"),
    "qwen3_training": ("", "\n"), "qwen2_5_training": ("\n", "\n"),
}  # fmt: skip


def test_trained_text_is_trls_without_the_line_ends_round_it() -> None:
    """TRL trains the line end behind an end token, where generation has stopped, for Qwen2.5 also the one in front of
    the answer, which the prompt holds, and for Phi-3 the end of text behind the last answer."""
    found: Counter[str] = Counter()
    for case in lines("assistant_masks.jsonl"):
        name = case["template"]
        if not case["messages"]:
            found["nobody speaks"] += 1
            continue
        bos = {"llama3_training": "<|begin_of_text|>", "gemma_training": "<bos>"}.get(name)
        template, _ = bound(name, bos, "<|endoftext|>" if name == "phi3_training" else "</s>")
        if "error" in case:
            found["refused by both"] += 1
            with pytest.raises(UsageError, match="refuses"):
                template.render(record_of(case["messages"]))
            continue
        spans = template.render(record_of(case["messages"]))
        assert text(spans).startswith(case["rendered"].removesuffix("<|endoftext|>"))
        before, after = BESIDE[name]
        theirs = [t.removeprefix(before).removesuffix(after) for t in case["assistant_text"] if t != "<|endoftext|>"]
        assert runs_of(spans) == theirs
        found["equal"] += 1
    assert found.total() == 23
    assert found["equal"] == 18


def runs_of(spans: list[Span]) -> list[str]:
    """The text of each stretch of trained spans."""
    out, before = [], False
    for span in spans:
        if span.train:
            out += [""] * (not before)
            out[-1] += span.text
        before = span.train
    return out


def test_ids_and_masks_are_trls_without_the_line_ends_round_answers() -> None:
    """With a tokenizer that has none of the formats' tokens, so that they are pieces of text, as there."""
    plain = Encoder(load_tokenizer(CASES.parent / "tokenizer" / "llama4k_nonleg"))
    line_end = plain.tokenizer.convert_tokens_to_ids("\n")
    cases = lines("assistant_mask_ids.jsonl")
    for case in cases:
        template, _ = bound(case["template"], "<s>")
        spans = [s for s in template.render(record_of(case["messages"])) if s.text != "{bos}"]
        row = plain.encode(spans)
        if case["conversation"] == "unicode_special":  # a "</s>" in its data becomes the end token there
            theirs = [i for i, on in zip(case["input_ids"], case["assistant_masks"], strict=True) if on]
            assert [line_end, *(i for i in labels_of(row) if i >= 0), line_end] == theirs
            continue
        size = len(case["input_ids"])  # a last question is followed by the beginning of its answer here, not there
        assert row.ids[:size] == case["input_ids"]
        ours, theirs = row.mask[:size], list(map(bool, case["assistant_masks"]))
        differ = [i for i in range(size) if ours[i] != theirs[i]]
        assert {row.ids[i] for i in differ} <= {line_end}
        assert not any(ours[i] for i in differ)
        assert len(differ) == (2 * len(row.trained_ranges) if case["template"] == "qwen2_5_training" else 0)
    assert len(cases) == 5
