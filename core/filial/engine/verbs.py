"""A stage of a recipe: its keys, declared as fields, and its work.

filial's own stages are plugins like any other: an entry point of the group ``filial.stages`` names a subclass of
`Stage`; its name is the verb in a recipe.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

from filial.contracts.plugin_errors import blame_plugin, breach, wrong_type
from filial.engine.stage import Expected, Records, Report, StageContext
from filial.engine.work import Work
from filial.plugins.discovery import STAGES
from filial.plugins.manager import Manager
from filial.recipe import StageSpec
from filial.recipe.settings import StageSettings


class Stage(StageSettings):
    """A stage: what happens to the records of the stage before. Its fields are its keys in a recipe.

    ``stage`` contains the components that the keys name (`build` makes one); ``base`` is the recipe's folder.
    """

    works: ClassVar[Literal["map", "reduce"]] = "reduce"
    """A "map" processes each record separately: it cuts its records into `Work` (`cut`), which processes can do, too. A
    "reduce" needs all records, in order."""

    @abstractmethod
    async def run(self, stage: StageSpec, records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
        """Give every record to ``env.keep`` or ``env.drop``, and count in ``env.counters`` what entered and what was
        made. Returns what the summary shows besides the counts, as JSON."""

    def expect(self, stage: StageSpec, entering: int, base: Path, manager: Manager) -> Expected:
        """Estimate the requests and the records of the stage; default: no request, and as many records as enter."""
        return Expected(0, entering)

    def prepare(self, stage: StageSpec, base: Path, manager: Manager) -> Any:
        """Build what `perform` needs: the components of a map."""
        raise NotImplementedError

    async def perform(self, prepared: Any, env: StageContext, work: Work) -> list[Any]:
        """Do a part of a map's work, in any process. Returns the results, which can be pickled; writes nothing."""
        raise NotImplementedError


async def run_stage(stage: StageSpec, records: Records, base: Path, manager: Manager, env: StageContext) -> Report:
    """Run a stage. Returns its report.

    Raises:
        FilialError: it failed, or broke its contract: every record must be counted.
    """
    plugin = manager.provenance(STAGES, stage.verb)
    with blame_plugin(plugin, env.stage):
        report = await stage.settings.run(stage, records, base, manager, env)
    if not isinstance(report, dict):
        raise wrong_type(plugin, env.stage, "run", report, "a dict, its report")
    if fault := env.counters.find_imbalance():
        raise breach(plugin, env.stage, fault)
    return report
