"""What a package needs to bring a command of its own (entry point ``filial.commands``, a click command).

Public API, like the names in `filial` and `filial.testing`.
"""

from __future__ import annotations

from filial.cli.common import (
    format_option,
    home_option,
    json_option,
    manager,
    open_gateway,
    open_teacher,
    parse_options,
    print_json,
    run_async,
    seed_option,
    stack,
    teacher_options,
)
from filial.cli.plugincommands import PluginGroup
from filial.cli.progress import printable, reporter
from filial.cli.tables import (
    SURVIVAL_HEAD,
    counted,
    figure,
    funnel,
    grid,
    judged,
    survival,
    survival_cells,
)
from filial.contracts.checks import json_figures
from filial.contracts.errors import DONE, FAILED, ROWS_LOST
from filial.contracts.plugin_errors import blamed, breach
from filial.engine.build import read as read_source
from filial.engine.commit import ANSWERS
from filial.engine.dataset import write as write_dataset
from filial.engine.exams import Exam
from filial.engine.judge import Answerer, Sitting, examine
from filial.engine.judge import label as sitting_label
from filial.engine.model_notes import load_teacher, load_template, save_notes
from filial.engine.progress import Reporter
from filial.engine.run import Run
from filial.engine.stage import is_lost
from filial.engine.survival import add_rows as add_survival
from filial.engine.train import weights as model_digest
from filial.plugins.manager import Manager
from filial.plugins.options import locate_files
from filial.recipe import from_dict, load, loads
from filial.recipe.model import unused_name

__all__ = [
    "ANSWERS", "DONE", "FAILED", "ROWS_LOST", "SURVIVAL_HEAD", "Answerer", "Exam", "Manager", "PluginGroup",
    "Reporter", "Run", "Sitting", "add_survival", "blamed", "breach", "counted", "examine", "figure", "format_option",
    "from_dict", "funnel", "grid", "home_option", "is_lost", "json_figures", "json_option", "judged", "load",
    "load_teacher", "load_template", "loads", "locate_files", "manager", "model_digest", "open_gateway", "open_teacher",
    "parse_options", "print_json", "printable", "read_source", "reporter", "run_async", "save_notes", "seed_option",
    "sitting_label", "stack", "survival", "survival_cells", "teacher_options", "unused_name", "write_dataset",
]  # fmt: skip
