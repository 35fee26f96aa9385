"""The judges of a run: candidates and data of each, when it has to judge again, and where results are stored.

Candidates are the trained model, its base model, and other teachers that the recipe names.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filial.contracts.errors import UsageError
from filial.contracts.kinds import Judge, Teacher
from filial.contracts.paths import is_address, resolve
from filial.contracts.plugin_errors import blame_plugin
from filial.engine import interrupts
from filial.engine.build import build
from filial.engine.commit import ANSWERS, MANIFEST
from filial.engine.dataset import exam_records
from filial.engine.examine import examine, join_names
from filial.engine.keys import component_parts, spec_digest, teacher_parts
from filial.engine.train import base_model, build_teacher, model_digest, trainer_and_template
from filial.engine.watchdog import Watchdog
from filial.gateway.budget import unknown_price
from filial.gateway.gateway import Gateway
from filial.plugins.options import find_files
from filial.storage import digest, file_sha256, find_finished, read_manifest, write_bytes, write_manifest

if TYPE_CHECKING:
    from filial.engine.run_context import RunContext
    from filial.plugins.manager import Manager
    from filial.recipe import ComponentSpec, JudgeSpec

MODEL = "model"
"""Name of the trained model in the figures."""
Sitting = tuple[str, ...]
"""The candidates of one verdict, by name: one, or the model and a rival."""
Due = tuple["JudgeSpec", Sitting, str]
"""A sitting that has to be judged, and its key."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """A teacher that can be a candidate, with its ``dist:name``.

    ``own``: a model trained here, or in the same form; it is asked in the form of the training data, without hooks.
    """

    use: str
    teacher: Teacher
    own: bool = False

    @property
    def here(self) -> bool:
        """Whether asking it is known to be free and to stay on this machine."""
        price = self.teacher.price()
        return self.teacher.destination() is None and price is not None and price.prompt == price.completion == 0


def sittings(spec: JudgeSpec, manager: Manager) -> list[Sitting]:
    """Return the sittings of a judge: each candidate alone, or for a judge of pairs the model with each rival."""
    pairs = manager.get("judges", spec.component.use).compares == 2  # type: ignore[attr-defined]
    return [(MODEL, name) for name in spec.rivals] if pairs else [(name,) for name in (MODEL, *spec.rivals)]


def count_unjudged(figures: dict[str, Any]) -> int:
    """Return the number of records of a sitting that have no verdict."""
    return int(figures["records"] - figures["judged"])


def judging_key(run: RunContext, spec: JudgeSpec, sitting: Sitting, data: dict[str, Any], model: str) -> str:
    """Return what the figures of a sitting depend on: the trained model by its key, the judge, its data, the rivals as
    they are stored, and their `ask` hooks."""
    base, manager = run.recipe.base, run.manager
    looked_at = data["files"]["heldout.jsonl"]["sha256"] if spec.data == "heldout" else spec_digest(spec.data, base)
    parts = component_parts((spec.component, *_teachers(spec, sitting)), base, manager)
    asked = teacher_parts(run.recipe, manager) if manager.get("judges", spec.component.use).asks else {}
    shape = [spec.only, spec.limit, spec.max_new_tokens]
    rivals = [_identity(run, rival) for rival in _teachers(spec, sitting)]
    hooks = manager.ask_hooks() if rivals else []
    return digest(join_names(sitting), model, parts, asked, shape, looked_at, rivals, hooks)


def _identity(run: RunContext, rival: ComponentSpec) -> dict[str, Any]:
    """Return what the answers of a rival depend on; nothing for one that answers from the data set. The model's key
    covers the data set, and a plan has none yet."""
    teacher: Teacher = build(run.manager, rival, run.recipe.base)
    with blame_plugin(run.manager.provenance(teacher), "judge"):
        own = teacher.identity() if teacher.for_dataset(run.folder / "dataset") is teacher else {}
    return {"use": run.manager.identity("teachers", rival.use), **own}


def _teachers(spec: JudgeSpec, sitting: Sitting) -> list[ComponentSpec]:
    """Return the teachers that a recipe names as rivals in a sitting."""
    return [rival for rival in spec.against if rival is not None and rival.name in sitting]


def figures_path(run: RunContext, spec: JudgeSpec, sitting: Sitting) -> Path:
    """Return the manifest of a sitting's figures. No name contains ``@``, so that each sitting has its own file."""
    return run.folder / "judge" / f"{spec.name}@{join_names(sitting).replace(' ', '-')}.json"


def answerer(run: RunContext, spec: JudgeSpec, name: str) -> Answerer:
    """Return a candidate of a judge, with a new teacher."""
    recipe, manager = run.recipe, run.manager
    for rival in _teachers(spec, (name,)):
        teacher: Teacher = build(manager, rival, recipe.base)
        return Answerer(manager.identity("teachers", rival.use), teacher.for_dataset(run.folder / "dataset"))
    trainer, template = (build(manager, spec, recipe.base) for spec in trainer_and_template(recipe))
    teacher = build_teacher(trainer, run.model if name == MODEL else Path(base_model(recipe)), manager)
    return Answerer(manager.identity(teacher), teacher.for_template(template), own=True)


def _open(run: RunContext, spec: JudgeSpec, name: str) -> Gateway:
    """Open the gateway of a candidate.

    The answers of an own model depend on its bytes and its template, which its teacher need not know.
    """
    who, recipe, facts = answerer(run, spec, name), run.recipe, dict[str, Any]()
    if who.own:
        _, template = trainer_and_template(recipe)
        trained = read_manifest(run.model / MANIFEST) if name == MODEL else None
        facts = {
            "bytes": digest(trained["files"]) if trained else model_digest(base_model(recipe)),
            "template": component_parts((template,), recipe.base, run.manager),
        }
    return run.open_teacher(who.use, who.teacher, counted=not who.here, hooked=not who.own, facts=facts)


def check_candidates(run: RunContext) -> None:
    """Check before training that the judges can ask their candidates.

    Raises:
        FilialError: a trainer breaks its contract, or a package that a teacher needs is not installed.
        UsageError: the cost of a candidate is not known although money is capped, or files of the base model are
            missing.
    """
    capped = run.recipe.budget.get("usd") is not None
    for spec in run.recipe.judges:
        for name in (MODEL, *spec.rivals):
            who = answerer(run, spec, name)
            run.manager.check_requirements(type(who.teacher))
            if who.own and name != MODEL and (path := _missing_file(run, who)):
                why = f"no file {path}, which {who.use} needs to answer as the untrained model"
                raise UsageError(f"judge {spec.name}, {name}: {why}; remove {name!r} from 'against'")
            if capped and who.teacher.price() is None:
                raise UsageError(f"judge {spec.name}, {name}: {unknown_price(who.use)}")


def _missing_file(run: RunContext, base: Answerer) -> str | None:
    """Return a missing file of the base model, if it has to answer."""
    for _, path in find_files(type(base.teacher), base.teacher.model_dump(mode="json")):
        named = is_address(path) or path == base_model(run.recipe)  # without the file it may be on the hub
        if not named and not resolve(path, run.recipe.base).exists():
            return path
    return None


def judge_model(run: RunContext, data: dict[str, Any], model: str) -> dict[str, dict[str, Any]]:
    """Return the figures of every judge of the recipe, by sitting. ``model`` is the key of the trained model.

    They are stored in ``judge/``, so that repeating a finished run asks nothing.
    """
    figures: dict[str, dict[str, Any]] = {}
    due: dict[tuple[Any, ...], list[Due]] = {}
    for spec in run.recipe.judges:
        figures[spec.name] = {}
        for sitting in sittings(spec, run.manager):
            key = judging_key(run, spec, sitting, data, model)
            manifest = find_finished(figures_path(run, spec, sitting), key)
            figures[spec.name][join_names(sitting)] = manifest and manifest["figures"]
            if manifest is None or (run.retry_lost and count_unjudged(manifest["figures"])):
                due.setdefault(_group(spec, sitting), []).append((spec, sitting, key))
    if due:
        watchdog = Watchdog(run.manager.owner, run.reporter.note)
        interrupts.run(_judge_due(run, list(due.values()), figures), watchdog, run.stop)
    return figures


def _group(spec: JudgeSpec, sitting: Sitting) -> tuple[Any, ...]:
    """Return a sort key that puts sittings of the same candidates together, so that a model is loaded once for them."""
    return (sitting, *(digest(teacher.use, teacher.options) for teacher in _teachers(spec, sitting)))


async def _judge_due(run: RunContext, groups: list[list[Due]], figures: dict[str, dict[str, Any]]) -> None:
    """Judge the sittings that are due, group by group, and enter their figures."""
    async with AsyncExitStack() as stack:
        teacher = run.gateway()
        if teacher is not None:
            stack.push_async_callback(teacher.close)
        for group in groups:
            async with AsyncExitStack() as open_:
                spec, sitting, _ = group[0]
                candidates = {}
                for name in sitting:
                    candidates[name] = _open(run, spec, name)
                    open_.push_async_callback(candidates[name].close)
                for spec, sitting, key in group:
                    figures[spec.name][join_names(sitting)] = await _judge_one(run, spec, candidates, teacher, key)


async def _judge_one(
    run: RunContext, spec: JudgeSpec, candidates: dict[str, Gateway], teacher: Gateway | None, key: str
) -> dict[str, Any]:
    """Judge one sitting and store its figures, a line per record, and the ledger keys of all answers."""
    judge: Judge = build(run.manager, spec.component, run.recipe.base)
    done = await examine(
        exam_records(run, spec), candidates, judge, run.manager.provenance(judge),
        name=spec.name, stage=f"judge {spec.name}", seed=run.recipe.seed, teacher=teacher,
        max_tokens=spec.max_new_tokens,
    )  # fmt: skip
    at = figures_path(run, spec, tuple(candidates))
    files = {f"{at.stem}.jsonl": [row.line() for row in done.rows], f"{at.stem}.{ANSWERS}": done.answers.lines()}
    for name, lines in files.items():
        write_bytes(at.parent / name, b"".join(line + b"\n" for line in lines))
    figures, written = done.figures(), {name: {"sha256": file_sha256(at.parent / name)} for name in files}
    write_manifest(at, {"format": 1, "key": key, "figures": figures, "files": written})
    return figures
