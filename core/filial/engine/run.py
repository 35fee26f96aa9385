"""A run: the recipe's stages one after the other, each skipped if it is done, each complete or absent."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import ExitStack, aclosing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from filial import __version__
from filial.contracts.errors import ROWS_LOST, UsageError, spell_columns
from filial.contracts.kinds import BATCH
from filial.contracts.paths import resolve
from filial.contracts.sources import SourceSpec
from filial.engine import commit, interrupts
from filial.engine.build import Source, drop_bad_line, read_source, stage_context
from filial.engine.dataset import dataset_key, write_run_dataset
from filial.engine.judge import check_candidates, judge_model
from filial.engine.keys import StepKey, run_keys
from filial.engine.local import Local
from filial.engine.run_context import RunContext
from filial.engine.stage import BAD_LINE, DropRow, Records, StageFile, is_lost
from filial.engine.train import check_base_model, train_model
from filial.engine.verbs import run_stage
from filial.engine.watchdog import Watchdog
from filial.engine.work import Job
from filial.formats import BadLine
from filial.gateway.budget import BudgetAccount
from filial.gateway.gateway import Gateway, raise_stop_error
from filial.storage import digest, lock_folder, refuse_links, remove_temporary_files, replace_file, write_bytes

if TYPE_CHECKING:
    from filial.contracts.context import RunInfo
    from filial.plugins.manager import Manager
    from filial.recipe import Recipe, StageSpec


LOCK = "recipe.lock.yaml"
"""The recipe of a run, in its folder, with every default written out."""


class Run(RunContext):
    """A run that can be executed: data stages, then training and judging."""

    __slots__ = ()

    def execute(self) -> dict[str, Any]:
        """Execute what is not done yet. Returns the summary, which is also in ``summary.json``.

        Raises:
            FilialError: with the exit code of the command line; finished work is kept.
        """
        self._check_requirements()
        self._check_links()
        with lock_folder(self.folder):
            remove_temporary_files(self.folder)
            write_bytes(self.folder / LOCK, self.recipe.lock(self.manager).encode())
            self.manager.hook.run_started(run=self.info())
            error: BaseException | None = None
            try:
                with spell_columns("recipe"):
                    self._run()
            except BaseException as err:
                error = err
                raise
            finally:
                if self.account is not None:
                    self.account.close()
                self.manager.hook.run_finished(run=self.info(), error=error)
        return self.summary

    def _run(self) -> None:
        self.summary = {"run": self.name, "filial": __version__, "seed": self.recipe.seed, "stages": []}
        records, key = interrupts.run(self._stages(), Watchdog(self.manager.owner, self.reporter.note), self.stop)
        self._count_bad_lines(records)
        if self.recipe.train is not None:
            data = write_run_dataset(self, records, dataset_key(self, key), self.folder / "dataset")
            self.summary["dataset"] = {name: data[name] for name in ("train", "heldout", "contaminated")}
            if data["contaminated"]:
                self.reporter.note(f"{data['contaminated']:,} records repeat a question of an exam; not trained on")
            key, self.summary["train"] = train_model(self, data)
            if self.recipe.judges:
                self.summary["judge"] = judge_model(self, data, key)
        account = self.account or BudgetAccount()
        self.summary["teacher"] = {
            **asdict(self.spent), "run_requests": account.settled.requests, "run_tokens": account.settled.tokens,
            "run_usd": account.usd,
        }  # fmt: skip
        text = msgspec.json.format(msgspec.json.encode(self.summary), indent=1)
        write_bytes(self.folder / "summary.json", text + b"\n")

    def _check_requirements(self) -> None:
        """Check before any work that all components can work, and that judges can ask their candidates."""
        check_components(self.recipe, self.manager)
        check_candidates(self)
        with spell_columns("recipe"):
            check_sources(self.recipe, self.manager, self.folder)

    def _check_links(self) -> None:
        """Refuse links, except for ``runs`` and ``.filial``: these may be on another disk.

        A link that somebody else placed there does little harm: names below are filial's own, and a run uses no folder
        that is not a run's. A note says where the link leads.

        Raises:
            UsageError: there is a link where the run would write.
        """
        runs, inside = self.folder.parent, self.home / ".filial"
        if runs.is_symlink():
            real = Path(os.path.realpath(runs)) / self.name
            if real.is_dir() and not (real / LOCK).is_file() and any(p.name[0] != "." for p in real.iterdir()):
                raise UsageError(
                    f"{runs} is a link, and {real} contains files that are not of a run; give this run another name"
                )
            self.reporter.note(f"{runs} is a link; this run is in {real}")
        refuse_links(self.folder)
        refuse_links(Path(os.path.realpath(inside)))

    async def _stages(self) -> tuple[Records, str]:
        """Run all data stages. Returns the records of the last one, and a key that identifies them."""
        first, *keys = self.keys()
        records, gateway = self.data(), self.gateway()
        try:
            async with aclosing(Local(self.processes)) as engine:
                for stage, key in zip(self.recipe.stages, keys, strict=True):
                    records = await self._stage(stage, records, key, gateway, engine)
        finally:
            if gateway is not None:
                await gateway.close()
                if gateway.ledger.damaged:
                    self.reporter.note(f"{gateway.ledger.damaged} damaged answers in the ledger were requested again")
        return records, records_key([first, *keys], records)

    def data(self) -> Records:
        """Return the input records of the first stage."""
        recipe = self.recipe
        if recipe.data is None:
            return []
        return Source(recipe.data, recipe.base, self.manager, recipe.limit, self.reporter.note)

    def stage_folder(self, stage: StageSpec) -> Path:
        """Return the folder of a stage's files."""
        return self.folder / "stages" / stage.name

    def keys(self) -> list[StepKey]:
        """Return what each step's result depends on: the start, then every stage with all before it."""
        return run_keys(self.recipe, self.manager)

    async def _stage(
        self, stage: StageSpec, records: Records, key: StepKey, gateway: Gateway | None, engine: Local
    ) -> StageFile:
        """Run one stage, unless it is done and complete."""
        folder = self.stage_folder(stage)
        manifest = commit.find_commit(folder, key.key, checksum(records))
        if manifest is not None and not (self.retry_lost and any(map(is_lost, manifest["reasons"]))):
            self._add_to_summary(stage, manifest, done_before=True)
            return commit.stage_records(folder, manifest)
        if why := "rows were lost" if manifest else commit.explain_rerun(folder, key):
            self.reporter.note(f"{stage.name}: runs again, because {why}")
        status = gateway.status if gateway else None
        with commit.open_writer(folder) as writer, ExitStack() as stack:
            env = stage_context(
                Job.of(self.recipe, stage, self.manager), self.manager, writer=writer, note=self.reporter.note,
                on_drop=partial(self._notify_drop, self.info()),
            )  # fmt: skip
            if isinstance(records, Source):
                records.bad_line = partial(drop_bad_line, env)
            env.counters.entered = len(records)  # reads the recipe's own file first, so its errors come first
            env.on_progress = stack.enter_context(self.reporter.stage(stage.name, status))
            if gateway is not None:
                env.ask, env.window, env.price = gateway.ask, gateway.window, gateway.price
            if engine.processes and stage.settings.works == "map":
                await engine.begin(env)
                env.dispatch, env.window = engine.perform, max(env.window, BATCH * engine.processes)
            with raise_stop_error(gateway):
                report = await run_stage(stage, records, self.recipe.base, self.manager, env)
            facts = {
                "stage": stage.name, "verb": stage.verb, "seed": self.recipe.seed,
                "plugins": stage.plugins(self.manager),
                "options": {
                    "stage": stage.settings.plain_values(),
                    "components": [[s.use, s.options] for s in stage.components],
                },
                "report": report, "depends": key.parts,
            }  # fmt: skip
            manifest = commit.commit(folder, writer, key.key, env, checksum(records), facts)
        self._add_to_summary(stage, manifest, done_before=False)
        return commit.stage_records(folder, manifest)

    def _count_bad_lines(self, records: Records) -> None:
        """Keep in ``drops.jsonl`` of the run the lines that are no records and that no stage tells of: those of judges'
        files, and of data that enter no stage."""
        base, note, path = self.recipe.base, self.reporter.note, self.folder / commit.DROPS
        sources = {"data": records} if isinstance(records, Source) else {}
        for spec in self.recipe.judges:
            if isinstance(spec.data, SourceSpec):
                sources[f"judge {spec.name}"] = Source(spec.data, base, self.manager, note=note)
        counts = Counter[str]()
        path.unlink(missing_ok=True)
        if not sources:
            return
        with replace_file(path) as file:
            for name, source in sources.items():

                def keep(bad: BadLine, name: str = name) -> None:
                    counts[name] += 1
                    row = DropRow(stage=name, plugin="", reason=BAD_LINE, detail=str(bad), answer=bad.raw)
                    file.write(row.encode() + b"\n")

                source.bad_line = keep
                len(source)
        for name, count in counts.items():
            note(f"{name}: {count:,} lines are no records; {path} says why")
        self.summary |= {"bad_lines": dict(counts)} if counts else {}
        if not counts:
            path.unlink()

    def _notify_drop(self, info: RunInfo, row: DropRow) -> None:
        self.manager.hook.record_dropped(run=info, stage=row.stage, record=row.record, drop=row)

    def _add_to_summary(self, stage: StageSpec, manifest: dict[str, Any], *, done_before: bool) -> None:
        """Add a finished stage to the summary, and notify hooks and the user."""
        row = {"name": stage.name, **manifest["counts"], "reasons": manifest["reasons"], **manifest["report"]}
        self.summary["stages"].append(row)
        if done_before:
            self.reporter.note(f"{stage.name}: done before, {row['out']:,} records")
            return
        if warning := refusals(row):
            self.reporter.note(warning)
        self.manager.hook.stage_finished(
            run=self.info(), stage=stage.name, kept=row["out"], dropped=manifest["reasons"]
        )

    def lost(self) -> tuple[set[str], bool]:
        """Return the reasons for which rows were lost to errors, and whether a record has no verdict."""
        reasons = {reason for stage in self.summary.get("stages", []) for reason in stage["reasons"] if is_lost(reason)}
        reasons |= {BAD_LINE} if self.summary.get("bad_lines") else set()
        exams = (result for exam in self.summary.get("judge", {}).values() for result in exam.values())
        return reasons, any(result["judged"] < result["records"] for result in exams)

    def exit_code(self) -> int:
        """Return 0, or 5 if something was lost."""
        return ROWS_LOST if any(self.lost()) else 0


def check_components(recipe: Recipe, manager: Manager) -> None:
    """Check that everything in a recipe is installed and loads, and that its trainer can train its model.

    Raises:
        UsageError: something is missing, or the trainer cannot.
        FilialError: the trainer fails.
    """
    for spec in recipe.components():
        manager.check_requirements(manager.get(spec.kind, spec.use))
    check_base_model(recipe, manager)


def check_sources(recipe: Recipe, manager: Manager, folder: Path) -> None:
    """Read the first rows of each file that stages and judges read later, before anything is spent.

    Raises:
        UsageError: a file cannot be read as the recipe says, or is in ``folder``, where the run would replace it.
    """
    later = [source for stage in recipe.stages for source in stage.settings.named_sources()]
    later += [spec.data for spec in recipe.judges if isinstance(spec.data, SourceSpec)]
    for source in [*later, *([recipe.data] if recipe.data else [])]:
        if (path := resolve(source.file, recipe.base)).resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"{source.file} is a file of this run, which would replace it; copy it, or use --name")
        if source in later and path.is_file():
            next(read_source(source, recipe.base, manager, bad=lambda bad: None), None)


def records_key(keys: list[StepKey], records: Records) -> str:
    """Return a digest that identifies the records of the last stage, from `Run.keys` and the records."""
    return digest(keys[-1].key, checksum(records))


def checksum(records: Records) -> str:
    """Return the checksum of a stage's record file; empty for the recipe's own inputs, which are part of keys."""
    return records.sha256 if isinstance(records, StageFile) else ""


def refusals(stage: dict[str, Any], least: int = 5) -> str:
    """Return a warning if a teacher declined a large part of a stage's work; otherwise "".

    Plugins report this with the reasons ``refused``, ``apology`` and ``non-answer``.
    """
    declined = sum(stage["reasons"].get(reason, 0) for reason in ("refused", "apology", "non-answer"))
    if declined < least or declined < 0.2 * stage["made"]:
        return ""
    return (
        f"{stage['name']}: the teacher declined {declined:,} of {stage['made']:,} times; these tasks may be outside "
        "its abilities. Look at the drops, use other seeds, or another teacher"
    )
