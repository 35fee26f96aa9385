"""What a package needs to add a stage (entry point ``filial.stages``, a subclass of `Stage`).

Public API, like the names in `filial` and `filial.commands`; the built-in stages use nothing else of the core. It is
new and may still change.

A stage: `Stage`, its keys (`Settings`, `Part` with an `Address`, `Name`, `Word`), `StageSpec` with each
`ComponentSpec`. Its context: `StageContext`. Its input: `Records`, `Source`, `read_inputs`. Its output: `Report`,
`Expected`. Its components: `build`, `provenance`. Its work: `Work`, `cut`, `each`, `ready_in_order`. Calls of plugins:
`copy_for_plugin`, `describe_change`, `await_result`, `drop_if_unwritable`, and errors that name the plugin:
`blame_plugin`, `breach`, `wrong_type`.
"""

from filial.contracts.checks import copy_for_plugin, describe_change, format_value, is_number
from filial.contracts.concurrency import SLICE, TURN, each, ready_in_order
from filial.contracts.kinds import BATCH
from filial.contracts.plugin_errors import blame_plugin, breach, wrong_type
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
from filial.plugins.yaml import Address
from filial.recipe import ComponentSpec, StageSpec
from filial.recipe.model import COUNT
from filial.recipe.settings import Name, Part, Settings, Word

__all__ = [
    "BATCH", "COUNT", "SLICE", "TURN", "Address", "ComponentSpec", "DuplicateCounter", "Expected", "Manager", "Name",
    "Part", "Records", "Report", "Settings", "Source", "Stage", "StageContext", "StageSpec", "Word", "Work",
    "await_result", "blame_plugin", "breach", "build", "copy_for_plugin", "cut", "describe_change",
    "drop_if_unwritable", "each", "format_value", "is_number", "provenance", "read_inputs", "ready_in_order",
    "record_id", "wrong_type",
]  # fmt: skip
