"""What all parts of a run share: recipe, plugins, folders, progress, and how teachers are asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filial.contracts.context import RunInfo
from filial.engine.interrupts import Stop
from filial.engine.progress import Reporter
from filial.gateway.budget import Budget, BudgetAccount, Usage
from filial.gateway.gateway import Gateway
from filial.gateway.ledger import Ledger

if TYPE_CHECKING:
    from filial.contracts.kinds import Teacher
    from filial.plugins.manager import Manager
    from filial.recipe import Recipe


@dataclass(slots=True)
class RunContext:
    """One run directory and its settings.

    ``home`` contains ``runs/`` and ``.filial/ledger.sqlite``. ``limit``: run the recipe on at most this many records.
    ``retry_lost``: a stage that lost rows to errors is not done, and neither is a judge without all its verdicts.
    ``processes``: number of processes for map stages; 0: this one. The result is the same. ``stop``: lets another
    thread end the run cleanly.
    """

    recipe: Recipe
    manager: Manager
    home: Path
    name: str
    reporter: Reporter = field(default_factory=Reporter)
    spent: Usage = field(default_factory=Usage)
    summary: dict[str, Any] = field(default_factory=dict)
    offline: bool = False
    account: BudgetAccount | None = None
    limit: int | None = None
    retry_lost: bool = False
    processes: int = 0
    stop: Stop | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            from filial.recipe import limit_records

            self.recipe = limit_records(self.recipe, self.limit)

    @property
    def folder(self) -> Path:
        return self.home / "runs" / self.name

    @property
    def teacher(self) -> str:
        """The teacher as ``dist:name``; empty if the recipe names none."""
        spec = self.recipe.teacher
        return self.manager.identity("teachers", spec.use) if spec else ""

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def info(self) -> RunInfo:
        """Return what hooks may read of the run."""
        return RunInfo(self.name, self.folder, self.teacher, self.recipe.to_dict, self.summary)

    def gateway(self) -> Gateway | None:
        """Return the gateway to the run's teacher; opened and closed in one event loop."""
        spec = self.recipe.teacher
        return None if spec is None else self.open_teacher(self.teacher, self.recipe.build_teacher(self.manager))

    def open_teacher(
        self, who: str, teacher: Teacher, *, counted: bool = True, hooked: bool = True,
        facts: dict[str, Any] | None = None,
    ) -> Gateway:  # fmt: skip
        """Open a gateway to a teacher, with the run's ledger; opened and closed in one event loop.

        ``counted``: its requests count against the run's budget, and it sends none if the run is offline. ``hooked``:
        with the `ask` hooks. ``facts``: what its answers depend on besides its own identity.
        """
        if self.account is None:
            journal = self.folder / "spend.sqlite"
            self.account = BudgetAccount(Budget(**self.recipe.budget), journal, self.spent)
        return open_gateway(
            self.manager, who, teacher, self.home, self.account if counted else None, hooked=hooked,
            offline=self.offline and counted, facts=facts, note=self.reporter.note,
        )  # fmt: skip


def open_gateway(
    manager: Manager, who: str, teacher: Teacher, home: Path | None, account: BudgetAccount | None = None, *,
    hooked: bool = True, offline: bool = False, facts: dict[str, Any] | None = None, note: Callable[[str], None],
) -> Gateway:  # fmt: skip
    """Open a gateway to a teacher, with the ledger of a folder, or a temporary one without a folder.

    ``who``: the teacher as ``dist:name``. ``hooked``: with the `ask` hooks. ``facts``: what its answers depend on
    besides its own identity.
    """
    return Gateway(
        who, teacher, Ledger(home / ".filial" / "ledger.sqlite" if home else Path(":memory:")),
        account or BudgetAccount(), partial(manager.hook.ask, teacher) if hooked else None,
        claimants=manager.claimants("teachers", who), offline=offline, facts=facts, note=note,
    )  # fmt: skip
