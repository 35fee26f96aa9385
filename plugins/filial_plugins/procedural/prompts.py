"""What a prompt asks of the teacher, recognised by the prompt's own structure and wording.

The teacher sees what a remote model would see: texts.  Each kind of request carries its own delimiters (a numbered
list to be continued, ``Is it classification?``, ``#Rewritten Prompt#:``, ``[Question]``); what has none of them is a
task to be answered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Propose:
    """Continue a numbered list of tasks; ``blocks``: of tasks with input and output.

    ``completion``: the prompt gives no order; it is a text that ends where the list goes on.
    """

    examples: tuple[str, ...]
    first: int
    count: int
    blocks: bool = False
    completion: bool = False


@dataclass(frozen=True)
class WriteExamples:
    """Write examples (input and output) of a task.

    ``label_first``: the output stands first, as a class label; ``few_shot``: in the way the prompt itself does it for
    other tasks.
    """

    instruction: str
    count: int
    label_first: bool = False
    few_shot: bool = False


@dataclass(frozen=True)
class Classify:
    """Say whether a task is a classification task."""

    instruction: str


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


Request = Propose | WriteExamples | Classify | Evolve | Compare | Grade | Answer

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
_TASK = re.compile(r"^Task:[ \t]*", re.MULTILINE)
_CLASSIFY = "Is it classification?"
_CLASS_LABEL = "Class label:"
_BLOCK = re.compile(r"^(\d+)\. Instruction:[ \t]*(\S.*)?$", re.MULTILINE)
_SERIES = re.compile(r"\bseries of (?:\w+ )?tasks\b")
_NUMBERED = re.compile(r"^[ \t]*(\d+)\.[ \t]+(\S.*?)[ \t]*$", re.MULTILINE)
_NEXT_NUMBER = re.compile(r"^[ \t]*(\d+)\.[ \t]*\Z", re.MULTILINE)
_HOW_MANY = re.compile(
    r"\b(\d+)\s+(?:(?:more|new|other|different|further|additional)\s+)+(?:classification\s+)?tasks\b", re.IGNORECASE
)
_TOTAL = re.compile(r"\b(\d+) tasks\b")
_ALPACA = re.compile(
    r"### Instruction:\s*\n(.*?)(?:\n+### Input:\s*\n(.*?))?\n+### Response:\s*\Z", re.DOTALL | re.IGNORECASE
)
_INPUT_BLOCK = re.compile(r"\n\s*\n(?:Input:[ \t]*\n?)?|\nInput:[ \t]*\n?")

FEW_SHOTS = 5
"""Examples written of a task where the prompt says no number."""
SERIES = 7
"""Tasks added to a series where the prompt says no number."""
LONGEST_PROMPT = 30_000
"""Characters; what is longer is taken for a task (and lies outside the world)."""


def split_prompt(text: str) -> tuple[str, str]:
    """Return instruction and input data of a prompt that holds both: parted by a blank line or an ``Input:`` line."""
    text = text.strip()
    match = _INPUT_BLOCK.search(text)
    return (text[: match.start()].strip(), text[match.end() :].strip()) if match else (text, "")


def _find_strategy(prompt: str, in_breadth: bool) -> str:
    prompt = " ".join(prompt.lower().split())
    named = (name for name, cue in STRATEGY_CUES.items() if cue in prompt)
    return next(named, _BREADTH if in_breadth else _DEPTH)


def _read_evolve(text: str) -> Evolve | None:
    match = _EVOLVE.search(text)
    if not match:
        return None
    given = match[1].strip()
    instruction, data = split_prompt(given)
    return Evolve(_find_strategy(text[: match.start()], match[2].lower() == "created"), given, instruction, data)


def _read_propose(text: str) -> Propose | None:
    last = _NEXT_NUMBER.search(text)
    if not last:
        return None
    examples = tuple(match[2] for match in _NUMBERED.finditer(text, 0, last.start()))
    many = _HOW_MANY.search(text)
    if not examples or not (many or _SERIES.search(text, 0, last.start())):
        return None
    return Propose(examples, int(last[1]), int(many[1]) if many else SERIES, completion=not many)


def _read_propose_blocks(text: str) -> Propose | None:
    """Read a prompt that ends in open task blocks; the total comes from ``a numbered list of 20 tasks``."""
    blocks = list(_BLOCK.finditer(text))
    if len(blocks) < 2 or blocks[-1].end() != len(text) or blocks[-1][2]:
        return None
    first, total = int(blocks[-1][1]), _TOTAL.search(text)
    count = int(total[1]) - first + 1 if total else 1
    return Propose(tuple(block[2].strip() for block in blocks[:-1] if block[2]), first, max(1, count), blocks=True)


def _read_write_examples(text: str) -> WriteExamples | None:
    match = _EXAMPLES.search(text)
    if not match:
        return None
    count = int(match[1]) if match[1].isdigit() else 1
    return WriteExamples(match[2].strip(), count, label_first=_CLASS_LABEL in text[: match.start(2)])


def _read_few_shot(text: str) -> WriteExamples | None:
    """Read a prompt of several tasks with examples whose last task has none yet."""
    *shots, last = _TASK.split(text)[1:] or [""]
    if not shots or "\n" in last.strip():
        return None
    labels = all(_CLASS_LABEL in shot for shot in shots)
    if not labels and not all("Output:" in shot for shot in shots):
        return None
    return WriteExamples(last.strip(), FEW_SHOTS, labels, few_shot=True)


def _read_classify(text: str) -> Classify | None:
    """Read a prompt that asks whether its last task is a classification task; earlier tasks are few-shot examples."""
    if not text.endswith(_CLASSIFY):
        return None
    tasks = _TASK.split(text.removesuffix(_CLASSIFY))[1:]
    return Classify(tasks[-1].strip()) if tasks else None


def _read_compare(text: str) -> Compare | None:
    match = _COMPARE.search(text)
    return Compare(match[1].strip(), match[2].strip()) if match else None


def _read_grade(text: str) -> Grade | None:
    match = _GRADE.search(text)
    return Grade(match[1].strip(), match[2].strip()) if match else None


def recognise(text: str) -> Request:
    """Return the request that a user's message makes."""
    text = text.replace("\r\n", "\n").rstrip()
    if len(text) > LONGEST_PROMPT:
        return Answer(text, "")
    for read in (
        _read_evolve,
        _read_compare,
        _read_grade,
        _read_classify,
        _read_few_shot,
        _read_write_examples,
        _read_propose,
        _read_propose_blocks,
    ):
        found = read(text)
        if found:
            return found
    alpaca = _ALPACA.search(text)
    if alpaca:
        return Answer(alpaca[1].strip(), (alpaca[2] or "").strip())
    return Answer(*split_prompt(text))
