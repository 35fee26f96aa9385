"""Whose fault it is when something goes wrong inside a plugin, in one sentence that names it."""

from __future__ import annotations

import errno

from filial.contracts.errors import FilialError, TeacherError


class blamed:
    """Turn what no plugin should raise, ``sys.exit()`` too, into one sentence. Errors written for users pass.

    Raises:
        FilialError: naming the plugin and the stage; the traceback is kept as its cause.
    """

    __slots__ = ("_plugin", "_stage")

    def __init__(self, plugin: str, stage: str) -> None:
        self._plugin, self._stage = plugin, stage

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if isinstance(err, TeacherError):
            raise FilialError(
                f"{self._plugin} gave up in stage {self._stage} when a teacher call failed: {err}; "
                "every answer is kept, so run it again"
            ) from err
        if isinstance(err, Exception | SystemExit) and not isinstance(err, FilialError):
            raise failure(f"{self._plugin} fails in stage {self._stage}", err) from err


def failure(what: str, err: BaseException) -> FilialError:
    """The error for an exception that no plugin should raise."""
    if isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT):
        return FilialError(f"{what}: the disk is full; free some space and run again")
    cause = " ".join(f"{type(err).__name__}: {err}".split())
    return FilialError(f"{what}: {cause} (filial --debug shows the traceback)")


def wrong_type(plugin: str, stage: str, call: str, got: object, wanted: str) -> FilialError:
    """The error for a plugin that returns something else than its contract says."""
    return FilialError(f"{plugin} breaks its contract in stage {stage}: {call} gave {_what(got)}, not {wanted}")


def _what(value: object) -> str:
    return "nothing (None)" if value is None else f"a value of type {type(value).__name__}"


def half_character(err: UnicodeEncodeError) -> str:
    """Which lone surrogate stands where, in words."""
    code = ord(err.object[err.start])
    return f"holds U+{code:04X}, half a character (a lone surrogate), which UTF-8 cannot hold"
