"""Turn the fields of rows into instructions, by several templates per type of task.

row ── find_fields ──▶ fields ── choose_kind ──▶ kind ── next template of the kind ──▶ question and answer
                                     with exemplars: other rows of the task, never held out
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product
from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError

from filial import Context, Drop, Field, Generator, InputFile, Origin, Record, UsageError, hookimpl
from filial_plugins.formats.columns import TAG
from filial_plugins.formats.fields import EMPTY
from filial_plugins.generators.from_fields.catalogue import built_in_types, load_types
from filial_plugins.generators.from_fields.patterns import (
    OPTIONS,
    Marks,
    TaskTemplate,
    TaskType,
    format_options,
)
from filial_plugins.generators.from_fields.rows import (
    check_columns,
    choose_answer,
    columns_of,
    find_value,
    to_options,
    to_text,
)

ANSWER = "answer"
COT, EXEMPLAR, FEW_SHOT, INVERTED, LISTED = "cot", "exemplar", "few-shot", "inverted", "options"
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a row is made into: which templates may word it, and whether exemplars come before it."""

    inverted: bool
    reasoned: bool
    listed: bool
    few_shot: bool


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A row with its fields as text."""

    record: Record
    name: str
    fields: Mapping[str, str]
    options: tuple[str, ...]


class Pool:
    """The rows of a task that may be exemplars, by what they ask."""

    def __init__(self, questions: Mapping[str, Task]) -> None:
        self.questions = questions
        self.rows = tuple(questions.items())


class FromFields(Generator):
    """Make an instruction of each row of a table, with one of several templates for its type of task, as FLAN does.

    Every row becomes one record, or a drop with a reason. Templates take turns, or the seed and the row decide.
    ``few_shot``, ``list_options``, ``inverted`` and ``reasoning`` are shares of the rows; seed and row decide which.

    Exemplars are other rows of the same task. Only a part of the rows (``exemplars``) can be exemplars; their records
    have the tag ``exemplar`` and are not held out by a recipe's ``heldout``, so that no held-out answer is part of a
    question. The other tags are ``few-shot``, ``options``, ``inverted``, and ``cot`` if the answer contains reasoning.
    Columns that no template uses are kept in ``extra``. docs/tasks.md lists the types and their fields.
    """

    asks: ClassVar[bool] = False
    seeds_format: ClassVar[str] = "columns"

    type: str = Field(description="Type of task: one of the catalogue, or of the file of templates.", min_length=1)
    map: list[str] = Field(
        [],
        description="Column of a field, as FIELD=COLUMN, where they differ; a dot leads into objects and lists "
        "(answers.text.0).",
    )
    templates: InputFile | None = Field(None, description="YAML file with task types of your own.")
    task: str = Field("", description="Task of the records. Default: the row's own, or else the type.")
    order: Literal["round-robin", "random"] = Field(
        "round-robin", description="Whether templates take turns, or are drawn for each row by seed."
    )
    few_shot: Share = Field(0.0, description="Share of rows behind exemplars.")
    shots: int = Field(3, ge=1, le=100, description="Exemplars of each such row.")
    exemplars: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Share of a task's rows that may be exemplars, and are then never held out."
    )
    list_options: Share | None = Field(
        None, description="Share of rows whose question lists the options. Default: all that have some."
    )
    choices: list[str] = Field(
        [], description="The options of all rows, where rows have none; a whole number as answer counts from 0."
    )
    marks: Marks = Field("-", description="How options are marked: with a dash or with letters, (A).")
    inverted: Share = Field(0.0, description="Share of rows that are asked backwards, from the answer.")
    reasoning: Share = Field(1.0, description="Share of rows whose answer shows its reasoning, where the type has any.")

    @field_validator("map")
    @classmethod
    def _check_map(cls, pairs: list[str]) -> list[str]:
        fields = Counter(pair.partition("=")[0] for pair in pairs)
        for pair in pairs:
            field, _, column = pair.partition("=")
            if not field or not column:
                why = f"{pair!r} names no column; write FIELD=COLUMN, such as question=prompt"
                raise PydanticCustomError("map", "{why}", {"why": why})
            if fields[field] > 1:
                raise PydanticCustomError("map", "{field} is mapped twice", {"field": repr(field)})
        return pairs

    @model_validator(mode="after")
    def _check_type(self) -> Self:
        if self.templates is None:  # a file is read once its place is known
            try:
                self._usable  # noqa: B018 - refuses what does not go together
            except UsageError as error:
                raise PydanticCustomError("type", "{why}", {"why": str(error)}) from None
        return self

    @cached_property
    def _type(self) -> TaskType:
        """The type of task.

        Raises:
            UsageError: there is none of that name, or the options name fields or variants that it has not.
        """
        types = load_types(Path(self.templates)) if self.templates else built_in_types()
        if self.type not in types:
            where = self.templates or "filial"
            raise UsageError(f"there is no task type {self.type!r} in {where}; there are {', '.join(types)}")
        found = types[self.type]
        fields = found.fields
        for name in self._mapped:
            if name not in fields:
                raise UsageError(f"map: the type {self.type} has no field {name!r}; it has {', '.join(sorted(fields))}")
        if OPTIONS not in fields and (self.choices or self.list_options):
            raise UsageError(f"no template of the type {self.type} lists options; leave out choices and list_options")
        if len(self.choices) == 1 or len(set(self.choices)) < len(self.choices):
            raise UsageError("choices: give at least two different answers")
        return found

    @cached_property
    def _mapped(self) -> dict[str, str]:
        return {field: column for field, _, column in (pair.partition("=") for pair in self.map)}

    @cached_property
    def _usable(self) -> list[TaskTemplate]:
        """The templates that the shares allow.

        Raises:
            UsageError: there is none.
        """
        sides = [side for side, share in ((False, 1 - self.inverted), (True, self.inverted)) if share > 0]
        found: list[TaskTemplate] = []
        for side in sides:
            there = [template for template in self._type.templates if template.inverted is side]
            if not there:
                why = "asks back from the answer; leave out inverted" if side else "asks for it; set inverted: 1"
                raise UsageError(f"no template of the type {self.type} {why}")
            shares = {True: self.reasoning, False: 1 - self.reasoning}
            both = len({template.uses_reasoning for template in there}) > 1
            found += [template for template in there if not both or shares[template.uses_reasoning] > 0]
        return found

    @cached_property
    def _columns(self) -> dict[str, str]:
        """The column of each field that is needed."""
        fields = frozenset[str]().union(*(template.fields for template in self._usable))
        return {field: self._mapped.get(field, field) for field in sorted(fields)}

    async def generate(self, seeds: Sequence[Record], ctx: Context) -> AsyncIterator[Record | Drop]:
        """Yield a record or a drop for each row, in their order.

        Raises:
            UsageError: no row has a column that is needed, options where they are asked for, or enough other rows.
        """
        self._check_rows(list(map(columns_of, seeds)))
        read = [self._read(seed) for seed in seeds]
        tasks = [task for task in read if isinstance(task, Task)]
        kinds = {id(task): self._choose_kind(task, ctx.derive("row", task.record.id).rng) for task in tasks}
        pools = self._choose_pools(tasks, ctx) if any(kind.few_shot for kind in kinds.values()) else {}
        turns, nobody = Counter[Kind](), Pool({})
        for task in read:
            if isinstance(task, Drop):
                yield task
                continue
            kind, words = kinds[id(task)], ctx.derive("words", task.record.id)
            yield self._write(task, kind, turns[kind], pools.get(task.name, nobody), words.rng)
            turns[kind] += 1

    def _check_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if not rows:
            return
        check_columns(rows, {**self._columns, **self._mapped}, self._mapped)
        column = self._options_column
        if self.list_options and not self.choices and all(find_value(row, column) is None for row in rows):
            raise UsageError(
                f"options are to be listed, but no row has a column {column!r}; name it with map "
                "(options=COLUMN), give choices, or leave out list_options"
            )

    @property
    def _options_column(self) -> str:
        return self._mapped.get(OPTIONS, OPTIONS)

    def _read(self, record: Record) -> Task | Drop:
        """Return the fields of a row as text."""
        row = columns_of(record)
        name = self.task or to_text(row.get("task")) or self.type
        options: tuple[str, ...] = ()
        if OPTIONS in self._type.fields:
            cell = self.choices or find_value(row, self._options_column)
            found = () if cell in (None, "", []) else to_options(cell)
            if found is None:
                return Drop("options-unreadable", f"{str(cell)[:100]!r} is no list of two or more texts", record=record)
            options = found
        fields: dict[str, str] = {}
        for field, column in self._columns.items():
            cell = find_value(row, column)
            if cell is None:
                continue
            if field == ANSWER and options:
                answer = choose_answer(cell, options, bool(self.choices))
                if isinstance(answer, Drop):
                    return replace(answer, record=record)
                fields[field] = answer
            elif (text := to_text(cell)) is None:
                return Drop("field-not-text", f"{field}: {str(cell)[:100]!r}", record=record)
            elif text.strip():
                fields[field] = text
        return Task(record, name, fields, options)

    def _choose_kind(self, task: Task, rng: Random) -> Kind:
        listing = 1 if self.list_options is None else self.list_options
        shares = (self.inverted, self.reasoning, listing, self.few_shot)
        inverted, reasoned, listed, few_shot = (rng.random() < share for share in shares)
        there = {template.uses_reasoning for template in self._usable if template.inverted is inverted}
        asked = bool(task.options) or self.list_options is not None
        listed = listed and asked and not inverted and OPTIONS in self._type.fields
        return Kind(inverted, reasoned if len(there) > 1 else there.pop(), listed, few_shot)

    @cached_property
    def _by_kind(self) -> dict[Kind, list[TaskTemplate]]:
        """The templates of each kind; those of unlisted kinds have no place for options."""
        found: dict[Kind, list[TaskTemplate]] = {}
        for kind in (Kind(*switches) for switches in product((False, True), repeat=4)):
            found[kind] = [
                template if kind.listed else template.without_options()
                for template in self._usable
                if (template.inverted, template.uses_reasoning) == (kind.inverted, kind.reasoned)
                and (template.lists_options or not kind.listed)
            ]
        return found

    def _write(self, task: Task, kind: Kind, turn: int, pool: Pool, rng: Random) -> Record | Drop:
        """Return the record of a row, or why there is none."""
        if kind.listed and not task.options:
            return Drop("options-missing", f"no {self._options_column}", record=task.record)
        templates = self._by_kind[kind]
        if not templates:
            return Drop("no-template", f"no template of the type {self.type} lists options so", record=task.record)
        place = turn if self.order == "round-robin" else rng.randrange(len(templates))
        template = templates[place % len(templates)]
        if missing := sorted(template.fields - task.fields.keys()):
            return Drop("field-missing", ", ".join(self._columns[field] for field in missing), record=task.record)
        fields = self._fill(task, template)
        parents, instruction = [task.record.id], template.write_input(fields)
        if kind.few_shot:
            shown = list(islice(self._draw(task, template, pool, rng), self.shots))
            if len(shown) < self.shots:
                return Drop("too-few-exemplars", f"{len(shown)} of {self.shots}", record=task.record)
            parents += [each.record.id for each in shown]
            instruction = template.write_few_shot([self._fill(each, template) for each in shown], fields)
        marks = {
            COT: template.shows_reasoning, EXEMPLAR: self._ask(task) in pool.questions, FEW_SHOT: kind.few_shot,
            INVERTED: kind.inverted, LISTED: kind.listed,
        }  # fmt: skip
        tags = (*(tag for tag in task.record.tags if tag != TAG), *(tag for tag, holds in marks.items() if holds))
        return Record(
            instruction=instruction, output=template.write_target(fields), task=task.name,
            tags=tuple(dict.fromkeys(tags)), extra=self._find_rest(task.record), label=task.record.label,
            origin=Origin(parents=tuple(filter(None, parents)), round=task.record.origin.round),
        )  # fmt: skip

    def _fill(self, task: Task, template: TaskTemplate) -> dict[str, str]:
        """Return what a template writes of a row."""
        listed = {OPTIONS: format_options(task.options, self.marks)} if template.lists_options else {}
        return {**task.fields, **listed}

    def _find_rest(self, record: Record) -> dict[str, Any]:
        """Return the columns of a row that no template of the type uses."""
        used = {self._mapped.get(field, field) for field in self._type.fields} | {"task"}
        roots = {column.partition(".")[0] for column in used}
        unused = {name: value for name, value in columns_of(record).items() if name not in used | roots}
        return {name: value for name, value in unused.items() if value not in EMPTY}

    def _ask(self, task: Task) -> str:
        """Return what a row asks, however it is worded."""
        template = self._usable[0]
        if template.fields <= task.fields.keys():
            return "\n".join((template.without_options().write_input(task.fields), *task.options))
        return repr(sorted(task.fields.items()))

    def _choose_pools(self, tasks: Sequence[Task], ctx: Context) -> dict[str, Pool]:
        """Return the exemplars of each task, by what they ask: those of the smallest numbers drawn for it.

        Raises:
            UsageError: a task has too few rows for any of its questions.
        """
        asked: dict[str, dict[str, Task]] = {}
        for task in tasks:
            asked.setdefault(task.name, {}).setdefault(self._ask(task), task)
        pools = {}
        for name, questions in asked.items():
            size = math.ceil(self.exemplars * len(questions))
            if len(questions) <= self.shots or size < self.shots:
                raise UsageError(
                    f"task {name!r}: {self.shots} exemplars are wanted, but it has {len(questions):,} different "
                    f"questions, of which {size:,} may be exemplars; lower shots, raise exemplars, or give more rows"
                )
            numbers = {question: ctx.derive("exemplar", name, question).rng.random() for question in questions}
            drawn = sorted((number, question) for question, number in numbers.items())[:size]
            pools[name] = Pool({question: questions[question] for _, question in drawn})
        return pools

    def _draw(self, task: Task, template: TaskTemplate, pool: Pool, rng: Random) -> Iterator[Task]:
        """Yield rows of the pool that ask something else and have all that the template needs, drawn by seed."""
        own = self._ask(task)
        for place in _shuffle(len(pool.rows), rng):
            question, row = pool.rows[place]
            complete = template.fields <= row.fields.keys() and (bool(row.options) or not template.lists_options)
            if complete and question != own:
                yield row


def _shuffle(size: int, rng: Random) -> Iterator[int]:
    """Yield the numbers below ``size`` in random order; a few of them cost little."""
    moved: dict[int, int] = {}
    for place in range(size):
        other = rng.randrange(place, size)
        yield moved.get(other, other)
        moved[other] = moved.get(place, place)


@hookimpl
def register_generators(register: Callable[[str, type[Generator]], None]) -> None:
    register("from-fields", FromFields)
