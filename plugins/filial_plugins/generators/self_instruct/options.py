"""The options of `self-instruct`: a style, and each part of it by its own name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import model_validator

from filial import Field, Generator
from filial_plugins.generators.self_instruct.styles import (
    BLOCKED,
    BLOCKED_BY_ALPACA,
    NO_INPUT,
    TABLE,
    Prompts,
    Settings,
    StyleName,
    describe_by_style,
    load_prompts,
    make_settings,
)

_COUNTED = {BLOCKED: "13 words", BLOCKED_BY_ALPACA: "18 words", NO_INPUT: "<noinput>, none, n/a and the like"}


def _style_option(name: str, what: str, **bounds: Any) -> Any:
    """Declare an option whose default is the style's value."""
    return Field(None, description=f"{what} By style: {describe_by_style(name, _COUNTED)}.", **bounds)


class Options(Generator):
    """What a user may choose; `chosen` is what follows from it."""

    count: int = Field(100, ge=1, description="Records to make.")
    style: StyleName = Field(
        "filial",
        description="The method: filial's, that of the Self-Instruct program, or Stanford Alpaca's. Sets the defaults "
        "of other options.",
    )
    joint: bool | None = _style_option("joint", "Ask for tasks with input and output in one request.")
    prompts: Literal["chat", "completion"] | None = _style_option(
        "prompts", "Prompts for a chat model, or for a base model that continues them."
    )
    classification: Literal["ask", "skip"] | None = _style_option(
        "classification", "Ask whether each task is a classification task; for those, labels are written first."
    )
    only_classification: bool = Field(
        False, description="Show only seeds tagged `classification`, and ask for such tasks."
    )
    seed_examples: int | None = _style_option("seed_examples", "Seed tasks shown in a request.", ge=1)
    machine_examples: int | None = _style_option(
        "machine_examples", "Accepted tasks shown in a request, once there are some.", ge=0
    )
    per_request: int | None = _style_option("per_request", "New tasks expected of a request.", ge=1, le=100)
    round_size: int | None = _style_option("round_size", "Maximum requests per round.", ge=1)
    full_rounds: bool | None = _style_option("full_rounds", "Always send whole rounds, even if fewer tasks are needed.")
    temperature: float | None = _style_option("temperature", "Temperature of requests for tasks.", ge=0, le=2)
    top_p: float | None = _style_option("top_p", "Top-p of requests for tasks.", ge=0, le=1)
    max_tokens: int | None = _style_option("max_tokens", "Maximum tokens of an answer to a request for tasks.", ge=1)
    stop: tuple[str, ...] | None = _style_option("stop", "Strings that end an answer to a request for tasks.")
    refusals: Literal["drop", "read"] | None = _style_option(
        "refusals", "Drop a reply that declines, or read it like any other."
    )
    cut_reply: Literal["drop-last", "drop"] | None = _style_option(
        "cut_reply", "From a reply cut at the token limit, drop the last task, or all tasks."
    )
    cut_at: Literal["next", "any"] | None = _style_option(
        "cut_at", "A new task begins at the next number of the list only, or at any number (joint: at any ###)."
    )
    letter_case: Literal["keep", "capitalize"] | None = _style_option(
        "letter_case", "Keep upper and lower case, or make the first letter of a task upper and all others lower case."
    )
    min_words: int = Field(4, ge=1, description="Minimum words of an instruction.")
    max_words: int = Field(150, ge=1, description="Maximum words of an instruction.")
    count_words: Literal["by-script", "by-blanks"] | None = _style_option(
        "count_words", "In scripts without blanks, count characters as words; or count by blanks only."
    )
    blocked: tuple[str, ...] | None = _style_option(
        "blocked", "Words and phrases that an instruction must not contain."
    )
    blocked_openings: tuple[str, ...] | None = _style_option("blocked_openings", "Phrases it must not begin with.")
    match_openings: Literal["words", "prefix"] | None = _style_option(
        "match_openings", "Compare an opening as whole words in any case, or as exact characters."
    )
    first_character: Literal["any", "ascii"] | None = _style_option(
        "first_character", "An instruction may begin with a letter or digit of any script, or of ASCII only."
    )
    threshold: float = Field(0.7, gt=0, le=1, description="ROUGE-L F above which a task is not new.")
    rule: Literal["<=", "<"] = Field("<=", description="New up to and including the threshold, or below it.")
    scripts: Literal["all", "latin"] | None = _style_option(
        "scripts", "Compare texts of all scripts, or by the letters a-z and digits only, so that others are always new."
    )
    accept_yes: Literal["lenient", "exact"] | None = _style_option(
        "accept_yes", "Any answer that begins with yes makes a classification task, or only Yes, yes and YES alone."
    )
    failed_question: Literal["drop", "pass"] | None = _style_option(
        "failed_question", "If the question about classification fails: drop the task, or assume it is not one."
    )
    instances: int | None = _style_option("instances", "Maximum examples of an instruction.", ge=1, le=100)
    choose: Literal["first", "sample"] | None = _style_option(
        "choose", "If there are more: take the first ones, or draw among the good ones."
    )
    labels: Literal["line-start", "anywhere"] | None = _style_option(
        "labels", "Input:, Output:, Class label: and Example 2 count at the start of a line, or anywhere."
    )
    no_input: tuple[str, ...] | None = _style_option("no_input", "Words that say there is no input.")
    check_examples: bool | None = _style_option(
        "check_examples", "Drop examples that are empty, unfinished, repeated, or contradict each other."
    )
    patience: int = Field(4, ge=1, description="Stop after this many rounds without a new task.")
    propose_prompt: str | None = Field(
        None, description="Another prompt for new tasks, with {examples} and {next}; it may contain {n} and {total}."
    )
    classification_prompt: str | None = Field(
        None, description="Another prompt for the question about classification, with {instruction}."
    )
    input_first_prompt: str | None = Field(
        None, description="Another prompt for examples, with {instruction}; it may contain {n}."
    )
    output_first_prompt: str | None = Field(
        None, description="Another prompt for examples of classification tasks, with {instruction}; it may contain {n}."
    )

    @cached_property
    def chosen(self) -> Settings:
        """The settings of the style, with the options that are given by themselves."""
        given = {name: value for name in TABLE if (value := getattr(self, name)) is not None}
        return make_settings(self.style, given)

    @cached_property
    def prompt_texts(self) -> Prompts:
        """The texts of the requests."""
        return load_prompts(self.chosen, self.only_classification, self._custom_texts())

    def _custom_texts(self) -> Mapping[str, str]:
        names = ("propose", "classification", "input_first", "output_first")
        return {name: text for name in names if (text := getattr(self, f"{name}_prompt")) is not None}

    @model_validator(mode="after")
    def _check_combinations(self) -> Options:
        if self.chosen.joint and self.chosen.classification == "ask":
            raise ValueError("classification: ask goes with joint: false; joint tasks come with their examples")
        if self.chosen.joint and self.only_classification:
            raise ValueError("only_classification goes with joint: false; leave one of them out")
        for name, text in self._custom_texts().items():
            needed = ("examples", "next") if name == "propose" else ("instruction",)
            known = (
                {"n": 1, "total": 1, "examples": "e", "next": 1} if name == "propose" else {"n": 1, "instruction": "i"}
            )
            if fault := _find_prompt_fault(text, needed, known):
                raise ValueError(f"{name}_prompt {fault}")
        return self


def _find_prompt_fault(text: str, needed: tuple[str, ...], known: Mapping[str, Any]) -> str:
    """Say why a text cannot be used as a prompt; "" if it can."""
    for name in needed:
        if f"{{{name}}}" not in text:
            return f"does not contain {{{name}}}; add it where the value belongs"
    try:
        text.format_map(dict(known))
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        return f"cannot be filled in ({error}); write a brace twice where it is a plain character"
    return ""
