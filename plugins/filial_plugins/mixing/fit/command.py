"""``filial mix fit``: choose the weights of a mix by pilots."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from filial import UsageError
from filial.commands import (
    StageContext,
    home_option,
    json_option,
    manager,
    parse_options,
    print_json,
    run_async,
    source_options,
)
from filial.formats import SourceSpec
from filial.storage import digest, lock_folder, write_bytes
from filial_plugins.commands.flags import template_options
from filial_plugins.commands.outputs import Place, check_places, explain_interrupt, read_places
from filial_plugins.mixing.drawing import Pool
from filial_plugins.mixing.fit import inputs as given
from filial_plugins.mixing.fit import law
from filial_plugins.mixing.fit.pilots import Pilot, Pilots, Training, set_length
from filial_plugins.mixing.fit.report import FITTED, Finding, write_fragment
from filial_plugins.mixing.fit.simplex import (
    SAME,
    Bounds,
    Mixture,
    Vector,
    make_bounds,
    plan_mixtures,
    require_task,
    round_shares,
)
from filial_plugins.mixing.fit.tasks import Tasks, hold_out

CHARACTERS_PER_TOKEN = 4
LEAST_PILOTS = 8
Words = tuple[str, ...]


@click.command("fit")
@click.argument("inputs", nargs=-1, required=True, metavar="RECIPE|[TASK=]FILE...")
@click.option("-o", "--out", default="-", metavar="OUT", help="File for the mix stage; default: stdout.")
@click.option("--stage", metavar="NAME", help="Which mix stage of the recipe, if it has several.")
@click.option("--model", help="Base model of the pilots, a small one; default: the recipe's.")
@template_options
@click.option("--trainer", metavar="NAME", help="Trainer of the pilots; default: the recipe's, or sft.")
@click.option(
    "--trainer-option", "trainer_options", multiple=True, metavar="KEY=VALUE",
    help="Option of the trainer, such as lr=1e-3; repeatable.",
)  # fmt: skip
@click.option("--pilots", type=click.IntRange(3), help="Pilots; default: 8, or twice the tasks and 2 if that is more.")
@click.option("--steps", type=click.IntRange(1), default=100, show_default=True, help="Updates of each pilot.")
@click.option(
    "--bounds", multiple=True, metavar="TASK=LOW:HIGH",
    help="Bounds of a task's share; default: from a fifth of an equal share to 1.",
)  # fmt: skip
@click.option(
    "--target", multiple=True, metavar="TASK=WEIGHT",
    help="Weight of a task in the mean loss, 0 for those that are not named; default: all alike.",
)  # fmt: skip
@click.option(
    "--held-out", type=click.FloatRange(0, 0.9, min_open=True), default=0.1, show_default=True,
    help="Share of each task that is never trained on, to measure the loss.",
)  # fmt: skip
@click.option(
    "--held-out-most", type=click.IntRange(1), default=256, show_default=True,
    help="Held-out records of a task at most.",
)  # fmt: skip
@click.option("--check/--no-check", default=True, show_default=True, help="Train one more pilot on the result.")
@click.option("--plan", is_flag=True, help="Say what the pilots would cost; train nothing.")
@click.option("--seed", type=int, help="Seed of all random numbers; default: the recipe's, or 42.")
@source_options
@home_option
@json_option
@click.pass_context
def fit(ctx: click.Context, /, inputs: Words, out: str, plan: bool, as_json: bool, home: Path, **flags: Any) -> int:
    """Choose the weights of a mix by pilots.

    Short trainings of a small model on different mixtures show how the held-out loss of each task depends on the
    weights; a law is fitted to the losses, and the mixture with the smallest mean loss is written as a mix stage. The
    uniform, the size-proportional and a random mixture are always trained beside it. Finished pilots are kept in
    HOME/.filial/pilots and not trained again.
    """
    job = _Job(ctx, home, _read(ctx, inputs, home, flags), flags)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("mix fit is one process that starts its trainings; leave out torchrun, and set launch=N")
    if out != "-" and Path(out).is_dir():
        raise UsageError(f"{out}: is a folder; give a file in it")
    places = [] if out == "-" else [Place("-o", out, "give -o another file")]
    files = [source.file for source, _ in job.inputs.sources]
    check_places([*read_places(ctx, files), Place("the recipe", inputs[0])], places)
    kept = f"finished pilots are kept in {job.store}; the same command continues from there"
    with explain_interrupt(kept), lock_folder(job.work):
        try:
            if plan:
                _print_plan(job, as_json)
                return 0
            finding = job.find()
        finally:
            for name in ("data", "prepared"):
                shutil.rmtree(job.work / name, ignore_errors=True)
    text = write_fragment(finding, job.stage_keys(out), job.describe())
    if out != "-":
        write_bytes(Path(out), text.encode("utf-8", "surrogatepass"))
    if as_json:
        print_json({**job.figures(finding), **finding.figures(), "stage": text})
        return 0
    click.echo(f"\n{finding.table()}\n", err=True)
    for sentence in finding.sentences():
        click.echo(sentence, err=True)
    if out == "-":
        click.echo(text, nl=False)
    else:
        click.echo(f"wrote {out}: put it among the stages of a recipe", err=True)
    return 0


def _read(ctx: click.Context, words: Words, home: Path, flags: dict[str, Any]) -> given.Inputs:
    return given.read_arguments(words, flags["stage"], home, flags, manager(ctx))


@dataclass(slots=True)
class _Planned:
    """What is known before any training."""

    tasks: Tasks
    bounds: Bounds
    target: Vector
    mixtures: list[Mixture]


class _Job:
    """One call of the command."""

    def __init__(self, ctx: click.Context, home: Path, inputs: given.Inputs, flags: dict[str, Any]) -> None:
        self.ctx, self.inputs, self.flags = ctx, inputs, flags
        plugins, recipe = manager(ctx), inputs.recipe
        self.seed: int = flags["seed"] if flags["seed"] is not None else recipe.seed if recipe else 42
        self.store = home / ".filial" / "pilots"
        model = given.choose_model(inputs, flags["model"])
        template = given.choose_part(
            "template", flags["template"], parse_options("--template-option", flags["template_options"]),
            recipe.template if recipe else None, None,
        )  # fmt: skip
        plugins.build("templates", template, "--template")
        spec = given.choose_part(
            "trainer", flags["trainer"], parse_options("--trainer-option", flags["trainer_options"]),
            recipe.train if recipe else None, "sft",
        )  # fmt: skip
        trainer, self.records = set_length(given.build_trainer(spec, model, inputs, plugins), flags["steps"])
        self.training = Training(trainer, template, model, inputs.base, self.seed, plugins)
        self.work = self.store / f"work-{digest([str(source) for source in inputs.sources], self.seed)[:12]}"
        self.bounds, self.target = _parse_bounds(flags["bounds"]), _parse_target(flags["target"])

    def find(self) -> Finding:
        """Train the pilots, fit the law, and train the check."""
        with closing(self._pool("held out")) as records, closing(self._pool("train")) as pool:
            planned = self.prepare(records, pool)
            tasks, target = planned.tasks, planned.target
            pilots = self.pilots(tasks)
            done = [self._train(pilots, tasks, mixture, number, len(planned.mixtures))
                    for number, mixture in enumerate(planned.mixtures, 1)]  # fmt: skip
            found, best = _fit(done, planned)
            check = None
            if self.flags["check"]:
                check = self._train(pilots, tasks, best, 0, 0)
                done.append(Pilot(Mixture("check", best.shares), check.losses, check.figures, check.fresh))
                found, again = _fit(done, planned)
                if np.abs(again.shares - best.shares).sum() > SAME:
                    best, check = again, None
            others = np.array([one.find_best(target, planned.bounds) for one in found.without])
            moved = (others.min(axis=0), others.max(axis=0))
        return Finding(tasks.names, planned.bounds, done, found, best, check, moved)

    def prepare(self, records: Pool, pool: Pool) -> _Planned:
        """Read all records, hold some out, and choose the mixtures of the pilots.

        Raises:
            UsageError: the flags do not fit the tasks.
        """
        flags, plugins = self.flags, manager(self.ctx)
        drops = _Drops()
        env = StageContext(stage="mix fit", seed=self.seed, writer=drops, note=_say)
        try:
            run_async(self.ctx, self.inputs.fill(records, plugins, env))
            drops.say()
            held = hold_out(records, pool, self.work / "data" / "heldout", flags["held_out"], flags["held_out_most"])
            tasks = run_async(self.ctx, held)
        except UsageError as err:
            raise self._blame(err) from err
        names = tasks.names
        bounds = make_bounds(names, self.bounds)
        for name in self.target:
            require_task(name, names, "--target")
        target = np.array([self.target.get(name, 0.0) for name in names])
        target = target if target.any() else np.ones(len(names))
        count = flags["pilots"] or max(LEAST_PILOTS, 2 * len(names) + 2)
        if count < len(names) + 2:
            raise UsageError(
                f"--pilots {count}: the law of {len(names)} tasks needs {len(names) + 2} pilots at least; twice the "
                "tasks are better"
            )
        mixtures = plan_mixtures(list(tasks.sizes.values()), bounds, count, self.seed)
        return _Planned(tasks, bounds, target / target.sum(), mixtures)

    def pilots(self, tasks: Tasks) -> Pilots:
        """Return what trains pilots on these tasks."""
        return Pilots(self.training, tasks.names, self.work, self.store, _say)

    def write_training(self, tasks: Tasks, mixture: Mixture) -> None:
        """Write the training file of a pilot.

        Raises:
            UsageError: the share of chain of thought cannot be given.
        """
        file, share = self.work / "data" / "train.jsonl", self.inputs.settings.cot_share
        try:
            run_async(self.ctx, tasks.write_training(file, mixture.weights(tasks.names), self.records, share))
        except UsageError as err:
            raise self._blame(err) from err

    def _train(self, pilots: Pilots, tasks: Tasks, mixture: Mixture, number: int, of: int) -> Pilot:
        self.write_training(tasks, mixture)
        pilot = pilots.train(mixture, lambda done, total, text: None)
        what = f"pilot {number} of {of}" if number else "check"
        shares = ", ".join(f"{task} {share:.3f}" for task, share in mixture.weights(tasks.names).items())
        losses = ", ".join(f"{task} {loss:.4f}" for task, loss in zip(tasks.names, pilot.losses, strict=True))
        known = "" if pilot.fresh else " (trained before)"
        click.echo(f"{what}, {mixture.name}: {shares}: held-out loss {losses}{known}", err=True)
        return pilot

    def _pool(self, part: str) -> Pool:
        return Pool(self.seed, f"mix fit\x1f{part}")

    def _blame(self, err: UsageError) -> UsageError:
        """Put the place of the mix stage in front, if a recipe is to blame."""
        where = self.inputs.where
        return UsageError(f"{where}: {err}") if where and type(err) is UsageError else err

    def stage_keys(self, out: str) -> dict[str, Any]:
        """Return the keys of the mix stage beside the mixer: those of the recipe, and the sources."""
        settings, recipe = self.inputs.settings, self.inputs.recipe
        fields = type(settings).model_fields
        said = settings.model_dump(mode="json", exclude={"sources"}, exclude_unset=True)
        keys = {key: value for key, value in said.items() if key in fields and value != fields[key].default}
        sources = {task: source for source, task in self.inputs.sources if task is not None}
        folder = None if recipe or out == "-" else Path(out).absolute().parent
        named = {task: _write_source(source, folder) for task, source in sources.items()}
        return {**keys, **({"sources": named} if named else {})}

    def describe(self) -> list[str]:
        """Return the first lines of the comment above the stage."""
        recipe = self.inputs.recipe
        model = self.flags["model"] or (recipe.model if recipe else "")
        length = f"{self.flags['steps']:,} steps ({self.records:,} records)"
        lines = [f"Chosen by filial mix fit: pilots of {length}, seed {self.seed}, model {model}."]
        if files := [source.file for source, task in self.inputs.sources if task is None and recipe is None]:
            lines.append(f"The records of {', '.join(files)} come from the stage before this one, or from 'data'.")
        return lines

    def figures(self, finding: Finding) -> dict[str, Any]:
        """Return what the pilots cost."""
        pilots = finding.pilots
        spent = {
            key: round(sum(pilot.figures.get(key, 0) for pilot in pilots), 2) for key in ("tokens_seen", "cpu_seconds")
        }
        fresh = sum(pilot.fresh for pilot in pilots)
        return {"seed": self.seed, "steps": self.flags["steps"], "records": self.records, "trained": fresh, **spent}


def _fit(pilots: list[Pilot], planned: _Planned) -> tuple[law.Fit, Mixture]:
    """Return the law of the pilots, and its best mixture."""
    found = law.fit([pilot.mixture.shares for pilot in pilots], [pilot.losses for pilot in pilots], planned.target)
    return found, Mixture(FITTED, round_shares(found.law.find_best(planned.target, planned.bounds)))


def _print_plan(job: _Job, as_json: bool) -> None:
    """Say what the pilots would cost."""
    with closing(job._pool("held out")) as records, closing(job._pool("train")) as pool:
        planned = job.prepare(records, pool)
        tasks, pilots = planned.tasks, job.pilots(planned.tasks)
        rows, done = list[dict[str, Any]](), 0
        for mixture in planned.mixtures:
            job.write_training(tasks, mixture)
            there = pilots.find(mixture) is not None
            done += there
            rows.append({"mixture": mixture.name, "weights": mixture.weights(tasks.names), "done": there})
        check = bool(job.flags["check"])
        left, held = len(rows) - done + check, sum(tasks.held.values())
        tokens = job.inputs.characters / CHARACTERS_PER_TOKEN
        cost = {
            "tasks": {name: {"records": size, "held_out": tasks.held[name]} for name, size in tasks.sizes.items()},
            "pilots": rows, "check": check, "steps": job.flags["steps"], "records_per_pilot": job.records,
            "to_train": left, "tokens_trained": round(left * job.records * tokens),
            "tokens_evaluated": round(left * held * tokens),
        }  # fmt: skip
    if as_json:
        print_json(cost)
        return
    for name, task in cost["tasks"].items():
        click.echo(f"{name}: {task['records']:,} records, {task['held_out']:,} of them held out")
    for row in rows:
        shares = ", ".join(f"{task} {share:.3f}" for task, share in row["weights"].items())
        click.echo(f"{row['mixture']}: {shares}{' (trained before)' if row['done'] else ''}")
    click.echo(
        f"{left} pilot{'s' if left != 1 else ''} to train{' with the check' if check else ''}, {job.flags['steps']:,} "
        f"steps each: about {cost['tokens_trained']:,} tokens trained and {cost['tokens_evaluated']:,} evaluated "
        f"(at {CHARACTERS_PER_TOKEN} characters to a token)"
    )


class _Drops:
    """Counts what reading drops: lines that are no records."""

    def __init__(self) -> None:
        self.count, self.first = 0, ""

    def keep(self, record: Any) -> None:
        """Take a record; reading gives none."""

    def drop(self, row: Any) -> None:
        """Count a line, and remember the first."""
        self.count += 1
        self.first = self.first or row.detail

    def say(self) -> None:
        """Say how many lines are left out, if any."""
        if self.count:
            _say(f"{self.count:,} lines are no records and are left out; the first: {self.first}")


def _say(text: str) -> None:
    click.echo(text, err=True)


def _write_source(source: SourceSpec, folder: Path | None) -> Any:
    """Return a source as the stage names it; relative paths start at the folder of the stage's file."""
    said = source.model_dump(mode="json")
    if folder is None:
        return said
    file = source.file
    if not file.startswith("pkg:") and Path(file).exists() and not Path(file).is_absolute():
        file = os.path.relpath(file, folder)
    return file if isinstance(said, str) else {**said, "file": file}


def _parse_bounds(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the bounds of ``TASK=LOW:HIGH``; ``TASK=:0.5`` and ``TASK=0.1:`` leave one out.

    Raises:
        UsageError: a text is not of this form.
    """
    found: dict[str, tuple[float, float]] = {}
    for task, value in _pairs("--bounds", texts, "LOW:HIGH, such as code=0.1:0.6"):
        low, colon, high = value.partition(":")
        pair = _read_share(low or "0"), _read_share(high or "1")
        if not colon or None in pair or not 0 <= (pair[0] or 0) <= (pair[1] or 0) <= 1:
            raise UsageError(f"--bounds {task}={value}: write TASK=LOW:HIGH with shares from 0 to 1, LOW first")
        found[task] = (float(pair[0] or 0), float(pair[1] or 0))
    return found


def _parse_target(texts: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for task, value in _pairs("--target", texts, "WEIGHT, such as code=2"):
        weight = _read_share(value)
        if weight is None or weight < 0:
            raise UsageError(f"--target {task}={value}: the weight is a number that is not below 0")
        found[task] = weight
    if found and not any(found.values()):
        raise UsageError("--target: all weights are 0; give one of the tasks a weight above 0")
    return found


def _pairs(flag: str, texts: Sequence[str], form: str) -> list[tuple[str, str]]:
    out = list[tuple[str, str]]()
    for text in texts:
        task, equals, value = text.rpartition("=")
        if not equals or not task:
            raise UsageError(f"{flag} {text!r}: write TASK={form}")
        if any(task == other for other, _ in out):
            raise UsageError(f"{flag} names the task {task!r} twice; leave one out")
        out.append((task, value))
    return out


def _read_share(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
