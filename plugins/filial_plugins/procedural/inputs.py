"""Input data of tasks: drawing values, writing them as text in one of the shapes, and reading such text."""

from __future__ import annotations

import json
import random
import re

from .lexicon import CATEGORIES, CATEGORY_OF, LARGEST_NUMBER, NOUNS, PEOPLE, PLURALS, POSSESSIONS, TOPICS
from .operations import InputError, Value
from .task import Task, answer_value

SHORTEST, LONGEST = 3, 6
"""Lists hold this many items."""
LARGEST_COUNT = 19
_TABLE_HEAD = "| item | count |"
_WORD = re.compile(r"[A-Za-z]+|[0-9]{1,6}")


def format_table(rows: list[tuple[str, int]]) -> str:
    """Return a table with the columns item and count."""
    return "\n".join([_TABLE_HEAD, *(f"| {name} | {count} |" for name, count in rows)])


def write_value(value: Value, shape: str, rng: random.Random) -> str:
    """Return the text of a value in a shape.  ``rng`` fills the second column of tables made from lists."""
    if not isinstance(value, list):
        return str(value)
    if value and isinstance(value[0], tuple):
        return format_table(value)
    if shape == "json":
        return json.dumps(value)
    if shape == "bullets":
        return "\n".join(f"- {item}" for item in value)
    if shape == "table":
        return format_table([(str(item), rng.randint(1, LARGEST_COUNT)) for item in value])
    return " ".join(str(item) for item in value)


def _read_cells(text: str) -> list[tuple[str, str]]:
    lines = text.split("\n")
    if lines[0].strip() != _TABLE_HEAD:
        raise InputError("not a table")
    cells = [tuple(cell.strip() for cell in line.strip().strip("|").split("|")) for line in lines[1:]]
    if not cells or any(len(row) != 2 or not row[1].isdigit() for row in cells):
        raise InputError("not a table")
    return [(row[0], row[1]) for row in cells]


def _read_items(text: str) -> list[str]:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError("not a JSON list") from error
        return [str(item) for item in found]
    if text.startswith("|"):
        return [name for name, _ in _read_cells(text)]
    if text.startswith("- "):
        return [line.removeprefix("- ").strip() for line in text.split("\n")]
    return text.split()


def _read_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise InputError(f"{text} is not a number")
    return int(text)


def read_value(text: str, task: Task) -> Value:
    """Return the value that ``text`` holds for the task; raises `InputError` if it does not fit."""
    text, kind = text.strip(), task.input_type
    if kind == "T":
        return [(name, _read_number(count)) for name, count in _read_cells(text)]
    if kind == "P":
        return text
    if kind.islower():
        if not _WORD.fullmatch(text):
            raise InputError("not one word")
        return _read_number(text) if kind == "i" else text
    items = _read_items(text)
    if not items or not all(_WORD.fullmatch(item) for item in items):
        raise InputError("not a list of words")
    return [_read_number(item) for item in items] if kind == "I" else items


def compute_answer(task: Task, text: str) -> str:
    """Return the exact answer of the task for an input text; raises `InputError` if there is none."""
    return answer_value(task, read_value(task.inline or text, task))


def _find_wanted_family(task: Task) -> str:
    for step in task.steps:
        for key, value in step.parameters:
            if key == "c":
                return value
            if key == "an":
                return value.split()[1] + "s"
    return ""


def _draw_nouns(task: Task, wants: str, size: int, rng: random.Random) -> list[str]:
    family = _find_wanted_family(task)
    others = [word for word in TOPICS[task.topic].words if CATEGORY_OF[word] != family]
    if wants == "odd one":
        one, other = rng.sample(list(CATEGORIES), 2)
        values = [*rng.sample(CATEGORIES[one], min(size, 5) - 1), rng.choice(CATEGORIES[other])]
    elif wants == "family":
        chosen = rng.sample(CATEGORIES[family], rng.choice((1, 2, 2, 3)))
        values = [*chosen, *rng.sample(others, max(1, size - len(chosen)))]
    elif wants == "maybe family":
        chosen = rng.sample(CATEGORIES[family], rng.choice((0, 0, 1, 2)))
        values = [*chosen, *rng.sample(others, max(1, size - len(chosen)))]
    else:
        values = rng.sample(TOPICS[task.topic].words, size)
    rng.shuffle(values)
    return values


def _draw_list(task: Task, rng: random.Random) -> list[Value]:
    wants = next((step.operation.wants for step in task.steps if step.operation.wants), "")
    size = rng.randint(SHORTEST, LONGEST)
    if task.input_type == "I":
        if wants == "few":
            return [rng.randint(1, 15) for _ in range(rng.randint(2, 3))]
        return rng.sample(range(1, LARGEST_NUMBER + 1), size)
    if task.input_type == "N":
        values = _draw_nouns(task, wants, size, rng)
    else:
        values = rng.sample(TOPICS[task.topic].words, size)
    if wants == "repeats":
        values = [*values[:4], *rng.choices(values[:4], k=rng.randint(1, 2))]
        rng.shuffle(values)
    return values


def _draw_table(task: Task, rng: random.Random) -> list[tuple[str, int]]:
    names = rng.sample(sorted(PLURALS.values()), rng.randint(3, 4))
    asked = next((value for key, value in task.steps[0].parameters if key == "xs"), "")
    if asked and asked not in names:
        names[rng.randrange(len(names))] = asked
    return list(zip(names, rng.sample(range(1, LARGEST_COUNT + 1), len(names)), strict=True))


def _draw_problem(rng: random.Random) -> str:
    who, things, amount = rng.choice(PEOPLE), rng.choice(POSSESSIONS), rng.randint(2, 12)
    text = f"{who} has {amount} {things}."
    for _ in range(rng.choice((1, 1, 2))):
        verb = rng.choice(("buys", "finds", "gives away", "loses"))
        gains = verb in ("buys", "finds")
        change = rng.randint(1, 8) if gains else rng.randint(1, max(1, amount))
        amount += change if gains else -change
        text += f" {who} {verb} {change}" + (" more." if gains else ".")
    return f"{text} How many {things} does {who} have?"


def draw_value(task: Task, rng: random.Random) -> Value:
    """Return a value of the right type and topic; it may still turn out to have no answer."""
    kind = task.input_type
    if kind == "T":
        return _draw_table(task, rng)
    if kind == "P":
        return _draw_problem(rng)
    if kind.isupper():
        return _draw_list(task, rng)
    words = TOPICS[task.topic].words
    takes_plural = task.steps[0].name == "plural" and task.topic == "words"
    word = rng.choice([w for w in NOUNS if w in PLURALS] if takes_plural else words)
    return int(word) if kind == "i" else word


def draw_input(task: Task, rng: random.Random, tries: int = 40) -> str | None:
    """Return an input text for which the task has an answer, or None if none was found."""
    for _ in range(tries):
        value = draw_value(task, rng)
        try:
            answer_value(task, value)
        except InputError:  # the task has no answer for this value; draw another
            continue
        return write_value(value, task.shape, rng)
    return None
