"""What a package needs to bring a command of its own (entry point ``filial.commands``, a click command).

Public API, like the names in `filial` and `filial.testing`.
"""

from __future__ import annotations

from filial.cli.common import manager, print_json
from filial.cli.progress import printable, reporter
from filial.cli.tables import figure, funnel, grid, judged
from filial.cli.tables import overall as survival
from filial.engine.run import Run
from filial.local.models import answer, load_template
from filial.recipe import from_dict, load, loads

__all__ = [
    "Run",
    "answer",
    "figure",
    "from_dict",
    "funnel",
    "grid",
    "judged",
    "load",
    "load_template",
    "loads",
    "manager",
    "print_json",
    "printable",
    "reporter",
    "survival",
]
