"""Show what a run would do, step by step; send nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from filial import Teacher
from filial.commands import (
    ComponentSpec,
    Run,
    StageSpec,
    Step,
    format_dollars,
    home_option,
    json_option,
    locate_files,
    manager,
    open_run,
    plan_steps,
    print_json,
)
from filial_plugins.commands.recipes import name_option, recipe_options
from filial_plugins.commands.tables import plan_table

AGAIN = "--retry-lost repeats this"


@click.command()
@recipe_options
@name_option
@home_option
@json_option
@click.pass_context
def plan(
    ctx: click.Context, recipe: Path, overrides: tuple[str, ...], name: str | None, home: Path, as_json: bool
) -> int:
    """Show what a run would do and cost, step by step; send nothing.

    Requests with an answer in the ledger cost nothing and are counted apart. "How sure": exact, if nothing has to be
    asked; likely, if the records and this teacher's usual answers are known; rough otherwise.
    """
    run = open_run(recipe, set=overrides, name=name, home=home, plugins=manager(ctx))
    steps = plan_steps(run)
    asked = run.recipe.teacher
    rows = [_row(run, "teacher", "", describe_teacher(run, asked), [asked])] if asked else []
    rows += [{**_row(run, step.name, step.state, *describe(run, step)), **asdict(step.estimate)} for step in steps]
    if as_json:
        print_json(rows)
    else:
        click.echo(plan_table(rows))
    return 0


def _row(run: Run, name: str, state: str, what: str, components: list[ComponentSpec]) -> dict[str, Any]:
    """Return a row of the plan for a step; other packages that take part are named with their versions."""
    plugins = [run.manager.provenance(spec.kind, spec.use) for spec in components]
    sources = [plugin.partition("==") for plugin in plugins if not plugin.startswith("filial:")]
    others = sorted({f"{named.rpartition(':')[0]} {version}" for named, _, version in sources})
    what += f" (from {', '.join(others)})" if others else ""
    return {"step": name, "state": state, "what": what, "plugins": plugins}


def describe(run: Run, step: Step) -> tuple[str, list[ComponentSpec]]:
    """Say which plugins work in a step and on what, and name its components."""
    spec, recipe = step.spec, run.recipe
    if isinstance(spec, StageSpec):
        what = describe_stage(spec)
        what += f"; {step.out:,} records" if step.out is not None else ""
        return what + (f"; {step.lost:,} lost, {AGAIN}" if step.lost else ""), list(spec.components)
    if isinstance(spec, ComponentSpec):
        template = recipe.template.use if recipe.template else "none"
        components = [spec, recipe.template] if recipe.template else [spec]
        return f"{spec.use} on {recipe.model}, template {template}", components
    rivals = []
    for rival, name in zip(spec.against, spec.rivals, strict=True):
        words = _destination(_teacher(run, rival)) if rival is not None else []
        rivals.append(f"{name} ({', '.join(words)})" if words else name)
    what = f"{spec.component.use} on {spec.data}" + (f", against {' and '.join(rivals)}" if rivals else "")
    what += f"; {step.lost:,} not judged, {AGAIN}" if step.lost else ""
    return what, [spec.component, *(rival for rival in spec.against if rival is not None)]


def describe_stage(stage: StageSpec) -> str:
    """Say which plugins work in a stage, on what, and how much it asks."""
    settings = stage.settings
    if not stage.components:
        return (type(settings).__doc__ or "").partition("\n")[0]
    names = ", ".join(getattr(spec.settings, "name", None) or spec.use for spec in stage.of(stage.components[0].kind))
    if stage.verb == "evolve":
        rounds = f"{settings.rounds} round{'s' if settings.rounds > 1 else ''}"
        return f"{rounds} of {names}; a strategy and its answer are two requests"
    return f"{names} from {settings.seeds}" if stage.verb == "generate" and settings.seeds else names


def describe_teacher(run: Run, spec: ComponentSpec) -> str:
    """Name the teacher, its host, the variable of its key, and its caps."""
    teacher, model, budget = _teacher(run, spec), spec.options.get("model"), run.recipe.budget
    words = [f"{spec.use}, model {model}" if model else spec.use, *_destination(teacher)]
    caps = [f"{budget[name]:,} {name}" for name in ("requests", "tokens") if budget.get(name)]
    caps += [format_dollars(budget["usd"])] if budget.get("usd") else []
    price = teacher.price()
    if caps or price is None or price.completion:
        words.append(f"at most {' and '.join(caps)}" if caps else "no cap on the cost (add budget: {usd: N})")
    if price is not None and price.completion:
        words.append(
            f"{format_dollars(price.prompt)} and {format_dollars(price.completion)} per million tokens ({price.source})"
        )
    return ", ".join(words)


def _teacher(run: Run, spec: ComponentSpec) -> Teacher:
    teacher: Teacher = run.manager.build("teachers", {"use": spec.use, **spec.options})  # type: ignore[assignment]
    return locate_files(teacher, run.recipe.base)


def _destination(teacher: Teacher) -> list[str]:
    """Name the host of a teacher and the variable of its key."""
    place = teacher.destination()
    if place is None:
        return []
    return [f"host {place.host}", *([f"key from ${place.key}"] if place.key else [])]
