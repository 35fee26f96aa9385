"""filial: instruction tuning where every step is a plugin.

The names in ``__all__`` are the public API for plugin authors; everything else is private. They resolve on first
use (PEP 562), so that ``import filial`` and ``filial --help`` stay cheap.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from filial.components import (
        BEGIN,
        END,
        Component,
        Drop,
        Field,
        Filter,
        Generator,
        Judge,
        Keep,
        Mixer,
        Span,
        Strategy,
        Teacher,
        Template,
        Trainer,
        Verdict,
        hookimpl,
    )
    from filial.context import Context, TrainContext, seeded
    from filial.errors import FilialError, MissingExtra, TeacherError, UsageError
    from filial.executor import in_order
    from filial.inputfiles import InputFile
    from filial.prompting import PromptStrategy
    from filial.records import Constraint, Message, Origin, Record
    from filial.resources import resolve
    from filial.teaching import FREE, Bound, Destination, Price, Reply, Request
    from filial.wordcount import words

_HOME = {
    "filial.components": (
        "BEGIN", "END", "Component", "Drop", "Field", "Filter", "Generator", "Judge", "Keep", "Mixer", "Span",
        "Strategy", "Teacher", "Template", "Trainer", "Verdict", "hookimpl",
    ),
    "filial.context": ("Context", "TrainContext", "seeded"),
    "filial.executor": ("in_order",),
    "filial.errors": ("FilialError", "MissingExtra", "TeacherError", "UsageError"),
    "filial.inputfiles": ("InputFile",),
    "filial.prompting": ("PromptStrategy",),
    "filial.wordcount": ("words",),
    "filial.records": ("Constraint", "Message", "Origin", "Record"),
    "filial.resources": ("resolve",),
    "filial.teaching": ("FREE", "Bound", "Destination", "Price", "Reply", "Request"),
}  # fmt: skip
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "BEGIN",
    "END",
    "FREE",
    "Bound",
    "Component",
    "Constraint",
    "Context",
    "Destination",
    "Drop",
    "Field",
    "FilialError",
    "Filter",
    "Generator",
    "InputFile",
    "Judge",
    "Keep",
    "Message",
    "MissingExtra",
    "Mixer",
    "Origin",
    "Price",
    "PromptStrategy",
    "Record",
    "Reply",
    "Request",
    "Span",
    "Strategy",
    "Teacher",
    "TeacherError",
    "Template",
    "TrainContext",
    "Trainer",
    "UsageError",
    "Verdict",
    "hookimpl",
    "in_order",
    "resolve",
    "seeded",
    "words",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_WHERE[name]), name)
        return value
    raise AttributeError(f"module 'filial' has no attribute {name!r}")
