"""What a prompt asks of the teacher, recognised by the prompt's own structure and wording.

The teacher sees what a remote model would see: texts.  Each kind of request carries its own delimiters (a numbered
list to be continued, ``#Rewritten Prompt#:``, ``[Question]``); what has none of them is a task to be answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Propose:
    """Continue a numbered list of tasks."""

    examples: tuple[str, ...]
    first: int
    count: int


@dataclass(frozen=True)
class WriteExamples:
    """Write examples (input and output) of a task."""

    instruction: str
    count: int


@dataclass(frozen=True)
class Evolve:
    """Change a prompt by a strategy."""

    strategy: str
    given: str
    instruction: str
    input: str


@dataclass(frozen=True)
class Compare:
    """Say whether two prompts ask the same."""

    first: str
    second: str


@dataclass(frozen=True)
class Grade:
    """Rate an answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class Answer:
    """Do a task."""

    instruction: str
    input: str


Request = Propose | WriteExamples | Evolve | Compare | Grade | Answer

STRATEGY_CUES: dict[str, str] = {
    "add-constraints": "add one more constraint",
    "deepen": "increase the depth and breadth of the inquiry",
    "concretize": "replace general concepts with more specific",
    "increase-reasoning": "explicitly ask for multiple-step reasoning",
    "complicate-input": "put structured input data",
    "mutate": "a rarer task of the same domain",
    "extend-topic": "move to a related topic",
    "vary-method": "reach the same goal by another method",
}
"""The phrase by which each strategy is known in a prompt that asks to rewrite another."""

_DEPTH, _BREADTH = "add-constraints", "mutate"
"""What is done if a prompt names no strategy."""

_EVOLVE = re.compile(r"#(?:The )?Given Prompt#:[ \t]*\n(.*?)\n\s*#(Rewritten|Created) Prompt#:\s*\Z", re.DOTALL)
_COMPARE = re.compile(
    r"#(?:The )?First Prompt#:[ \t]*\n(.*?)\n\s*#(?:The )?Second Prompt#:[ \t]*\n(.*?)"
    r"(?:\n\s*\n[^\n]*\bequal\b.*)?\s*\Z",
    re.DOTALL | re.IGNORECASE,
)
_GRADE = re.compile(
    r"\[Question\]\s*\n(.*?)\n\s*\[(?:The Start of )?Assistant's Answer\]\s*\n(.*?)\n?\s*"
    r"\[(?:The )?End(?: of Assistant's Answer)?\]",
    re.DOTALL | re.IGNORECASE,
)
_EXAMPLES = re.compile(r"\bwrite (\d+|an?|one)\b[^\n]*\bexamples?\b.*^Task:[ \t]*(.+?)\s*\Z", re.DOTALL | re.I | re.M)
_NUMBERED = re.compile(r"^[ \t]*(\d+)\.[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
_NEXT_NUMBER = re.compile(r"^[ \t]*(\d+)\.[ \t]*\Z", re.MULTILINE)
_HOW_MANY = re.compile(r"\b(\d+)\s+(?:(?:more|new|other|different|further|additional)\s+)+tasks\b", re.IGNORECASE)
_ALPACA = re.compile(
    r"### Instruction:\s*\n(.*?)(?:\n+### Input:\s*\n(.*?))?\n+### Response:\s*\Z", re.DOTALL | re.IGNORECASE
)
_INPUT_BLOCK = re.compile(r"\n\s*\n(?:Input:[ \t]*\n?)?|\nInput:[ \t]*\n?")

LONGEST_PROMPT = 30_000
"""Characters; what is longer is taken for a task (and lies outside the world)."""


def split_prompt(text: str) -> tuple[str, str]:
    """Instruction and input data of a prompt that holds both: parted by a blank line or an ``Input:`` line."""
    text = text.strip()
    match = _INPUT_BLOCK.search(text)
    return (text[: match.start()].strip(), text[match.end() :].strip()) if match else (text, "")


def _strategy(prompt: str, in_breadth: bool) -> str:
    prompt = " ".join(prompt.lower().split())
    named = (name for name, cue in STRATEGY_CUES.items() if cue in prompt)
    return next(named, _BREADTH if in_breadth else _DEPTH)


def _evolve(text: str) -> Evolve | None:
    match = _EVOLVE.search(text)
    if not match:
        return None
    given = match[1].strip()
    instruction, data = split_prompt(given)
    return Evolve(_strategy(text[: match.start()], match[2].lower() == "created"), given, instruction, data)


def _propose(text: str) -> Propose | None:
    last = _NEXT_NUMBER.search(text)
    if not last:
        return None
    examples = tuple(match[2] for match in _NUMBERED.finditer(text, 0, last.start()))
    many = _HOW_MANY.search(text)
    if not examples or not many:
        return None
    return Propose(examples, int(last[1]), int(many[1]))


def _write_examples(text: str) -> WriteExamples | None:
    match = _EXAMPLES.search(text)
    if not match:
        return None
    return WriteExamples(match[2].strip(), int(match[1]) if match[1].isdigit() else 1)


def _compare(text: str) -> Compare | None:
    match = _COMPARE.search(text)
    return Compare(match[1].strip(), match[2].strip()) if match else None


def _grade(text: str) -> Grade | None:
    match = _GRADE.search(text)
    return Grade(match[1].strip(), match[2].strip()) if match else None


def recognise(text: str) -> Request:
    """The request that a user's message makes."""
    text = text.replace("\r\n", "\n").rstrip()
    if len(text) > LONGEST_PROMPT:
        return Answer(text, "")
    for read in (_evolve, _compare, _grade, _write_examples, _propose):
        found = read(text)
        if found:
            return found
    alpaca = _ALPACA.search(text)
    if alpaca:
        return Answer(alpaca[1].strip(), (alpaca[2] or "").strip())
    return Answer(*split_prompt(text))
