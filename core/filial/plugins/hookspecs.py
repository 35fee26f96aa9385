"""Every hook a plugin may implement; those round a run each with a complete example.

An implementation may take fewer arguments than its spec, never others. It is marked with ``filial.hookimpl``
and needs no ``wrapper=True``: `ask` is a wrapper by nature, the others have nothing to wrap.
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


def _registration(kind: str, base: type[Component]) -> Any:
    """The hook by which a plugin brings components of one kind; the examples in docs/plugins are run by tests."""

    def spec(register: Callable[[str, type[Component]], None]) -> None: ...

    spec.__name__ = spec.__qualname__ = f"register_{kind}"
    spec.__doc__ = f"Register subclasses of `filial.{base.__name__}`; called once, when the plugin is first used."
    return hookspec(historic=True)(spec)


globals().update({f"register_{kind}": _registration(kind, base) for kind, base in KINDS.items()})


@hookspec
def run_started(run: RunInfo) -> None:
    """A run begins; nothing has been asked yet. An error here is logged and does not stop the run.

    Example:
        import time
        from filial import hookimpl

        @hookimpl
        def run_started(run):
            (run.folder / "started.txt").write_text(time.ctime())
    """


@hookspec
def stage_finished(run: RunInfo, stage: str, kept: int, dropped: dict[str, int]) -> None:
    """A stage is committed: how many records go on, and how many were dropped for which reason.

    An error here is logged and does not stop the run.

    Example:
        import sys
        from filial import hookimpl

        @hookimpl
        def stage_finished(stage, kept, dropped):
            print(f"{stage}: {kept} kept, {sum(dropped.values())} dropped", file=sys.stderr)
    """


@hookspec
def record_dropped(run: RunInfo, stage: str, record: Record | None, drop: DropInfo) -> None:
    """A record does not go on. ``record`` is None where an answer never became a record;
    ``drop`` has at least ``reason`` and ``detail``.

    Called once per drop, so keep it quick. An error here is logged and does not stop the run.

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
    """A model is about to be trained, one that was not trained before: ``model`` names the one to start from, ``data``
    is the folder of the data set. An error here is logged and does not stop the run.

    Example:
        from filial import hookimpl

        @hookimpl
        def training_started(run, model, data):
            with open(data / "train.jsonl", "rb") as lines:
                (run.folder / "training.txt").write_text(f"{model} on {sum(1 for _ in lines)} records")
    """


@hookspec
def training_finished(run: RunInfo, model: Path, figures: dict[str, Any], error: BaseException | None) -> None:
    """A training ends: well (``error`` is None), with a whole model in the folder ``model`` and the trainer's figures,
    or by an error or Ctrl-C. An error here is logged only.

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
    """A run ends: well (``error`` is None), by an error, or by Ctrl-C. An error here is logged only.

    Example:
        from filial import hookimpl

        @hookimpl
        def run_finished(run, error):
            (run.folder / "outcome.txt").write_text("failed" if error else "done")
    """


@hookspec
def ask(request: Request, teacher: Teacher, proceed: Asker) -> Reply:
    """Wrap each call to a teacher: change the request, answer without it, look at or change the reply.

    An implementation is ``async def``. ``await proceed(request)`` calls the next wrapper and in the end the
    teacher; not calling it answers in the teacher's place, calling it again asks again. The plugin registered
    last is outermost; ``hookimpl(tryfirst=True)`` and ``trylast=True`` change that. What it raises reaches
    the stage.

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
    """Findings for ``filial doctor``, as (level, sentence); the level is "ok", "warn" or "fail".

    Example:
        import os
        from filial import hookimpl

        @hookimpl
        def checkup():
            if "PIRATE_KEY" not in os.environ:
                yield "warn", "PIRATE_KEY is not set; export it before a run"
    """
    raise NotImplementedError  # a spec is never called
