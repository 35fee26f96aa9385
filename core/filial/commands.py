"""What a package needs to bring a command of its own (entry point ``filial.commands``, a click command).

Public API, like the names in `filial` and `filial.testing`.
"""

from __future__ import annotations

from filial.cli.common import manager, print_json
from filial.cli.plugincommands import Invoke, PluginGroup
from filial.cli.progress import printable, reporter
from filial.cli.runs import home_option, json_option
from filial.cli.tables import figure, funnel, grid, judged
from filial.cli.tables import overall as survival
from filial.contracts.errors import DONE, FAILED
from filial.contracts.plugin_errors import blamed
from filial.engine.build import read as read_source
from filial.engine.commit import ANSWERS
from filial.engine.model_notes import load_template
from filial.engine.run import Run
from filial.engine.stage import is_lost
from filial.recipe import from_dict, load, loads

__all__ = [
    "ANSWERS",
    "DONE",
    "FAILED",
    "Invoke",
    "PluginGroup",
    "Run",
    "blamed",
    "figure",
    "from_dict",
    "funnel",
    "grid",
    "home_option",
    "is_lost",
    "json_option",
    "judged",
    "load",
    "load_template",
    "loads",
    "manager",
    "print_json",
    "printable",
    "read_source",
    "reporter",
    "survival",
]
