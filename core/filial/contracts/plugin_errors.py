"""Whose fault it is when something goes wrong inside a plugin, in one sentence that names it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from filial.contracts.checks import format_value
from filial.contracts.errors import FilialError, TeacherError

if TYPE_CHECKING:
    from filial.contracts.records import Record


class blame_plugin:
    """Turn what no plugin should raise (`is_fault`), ``sys.exit()`` too, into one sentence. Errors written for users
    pass.

    Raises:
        FilialError: naming the plugin, the stage and the record; the traceback is kept as its cause.
    """

    __slots__ = ("plugin", "record", "stage")

    def __init__(self, plugin: str, stage: str, record: Record | None = None) -> None:
        self.plugin, self.stage, self.record = plugin, stage, record

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if isinstance(err, TeacherError):
            raise FilialError(
                f"{self.plugin} gave up in {_place(self.stage, self.record)} when a teacher call failed: {err}; "
                "every answer is kept, so run it again"
            ) from err
        if err is not None and is_fault(err):
            raise failure(f"{self.plugin} fails in {_place(self.stage, self.record)}", err) from err


def is_fault(err: BaseException) -> bool:
    """Tell an exception that no plugin should raise from errors of ours and from orders to stop that pass through.

    A `CancelledError` is such an order where the task itself was cancelled, and a plugin's own where it awaited
    something else that was. A `GeneratorExit` is one where it begins in the frame that asks, since that is closed.
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
    except RuntimeError:  # a thread without a loop, where nothing is cancelled
        return True
    return task is None or not task.cancelling()


def failure(what: str, err: BaseException) -> FilialError:
    """The error for an exception that no plugin should raise."""
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return FilialError(f"{what}: the disk is full; free some space and run again")
    cause = " ".join(f"{type(err).__name__}: {err}".split()).removesuffix(":")
    return FilialError(f"{what}: {cause} (filial --debug shows the traceback)")


def breach(plugin: str, stage: str, fault: str, record: Record | None = None) -> FilialError:
    """The error for a plugin that hands back nonsense."""
    return FilialError(f"{plugin} breaks its contract in {_place(stage, record)}: {fault}")


def wrong_type(
    plugin: str, stage: str, call: str, got: object, wanted: str, record: Record | None = None
) -> FilialError:
    """The error for a plugin that returns something else than its contract says."""
    return breach(plugin, stage, f"{call} gave {format_value(got)}, not {wanted}", record)


def _place(stage: str, record: Record | None) -> str:
    return f"stage {stage}, record {record.id}" if record is not None and record.id else f"stage {stage}"


def describe_surrogate(err: UnicodeEncodeError) -> str:
    """Which lone surrogate stands where, in words."""
    code = ord(err.object[err.start])
    return f"holds U+{code:04X}, half a character (a lone surrogate), which UTF-8 cannot hold"
