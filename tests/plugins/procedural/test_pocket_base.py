"""The shipped base model: it loads from its folder alone, and its tokenizer keeps the world's words whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filial_plugins.procedural import exam, lexicon

FOLDER = exam.FOLDER.parent / "pocket_base"
needs_transformers = "the base model needs torch and transformers (pip install 'filial[train]')"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    transformers = pytest.importorskip("transformers", reason=needs_transformers)
    return transformers.AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model() -> Any:
    torch = pytest.importorskip("torch", reason=needs_transformers)
    torch.set_num_threads(1)
    transformers = pytest.importorskip("transformers", reason=needs_transformers)
    return transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype="float32")


def test_the_folder_holds_what_it_should_and_is_small() -> None:
    names = {path.name for path in Path(FOLDER).iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "README.md"} <= names
    assert sum(path.stat().st_size for path in Path(FOLDER).iterdir()) < 2_000_000


def test_special_tokens(tokenizer: Any) -> None:
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.bos_token) == ("<|pad|>", "<|end|>", None)
    for token in ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"):
        assert len(tokenizer(token).input_ids) == 1
    assert tokenizer("apple").input_ids == tokenizer("apple", add_special_tokens=False).input_ids


def test_the_chat_template_renders_turns_exactly(tokenizer: Any) -> None:
    user = {"role": "user", "content": "Reverse the list.\n\nred blue"}
    assistant = {"role": "assistant", "content": "blue red"}
    asked = "<|user|>Reverse the list.\n\nred blue<|assistant|>"
    assert tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True) == asked
    assert tokenizer.apply_chat_template([user, assistant], tokenize=False) == asked + "blue red<|end|>"


@pytest.mark.parametrize("form", ["{}", "x {}", "- {}", '["{}", "{}"]', "| {} | x |", "\n\n{}", "({})"])
def test_items_are_single_pieces_wherever_they_stand(tokenizer: Any, form: str) -> None:
    items = [*(word for topic in lexicon.TOPICS.values() for word in topic.words), *lexicon.PLURALS.values()]
    items += [*lexicon.PAST_FORMS.values(), *lexicon.CAPITALS.values(), *(str(n) for n in range(1, 61))]
    for item in items:
        pieces = [tokenizer.decode([i]).strip() for i in tokenizer(form.replace("{}", item)).input_ids]
        assert pieces.count(item) == form.count("{}"), (item, pieces)


def test_a_blank_line_is_one_piece(tokenizer: Any) -> None:
    ids = tokenizer("Reverse the list.\n\nred").input_ids
    assert "\n\n" in [tokenizer.decode([i]) for i in ids]


@pytest.mark.parametrize("text", ["Wörter, 東京 and 🙂!", "  two  blanks\t\n\n\n", "unheard-of words", '{"a": [1]}'])
def test_any_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_words_of_the_exams_are_hardly_ever_broken(tokenizer: Any) -> None:
    words = pieces = 0
    for name in exam.NAMES:
        for line in (exam.FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            text = json.loads(line)["instruction"].replace(".", "").replace("?", "").replace(":", "").replace(",", "")
            words += len(text.split())
            pieces += len(tokenizer(text).input_ids)
    assert pieces <= 1.02 * words


@pytest.mark.train
def test_the_model_is_as_small_as_promised_and_finite(model: Any, tokenizer: Any) -> None:
    count = sum(parameter.numel() for parameter in model.parameters())
    assert 450_000 < count < 600_000
    assert model.config.model_type == "llama"
    assert len(tokenizer) == model.config.vocab_size
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.train
def test_it_has_read_the_pages(model: Any, tokenizer: Any) -> None:
    """It goes on with a page as the page would: that is what it has been trained for."""
    ids = tokenizer("horse plum saw\nbackwards: saw plum horse\nthe last: saw\nthe first:", return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=1, do_sample=False, pad_token_id=0)
    assert tokenizer.decode(out[0, -1:]) == " horse"


@pytest.mark.train
def test_it_cannot_do_a_single_task_when_asked(model: Any, tokenizer: Any) -> None:
    """Answers are right if every piece is the most likely one; so one look at each record is enough."""
    lines = (exam.FOLDER / "paraphrase.jsonl").read_text(encoding="utf-8").splitlines()[:40]
    for record in map(json.loads, lines):
        user = {"role": "user", "content": f"{record['instruction']}\n\n{record['input']}"}
        prompt = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
        answer = tokenizer(record["output"] + "<|end|>").input_ids
        ids = tokenizer(prompt + record["output"] + "<|end|>", return_tensors="pt").input_ids
        likely = model(input_ids=ids).logits[0].argmax(-1)[-len(answer) - 1 : -1]
        assert likely.tolist() != answer, record
