"""Judge the answers of a model or a teacher to records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Unpack, cast

from filial.api.models import Candidate, Model, load_candidate
from filial.api.plugins import Plugin, beside, build, is_plugin, manager_of, plain, reporter_of
from filial.api.results import Verdicts
from filial.api.sources import Source, read_good
from filial.api.teachers import Answer, find_teacher, open_teacher
from filial.api.verbs import Options, _sync
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Judge, Template
from filial.contracts.paths import resolve
from filial.contracts.sources import SourceSpec
from filial.engine.examine import Examination, examine
from filial.engine.judge import Answerer
from filial.engine.run_context import open_gateway
from filial.engine.watchdog import Watchdog
from filial.plugins.manager import Manager
from filial.plugins.options import locate_files
from filial.recipe.model import unused_name

Rival = Model | Plugin | Answer | Path


async def ajudge(
    records: Source, judge: Plugin = "exact-match", *, model: Model | str | Path | None = None,
    against: Sequence[Rival] = (), template: Plugin | None = None, limit: int | None = None, max_new_tokens: int = 256,
    **options: Unpack[Options],
) -> Verdicts:  # fmt: skip
    """Judge the answers of a trained model to records or, without a model, those of the teacher.

    Args:
        model: a model, or a folder that training wrote.
        against: candidates to judge in addition: models, folders, teachers.
        template: replaces the template that the model was trained with.
        limit: maximum number of records.
        max_new_tokens: maximum tokens per answer.
    """
    manager, said = manager_of(options.get("plugins", ())), reporter_of(options.get("progress", True))
    teacher, home, seed = options.get("teacher"), options.get("home", "."), options.get("seed", 42)
    chosen = cast(Judge, build("judges", judge, manager))
    name = manager.name_of(type(chosen)) or type(chosen).__name__
    made = None if template is None else cast(Template, locate_files(build("templates", template, manager), Path.cwd()))
    if model is None and teacher is None:
        raise UsageError("nothing to judge: name a model (a folder that train wrote) or a teacher")
    if model is None and chosen.asks:
        raise UsageError(f"the judge {name!r} uses the teacher to judge; name what to judge as model or against")
    if chosen.compares == 2 and not against:
        raise UsageError(f"the judge {name!r} compares pairs; name a rival with against")
    candidates: dict[str, Candidate] = {}
    if model is not None:
        candidates["model"] = load_candidate(_folder(model), manager, made)
    elif template is not None and made is not None and teacher is not None:
        who, asked, kept = find_teacher(teacher, manager)
        facts = {"template": [manager.provenance(made), beside(template, manager)]}
        candidates["model"] = Candidate(Answerer(who, asked.for_template(made), own=True), facts, kept)
    for rival in against:
        called, candidate = _rival(rival, manager, made)
        candidates[unused_name(called, {"model", *candidates})] = candidate
    asked_records = list(read_good(records, manager, options.get("format", "auto"), limit, said.note))
    data = str(records) if isinstance(records, str | Path | SourceSpec) else "records"

    async def work() -> list[Examination]:
        results = []
        async with (
            open_teacher(teacher, manager, home, options.get("budget"), said) as gateway,
            AsyncExitStack() as stack,
        ):
            gateways = {"model": gateway} if gateway is not None else {}
            for who, (one, facts, kept) in candidates.items():
                account = gateway.account if gateway is not None and not one.here else None
                gateways[who] = open_gateway(
                    manager, one.use, one.teacher, Path(home) if kept else None, account, hooked=not one.own,
                    facts=facts, note=said.note,
                )  # fmt: skip
                stack.push_async_callback(gateways[who].close)
            rivals = [who for who in gateways if who != "model"]
            for names in [("model", who) for who in rivals] if chosen.compares == 2 else [(who,) for who in gateways]:
                results.append(
                    await examine(
                        asked_records, {who: gateways[who] for who in names}, chosen, manager.provenance(chosen),
                        name=data, seed=seed, teacher=gateway, max_tokens=max_new_tokens,
                    )
                )  # fmt: skip
        return results

    return Verdicts(await Watchdog(manager.owner, said.note).watch(work()))


def _folder(model: Model | str | Path) -> Path:
    return model.folder if isinstance(model, Model) else resolve(str(model))


def _rival(rival: Rival, manager: Manager, template: Template | None) -> tuple[str, Candidate]:
    """Return the name of a rival in the figures, and how to ask it."""
    if isinstance(rival, Model | Path) or (isinstance(rival, str) and resolve(rival).is_dir()):
        folder = _folder(rival)
        called = str(rival.folder if isinstance(rival, Model) else rival)
        return f"./{called}" if called == "model" else called, load_candidate(folder, manager, template)
    who, teacher, kept = find_teacher(rival, manager)
    spec = plain(rival, manager) if is_plugin(rival) else who.partition(":")[2]
    called = str(spec["use"] if isinstance(spec, Mapping) else spec)
    return called, Candidate(Answerer(who, locate_files(teacher, Path.cwd())), {}, kept)


judge = _sync(ajudge)
