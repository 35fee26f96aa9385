"""The seed tasks that ship with filial: whole, varied, unlike each other, and of the form Self-Instruct asks for."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer

from filial import Record, resolve
from filial.formats import read
from filial.plugins import Manager
from filial.recipe import load
from filial_plugins.filters.novelty.index import RougeIndex
from filial_plugins.generators.self_instruct.styles import BLOCKED_BY_ALPACA
from filial_plugins.texts import count_words

SIZES = {"english": 175, "korean": 25, "chinese": 25}
# What a text model cannot see, draw or open, in the languages of the two other sets.
BLOCKED = {
    "english": BLOCKED_BY_ALPACA,
    "korean": ("이미지", "사진", "파일", "그래프", "지도", "동영상", "음악", "그려", "순서도"),
    "chinese": ("图片", "图像", "照片", "文件", "图表", "地图", "视频", "音乐", "绘制", "流程图"),
}
# Beginnings that are no verb: questions, conditions, roles.
NO_VERBS = {"a", "can", "do", "does", "given", "how", "if", "in", "is", "to", "what", "when", "which", "why", "you"}

each = pytest.mark.parametrize("language", SIZES)


def place(language: str) -> str:
    return f"pkg:filial_plugins/seeds/{language}.jsonl"


def tasks(language: str) -> list[Record]:
    return list(read(place(language), strict=True))


@each
def test_every_task_is_whole_and_has_one_instance(language: str) -> None:
    rows = [json.loads(line) for line in resolve(place(language)).read_text(encoding="utf-8").splitlines()]
    assert all(set(row) == {"id", "name", "instruction", "instances", "is_classification"} for row in rows)
    assert all(len(row["instances"]) == 1 for row in rows)
    records = tasks(language)
    assert len(records) == len(rows) == SIZES[language]
    for record in records:
        for text in (record.instruction, record.input, record.output):
            assert text == text.strip("\n")
        assert record.output.strip(), record.id
        assert record.input != record.output, record.id
        assert not record.input.endswith((":", "：")), record.id  # Self-Instruct takes such examples for cut off
        assert not record.output.endswith((":", "：")), record.id


def test_no_two_tasks_share_an_id_or_a_name() -> None:
    records = [record for language in SIZES for record in tasks(language)]
    assert len({record.id for record in records}) == len(records) == sum(SIZES.values())
    assert len({record.task for record in records}) == len(records)
    assert all(re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", record.task) for record in records)


def test_english_tasks_are_unlike_each_other() -> None:
    """`rouge_score` decides. Self-Instruct refuses above 0.7; the nearest two are far below."""
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    pairs = combinations([record.instruction for record in tasks("english")], 2)
    nearest = max(pairs, key=lambda pair: scorer.score(*pair)["rougeL"].fmeasure)
    assert scorer.score(*nearest)["rougeL"].fmeasure < 0.5, nearest


@each
def test_tasks_are_new_to_the_novelty_filter_one_after_the_other(language: str) -> None:
    pool = RougeIndex(0.7, "<")
    for record in tasks(language):
        assert pool.find_nearest(record.instruction) is None, record.instruction
        pool.add(record.instruction)


@each
def test_self_instruct_would_not_refuse_an_instruction(language: str) -> None:
    left, right = (r"(?<!\w)", r"(?!\w)") if language == "english" else ("", "")
    blocked = re.compile(f"{left}(?:{'|'.join(BLOCKED[language])}){right}", re.IGNORECASE)
    for record in tasks(language):
        assert not blocked.search(record.instruction), record.instruction
        assert not record.instruction.lower().startswith("write a program")
        assert record.instruction[0].isalnum(), record.instruction
        assert 4 <= count_words(record.instruction) <= 150, record.instruction


@pytest.mark.parametrize(
    ("language", "without_input", "classification"),
    [("english", (45, 60), (25, 30)), ("korean", (3, 13), (3, 7)), ("chinese", (3, 13), (3, 7))],
)
def test_shares_of_kinds(language: str, without_input: tuple[int, int], classification: tuple[int, int]) -> None:
    records = tasks(language)
    labelled = [record for record in records if "classification" in record.tags]
    assert without_input[0] <= sum(not record.input for record in records) <= without_input[1]
    assert classification[0] <= len(labelled) <= classification[1]
    assert all(len(record.output.split("\n")[0]) <= 30 for record in labelled)


def test_english_labels_are_named_or_plain_from_the_instruction() -> None:
    """A label stands in the instruction, but where it asks for the name of a language."""
    labelled = [record for record in tasks("english") if "classification" in record.tags]
    unnamed = {record.task for record in labelled if record.output.lower() not in record.instruction.lower()}
    assert unnamed == {"sentence_language", "language_of_snippet"}


def test_english_tasks_begin_in_many_ways() -> None:
    first = Counter(re.split(r"\W", record.instruction)[0].lower() for record in tasks("english"))
    assert len(set(first) - NO_VERBS) >= 140
    assert sum(first[word] for word in NO_VERBS) >= 15
    assert max(first.values()) <= 4


def in_script(name: str) -> Callable[[str], bool]:
    """Whether a text holds letters of a script (by their Unicode names)."""
    return lambda text: any(unicodedata.name(c, "").startswith(name) for c in text)


def is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


def is_python(text: str) -> bool:
    try:
        return any(isinstance(node, ast.FunctionDef | ast.For) for node in ast.walk(ast.parse(text)))
    except SyntaxError:
        return False


def is_table(text: str) -> bool:
    counts = [[line.count(mark) for line in text.splitlines()] for mark in ",;"]
    return any(len(count) >= 2 and count[0] >= 2 and len(set(count)) == 1 for count in counts)


def holds(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.search(pattern, text, re.MULTILINE) is not None


def in_words(*small: str) -> Callable[[str], bool]:
    """Whether a text holds all of these small words of a language."""
    return lambda text: set(small) <= set(re.findall(r"\w+", text.lower()))


LANGUAGES = {
    "German": in_words("kannst", "du", "bitte"),
    "French": in_words("je", "que", "les"),
    "Spanish": in_words("el", "y", "los"),
    "Portuguese": in_words("tem", "cães"),
    "Italian": in_words("farina", "di"),
    "Arabic": in_script("ARABIC"),
    "Hindi": in_script("DEVANAGARI"),
    "Russian": in_script("CYRILLIC"),
    "Greek": in_script("GREEK"),
    "Korean": in_script("HANGUL"),
    "Chinese": in_script("CJK"),
    "Japanese": in_script("HIRAGANA"),
}
FORMATS = {
    "JSON": (3, is_json),
    "CSV": (4, is_table),
    "Python": (3, is_python),
    "SQL": (2, holds("^(SELECT|CREATE TABLE) ")),
    "JavaScript": (1, holds(r"^function \w+\(")),
    "shell": (1, holds("^#!/bin/sh$")),
    "Rust": (1, holds("^fn ")),
    "XML or HTML": (2, holds("^ *</[a-z]+>$|<p [^>]+>")),
    "YAML": (1, holds(r"^\w+: [\w-]+\n\w+: \d+$")),
    "diff": (1, holds("^@@ ")),
    "log": (2, holds(r"^[\d:TZ-]+ \w+.*: | (INFO|ERROR) ")),
    "traceback": (1, holds("^Traceback")),
    "e-mail": (3, holds("^(Subject|From): ")),
    "chat": (1, holds(r"^\[\d\d:\d\d\] ")),
    "Markdown table": (1, holds(r"^\|---")),
    "formula": (4, holds("[²³√∧]| \\+ .* -> ")),
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_english_tasks_have_inputs_in_many_languages(name: str) -> None:
    assert any(LANGUAGES[name](record.input) for record in tasks("english"))


@pytest.mark.parametrize("name", FORMATS)
def test_english_tasks_have_inputs_of_many_formats(name: str) -> None:
    least, fits = FORMATS[name]
    assert sum(fits(record.input) for record in tasks("english")) >= least


@pytest.mark.parametrize(("language", "script"), [("korean", "HANGUL"), ("chinese", "CJK")])
def test_the_other_sets_are_in_their_language(language: str, script: str) -> None:
    for record in tasks(language):
        assert in_script(script)(record.instruction), record.id


def test_python_in_english_answers_is_python() -> None:
    blocks = [code for r in tasks("english") for code in re.findall(r"```python\n(.*?)```", r.output, re.DOTALL)]
    assert len(blocks) >= 6
    for code in blocks:
        ast.parse(code)


@each
def test_a_recipe_names_them_as_seeds(language: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "teacher: {use: openai, model: some-model}\n"
        f"stages:\n  - generate: {{use: self-instruct, count: 10, seeds: {place(language)}}}\n"
    )
    assert load(recipe, Manager(no_plugins=True)).stages[0].settings.seeds.file == place(language)
