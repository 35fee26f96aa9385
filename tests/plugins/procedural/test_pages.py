"""The pages on which the base model is pretrained: facts, and nothing that tells anyone to do anything."""

from __future__ import annotations

import hashlib
import random
import re

from filial_plugins.procedural import exam, frames
from filial_plugins.procedural.constraints import read_sentence
from filial_plugins.procedural.grammar import make_regex
from filial_plugins.procedural.operations import operations
from filial_plugins.procedural.pages import write_page
from filial_plugins.procedural.parser import parse


def pages(count: int) -> list[str]:
    rng = random.Random(21)
    return [write_page(rng) for _ in range(count)]


def test_pages_hold_no_question_and_no_turn_of_a_chat() -> None:
    text = "\n".join(pages(1000))
    assert "?" not in text
    assert "<|" not in text
    assert not re.search(r"\b(please|can you|could you|task|instruction|question)\b", text, re.IGNORECASE)


def test_no_line_of_a_page_is_an_instruction() -> None:
    for text in pages(250):
        for line in text.split("\n"):
            for piece in (line, *re.split(r": | -> ", line)):
                assert parse(piece) is None, piece
                assert parse(piece + ".") is None, piece
                assert read_sentence(piece) is None, piece
                assert not any(book.matches(piece) for book in frames.SHAPE_SENTENCES.values())


def test_pages_hold_none_of_the_wordings_of_tasks() -> None:
    """Judged with anything that sounds like an object in the place of what varies."""
    text = "\n".join(pages(150)).lower()
    objects = r"(?:(?:the|this|these|all the|my) \w+|it|what \w+ \w+)"
    for operation in operations().values():
        for asked in (False, True):
            for wording in operation.wordings(asked):
                source = make_regex(wording.lower(), lambda name: objects if name == "o" else r"\w+(?: \w+)?")
                assert not re.search(rf"\b{source}\b", text), wording


def test_every_operation_and_every_answer_form_is_on_some_page() -> None:
    text = "\n".join(pages(1500))
    for operation in operations().values():
        if operation.takes != "P":
            notes = [make_regex(note, lambda _: r"[\w ]+") for note in operation.note_wordings]
            assert any(re.search(note, text) for note in notes), operation.name


def test_the_same_seed_makes_the_same_pages() -> None:
    assert pages(20) == pages(20)


def test_the_base_model_was_made_from_these_pages() -> None:
    """Whoever changes the pages must make the base model again: its card tells the digest of its text."""
    rng = random.Random(2)
    digest = hashlib.sha256("\0".join(write_page(rng) for _ in range(500)).encode()).hexdigest()[:16]
    assert digest in (exam.FOLDER.parent / "pocket_base" / "README.md").read_text(encoding="utf-8")
