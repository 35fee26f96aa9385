"""Turn an error inside a plugin into one sentence that names the plugin."""

from __future__ import annotations

import errno
import sys
from traceback import walk_tb
from types import CoroutineType
from typing import TYPE_CHECKING

from filial.contracts.checks import format_value
from filial.contracts.errors import FilialError, TeacherError

if TYPE_CHECKING:
    from filial.contracts.records import Record


class blame_plugin:
    """Turn an exception that no plugin should raise (`is_fault`), also ``sys.exit()``, into one sentence. Errors for
    users pass. ``stage`` is the stage it works in, or else what it does, in words that begin with "the ".

    Raises:
        FilialError: names the plugin, the stage and the record; its cause is the original exception.
    """

    __slots__ = ("plugin", "record", "stage")

    def __init__(self, plugin: str, stage: str, record: Record | None = None) -> None:
        self.plugin, self.stage, self.record = plugin, stage, record

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if isinstance(err, TeacherError):
            what = f"{self.plugin} stopped in {_place(self.stage, self.record)} when a teacher call failed: {err}"
            raise FilialError(f"{what}; every answer is kept, so run it again") from err
        if err is not None and is_fault(err):
            raise failure(f"{self.plugin} fails in {_place(self.stage, self.record)}", err) from err


def is_fault(err: BaseException) -> bool:
    """Return whether an exception is a plugin's fault; not filial's errors, and not cancellation or closing from
    outside.

    A `CancelledError` comes from outside if the task itself was cancelled; it is the plugin's fault if something it
    awaited was cancelled. A `GeneratorExit` comes from outside if it begins in the calling frame.
    """
    if isinstance(err, Exception | SystemExit):
        return not isinstance(err, FilialError)
    if isinstance(err, GeneratorExit):
        trace = err.__traceback__
        return trace is not None and trace.tb_next is not None
    import asyncio

    if not isinstance(err, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a thread without a loop: nothing is cancelled there
        return True
    return task is None or not task.cancelling()


def failure(what: str, err: BaseException) -> FilialError:
    """Return the error for an exception that no plugin should raise."""
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return FilialError(f"{what}: the disk is full; free some space and run again")
    return FilialError(f"{what}: {describe_error(err)} (filial --debug shows the traceback)")


def describe_error(err: BaseException) -> str:
    """Return type and message of an error in a plugin, on one line, with the file and line of the plugin's code."""
    said, _, _ = str(err).partition("For further information visit")  # pydantic's
    cause = " ".join(f"{type(err).__name__}: {said}".split()).removesuffix(":")
    if isinstance(err, AttributeError) and isinstance(err.obj, CoroutineType):
        cause += f"; write 'await' before {err.obj.__name__}(…)"
        err.obj.close()  # otherwise Python warns that it was never awaited
    calls = [(str(f.f_globals.get("__name__")).partition(".")[0], f, line) for f, line in walk_tb(err.__traceback__)]
    skipped = {"filial", "pluggy", *sys.stdlib_module_names, *(name for name, *_ in calls[:1])}  # [0] calls plugins
    places = (f"{f.f_code.co_filename.rpartition('/')[2]}, line {at}" for name, f, at in calls if name not in skipped)
    return next((f"{cause}, in {place}" for place in places), cause)


def breach(plugin: str, stage: str, fault: str, record: Record | None = None) -> FilialError:
    """Return the error for a plugin that breaks its contract."""
    return FilialError(f"{plugin} breaks its contract in {_place(stage, record)}: {fault}")


def wrong_type(
    plugin: str, stage: str, call: str, got: object, wanted: str, record: Record | None = None
) -> FilialError:
    """Return the error for a plugin that returns a wrong type."""
    return breach(plugin, stage, f"{call} gave {format_value(got)}, not {wanted}", record)


def _place(stage: str, record: Record | None) -> str:
    place = stage if stage.startswith("the ") else f"stage {stage}"
    return f"{place}, record {record.id}" if record is not None and record.id else place


def describe_surrogate(err: UnicodeEncodeError) -> str:
    """Describe a lone surrogate and its position."""
    code = ord(err.object[err.start])
    return f"holds U+{code:04X}, half a character (a lone surrogate), which UTF-8 cannot hold"
