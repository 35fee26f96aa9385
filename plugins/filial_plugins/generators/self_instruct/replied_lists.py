"""Reads the list of tasks in a reply, in whatever form a model writes it.

text ─▶ numbers? ─▶ JSON? ─▶ tags? ─▶ table? ─▶ bullets? ─▶ sentences on lines? ─▶ one task
                              marks of a list by which it could not be cut ─▶ None
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from filial_plugins.generators.self_instruct.blocks import Block
from filial_plugins.texts import collapse_whitespace, count_words

FEWEST = 3
"""Bullets or lines that are a list of tasks: at least so many, and half as many as tasks were asked for."""
SHORTEST = 3
"""Words of a bullet or a line that can be a task."""
_LABELS = (
    "tasks?|instructions?|prompts?|questions?|requests?|items?|exercises?|no\\.?|nr\\.?|n[°º]|aufgaben?|fragen?|anweisung"
    "|tâches?|consignes?|tareas?|preguntas?|instrucci(?:ón|ones)|tarefas?|perguntas?|compit[oi]|domand[ae]|задани[ея]"
    "|задач[аи]|вопросы?|指令|任务|任務|问题|問題|题目|題目|タスク|課題|指示|과제|작업|지시(?:문)?|질문|문제"
)
"""Words for a task, as they stand before a number or a colon."""
_NUMBER = re.compile(
    rf"""^[ \t]*+(?:>[ \t]*+)?+(?:[-*+•][ \t]++(?=[*_(\[\d]))?+(?:\#{{1,6}}[ \t]*+)?+[*_]{{0,3}}+
    (?:(?:{_LABELS})[ \t]*+|第[ \t]*+|Q(?=\d))?+[\#(\[（【]?+
    (\d{{1,6}})(?:
      [ \t]?+[*_]{{0,3}}+(?:[.)]|[\]:])[*_]{{0,3}}+(?=[ \t]|$)        # 9. Write, **9.** Write, (9) Write, Task 9: Write
    | [*_]{{0,3}}+\\?+[.)\]:][*_]{{0,3}}+(?![\d.,:)\]/])              # 9.Write, 9\. Write
    | [*_]{{0,3}}+[：、．。）】][*_]{{0,3}}+                          # 9、写
    | [个個条條项項题題道]?(?:任务|任務|指令|问题|問題|题目|題目)?[:：、．]   # 第9个任务：写
    | [ \t]++[-–—][ \t]                                               # 9 - Write
    | \ufe0f?\u20e3                                                   # a digit on a key
    )[ \t]*+""",
    re.MULTILINE | re.IGNORECASE | re.VERBOSE,
)
_BARE_NUMBER = re.compile(r"^[ \t]*+(\d{1,6})[ \t]++(?=\S)", re.MULTILINE)
_BULLET = re.compile(
    r"""^([ \t]*+)(?:>[ \t]*+)?+
    (?:[-*+•·●○◦▪■▶►‣⁃–—→✓✔☐・]\ufe0f?[ \t]++(?:\[[ xX]?\][ \t]++)?|[a-z][.)][ \t]++|[①-⑳][ \t]*+)(?=\S)""",
    re.MULTILINE | re.IGNORECASE | re.VERBOSE,
)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_FENCE = re.compile(r"^[ \t]*+(?:```|~~~)[^\n`]*+$", re.MULTILINE)
_TAG = re.compile(r"<(/?)(?:task|instruction|prompt|question|item|li)\b[^<>\n]{0,80}>", re.IGNORECASE)
_RULER = re.compile(r"[|:\- \t]+")
_LABEL = re.compile(rf"[*_]{{0,3}}+(?:{_LABELS})[*_]{{0,3}}+[:：][*_]{{0,3}}+\s*+(?=\S)", re.IGNORECASE)
_NAMES = re.compile(rf"{_LABELS}|text|title", re.IGNORECASE)
_BOLD = re.compile(r"(\*\*|__)([^*_\s](?:[^*_]*[^*_\s])?)\1")
_QUOTES = {
    '"': '"', "'": "'", "“": "”", "„": "“", "‘": "’", "«": "»", "「": "」", "『": "』", "*": "*", "_": "_", "`": "`",
}  # fmt: skip


def split_at_next(text: str, first: int, asked: int = 0) -> list[Block]:
    """Return the tasks of a reply that continues a list at number ``first``, each on one line.

    A number may have any separator, a label ("Task 9:"), markup and brackets. Only the next number of the list cuts
    (or the one after, if that is missing), so that a numbered list inside a task stays whole. A chat model may start
    again from 1 or repeat ``first``; what it says before its list is no task. The last task ends at a blank line. A
    list without numbers may be JSON, a table, in tags, or have bullets or nothing before its lines.

    Args:
        asked: how many tasks were asked for. Fewer than half as many bullets or lines are not taken for a list.

    Returns:
        The tasks; one that is not ``complete`` is a text that has marks of a list but could not be cut by them.
    """
    text, fewest = _unwrap(text), max(FEWEST, asked // 2)
    numbers = list(_NUMBER.finditer(text))
    if pieces := _split_at_numbers(text, numbers, first):
        whole = (len(rest := list(_NUMBER.finditer(piece))) < 2 or _are_steps(rest) for piece in pieces)
        return [replace(task, complete=ok) for task, ok in zip(_tidy(pieces), whole, strict=True)]
    for split in (_read_json, _split_at_tags, _split_table):
        if pieces := split(text):
            return _tidy(pieces)
    bullets = _split_at_bullets(text)
    for pieces in (_split_at_numbers(text, list(_BARE_NUMBER.finditer(text)), first), bullets, _split_sentences(text)):
        if len(pieces) >= fewest:
            return _tidy(pieces)
    marked = text.lstrip()[:1] in ("[", "{", "|", "<") or not _are_steps(numbers)
    head = text[: first_bullet.start()] if (first_bullet := _BULLET.search(text)) else ""
    # Short items, and those behind a task and "Options:", belong to the task.
    listed = len(bullets) > 1 and "\n" not in head.strip() and all(count_words(item) >= SHORTEST for item in bullets)
    if marked or listed or len(_lines_after_colon(text)) >= fewest:
        return [Block(text.strip(), complete=False)]
    return _tidy([_BLANK_LINE.split(text.strip(), maxsplit=1)[0]])


def _unwrap(text: str) -> str:
    """Return what stands between two code fences if the list is there and nowhere else."""
    fences = list(_FENCE.finditer(text))
    if len(fences) < 2 or _NUMBER.search(text[: fences[0].start()]):
        return text
    inside = text[fences[0].end() : fences[-1].start()]
    marked = inside.lstrip()[:1] in ("[", "{") or any(len(form.findall(inside)) > 1 for form in (_NUMBER, _BULLET))
    return inside.strip("\n") if marked or len(_split_sentences(inside)) >= FEWEST else text


def _split_at_numbers(text: str, numbers: list[re.Match[str]], first: int) -> list[str]:
    """Return the pieces of a text at the numbers that continue a list, or begin it anew; nothing if none does."""
    starts = _restarts(text, numbers, first)
    expected = int(numbers[0][1]) if starts else first + 1
    cuts = []
    for number in numbers:
        if expected <= int(number[1]) <= expected + 1:
            cuts.append(number)
            expected = int(number[1]) + 1
    others = numbers[1:]
    if starts and len(cuts) == 1 and not _are_steps(others):
        if any(int(number[1]) != int(numbers[0][1]) for number in others):
            return []
        cuts = numbers  # Markdown: 1. 1. 1.
    begins = [cut.end() for cut in cuts] if starts else [0, *(cut.end() for cut in cuts)]
    ends = [cut.start() for cut in (cuts[1:] if starts else cuts)] + [len(text)]
    pieces = [text[begin:end].strip() for begin, end in zip(begins, ends, strict=True)]
    pieces[-1] = _BLANK_LINE.split(pieces[-1], maxsplit=1)[0]
    return pieces if cuts else []


def _restarts(text: str, numbers: list[re.Match[str]], first: int) -> bool:
    """Return whether the first number opens the list, and is not inside a task that goes on from the prompt."""
    if not numbers or int(numbers[0][1]) not in (1, first):
        return False
    goes_on = any(int(number[1]) == first + 1 for number in numbers)
    return int(numbers[0][1]) == first or not text[: numbers[0].start()].strip() or not goes_on


def _are_steps(numbers: Iterable[re.Match[str]]) -> bool:
    """Return whether numbers count from 1, as the steps inside a task do; so does no number at all."""
    last = 0
    for number in (int(mark[1]) for mark in numbers):
        if number != last + 1 and (number != 1 or last < 2):
            return False
        last = number
    return True


def _read_json(text: str) -> list[str]:
    """Return the tasks in JSON at the start of a line: an array, an object that holds one, or an object per line."""
    start = re.search(r"^[ \t]*+(?=[\[{])", text, re.MULTILINE)
    found: list[str] = []
    place, decoder = start.end() if start else len(text), json.JSONDecoder()
    while place < len(text) and text[place] in "[{":
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return []
        found.extend(_find_tasks(value))
        place += len(text[place:]) - len(text[place:].lstrip(", \t\r\n"))
    return found


def _find_tasks(value: Any) -> Iterator[str]:
    """Yield the tasks in a JSON value: its texts, or those of the fields that hold tasks."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _find_tasks(item)
    elif isinstance(value, dict):
        named = [inner for name, inner in value.items() if isinstance(inner, str) and _NAMES.fullmatch(name)]
        if named:
            yield " ".join([named[0], *(str(value[name]) for name in ("input", "context") if value.get(name))])
        elif all(isinstance(inner, str) for inner in value.values()) and all(name.isdigit() for name in value):
            yield from value.values()
        elif len(lists := [inner for inner in value.values() if isinstance(inner, list)]) == 1:
            yield from _find_tasks(lists[0])


def _split_at_tags(text: str) -> list[str]:
    """Return what stands between tags such as ``<task>`` and ``</task>``, if all are closed."""
    tags = list(_TAG.finditer(text))
    if len(tags) < 4 or any(bool(tag[1]) != bool(place % 2) for place, tag in enumerate(tags)):
        return []
    return [text[begin.end() : end.start()] for begin, end in zip(tags[::2], tags[1::2], strict=True)]


def _split_table(text: str) -> list[str]:
    """Return the cells of the column of a Markdown table that holds the longest texts."""
    lines = [line.strip() for line in text.splitlines() if line.strip()[:1] == "|"]
    rulers = [place for place, line in enumerate(lines) if _RULER.fullmatch(line)]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[rulers[0] + 1 if rulers else 0 :]]
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return []
    return list(max(zip(*rows, strict=True), key=lambda column: sum(map(len, column))))


def _split_at_bullets(text: str) -> list[str]:
    """Return the items of a list with bullets, letters or circled numbers; what stands before it is no task."""
    marks = list(_BULLET.finditer(text))
    if not marks:
        return []
    outer = [mark for mark in marks if len(mark[1]) == len(marks[0][1])]
    ends = [mark.start() for mark in outer[1:]] + [len(text)]
    pieces = [text[mark.end() : end].strip() for mark, end in zip(outer, ends, strict=True)]
    return [*pieces[:-1], _BLANK_LINE.split(pieces[-1], maxsplit=1)[0]]


def _split_sentences(text: str) -> list[str]:
    """Return the lines of a text if each is a sentence: all end as one, or none does and none goes on."""
    blocks = [block.split("\n") for block in _BLANK_LINE.split(text.strip())]
    largest = max(blocks, key=len)
    single = len(largest) == 1
    lines = [line.strip() for line in ([line for block in blocks for line in block] if single else largest)]
    if any(
        not line or line[0].islower() or line[-1] in ":：,，;；、" or count_words(line) < SHORTEST for line in lines
    ):
        return []
    ended = [line[-1] in ".?!。？！…" for line in lines]
    return lines if all(ended) or not any(ended) else []


def _lines_after_colon(text: str) -> list[str]:
    """Return the lines of a text whose first line ends with a colon: a list, or the material of a task."""
    head, *lines = [line.strip() for line in text.strip().splitlines() if line.strip()] or [""]
    return lines if head.endswith((":", "：")) else []


def _tidy(pieces: Iterable[str]) -> list[Block]:
    """Return pieces as tasks on one line, without the markup, the label and the quotation marks around each."""
    tasks = [collapse_whitespace(piece) for piece in pieces]
    labels = [_LABEL.match(task) for task in tasks]
    if len(tasks) > 1 and all(labels):
        tasks = [task[label.end() :] for task, label in zip(tasks, labels, strict=True) if label]
    return [Block(_strip_markup(task)) for task in tasks]


def _strip_markup(task: str) -> str:
    for mark in ("**", "__"):  # the other half stood before the number
        if task.endswith(mark) and task.count(mark) == 1:
            task = task.removesuffix(mark).rstrip()
    if bold := _BOLD.match(task):
        task = bold[2] + task[bold.end() :]
    inside = task[1:-1]
    closing = _QUOTES.get(task[:1], "")
    if closing and len(task) > 2 and task[-1] == closing and closing not in inside and task[0] not in inside:
        return inside.strip()
    return task
