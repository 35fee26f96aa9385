"""A checked recipe: what runs, in which order, with every option written out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from filial.plugins.options import locate_files
from filial.plugins.yaml import Address, dump

if TYPE_CHECKING:
    from filial.contracts.kinds import Teacher
    from filial.plugins.manager import Manager


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """One component of a recipe.

    Attributes:
        kind: entry-point group without ``filial.``, such as "filters".
        use: the name in the recipe, ``name`` or ``dist:name``.
        options: every option of the component, defaults included, as plain data.
        settings: the recipe's own keys beside them (a strategy's ``weight``).
        path: where it stands in the recipe's data.
        where: the same for people, ``recipe.yaml:4:10``.
    """

    kind: str
    use: str
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    path: Address = ()
    where: str = ""

    def written(self) -> dict[str, Any]:
        """As the recipe would say it, with nothing left to defaults."""
        return {"use": self.use, **_given(self.settings), **self.options}


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage: its verb, its place (from 0), its folder's name (``01-generate``), settings and components.

    The components of an evolve stage are its strategies, then the filters it eliminates with (see `of`). ``limit`` is
    how many records a generator makes at most, and how many are read from each source of a mix (`limited`).
    """

    verb: str
    index: int
    settings: dict[str, Any]
    components: tuple[ComponentSpec, ...]
    limit: int | None = None

    @property
    def name(self) -> str:
        return f"{self.index + 1:02d}-{self.verb}"

    def of(self, kind: str) -> list[ComponentSpec]:
        """The components of one kind, in the recipe's order."""
        return [c for c in self.components if c.kind == kind]

    def written(self) -> dict[str, Any]:
        """As the recipe would say it, with nothing left to defaults."""
        if self.verb == "filter":
            return {"filter": [c.written() for c in self.components]}
        body = _given(self.settings)
        if self.verb == "evolve":
            body["strategies"] = [c.written() for c in self.of("strategies")]
            body["eliminate"] = [c.written() for c in self.of("filters")]
            return {"evolve": body}
        (component,) = self.components
        return {self.verb: {"use": component.use, **body, **component.options}}


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """One judge and what it looks at: ``data`` is a file or "heldout", ``against`` names the rivals.

    ``only`` picks held-out records: "seed-level" (no strategy changed them), "evolved", or None for all.
    ``max_new_tokens`` bounds each answer of the model.
    """

    component: ComponentSpec
    name: str
    data: str
    against: tuple[str, ...]
    only: str | None
    limit: int | None
    max_new_tokens: int

    def written(self) -> dict[str, Any]:
        """As the recipe would say it, with nothing left to defaults."""
        own = {
            "name": self.name, "data": self.data, "against": list(self.against), "only": self.only,
            "limit": self.limit, "max_new_tokens": self.max_new_tokens,
        }  # fmt: skip
        return {"use": self.component.use, **_given(own), **self.component.options}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe without faults. Paths stand as they were written; they are relative to ``base``. ``limit`` is how many
    records are read from ``data`` at most (`limited`)."""

    name: str
    base: Path
    seed: int = 42
    teacher: ComponentSpec | None = None
    budget: dict[str, Any] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()
    data: str | None = None
    stages: tuple[StageSpec, ...] = ()
    heldout: int = 0
    template: ComponentSpec | None = None
    train: ComponentSpec | None = None
    model: str | None = None
    judges: tuple[JudgeSpec, ...] = ()
    limit: int | None = None

    def components(self) -> Iterator[ComponentSpec]:
        """Every component the recipe names, in the order in which they come into play."""
        yield from [self.teacher] if self.teacher else []
        for stage in self.stages:
            yield from stage.components
        yield from [spec for spec in (self.template, self.train) if spec]
        yield from (judge.component for judge in self.judges)

    def teacher_identity(self, manager: Manager) -> dict[str, Any] | None:
        """What the teacher's answers depend on beside the request; limits such as concurrency do not count."""
        if self.teacher is None:
            return None
        return {"use": self.teacher.use, **self.teacher_of(manager).identity()}

    def teacher_of(self, manager: Manager) -> Teacher:
        """The teacher that the recipe names."""
        assert self.teacher is not None
        teacher = manager.build("teachers", {"use": self.teacher.use, **self.teacher.options})
        return locate_files(cast("Teacher", teacher), self.base)

    def resolved(self) -> dict[str, Any]:
        """The whole recipe as plain data, nothing left to defaults; `from_dict` reads it back."""
        out: dict[str, Any] = {"seed": self.seed}
        if self.teacher:
            out["teacher"] = self.teacher.written()
        if self.hooks:
            out["hooks"] = list(self.hooks)
        if self.budget:
            out["budget"] = dict(self.budget)
        if self.data is not None:
            out["data"] = self.data
        out["stages"] = [stage.written() for stage in self.stages]
        out["heldout"] = self.heldout
        if self.template:
            out["template"] = self.template.written()
        if self.train:
            out["train"] = {"use": self.train.use, "model": self.model, **self.train.options}
        if self.judges:
            out["judge"] = [judge.written() for judge in self.judges]
        return out

    def lock(self, manager: Manager) -> str:
        """`resolved` as YAML, headed by the distribution and version each component came from."""
        lines = ["# Written by filial: the recipe of this run, with every default written out."]
        plugins = {f"{c.kind} {c.use}": manager.provenance(c.kind, c.use) for c in self.components()}
        lines += [f"# {name}: {origin}" for name, origin in plugins.items()]
        return "\n".join(lines) + "\n" + dump(self.resolved())


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not None}


COUNT = "count"
"""The option by which generators are told how many to make."""


def limited(recipe: Recipe, n: int) -> Recipe:
    """The recipe on at most ``n`` records: of ``data``, of each generator, of each source of a mix and of a mix that
    names its total, and of each exam. At most a quarter as many are kept back from training.

    Everything that is done for it has other keys than for the whole recipe.
    """
    return replace(
        recipe,
        limit=n,
        stages=tuple(_stage(stage, n) for stage in recipe.stages),
        heldout=min(recipe.heldout, max(1, n // 4)),
        judges=tuple(_judge(judge, n) for judge in recipe.judges),
    )


def _stage(stage: StageSpec, n: int) -> StageSpec:
    if stage.verb == "generate":
        return replace(stage, limit=n, components=tuple(_generator(spec, n) for spec in stage.components))
    if stage.verb == "mix":
        total = stage.settings.get("total")
        return replace(stage, limit=n, settings={**stage.settings, "total": total and min(total, n)})
    return stage


def _generator(spec: ComponentSpec, n: int) -> ComponentSpec:
    count = spec.options.get(COUNT)
    return replace(spec, options={**spec.options, COUNT: min(count, n)}) if isinstance(count, int) else spec


def _judge(judge: JudgeSpec, n: int) -> JudgeSpec:
    return replace(judge, limit=n if judge.limit is None else min(judge.limit, n))
