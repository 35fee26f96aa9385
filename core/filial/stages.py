"""What a package needs to bring a stage of its own (entry point ``filial.stages``, a subclass of `Stage`).

Public API, like the names in `filial` and `filial.commands`; filial's own stages are made of it. It is new and may
still change.

What a stage is: `Stage`, its keys (`Settings`, `Part`, `Name`, `Word`), `StageSpec` with each `ComponentSpec`. What it
runs in: `StageContext`, with records in (`Records`, `Source`, `read_inputs`) and what it tells (`Report`, `Expected`).
Its components: `build`, `provenance`. Its work: `Work`, `cut`, `each`, `ready_in_order`. What plugins are lent and hand
back: `lent`, `changed`, `unsound`, `settled`, and errors that name them: `blamed`, `breach`, `wrong_type`.
"""

from filial.contracts.checks import changed, is_number, lent, shown
from filial.contracts.concurrency import SLICE, TURN, each, ready_in_order
from filial.contracts.kinds import BATCH
from filial.contracts.plugin_errors import blamed, breach, wrong_type
from filial.contracts.records import record_id
from filial.engine.build import Source, build, provenance, read_inputs
from filial.engine.stage import Expected, Ranks, Records, Report, StageContext, settled, unsound
from filial.engine.verbs import Stage
from filial.engine.work import Work, cut
from filial.plugins.manager import Manager
from filial.recipe import ComponentSpec, StageSpec
from filial.recipe.model import COUNT
from filial.recipe.settings import Name, Part, Settings, Word

__all__ = [
    "BATCH", "COUNT", "SLICE", "TURN", "ComponentSpec", "Expected", "Manager", "Name", "Part", "Ranks", "Records",
    "Report", "Settings", "Source", "Stage", "StageContext", "StageSpec", "Word", "Work", "blamed", "breach", "build",
    "changed", "cut", "each", "is_number", "lent", "provenance", "read_inputs", "ready_in_order", "record_id",
    "settled", "shown", "unsound", "wrong_type",
]  # fmt: skip
