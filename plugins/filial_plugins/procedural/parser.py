"""English to task: reads exactly the sentences that `filial_plugins.procedural.wording` can write."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from functools import cache, lru_cache

from . import frames
from .constraints import Constraint, read_sentence
from .grammar import make_regex
from .lexicon import TOPICS
from .objects import slot_sources, topics_by_phrase
from .operations import InputError, operations
from .task import Step, Task, is_sound

_SENTENCE_END = re.compile(r"(?<=[.?!]) (?=[A-Z])")
_DEFAULT_TOPICS = tuple(TOPICS)
LONGEST_INSTRUCTION = 1500
"""Characters; what is longer is not read."""


@dataclass(frozen=True)
class Clause:
    """One clause that has been understood: the step, the wording it is in, and the topic it names (or "")."""

    step: Step
    wording: str
    asked: bool
    topic: str


@dataclass(frozen=True)
class Reading:
    """A text that has been understood."""

    task: Task
    clauses: tuple[Clause, ...]

    @property
    def asked(self) -> bool:
        """Whether the last step is put as a question."""
        return self.clauses[-1].asked

    @property
    def wordings(self) -> tuple[tuple[str, str], ...]:
        """The (operation, wording) pairs of the clauses."""
        return tuple((clause.step.name, clause.wording) for clause in self.clauses)


@cache
def _build_clause_table() -> dict[str, list[tuple[str, str, bool, re.Pattern[str]]]]:
    """Return the wordings by their first word."""
    sources = slot_sources()
    table: dict[str, list[tuple[str, str, bool, re.Pattern[str]]]] = {}
    for op in operations().values():
        for asked in (False, True):
            for wording in op.wordings(asked):
                regex = re.compile(make_regex(wording, sources.__getitem__) + r"\Z", re.IGNORECASE)
                table.setdefault(wording.split()[0].lower(), []).append((op.name, wording, asked, regex))
    return table


_LOCK = threading.Lock()


def prepare() -> None:
    """Build the table of all wordings once. It takes one or two seconds, so call it in a thread."""
    with _LOCK:
        _build_clause_table()


def is_prepared() -> bool:
    """Return whether the table of all wordings is there."""
    return _build_clause_table.cache_info().currsize > 0


def read_clauses(text: str) -> list[Clause]:
    """Return every way to understand a clause (more than one would be a fault in the wordings)."""
    found = []
    for name, wording, asked, regex in _build_clause_table().get(text.split(" ", 1)[0].lower(), ()):
        match = regex.match(text)
        if match:
            groups = {key: value.lower() for key, value in match.groupdict().items()}
            parameters = tuple((p, groups[p]) for p in operations()[name].parameters)
            mention = next((groups[key] for key in ("o", "u", "us") if key in groups), "")
            found.append(Clause(Step(name, parameters), wording, asked, topics_by_phrase().get(mention, "")))
    return found


@cache
def _opener_pattern() -> re.Pattern[str]:
    anchor, order, ask = (p.source for p in (frames.ANCHORS, frames.ORDER_OPENERS, frames.QUESTION_OPENERS))
    return re.compile(f"(?:{anchor}, )?(?:(?:{order}|{ask}) )?", re.IGNORECASE)


@cache
def _closer_pattern() -> re.Pattern[str]:
    return re.compile(f" {frames.CLOSERS.source}\\Z", re.IGNORECASE)


@lru_cache(maxsize=50_000)
def _read_chunk(text: str) -> Clause | None:
    """Return a clause with whatever opener and closer surrounds it."""
    opener = _opener_pattern().match(text)
    # Opener and closer are both optional and could be part of the clause: try with and without each, without first.
    starts = dict.fromkeys((0, opener.end() if opener else 0))
    closer = _closer_pattern().search(text)
    ends = dict.fromkeys((len(text), closer.start() if closer else len(text)))
    for start in starts:
        for end in ends:
            found = read_clauses(text[start:end])
            if found:
                return found[0]
    return None


@cache
def _frame_patterns() -> list[re.Pattern[str]]:
    """Return the frames, longest first; opener, clause and closer of a step are read as one chunk."""
    patterns = []
    for table in (frames.ORDER_FRAMES, frames.QUESTION_FRAMES):
        for texts in table.values():
            for text in texts:
                bare = re.sub(r"\{(open|ask|close)\}", "", text)
                source = make_regex(bare, lambda name: f"(?P<step{name}>.+?)")
                patterns.append((len(bare), re.compile(source.replace(r"\.", "[.?]") + r"\Z", re.IGNORECASE)))
    return [pattern for _, pattern in sorted(patterns, key=lambda pair: -pair[0])]


def _read_steps(text: str) -> tuple[Clause, ...] | None:
    for frame in _frame_patterns():
        match = frame.match(text)
        if match:
            clauses = [_read_chunk(chunk) for _, chunk in sorted(match.groupdict().items())]
            if all(clauses):
                return tuple(clause for clause in clauses if clause)
    return None


def _is_lead_in(sentence: str) -> bool:
    bare = sentence.rstrip(".").lower()
    return any(book.matches(bare) or book.matches(sentence) for book in (frames.LEAD_INS, frames.THANKS))


def _find_shape(sentence: str) -> str:
    return next((shape for shape, book in frames.SHAPE_SENTENCES.items() if book.matches(sentence)), "")


@cache
def _inline_pattern() -> re.Pattern[str]:
    intro = f"(?:{frames.INLINE_LISTS.source}|{frames.INLINE_WORDS.source})"
    return re.compile(rf"(?P<task>.+[.?!]) {intro}: (?P<data>[^:]+)\Z", re.IGNORECASE)


def _find_topic(task: Task, clauses: tuple[Clause, ...]) -> Task | None:
    """Return the task with the topic its clauses name, else the first topic that fits the first operation."""
    if task.steps[0].operation.takes in ("T", "P"):
        return task if is_sound(task) else None
    named = [clause.topic for clause in clauses if clause.topic]
    candidates = [topic for topic in named if topic != "words"][:1] or _DEFAULT_TOPICS
    for topic in candidates:
        candidate = task.with_(topic=topic)
        try:
            if candidate.types and is_sound(candidate):
                return candidate
        except InputError:  # the task is not sound with this topic; try the next
            continue
    return None


def read_instruction(text: str) -> Reading | None:
    """Read an instruction into a task; return None if the grammar cannot produce the text."""
    if len(text) > LONGEST_INSTRUCTION:
        return None
    text = re.sub(r"\s+", " ", text.strip())
    inline = _inline_pattern().match(text)
    data = inline["data"] if inline else ""
    constraints: list[Constraint] = []
    shape, main = "plain", []
    for sentence in _SENTENCE_END.split(inline["task"] if inline else text):
        constraint = read_sentence(sentence)
        if constraint:
            constraints.append(constraint)
        elif found := _find_shape(sentence):
            shape = found
        elif not _is_lead_in(sentence):
            main.append(sentence)
    clauses = _read_steps(" ".join(main))
    if not clauses:
        return None
    steps = tuple(clause.step for clause in clauses)
    task = _find_topic(Task(steps, "", tuple(constraints), shape, data), clauses)
    return Reading(task, clauses) if task else None


def parse(text: str) -> Task | None:
    """Return the task an instruction states, or None if it is not in the language of the world."""
    reading = read_instruction(text)
    return reading.task if reading else None
