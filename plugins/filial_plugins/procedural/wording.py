"""Task to English.

Every choice is drawn from the declarations that the parser is built from, and `render` returns a text only if the
parser reads the same task back.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from . import frames, objects
from .constraints import write_sentence
from .grammar import capitalize_first, fill
from .parser import read_instruction
from .task import Task

Allowed = Callable[[str, str], bool]
"""Whether a wording of an operation (name, wording) may be used."""

_TRIES = 60


class WordingError(RuntimeError):
    """No text was found that states the task; it lies outside the language."""


@dataclass(frozen=True)
class Style:
    """How often the optional parts of an instruction appear (probabilities), and which wordings may be used.

    ``explicit`` puts several steps as such ("First ...", "Step one ..."); ``fit`` accepts or refuses whole texts.
    """

    lead_in: float = 0.18
    opener: float = 0.5
    anchor: float = 0.1
    closer: float = 0.18
    thanks: float = 0.06
    question: float = 0.4
    explicit: bool = False
    allowed: Allowed | None = None
    fit: Callable[[str], bool] | None = None


PLAIN = Style(0.0, 0.0, 0.0, 0.0, 0.0)
"""Bare clauses: no lead-in, no opener, no closing phrase."""


def _pick_wording(task: Task, index: int, asked: bool, style: Style, rng: random.Random) -> str:
    step = task.steps[index]
    wordings = step.operation.wordings(asked)
    if style.allowed:
        wordings = tuple(text for text in wordings if style.allowed(step.name, text))
    if not wordings:
        raise WordingError(f"no wording of {step.name} may be used")
    return rng.choice(wordings)


def _write_clause(task: Task, index: int, asked: bool, style: Style, rng: random.Random) -> str:
    kind = task.types[index]
    if index == 0 and kind not in "TP":
        phrases = objects.list_objects(task.topic) if kind.isupper() else objects.value_objects(task.topic)
    else:
        phrases = objects.LATER_LISTS if kind.isupper() else objects.LATER_VALUES
    unit = rng.choice(objects.units(task.topic)) if task.topic else "item"
    values = {"o": rng.choice(phrases), "u": unit, "us": objects.pluralize_unit(unit)}
    values |= dict(task.steps[index].parameters)
    return fill(_pick_wording(task, index, asked, style, rng), values)


def _draw_opener(style: Style, anchored: bool, rng: random.Random) -> str:
    anchor = frames.ANCHORS.sample(rng) + ", " if anchored and rng.random() < style.anchor else ""
    opener = frames.ORDER_OPENERS.sample(rng) + " " if rng.random() < style.opener else ""
    return anchor + opener


def _list_frames(count: int, asked: bool, style: Style) -> tuple[str, ...]:
    table = (frames.QUESTION_FRAMES if asked else frames.ORDER_FRAMES)[count]
    explicit = tuple(text for text in table if "irst" in text or "tep" in text)  # "First"/"first", "Step"/"steps"
    return explicit if style.explicit and explicit else table


def _write_main(task: Task, asked: bool, style: Style, rng: random.Random) -> str:
    """Return the sentence or sentences that state the steps."""
    count = len(task.steps)
    clauses = [_write_clause(task, i, asked and i == count - 1, style, rng) for i in range(count)]
    frame = rng.choice(_list_frames(count, asked, style))
    opener = _draw_opener(style, task.shape == "plain" and not task.inline, rng)
    closer = " " + frames.CLOSERS.sample(rng) if rng.random() < style.closer else ""
    ask = frames.QUESTION_OPENERS.sample(rng) + " " if rng.random() < style.opener else ""
    values = {"open": opener, "close": closer, "ask": ask}
    text = fill(frame, values | {str(i): clause for i, clause in enumerate(clauses, 1)})
    # An anchor ("given the input below, ", "from the data below, ") may stand before the opener: skip it to see
    # whether the opener itself makes a question ("can you", "would you").
    polite = opener.rsplit(", ", 1)[-1] if opener.startswith(tuple("gufl")) else opener
    if "{open}" in frame and polite.split(" ")[0] in frames.POLITE_QUESTIONS:
        text = text.replace(".", "?", 1)
    return capitalize_first(text)


def _write_draft(task: Task, asked: bool, style: Style, rng: random.Random) -> str:
    sentences = [_write_main(task, asked, style, rng)]
    if task.shape != "plain":
        sentences.insert(rng.randrange(2), frames.SHAPE_SENTENCES[task.shape].sample(rng))
    if rng.random() < style.lead_in:
        sentences.insert(0, capitalize_first(frames.LEAD_INS.sample(rng)))
    sentences += [write_sentence(constraint, rng.choice) for constraint in task.constraints]
    if rng.random() < style.thanks:
        sentences.append(frames.THANKS.sample(rng))
    if task.inline:
        book = frames.INLINE_LISTS if task.input_type.isupper() and task.topic else frames.INLINE_WORDS
        sentences.append(f"{capitalize_first(book.sample(rng))}: {task.inline}")
    return " ".join(sentences)


def can_ask(task: Task) -> bool:
    """Return whether the last step can be put as a question."""
    return bool(task.steps[-1].operation.question_wordings)


def render(task: Task, rng: random.Random, style: Style | None = None, asked: bool | None = None) -> str:
    """Return an instruction that states the task; ``asked`` forces or forbids a question.

    Raises `WordingError` if none was found.
    """
    style = style or Style()
    for _ in range(_TRIES):
        question = can_ask(task) and rng.random() < style.question if asked is None else asked
        try:
            text = _write_draft(task, question, style, rng)
        except WordingError:
            if asked is not None:
                raise
            continue
        reading = read_instruction(text)
        if reading and reading.task == task and (style.fit is None or style.fit(text)):
            return text
    raise WordingError(f"no text found for {task}")
