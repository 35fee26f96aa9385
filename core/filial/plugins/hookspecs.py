"""The hooks that a plugin can implement, most of them with an example.

An implementation may take fewer arguments than its spec, but no others. It is marked with ``filial.hookimpl`` and needs
no ``wrapper=True``: `ask` always wraps, the others have nothing to wrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pluggy

from filial.contracts.context import Asker, DropInfo, RunInfo
from filial.contracts.kinds import KINDS, Component, Teacher
from filial.contracts.messages import Reply, Request
from filial.contracts.records import Record

hookspec = pluggy.HookspecMarker("filial")


def _make_spec(kind: str, base: type[Component]) -> Any:
    """Make the hook with which a plugin registers components of one kind. docs/plugins has examples."""

    def spec(register: Callable[[str, type[Component]], None]) -> None: ...

    spec.__name__ = spec.__qualname__ = f"register_{kind}"
    spec.__doc__ = f"Register subclasses of `filial.{base.__name__}`; called once, when the plugin is first used."
    return hookspec(historic=True)(spec)


globals().update({f"register_{kind}": _make_spec(kind, base) for kind, base in KINDS.items()})


@hookspec
def run_started(run: RunInfo) -> None:
    """Called when a run begins, before any request. An error is logged and does not stop the run.

    Example:
        import time
        from filial import hookimpl

        @hookimpl
        def run_started(run):
            (run.folder / "started.txt").write_text(time.ctime())
    """


@hookspec
def stage_finished(run: RunInfo, stage: str, kept: int, dropped: dict[str, int]) -> None:
    """Called when a stage is committed, with the number of records kept, and of those dropped by reason.

    An error is logged and does not stop the run.

    Example:
        import sys
        from filial import hookimpl

        @hookimpl
        def stage_finished(stage, kept, dropped):
            print(f"{stage}: {kept} kept, {sum(dropped.values())} dropped", file=sys.stderr)
    """


@hookspec
def record_dropped(run: RunInfo, stage: str, record: Record | None, drop: DropInfo) -> None:
    """Called for each record that is dropped. ``record`` is None if an answer never became a record; ``drop`` has at
    least ``reason`` and ``detail``.

    Keep it quick: there may be many drops. An error is logged and does not stop the run.

    Example:
        import sys
        from filial import hookimpl

        @hookimpl
        def record_dropped(stage, drop):
            if drop.reason == "harm":
                print(f"{stage}: {drop.detail}", file=sys.stderr)
    """


@hookspec
def training_started(run: RunInfo, model: str, data: Path) -> None:
    """Called before a training that is not done yet. ``model`` names the model to start from, ``data`` is the folder
    of the data set. An error is logged and does not stop the run.

    Example:
        from filial import hookimpl

        @hookimpl
        def training_started(run, model, data):
            with open(data / "train.jsonl", "rb") as lines:
                (run.folder / "training.txt").write_text(f"{model} on {sum(1 for _ in lines)} records")
    """


@hookspec
def training_finished(run: RunInfo, model: Path, figures: dict[str, Any], error: BaseException | None) -> None:
    """Called when a training ends. If ``error`` is None, the folder ``model`` holds the complete model, and ``figures``
    are the trainer's; otherwise it ended with an error or Ctrl-C. An error in the hook is logged.

    Example:
        import shutil
        from filial import hookimpl

        @hookimpl
        def training_finished(run, model, figures, error):
            if error is None and figures.get("loss", 0.0) < 1.0:
                shutil.copytree(model, run.folder / "good-model", dirs_exist_ok=True)
    """


@hookspec
def run_finished(run: RunInfo, error: BaseException | None) -> None:
    """Called when a run ends: successfully (``error`` is None), with an error, or with Ctrl-C. An error in the hook is
    logged.

    Example:
        from filial import hookimpl

        @hookimpl
        def run_finished(run, error):
            (run.folder / "outcome.txt").write_text("failed" if error else "done")
    """


@hookspec
def ask(request: Request, teacher: Teacher, proceed: Asker) -> Reply:
    """Wrap each call to a teacher: change the request, answer without the teacher, read or change the reply.

    An implementation is ``async def``. ``await proceed(request)`` calls the next wrapper and finally the teacher.
    Without this call the hook answers instead of the teacher; a second call asks again. The plugin registered last is
    outermost; ``hookimpl(tryfirst=True)`` and ``trylast=True`` change that. An exception reaches the stage.

    Example:
        from filial import Message, hookimpl
        from msgspec.structs import replace

        @hookimpl
        async def ask(request, proceed):
            told = Message(role="system", content="Be brief.")
            return await proceed(replace(request, messages=(told, *request.messages)))
    """
    raise NotImplementedError  # a spec is never called


@hookspec
def checkup() -> Iterable[tuple[str, str]]:
    """Return findings for ``filial doctor`` as (level, sentence); the level is "ok", "warn" or "fail".

    Example:
        import os
        from filial import hookimpl

        @hookimpl
        def checkup():
            if "PIRATE_KEY" not in os.environ:
                yield "warn", "PIRATE_KEY is not set; export it before a run"
    """
    raise NotImplementedError  # a spec is never called
