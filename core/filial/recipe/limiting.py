"""A recipe cut down to a few records: what ``filial run --limit N`` runs."""

from __future__ import annotations

from dataclasses import replace

from filial.recipe.model import ComponentSpec, JudgeSpec, Recipe, StageSpec

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
