"""Task templates: how the fields of a row become a question and its answer, alone or after exemplars.

The layout of exemplars and of answer options is that of google-research/FLAN (flan/v2/few_shot.py and preprocessors.py,
Apache-2.0); the wording of templates is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from string import Formatter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

Fields = Mapping[str, str]
"""The texts of a row by the name of their field."""
Marks = Literal["-", "letters"]
OPTIONS, RATIONALE = "options", "rationale"
_NAME = re.compile("[a-z][a-z0-9_]*")
_OPTIONS_PLACE = re.compile(r"\s*\{options\}")


class TaskTemplate(BaseModel):
    """One wording of a task. ``{name}`` stands for a field of the row, ``{{`` and ``}}`` for braces.

    Without exemplars the question is ``input`` alone; with them the rest is written, too (`write_few_shot`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    input: str = Field(min_length=1)
    target: str = Field(min_length=1)
    input_prefix: str = ""
    target_prefix: str = ""
    between: str = "\n"
    separator: str = "\n\n"
    inverted: bool = False

    @field_validator("input", "target")
    @classmethod
    def _check_fields(cls, text: str) -> str:
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise PydanticCustomError("template", "{why} in {text}", {"why": str(error), "text": repr(text)}) from None
        for _, name, spec, conversion in parts:
            if name is not None and (not _NAME.fullmatch(name) or spec or conversion):
                why = f"{{{name}}} in {text!r} is no field; a field is a name of a-z, 0-9 and _; write {{{{ for a brace"
                raise PydanticCustomError("template", "{why}", {"why": why})
        if not any(name for _, name, _, _ in parts):
            raise PydanticCustomError("template", "{text} names no field", {"text": repr(text)})
        return text

    @cached_property
    def fields(self) -> frozenset[str]:
        """The fields that it needs, ``options`` apart."""
        return (_find_fields(self.input) | _find_fields(self.target)) - {OPTIONS}

    @property
    def lists_options(self) -> bool:
        """Whether it has a place for answer options."""
        return OPTIONS in _find_fields(self.input)

    @property
    def uses_reasoning(self) -> bool:
        """Whether it needs a chain of thought."""
        return RATIONALE in self.fields

    @property
    def shows_reasoning(self) -> bool:
        """Whether its answers hold a chain of thought."""
        return RATIONALE in _find_fields(self.target)

    def without_options(self) -> TaskTemplate:
        """Return it without the place for answer options and the white space in front of that."""
        return self.model_copy(update={"input": _OPTIONS_PLACE.sub("", self.input)})

    def write_input(self, row: Fields) -> str:
        """Return the question about a row."""
        return self.input.format_map(row)

    def write_target(self, row: Fields) -> str:
        """Return the answer to it."""
        return self.target.format_map(row)

    def write_few_shot(self, exemplars: Sequence[Fields], row: Fields) -> str:
        """Return the question about a row behind exemplars: those with their answers, this one up to its answer."""
        shown = [
            f"{self._write_question(each)}{self.target_prefix}{self.write_target(each)}{self.separator}"
            for each in exemplars
        ]
        asked = f"{self._write_question(row)}{self.target_prefix.rstrip()}".rstrip(" ")
        return "".join(shown) + asked

    def _write_question(self, row: Fields) -> str:
        return f"{self.input_prefix}{self.write_input(row)}{self.between}"


class TaskType(BaseModel):
    """A type of task with the templates that word it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = ""
    templates: tuple[TaskTemplate, ...] = Field(min_length=1)

    @property
    def fields(self) -> frozenset[str]:
        """The fields of any template, ``options`` with them."""
        lists = any(template.lists_options for template in self.templates)
        return frozenset[str]().union(*(template.fields for template in self.templates)) | (
            {OPTIONS} if lists else set()
        )

    @field_validator("templates")
    @classmethod
    def _check_names(cls, templates: tuple[TaskTemplate, ...]) -> tuple[TaskTemplate, ...]:
        names = [template.name for template in templates]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise PydanticCustomError("template", "two templates are called {name}", {"name": repr(twice)})
        return templates


def format_options(options: Sequence[str], marks: Marks = "-") -> str:
    """Return answer options as a list, with dashes or with letters in brackets."""
    if marks == "-":
        return "\n".join(["OPTIONS:", *(f"- {option}" for option in options)])
    return "\n".join(["OPTIONS:", *(f"({_letter(place)}) {option}" for place, option in enumerate(options))])


def _letter(place: int) -> str:
    """A, B, …, Z, AA, AB, …"""
    text = ""
    while place >= 0:
        text = chr(ord("A") + place % 26) + text
        place = place // 26 - 1
    return text


def _find_fields(text: str) -> frozenset[str]:
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name)


def parse_types(data: Any) -> dict[str, TaskType]:
    """Return task types by name from plain data, ``{type: {about, templates}}``.

    Raises:
        pydantic.ValidationError: it is something else.
    """
    from pydantic import TypeAdapter

    return TypeAdapter(dict[str, TaskType]).validate_python(data, strict=False)
