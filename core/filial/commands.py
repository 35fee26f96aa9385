"""What a package needs for a command of its own (entry point ``filial.commands``, a click command).

Public API, like the names in `filial` and `filial.testing`; filial's own commands use it, too. The parts of a command
line are imported at once, everything else on first use, so that listing what is installed stays fast.

For a command line: options, the plugin manager, plugins as subcommands (`PluginGroup`), teachers from flags, tables.
For recipes and runs: `load`, `Run`, `plan_steps`. For one stage without a run: `StageContext`, `run_stage`. For judging
and training: `examine`, `tune`. For documentation of plugins: `json_schema`, `recipe_settings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from filial.cli.common import (
    command_line,
    format_option,
    given_options,
    home_option,
    json_option,
    json_text,
    manager,
    open_gateway,
    parse_options,
    plugin_index,
    print_json,
    run_async,
    seed_option,
    source_options,
    source_spec,
    stack,
    teacher_flags,
    teacher_options,
)
from filial.cli.plugincommands import PluginGroup
from filial.cli.tables import figure, format_counts, grid
from filial.contracts.errors import (
    BUDGET,
    DONE,
    FAILED,
    ROWS_LOST,
    UNREACHABLE,
    USAGE,
    BudgetStop,
    PluginError,
    TeacherUnreachable,
)
from filial.contracts.texts import printable
from filial.plugins.discovery import GROUPS, HOOKS, STAGES, singular

if TYPE_CHECKING:
    from filial.api.reporters import reporter
    from filial.api.runs import open_run
    from filial.api.verbs import run_verb
    from filial.contracts.kinds import KINDS
    from filial.contracts.plugin_errors import blame_plugin
    from filial.engine.build import read_inputs, read_source
    from filial.engine.commit import ANSWERS
    from filial.engine.dataset import write_dataset
    from filial.engine.examine import Examination, examine
    from filial.engine.judge import Answerer
    from filial.engine.plan import Step, plan_steps
    from filial.engine.progress import Reporter
    from filial.engine.run import Run, check_components, refusals
    from filial.engine.stage import Counters, DropRow, StageContext, is_lost
    from filial.engine.train import load_teacher, load_template, model_digest, tune
    from filial.engine.verbs import run_stage
    from filial.formats.records import schema as record_schema
    from filial.formats.writing import resolve_format
    from filial.gateway.budget import format_dollars
    from filial.gateway.gateway import GatewayStatus
    from filial.plugins.manager import Manager
    from filial.plugins.options import change_files, click_options, from_flags, json_schema, locate_files
    from filial.recipe import ComponentSpec, Recipe, StageSpec, from_dict, load, loads
    from filial.recipe import settings as recipe_settings
    from filial.recipe.model import unused_name
    from filial.recipe.settings import stage_class

_HOME = {
    "filial.api.runs": ("open_run",),
    "filial.api.verbs": ("run_verb",),
    "filial.contracts.kinds": ("KINDS",),
    "filial.contracts.plugin_errors": ("blame_plugin",),
    "filial.engine.build": ("read_inputs", "read_source"),
    "filial.engine.commit": ("ANSWERS",),
    "filial.engine.dataset": ("write_dataset",),
    "filial.engine.examine": ("Examination", "examine"),
    "filial.engine.judge": ("Answerer",),
    "filial.engine.plan": ("Step", "plan_steps"),
    "filial.engine.progress": ("Reporter",),
    "filial.api.reporters": ("reporter",),
    "filial.engine.run": ("Run", "check_components", "refusals"),
    "filial.engine.stage": ("Counters", "DropRow", "StageContext", "is_lost"),
    "filial.engine.train": ("load_teacher", "load_template", "model_digest", "tune"),
    "filial.engine.verbs": ("run_stage",),
    "filial.formats.records": ("record_schema=schema",),
    "filial.formats.writing": ("resolve_format",),
    "filial.gateway.budget": ("format_dollars",),
    "filial.gateway.gateway": ("GatewayStatus",),
    "filial.plugins.manager": ("Manager",),
    "filial.plugins.options": ("change_files", "click_options", "from_flags", "json_schema", "locate_files"),
    "filial.recipe": (
        "ComponentSpec", "Recipe", "StageSpec", "from_dict", "load", "loads", "recipe_settings=settings",
    ),
    "filial.recipe.model": ("unused_name",),
    "filial.recipe.settings": ("stage_class",),
}  # fmt: skip
_WHERE = {
    public: (module, name or public)
    for module, names in _HOME.items()
    for public, _, name in (entry.partition("=") for entry in names)
}
"""Public name -> its module and its name there."""

__all__ = [
    "ANSWERS", "BUDGET", "DONE", "FAILED", "GROUPS", "HOOKS", "KINDS", "ROWS_LOST", "STAGES", "UNREACHABLE", "USAGE",
    "Answerer", "BudgetStop", "ComponentSpec", "Counters", "DropRow", "Examination", "GatewayStatus", "Manager",
    "PluginError", "PluginGroup", "Recipe", "Reporter", "Run", "StageContext", "StageSpec", "Step",
    "TeacherUnreachable", "blame_plugin", "change_files", "check_components", "click_options", "command_line",
    "examine", "figure", "format_counts", "format_dollars", "format_option", "from_dict", "from_flags", "given_options",
    "grid", "home_option", "is_lost", "json_option", "json_schema", "json_text", "load", "load_teacher",
    "load_template", "loads", "locate_files", "manager", "model_digest", "open_gateway", "open_run", "parse_options",
    "plan_steps", "plugin_index", "print_json", "printable", "read_inputs", "read_source", "recipe_settings",
    "record_schema", "refusals", "reporter", "resolve_format", "run_async", "run_stage", "run_verb", "seed_option",
    "singular", "source_options", "source_spec", "stack", "stage_class", "teacher_flags", "teacher_options", "tune",
    "unused_name", "write_dataset",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        module, there = _WHERE[name]
        value = globals()[name] = getattr(import_module(module), there)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
