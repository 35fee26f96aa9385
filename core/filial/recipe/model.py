"""A checked recipe: what runs, in which order, with all options."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from filial.contracts.sources import SourceSpec
from filial.plugins.discovery import OURSELVES, STAGES
from filial.plugins.options import locate_files
from filial.plugins.yaml import Address, dump
from filial.recipe.settings import Settings, parts

if TYPE_CHECKING:
    from filial.contracts.kinds import Teacher
    from filial.plugins.manager import Manager


BASE = "base"
"""The name of the model before training, in recipes and figures."""


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """One component of a recipe.

    Attributes:
        kind: entry-point group without ``filial.``, such as "filters".
        use: the name in the recipe, ``name`` or ``dist:name``.
        options: every option of the component, defaults included, as plain data.
        settings: the recipe's own keys beside the options, a model of `filial.recipe.settings` (a strategy's
            ``weight``).
        path: its address in the data of the recipe.
        where: the same for people, ``recipe.yaml:4:10``.
    """

    kind: str
    use: str
    options: dict[str, Any] = field(default_factory=dict)
    settings: Any = field(default_factory=Settings)
    path: Address = ()
    where: str = ""

    @property
    def name(self) -> str:
        """The name in tables and figures: the one given in the recipe, or the plugin's."""
        return getattr(self.settings, "name", None) or self.use.rpartition(":")[2]

    def to_dict(self) -> dict[str, Any]:
        """As the recipe would say it, with nothing left to defaults."""
        return {"use": self.use, **self.settings.plain_values(), **self.options}


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage: its verb, its position (from 0), its folder's name (``01-generate``), settings and components.

    ``settings`` is a `filial.stages.Stage`: the keys of the stage and its code. The components have the order of the
    keys that name them (see `of`). ``limit`` is the maximum number of records that the stage makes, or reads from each
    source (`limit_records`).
    """

    verb: str
    index: int
    settings: Any
    components: tuple[ComponentSpec, ...]
    limit: int | None = None

    @property
    def name(self) -> str:
        return f"{self.index + 1:02d}-{self.verb.rpartition(':')[2]}"

    def plugin(self, manager: Manager) -> str:
        """``dist:name==version`` of the stage itself; "" for a built-in, since every key holds filial's version."""
        ours = manager.index.claim(STAGES, self.verb).dist == OURSELVES
        return "" if ours else manager.provenance(STAGES, self.verb)

    def plugins(self, manager: Manager) -> list[str]:
        """``dist:name==version`` of the stage itself and of its components."""
        own = self.plugin(manager)
        return [*([own] if own else []), *(manager.provenance(spec.kind, spec.use) for spec in self.components)]

    def of(self, kind: str) -> list[ComponentSpec]:
        """Return the components of one kind, in the order of the recipe."""
        return [c for c in self.components if c.kind == kind]

    def to_dict(self) -> dict[str, Any]:
        """As the recipe would say it, with nothing left to defaults."""
        body = self.settings.plain_values()
        if self.settings.kind:
            component, *_ = self.components
            return {self.verb: {"use": component.use, **body, **component.options}}
        body |= {key: [c.to_dict() for c in self.of(part.kind)] for key, part in parts(type(self.settings)).items()}
        return {self.verb: body[self.settings.alone] if self.settings.alone else body}


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """One judge and its data.

    Attributes:
        data: a source, or "heldout".
        against: the rivals: teachers, and None for the model before training.
        only: which held-out records: "seed-level" (no strategy changed them), "evolved", or None for all.
        max_new_tokens: maximum tokens of each answer.
    """

    component: ComponentSpec
    name: str
    data: Literal["heldout"] | SourceSpec
    against: tuple[ComponentSpec | None, ...]
    only: str | None
    limit: int | None
    max_new_tokens: int

    @property
    def rivals(self) -> tuple[str, ...]:
        """The names of the other candidates in the figures."""
        return tuple(BASE if rival is None else rival.name for rival in self.against)

    def to_dict(self) -> dict[str, Any]:
        """As the recipe would say it, with nothing left to defaults."""
        own = self.component.settings.model_copy(update={"name": self.name, "limit": self.limit}).plain_values()
        own["against"] = [BASE if rival is None else rival.to_dict() for rival in self.against]
        return {"use": self.component.use, **own, **self.component.options}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe without faults.

    Paths are as written, relative to ``base``. ``limit`` is the maximum number of records read from ``data``
    (`limit_records`)."""

    name: str
    base: Path
    seed: int = 42
    teacher: ComponentSpec | None = None
    budget: dict[str, Any] = field(default_factory=dict)
    hooks: tuple[ComponentSpec, ...] = ()
    data: SourceSpec | None = None
    stages: tuple[StageSpec, ...] = ()
    heldout: int = 0
    template: ComponentSpec | None = None
    train: ComponentSpec | None = None
    judges: tuple[JudgeSpec, ...] = ()
    limit: int | None = None

    @property
    def model(self) -> str | None:
        """The model to train."""
        return self.train.settings.model if self.train else None

    def components(self) -> Iterator[ComponentSpec]:
        """Return every component of the recipe, in the order of use."""
        yield from [self.teacher] if self.teacher else []
        yield from self.hooks
        for stage in self.stages:
            yield from stage.components
        yield from [spec for spec in (self.template, self.train) if spec]
        for judge in self.judges:
            yield judge.component
            yield from [rival for rival in judge.against if rival is not None]

    def teacher_identity(self, manager: Manager) -> dict[str, Any] | None:
        """Return what the teacher's answers depend on besides the request; limits such as concurrency do not count."""
        if self.teacher is None:
            return None
        return {"use": manager.identity("teachers", self.teacher.use), **self.build_teacher(manager).identity()}

    def build_teacher(self, manager: Manager) -> Teacher:
        """Return the recipe's teacher."""
        assert self.teacher is not None
        teacher = manager.build("teachers", {"use": self.teacher.use, **self.teacher.options})
        return locate_files(cast("Teacher", teacher), self.base)

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain data, with every default; `from_dict` reads it."""
        out = {
            "seed": self.seed, "teacher": self.teacher and self.teacher.to_dict(),
            "hooks": [hook.to_dict() for hook in self.hooks],
            "budget": self.budget, "data": self.data and self.data.model_dump(mode="json"),
            "stages": [stage.to_dict() for stage in self.stages],
            "heldout": self.heldout, "template": self.template and self.template.to_dict(),
            "train": self.train and self.train.to_dict(), "judge": [judge.to_dict() for judge in self.judges],
        }  # fmt: skip
        return {key: value for key, value in out.items() if key == "stages" or value not in (None, [], {})}

    def lock(self, manager: Manager) -> str:
        """Return the recipe as YAML, with the distribution and version of each component in comments."""
        lines = ["# Written by filial: the recipe of this run, with every default written out."]
        plugins = {f"{STAGES} {s.verb}": origin for s in self.stages if (origin := s.plugin(manager))}
        plugins |= {f"{c.kind} {c.use}": manager.provenance(c.kind, c.use) for c in self.components()}
        lines += [f"# {name}: {origin}" for name, origin in plugins.items()]
        return "\n".join(lines) + "\n" + dump(self.to_dict())


COUNT = "count"
"""The option of generators with the number of records to make."""


def limit_records(recipe: Recipe, n: int) -> Recipe:
    """Return the recipe limited to ``n`` records: of ``data``, of each generator, of other sources of a stage
    (`StageSettings.limit_records`) and of each judge's data. At most ``n / 4`` records are held out from training.

    Its stages have other keys than those of the whole recipe.
    """
    return replace(
        recipe, limit=n, stages=tuple(_limit_stage(stage, n) for stage in recipe.stages),
        heldout=min(recipe.heldout, max(1, n // 4)),
        judges=tuple(replace(judge, limit=min(judge.limit or n, n)) for judge in recipe.judges),
    )  # fmt: skip


def _limit_stage(stage: StageSpec, n: int) -> StageSpec:
    components = tuple(_limit_component(spec, n) for spec in stage.components)
    settings, limit = stage.settings.limit_records(n), n if stage.settings.bounded else None
    return replace(stage, settings=settings, components=components, limit=limit)


def _limit_component(spec: ComponentSpec, n: int) -> ComponentSpec:
    count = spec.options.get(COUNT) if spec.kind == "generators" else None
    return replace(spec, options={**spec.options, COUNT: min(count, n)}) if isinstance(count, int) else spec


def unused_name(name: str, taken: Collection[str]) -> str:
    """Return this name, with a number if it is taken: ``name-2``."""
    numbered = (f"{name}-{number}" for number in count(2))
    return next(one for one in numbered if one not in taken) if name in taken else name
