"""Train a model on records, and ask it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

from filial.api.plugins import Plugin, Plugins, beside, build, manager_of, reporter_of
from filial.api.sources import Source, read_good
from filial.api.tables import table
from filial.contracts.context import Context, TrainContext
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Template, Trainer
from filial.contracts.paths import resolve
from filial.contracts.plugin_errors import blame_plugin
from filial.engine import interrupts
from filial.engine.dataset import write_dataset
from filial.engine.judge import Answerer
from filial.engine.progress import Reporter
from filial.engine.run_context import open_gateway
from filial.engine.train import load_teacher, load_template, model_digest, tune
from filial.formats.catalogue import Spec
from filial.plugins.manager import Manager
from filial.storage import refuse_links


class Candidate(NamedTuple):
    """A candidate: how to ask it, what its answers depend on besides its teacher, and whether they are stored."""

    answerer: Answerer
    facts: dict[str, Any]
    kept: bool = True


class Model:
    """A trained model: its folder and the figures of its training."""

    def __init__(self, folder: str | Path, figures: Mapping[str, Any], plugins: Plugins = ()) -> None:
        self.folder, self.figures, self._plugins = Path(folder), dict(figures), plugins

    def ask(self, prompt: str, *, system: str = "", max_tokens: int = 256) -> str:
        """Return the model's answer; the prompt is written with the template of its training."""

        async def ask() -> str:
            manager = manager_of(self._plugins)
            answerer, facts, _ = load_candidate(self.folder, manager)
            gateway = open_gateway(manager, answerer.use, answerer.teacher, None, hooked=False, facts=facts, note=print)
            try:
                asked = Context(gateway.ask).ask(prompt, system=system, max_tokens=max_tokens, partial=True)
                return (await asked).text
            finally:
                await gateway.close()

        return interrupts.run(ask())

    def __repr__(self) -> str:
        return f"Model({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        told = {key: value for key, value in self.figures.items() if isinstance(value, int | float | str)}
        return table([str(self.folder), ""], [[key, str(value)] for key, value in told.items()])


def load_candidate(folder: Path, manager: Manager, template: Template | None = None) -> Candidate:
    """Return how to ask a model that was trained here, with the given template or that of its training.

    Raises:
        UsageError: there is no such folder, or it does not say how to ask its model.
    """
    if not folder.is_dir():
        raise UsageError(f"model {folder}: no such folder; give one that train wrote, or name a teacher")
    teacher = load_teacher(folder, manager)
    if teacher is None:
        cure = f"name a teacher that can instead, such as --teacher NAME -T model={folder}"
        raise UsageError(f"{folder} does not say how to ask its model; {cure}")
    template = template or load_template(folder, manager)
    facts = {
        "bytes": model_digest(str(folder)),
        "template": [manager.provenance(template), template.model_dump(mode="json")] if template is not None else None,
    }
    who = manager.identity(teacher)
    asked = teacher.for_template(template) if template is not None else teacher
    return Candidate(Answerer(who, asked, own=True), facts)


def train(
    records: Source, *, model: str | Path, out: str | Path, template: Plugin = "alpaca", trainer: Plugin = "sft",
    heldout: int = 0, seed: int = 42, home: str | Path = ".", format: Spec = "auto", plugins: Plugins = (),
    progress: bool | Reporter = True,
) -> Model:  # fmt: skip
    """Train a model on records.

    Args:
        model: folder, ``pkg:PACKAGE/FOLDER`` or hub name of the base model.
        out: folder for the trained model.
        heldout: number of records to exclude from training.

    Raises:
        FilialError: as in ``filial train``.
    """
    manager, said = manager_of(plugins), reporter_of(progress)
    chosen, spec = cast(Trainer, build("trainers", trainer, manager)), beside(template, manager)
    base, path = str(model), resolve(str(model))
    base = str(path) if base.startswith("pkg:") or path.exists() else base
    cache = Path(home, ".filial", "prepared")
    refuse_links(Path(os.path.realpath(cache.parent)))
    with TemporaryDirectory(prefix="filial-") as folder:
        write_dataset(Path(folder), read_good(records, manager, format, note=said.note), heldout, seed, "cli")
        with said.training() as told:
            context = TrainContext(seed, progress=told, note=said.note, cache=cache)
            if os.environ.get("RANK", "0") == "0":
                return Model(out, tune(manager, chosen, Path(folder), base, spec, Path(out), context), manager)
            made = cast(Template, build("templates", spec, manager))  # another process of this training writes notes
            with blame_plugin(manager.provenance(chosen), "train"):
                return Model(out, chosen.train(Path(folder), base, made, Path(out), context), manager)
