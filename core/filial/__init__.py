"""filial: instruction tuning where every step is a plugin.

The names in ``__all__`` are the public API for plugin authors; everything else is private. They resolve on first
use (PEP 562), so that ``import filial`` and ``filial --help`` stay cheap.
"""

from typing import TYPE_CHECKING

from filial.contracts.lazy import lazy

__version__ = "0.2.0"

__all__ = [
    "BEGIN", "END", "FREE", "Asker", "Bound", "Candidate", "Component", "Constraint", "Context", "Destination", "Drop",
    "DropInfo", "Field", "FilialError", "Filter", "Format", "Generator", "HookPlugin", "InputFile", "Judge", "Keep",
    "Message", "MissingExtra", "Mixer", "Origin", "Price", "PromptStrategy", "Record", "Reply", "Request", "Role",
    "RunInfo", "Span", "Strategy", "Teacher", "TeacherError", "Template", "ToolCall", "TrainContext", "Trainer",
    "UsageError", "Verdict", "declines", "hookimpl", "in_order", "is_refusal", "resolve", "seeded", "words",
]  # fmt: skip

if TYPE_CHECKING:
    from filial.contracts.concurrency import in_order
    from filial.contracts.context import Asker, Candidate, Context, DropInfo, RunInfo, TrainContext, seeded
    from filial.contracts.errors import FilialError, MissingExtra, TeacherError, UsageError
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
        globals(), "filial.contracts",
        "errors", "paths", "texts", "messages", "records", "context", "kinds", "prompting", "concurrency",
    )  # fmt: skip
