"""What every part of a run shares: its recipe and plugins, its folders, who watches, and how teachers are asked."""

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
    """One run directory and what works on it.

    ``home`` holds ``runs/`` and ``.filial/ledger.sqlite``. ``limit``: try the recipe on at most N records.
    ``retry_lost``: a stage that lost rows to faults is not done, nor is a judge without all its verdicts.
    ``processes``: do the work of map stages in so many processes; 0: in this one. The result is the same. ``stop``: by
    which another thread may end it in good order.
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
        """Who answers, as ``dist:name``; empty where the recipe names nobody."""
        spec = self.recipe.teacher
        return self.manager.identity("teachers", spec.use) if spec else ""

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def info(self) -> RunInfo:
        """What hooks may read of it."""
        return RunInfo(self.name, self.folder, self.teacher, self.recipe.to_dict, self.summary)

    def gateway(self) -> Gateway | None:
        """The run's teacher behind its gateway; made and closed in one event loop."""
        spec = self.recipe.teacher
        return None if spec is None else self.opened(self.teacher, self.recipe.build_teacher(self.manager))

    def opened(
        self, who: str, teacher: Teacher, *, counted: bool = True, hooked: bool = True,
        facts: dict[str, Any] | None = None,
    ) -> Gateway:  # fmt: skip
        """A teacher behind a gateway with the run's ledger; made and closed in one event loop.

        ``counted``: it is on the run's account, below its caps, and silent where the run is offline. ``hooked``: the
        `ask` hooks stand between. ``facts``: what its answers depend on beside its own identity.
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
    """Open a gateway to a teacher, with the ledger of a folder, or one that forgets when there is none.

    ``who``: the teacher as ``dist:name``. ``hooked``: the `ask` hooks stand between. ``facts``: what its answers depend
    on beside its own identity.
    """
    return Gateway(
        who, teacher, Ledger(home / ".filial" / "ledger.sqlite" if home else Path(":memory:")),
        account or BudgetAccount(), partial(manager.hook.ask, teacher) if hooked else None,
        claimants=manager.claimants("teachers", who), offline=offline, facts=facts, note=note,
    )  # fmt: skip
