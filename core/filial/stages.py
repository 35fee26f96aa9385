"""What a package needs to add a stage (entry point ``filial.stages``, a subclass of `Stage`).

Public API, like the names in `filial` and `filial.commands`; the built-in stages use nothing else of the core. It is
new and may still change.

A stage: `Stage`, its keys (`Settings`, `Part`, `Name`, `Word`), `StageSpec` with each `ComponentSpec`. Its context:
`StageContext`. Its input: `Records`, `Source`, `read_inputs`. Its output: `Report`, `Expected`. Its components:
`build`, `provenance`. Its work: `Work`, `cut`, `each`, `ready_in_order`. Calls of plugins: `lent`, `changed`,
`await_result`, `drop_if_unwritable`, and errors that name the plugin: `blamed`, `breach`, `wrong_type`.
"""

from filial.contracts.checks import changed, is_number, lent, shown
from filial.contracts.concurrency import SLICE, TURN, each, ready_in_order
from filial.contracts.kinds import BATCH
from filial.contracts.plugin_errors import blamed, breach, wrong_type
from filial.contracts.records import record_id
from filial.engine.build import Source, build, provenance, read_inputs
from filial.engine.stage import (
    DuplicateCounter,
    Expected,
    Records,
    Report,
    StageContext,
    await_result,
    drop_if_unwritable,
)
from filial.engine.verbs import Stage
from filial.engine.work import Work, cut
from filial.plugins.manager import Manager
from filial.recipe import ComponentSpec, StageSpec
from filial.recipe.model import COUNT
from filial.recipe.settings import Name, Part, Settings, Word

__all__ = [
    "BATCH", "COUNT", "SLICE", "TURN", "ComponentSpec", "DuplicateCounter", "Expected", "Manager", "Name", "Part",
    "Records", "Report", "Settings", "Source", "Stage", "StageContext", "StageSpec", "Word", "Work", "await_result",
    "blamed", "breach", "build", "changed", "cut", "drop_if_unwritable", "each", "is_number", "lent", "provenance",
    "read_inputs", "ready_in_order", "record_id", "shown", "wrong_type",
]  # fmt: skip
