"""The last steps of a run: train on its data set, then judge the model on what it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from filial import dataset, interrupts, judging, models
from filial.asking.gateway import stopping
from filial.components import Judge, Template, Trainer
from filial.context import TrainContext
from filial.errors import UsageError
from filial.record_schema import decode_fast
from filial.records import Record
from filial.resources import resolve
from filial.stages.assemble import build, option_files, provenance, read, source_digest
from filial.stages.blame import blamed, wrong_type
from filial.stages.commit import ANSWERS, MANIFEST
from filial.stages.rows import Records
from filial.stages.stage import Surroundings
from filial.store import digest, file_sha256, kept, write_bytes, write_manifest

if TYPE_CHECKING:
    from filial.recipe import JudgeSpec
    from filial.run import Run


def read_rows(path: Path) -> list[Record]:
    """The records of a file the run wrote itself."""
    with open(path, "rb") as f:
        return list(map(decode_fast, f))


def base_model(run: Run) -> str:
    """The model to start from: a folder beside the recipe or in a package, else a hub id as it stands."""
    assert run.recipe.train is not None
    name = run.recipe.model or ""
    path = resolve(name, run.recipe.base)
    return str(path) if name.startswith("pkg:") or path.exists() else name


def dataset_key(run: Run, records: str) -> str:
    """What the data set depends on; ``records`` says which records the last stage gave."""
    recipe = run.recipe
    exams = [source_digest(spec.data, recipe.base) for spec in recipe.judges if spec.data != "heldout"]
    return digest(records, recipe.heldout, recipe.seed, exams)


def write_dataset(run: Run, records: Records, key: str, folder: Path) -> dict[str, Any]:
    """Write the data set of these records to a folder, unless it is there for this key. Returns its manifest."""
    return dataset.write(folder, records, run.recipe.heldout, run.recipe.seed, key, exam_questions(run))


def training_key(run: Run, data: dict[str, Any]) -> str:
    """What the model depends on: the data set, the trainer and the template with their options, the base model, the
    seed."""
    recipe = run.recipe
    assert recipe.train is not None
    if recipe.template is None:
        raise UsageError("train needs a template; add one, such as template: {use: alpaca}")
    files = [file for spec in (recipe.train, recipe.template) for file in option_files(spec, recipe.base, run.manager)]
    return digest(
        data["files"]["train.jsonl"], provenance(run.manager, recipe.train), recipe.train.options,
        provenance(run.manager, recipe.template), recipe.template.options, _weights(base_model(run)), recipe.seed,
        *([files] if files else []),
    )  # fmt: skip


def train_model(run: Run, data: dict[str, Any]) -> str:
    """Train, unless a whole model for this data, template and these options is there. Returns the model's key."""
    key = training_key(run, data)
    manifest = kept(run.model / MANIFEST, key)
    if manifest is not None:
        run.reporter.note("model: trained before")
    else:
        manifest = _trained(run, base_model(run), key)
    run.summary["train"] = manifest["figures"]
    return key


def _trained(run: Run, model: str, key: str) -> dict[str, Any]:
    """Train now. Returns the new model's manifest."""
    recipe = run.recipe
    assert recipe.train is not None
    assert recipe.template is not None
    trainer: Trainer = build(run.manager, recipe.train, recipe.base)
    template: Template = build(run.manager, recipe.template, recipe.base)
    plugin = provenance(run.manager, recipe.train)
    with run.reporter.training() as progress, blamed(plugin, "train"):
        cache = run.home / ".filial" / "prepared"
        ctx = TrainContext(recipe.seed, progress=progress, note=run.reporter.note, base=recipe.base, cache=cache)
        figures = trainer.train(run.folder / "dataset", model, template, run.model, ctx)
        if not isinstance(figures, dict) or not run.model.is_dir():
            raise wrong_type(plugin, "train", "train", figures, f"a dict of figures and a model in {run.model}")
    models.save_template(run.model, {"use": recipe.template.use, **recipe.template.options})
    files = {p.name: {"sha256": file_sha256(p)} for p in _files(run.model) if p.name != MANIFEST}
    manifest = {"format": 1, "key": key, "base": model, "figures": figures, "files": files}
    write_manifest(run.model / MANIFEST, manifest)
    return manifest


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file())


def _weights(model: str) -> str:
    """What the base model's bytes are, where it is a local folder; else its name."""
    folder = Path(model)
    return digest([[f.name, file_sha256(f)] for f in _files(folder)]) if folder.is_dir() else model


def judge_model(run: Run, data: dict[str, Any], model: str) -> None:
    """Every judge of the recipe: the model, its base and the copying baseline on the same records. ``model`` is the
    key of the trained model."""
    if not run.recipe.judges:
        return
    assert run.recipe.template is not None
    template: Template = build(run.manager, run.recipe.template, run.recipe.base)
    run.summary["judge"] = {}
    for spec in run.recipe.judges:
        exam = judging.Exam(spec.name, exam_records(run, spec))
        answerers: dict[str, judging.Answerer] = {"model": _model(run.model, template, spec.max_new_tokens)}
        if "base" in spec.against:
            answerers["base"] = _model(Path(base_model(run)), template, spec.max_new_tokens)
        if "nearest" in spec.against:
            answerers["nearest"] = _nearest(run.folder / "dataset" / "train.jsonl")
        run.summary["judge"][spec.name] = {
            who: _judged(run, spec, exam, who, answer, judging_key(run, spec, who, data, model))
            for who, answer in answerers.items()
        }


def exam_questions(run: Run) -> set[judging.Question]:
    """What the recipe's exams ask; no record that asks the same may be trained on."""
    files = [spec for spec in run.recipe.judges if spec.data != "heldout"]
    return {judging.asked(record) for spec in files for record in exam_records(run, spec)}


def exam_records(run: Run, spec: JudgeSpec) -> list[Record]:
    """The records a judge looks at, in the file's order."""
    if spec.data == "heldout":
        records = read_rows(run.folder / "dataset" / "heldout.jsonl")
        if spec.only == "seed-level":
            records = [r for r in records if r.origin.round == 0]
        elif spec.only == "evolved":
            records = [r for r in records if r.origin.round > 0]
    else:
        records = list(read(spec.data, run.recipe.base, strict=True))
    return records[: spec.limit] if spec.limit else records


def _model(folder: Path, template: Template, max_new_tokens: int) -> judging.Answerer:
    def answer(records: Any) -> list[str]:
        return models.answer(folder, list(records), template, max_new_tokens=max_new_tokens)

    return answer


def _nearest(trained: Path) -> judging.Answerer:
    def answer(records: Any) -> list[str]:
        return judging.nearest(read_rows(trained))(records)

    return answer


def judging_key(run: Run, spec: JudgeSpec, who: str, data: dict[str, Any], model: str) -> str:
    """What the figures of one answerer depend on: the trained model by its key, the judge, what it looks at."""
    heldout = spec.data == "heldout"
    looked_at = data["files"]["heldout.jsonl"]["sha256"] if heldout else source_digest(spec.data, run.recipe.base)
    asked = [spec.only, spec.limit, spec.max_new_tokens, spec.component.options]
    files = option_files(spec.component, run.recipe.base, run.manager)
    plugin = provenance(run.manager, spec.component)
    return digest(who, model, plugin, asked, looked_at, *([files] if files else []))


def judged_at(run: Run, spec: JudgeSpec, who: str) -> Path:
    """The manifest of one answerer's figures."""
    return run.folder / "judge" / f"{spec.name}-{who}.json"


def _judged(
    run: Run, spec: JudgeSpec, exam: judging.Exam, who: str, answer: judging.Answerer, key: str
) -> dict[str, Any]:
    """One answerer's figures, kept in ``judge/`` so that a finished run repeated does not ask again."""
    at = judged_at(run, spec, who)
    if (manifest := kept(at, key)) is not None:
        return dict(manifest["figures"])
    folder, file = at.parent, f"{spec.name}-{who}.jsonl"
    figures, lines, used = interrupts.run(_asked(run, spec, exam, answer(exam.records)))
    files = {file: lines, f"{spec.name}-{who}.{ANSWERS}": used}
    for name, rows in files.items():
        write_bytes(folder / name, b"".join(row + b"\n" for row in rows))
    checked = {name: {"sha256": file_sha256(folder / name)} for name in files}
    body = {"format": 1, "key": key, "figures": figures, "files": checked}
    write_manifest(at, body)
    return figures


async def _asked(
    run: Run, spec: JudgeSpec, exam: judging.Exam, answers: list[str]
) -> tuple[dict[str, Any], list[bytes], list[bytes]]:
    """Figures, a line per record, and the ledger keys of what the judge was told."""
    judge: Judge = build(run.manager, spec.component, run.recipe.base)
    gateway = run.gateway()
    env = Surroundings(stage=f"judge {spec.name}", seed=run.recipe.seed, writer=judging.Silent())
    try:
        if gateway is not None:
            env.ask, env.window = gateway.ask, gateway.window
        with stopping(gateway):
            figures, lines = await judging.judged(judge, provenance(run.manager, spec.component), exam, answers, env)
        return figures, lines, list(env.answers.lines())
    finally:
        if gateway is not None:
            await gateway.close()
