"""What the result of each step depends on, by name: hashed to find out whether a step is done, compared to say what has
changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filial.contracts.paths import is_address, resolve
from filial.contracts.sources import SourceSpec
from filial.plugins.discovery import OURSELVES, STAGES
from filial.plugins.manager import Manager
from filial.plugins.options import change_files, find_files
from filial.recipe import ComponentSpec, Recipe, StageSpec
from filial.storage import digest, file_sha256

SHOWN = 3
"""Maximum number of changes to name."""


class StepKey:
    """A step's key and the parts it is made of: name in a sentence -> version or digest.

    ``follows`` is the part that stands for the step before.
    """

    def __init__(self, parts: dict[str, str], follows: str = "") -> None:
        self.parts, self.key, self._follows = parts, digest(parts), follows

    def describe_changes(self, before: dict[str, str]) -> str:
        """Say what has changed since ``before`` (the former parts), as the end of a sentence."""
        names = [name for name in {**self.parts, **before} if self.parts.get(name) != before.get(name)]
        names = [name for name in names if name != self._follows] or names  # these changed the step before, too
        if len(names) > SHOWN + 1:
            names = [*names[:SHOWN], f"{len(names) - SHOWN} other things"]
        return f"{', '.join(names[:-1])} and {names[-1]} changed" if names[1:] else f"{names[0]} changed"


def run_keys(recipe: Recipe, manager: Manager) -> list[StepKey]:
    """Return the key of the start, then of every stage; each depends on all before it."""
    common = {"filial": manager.own_version(), "the seed": str(recipe.seed), **teacher_parts(recipe, manager)}
    if recipe.data is not None:
        common["the data"] = spec_digest(recipe.data, recipe.base)
    if recipe.limit:
        common["the limit"] = str(recipe.limit)
    keys = [StepKey(common)]
    follows: dict[str, str] = {}
    for stage in recipe.stages:
        own = stage_parts(stage, recipe.base, manager)
        both = {name: f"{common[name]} {own[name]}" for name in common.keys() & own.keys()}
        keys.append(StepKey({**common, **own, **both, **follows}, *follows))
        follows = {stage.name: keys[-1].key}
    return keys


def teacher_parts(recipe: Recipe, manager: Manager) -> dict[str, str]:
    """Return the teacher and its `ask` hooks; nothing if the recipe names no teacher."""
    if recipe.teacher is None:
        return {}
    parts = {"the teacher": digest(recipe.teacher_identity(manager))}
    if hooks := manager.ask_hooks():
        parts["the ask hooks"] = digest(hooks)
    return parts


def stage_parts(stage: StageSpec, base: Path, manager: Manager) -> dict[str, str]:
    """Return what a stage's result depends on besides its input records: other inputs by content (not by location),
    plugins with versions, options."""
    model, own = type(stage.settings), stage.settings.plain_values()
    parts = {"its settings": digest(change_files(stage.settings, lambda path: ""), stage.limit)}
    for place, source in find_files(model, own):
        parts[f"its {' '.join(map(str, place))}"] = source_digest(source, base)
    parts |= component_parts(stage.components, base, manager, beside=True)
    who, version = manager.identity(STAGES, stage.verb), manager.version(STAGES, stage.verb)
    dist = who.rpartition(":")[0]
    if dist != OURSELVES:
        parts["its verb"] = who
    if dist != OURSELVES or version != manager.own_version():  # different if filial is installed in editable form
        parts[dist] = " ".join(sorted({version, *parts.get(dist, "").split()}))
    return parts


def component_parts(
    specs: Sequence[ComponentSpec], base: Path, manager: Manager, *, beside: bool = False
) -> dict[str, str]:
    """Return what a step depends on through its components: their names in order, the versions of their distributions,
    and their options, with position and content of the files these name.

    ``beside``: also on the recipe's own keys beside the options. For a judge and its rivals these decide where figures
    are stored.
    """
    versions: dict[str, set[str]] = {}
    options: dict[str, list[Any]] = {}
    plugins: list[list[Any]] = []
    for spec in specs:
        dist, _, name = manager.identity(spec.kind, spec.use).rpartition(":")
        versions.setdefault(dist, set()).add(manager.version(spec.kind, spec.use))
        files = find_files(manager.get(spec.kind, spec.use), spec.options)
        held = [[place, source_digest(path, base)] for place, path in files]
        options.setdefault(name, []).append([spec.options, held])
        plugins.append([manager.identity(spec.kind, spec.use), *(spec.settings.key_parts() if beside else [None])])
    return {
        "its plugins": digest(plugins),
        **{dist: " ".join(sorted(found)) for dist, found in versions.items()},
        **{f"the options of {name}": digest(found) for name, found in options.items()},
    }


def spec_digest(source: SourceSpec, base: Path) -> str:
    """Return what a key says about an input and how it is read."""
    held, written = source_digest(source.file, base), source.model_dump(mode="json")
    return digest(held, {**written, "file": ""}) if isinstance(written, dict) else held


def source_digest(source: str, base: Path) -> str:
    """Return what a key says about an input: digests of a file or of a folder's files; for a hub data set, its name."""
    if is_address(source):
        return source
    path = resolve(source, base)
    if path.is_file():
        return file_sha256(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return digest([[str(p.relative_to(path)), file_sha256(p)] for p in files])
