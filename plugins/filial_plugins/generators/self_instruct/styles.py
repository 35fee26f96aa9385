"""The three ways to do Self-Instruct, side by side: ours, the paper's program, and Stanford Alpaca's.

``paper`` is yizhongw/self-instruct (bootstrap_instructions.py, identify_clf_or_not.py, generate_instances.py and
prepare_for_finetuning.py), quirks included; ``alpaca`` is tatsu-lab/stanford_alpaca (generate_instruction.py);
``filial`` mends what went wrong there. ``docs/methods.md`` has the case behind each mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from filial_plugins.prompt_files import read_prompt

StyleName = Literal["filial", "paper", "alpaca"]

# What asks for something a text model cannot see, draw or open: the list of Self-Instruct, and what Alpaca adds.
BLOCKED = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps"),
    *("draw", "plot", "go to"),
)
BLOCKED_BY_ALPACA = (*BLOCKED, "video", "audio", "music", "flowchart", "diagram")
NO_INPUT = ("<noinput>", "none", "(none)", "n/a", "no input")


@dataclass(frozen=True)
class Sampling:
    """The sampling parameters of a request; None is not sent."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


GREEDY_WORD = Sampling(0.0, 0.0, 3, ("\n", "Task"))
GREEDY_EXAMPLES = Sampling(0.0, 0.0, 350, ("Example 6", "Task:"))

# fmt: off
TABLE: dict[str, tuple[Any, Any, Any]] = {
    #                    filial               paper                                 alpaca
    # what is asked
    "joint":            (False,               False,                                True),
    "prompts":          ("chat",              "completion",                         "completion"),
    "classification":   ("ask",               "ask",                                "skip"),
    "seed_examples":    (6,                   6,                                    3),
    "machine_examples": (2,                   2,                                    0),
    "per_request":      (8,                   7,                                    17),
    "round_size":       (16,                  5,                                    5),
    "full_rounds":      (False,               True,                                 True),
    "temperature":      (None,                0.7,                                  1.0),
    "top_p":            (None,                0.5,                                  1.0),
    "max_tokens":       (None,                1024,                                 3072),
    "stop":             ((),                  ("\n\n", "\n16", "16.", "16 ."),      ("\n20", "20.", "20.")),
    # how new tasks are read
    "refusals":         ("drop",              "read",                               "read"),
    "cut_reply":        ("drop-last",         "drop",                               "drop-last"),
    "cut_at":           ("next",              "any",                                "any"),
    "letter_case":      ("keep",              "capitalize",                         "keep"),
    # which of them are taken
    "count_words":      ("by-script",         "by-blanks",                          "by-blanks"),
    "blocked":          (BLOCKED,             BLOCKED,                              BLOCKED_BY_ALPACA),
    "blocked_openings": (("write a program",), ("Write a program",),                ("Write a program",)),
    "match_openings":   ("words",             "prefix",                             "prefix"),
    "first_character":  ("any",               "ascii",                              "ascii"),
    "scripts":          ("all",               "latin",                              "latin"),
    # how examples are asked for, read and taken
    "accept_yes":       ("lenient",           "exact",                              "exact"),
    "failed_question":  ("drop",              "pass",                               "drop"),
    "instances":        (1,                   5,                                    1),
    "choose":           ("first",             "sample",                             "first"),
    "labels":           ("line-start",        "anywhere",                           "anywhere"),
    "no_input":         (NO_INPUT,            (),                                   ("<noinput>",)),
    "check_examples":   (True,                True,                                 False),
}
# fmt: on
NAMES: tuple[StyleName, ...] = ("filial", "paper", "alpaca")


@dataclass(frozen=True)
class Settings:
    """The settings of a style, with the options given by themselves: a field per row of `TABLE`, and four more.

    ``question`` and ``examples`` are the sampling of these requests; ``label_tokens`` is the token limit of examples
    for ``batch`` tasks at once if one of them is a classification task.
    """

    joint: bool
    prompts: Literal["chat", "completion"]
    classification: Literal["ask", "skip"]
    seed_examples: int
    machine_examples: int
    per_request: int
    round_size: int
    full_rounds: bool
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: tuple[str, ...]
    refusals: Literal["drop", "read"]
    cut_reply: Literal["drop-last", "drop"]
    cut_at: Literal["next", "any"]
    letter_case: Literal["keep", "capitalize"]
    count_words: Literal["by-script", "by-blanks"]
    blocked: tuple[str, ...]
    blocked_openings: tuple[str, ...]
    match_openings: Literal["words", "prefix"]
    first_character: Literal["any", "ascii"]
    scripts: Literal["all", "latin"]
    accept_yes: Literal["lenient", "exact"]
    failed_question: Literal["drop", "pass"]
    instances: int
    choose: Literal["first", "sample"]
    labels: Literal["line-start", "anywhere"]
    no_input: tuple[str, ...]
    check_examples: bool
    question: Sampling = Sampling()
    examples: Sampling = Sampling()
    label_tokens: int | None = None
    batch: int = 1

    @property
    def proposals(self) -> Sampling:
        """How requests for new tasks are sampled."""
        return Sampling(self.temperature, self.top_p, self.max_tokens, self.stop)


def make_settings(style: StyleName, given: Mapping[str, Any]) -> Settings:
    """Return the settings of a style; options in ``given`` replace the style's own values."""
    column = NAMES.index(style)
    chosen = {name: row[column] for name, row in TABLE.items()} | dict(given)
    if chosen["joint"] and "classification" not in given:
        chosen["classification"] = "skip"  # tasks come with their examples: there is nothing left to ask
    if style == "paper":  # identify_clf_or_not.py and generate_instances.py
        chosen |= {"question": GREEDY_WORD, "examples": GREEDY_EXAMPLES, "label_tokens": 300, "batch": 5}
    return Settings(**chosen)


@dataclass(frozen=True)
class Prompts:
    """The texts of the four requests, with names in braces for what is filled in."""

    propose: str
    classification: str
    input_first: str
    output_first: str


def load_prompts(
    chosen: Settings, only_classification: bool = False, given: Mapping[str, str] | None = None
) -> Prompts:
    """Load the prompt files beside this module; texts in ``given``, by request name, replace them."""
    form = "blocks" if chosen.joint else chosen.prompts + ("_classification" if only_classification else "")
    names = {
        "propose": f"propose_{form}",
        "classification": "classification",
        "input_first": f"input_first_{chosen.prompts}",
        "output_first": f"output_first_{chosen.prompts}",
    }
    found = {key: read_prompt(__file__, f"{name}.txt") for key, name in names.items()}
    return Prompts(**found | dict(given or {}))


def describe_by_style(name: str, spell: Mapping[Any, str] | None = None) -> str:
    """Describe a row of the table in words: ``filial 8, paper 7, alpaca 17``."""

    def say(value: Any) -> str:
        if spell and value in spell:
            return spell[value]
        if value is None or value == ():
            return "none"
        if isinstance(value, bool):
            return "on" if value else "off"
        return ", ".join(map(repr, value)) if isinstance(value, tuple) else str(value)

    return "; ".join(f"{style} {say(value)}" for style, value in zip(NAMES, TABLE[name], strict=True))
