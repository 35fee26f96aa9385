"""filial: instruction tuning where every step is a plugin.

The names in ``__all__`` are the public API, for plugin authors and for Python; everything else is private. They are
imported on first use (PEP 562), so that ``import filial`` and ``filial --help`` are fast.
"""

from typing import TYPE_CHECKING

from filial.contracts.lazy import lazy

__version__ = "0.2.0"

__all__ = [
    "BEGIN", "END", "FREE", "Asker", "Bound", "BudgetStop", "Candidate", "Component", "Constraint", "Context",
    "Destination", "Drop", "DropInfo", "Field", "FilialError", "Filter", "Format", "Generator", "HookPlugin",
    "InputFile", "Judge", "Keep", "Message", "MissingExtra", "Mixer", "Model", "Origin", "Plan", "Price", "Prompt",
    "PromptStrategy", "Recipe", "RecipeError", "Record", "Records", "Reply", "Request", "Result", "Role", "RunInfo",
    "Span", "Strategy", "Teacher", "TeacherError", "TeacherUnreachable", "Template", "ToolCall", "TrainContext",
    "Trainer", "UsageError", "Verdict", "Verdicts", "aevolve", "afilter", "agenerate", "ajudge", "amix", "arun",
    "declines", "evolve", "filter", "generate", "hookimpl", "in_order", "is_refusal", "judge", "load", "mix",
    "resolve", "run", "seeded_rng", "train", "words",
]  # fmt: skip

if TYPE_CHECKING:
    from filial.api.judging import ajudge, judge
    from filial.api.models import Model, train
    from filial.api.records import Records
    from filial.api.results import Plan, Result, Verdicts
    from filial.api.runs import Recipe, arun, run
    from filial.api.sources import load
    from filial.api.teachers import Prompt
    from filial.api.verbs import aevolve, afilter, agenerate, amix, evolve, filter, generate, mix
    from filial.contracts.concurrency import in_order
    from filial.contracts.context import Asker, Candidate, Context, DropInfo, RunInfo, TrainContext, seeded_rng
    from filial.contracts.errors import (
        BudgetStop,
        FilialError,
        MissingExtra,
        RecipeError,
        TeacherError,
        TeacherUnreachable,
        UsageError,
    )
    from filial.contracts.kinds import (
        BEGIN,
        END,
        Component,
        Drop,
        Field,
        Filter,
        Format,
        Generator,
        HookPlugin,
        InputFile,
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
    from filial.contracts.messages import FREE, Bound, Destination, Message, Price, Reply, Request, Role, ToolCall
    from filial.contracts.paths import resolve
    from filial.contracts.prompting import PromptStrategy
    from filial.contracts.records import Constraint, Origin, Record
    from filial.contracts.texts import declines, is_refusal, words
else:
    __getattr__ = lazy(
        globals(), "filial", *(
            f"contracts.{module}" for module in (
                "errors", "paths", "texts", "messages", "records", "context", "kinds", "prompting", "concurrency",
            )
        ),
        *(f"api.{module}" for module in ("sources", "verbs", "runs", "results", "models", "judging", "teachers")),
    )  # fmt: skip
