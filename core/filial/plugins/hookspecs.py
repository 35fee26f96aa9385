"""Every hook a plugin may implement, each with a complete example.

An implementation may take fewer arguments than its spec, never others. It is marked with ``filial.hookimpl``
and needs no ``wrapper=True``: `ask` is a wrapper by nature, the others have nothing to wrap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from filial.contracts.context import Asker, DropInfo, RunInfo
    from filial.contracts.kinds import Filter, Format, Generator, Judge, Mixer, Strategy, Teacher, Template, Trainer
    from filial.contracts.messages import Reply, Request
    from filial.contracts.records import Record

hookspec = pluggy.HookspecMarker("filial")


@hookspec(historic=True)
def register_generators(register: Callable[[str, type[Generator]], None]) -> None:
    """Register generators; called once, when the plugin is first used.

    Example:
        from filial import Generator, hookimpl

        class Copy(Generator):
            '''Hand the seeds on as they are.'''

            async def generate(self, seeds, ctx):
                for seed in seeds:
                    yield seed

        @hookimpl
        def register_generators(register):
            register("copy", Copy)
    """


@hookspec(historic=True)
def register_strategies(register: Callable[[str, type[Strategy]], None]) -> None:
    """Register evolution strategies; called once, when the plugin is first used.

    Example:
        from filial import Drop, Strategy, hookimpl

        class Shorter(Strategy):
            '''Ask for the same thing in fewer words.'''

            async def evolve(self, record, ctx):
                reply = await ctx.ask(f"Say this in fewer words: {record.instruction}")
                return record.evolved(instruction=reply.text) if reply.text else Drop("empty-reply")

        @hookimpl
        def register_strategies(register):
            register("shorter", Shorter)
    """


@hookspec(historic=True)
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    """Register filters; called once, when the plugin is first used.

    Example:
        from filial import Drop, Filter, Keep, hookimpl

        class Answered(Filter):
            '''Keep records that have an answer.'''

            def check(self, record, ctx):
                return Keep() if record.output else Drop("no-answer")

        @hookimpl
        def register_filters(register):
            register("answered", Answered)
    """


@hookspec(historic=True)
def register_mixers(register: Callable[[str, type[Mixer]], None]) -> None:
    """Register mixers; called once, when the plugin is first used.

    Example:
        from filial import Mixer, hookimpl

        class Equal(Mixer):
            '''Every task gets the same share.'''

            def rates(self, sizes):
                return {task: 1.0 for task in sizes}

        @hookimpl
        def register_mixers(register):
            register("equal", Equal)
    """


@hookspec(historic=True)
def register_templates(register: Callable[[str, type[Template]], None]) -> None:
    """Register templates; called once, when the plugin is first used.

    Example:
        from filial import END, Span, Template, hookimpl

        class Arrow(Template):
            '''Question, an arrow, answer.'''

            def render(self, record):
                prompt = [Span(record.question()), Span(" -> ")]
                return [*prompt, Span(record.output, train=True), END] if record.output else prompt

        @hookimpl
        def register_templates(register):
            register("arrow", Arrow)
    """


@hookspec(historic=True)
def register_trainers(register: Callable[[str, type[Trainer]], None]) -> None:
    """Register trainers; called once, when the plugin is first used. Import torch inside ``train``.

    Example:
        from filial import Trainer, hookimpl

        class Count(Trainer):
            '''Train nothing; say how many examples there are.'''

            def train(self, data, model, template, out, ctx):
                lines = (data / "train.jsonl").read_text(encoding="utf-8").splitlines()
                return {"examples": len(lines)}

        @hookimpl
        def register_trainers(register):
            register("count", Count)
    """


@hookspec(historic=True)
def register_teachers(register: Callable[[str, type[Teacher]], None]) -> None:
    """Register teachers; called once, when the plugin is first used.

    Example:
        from filial import Reply, Teacher, hookimpl

        class Echo(Teacher):
            '''Say what it was asked.'''

            async def reply(self, request):
                return Reply(text=request.messages[-1].content)

        @hookimpl
        def register_teachers(register):
            register("echo", Echo)
    """


@hookspec(historic=True)
def register_judges(register: Callable[[str, type[Judge]], None]) -> None:
    """Register judges; called once, when the plugin is first used.

    Example:
        from filial import Judge, Verdict, hookimpl

        class Concise(Judge):
            '''The shorter the answer, the better.'''

            async def judge(self, record, candidates, ctx):
                reply = await candidates[0].ask(record.question())
                return Verdict(score=1 / (1 + len(reply.text)))

        @hookimpl
        def register_judges(register):
            register("concise", Concise)
    """


@hookspec(historic=True)
def register_formats(register: Callable[[str, type[Format]], None]) -> None:
    """Register formats; called once, when the plugin is first used, or when the format of a file has to be found.

    Example:
        from filial import Record, hookimpl
        from filial.formats import RowFormat

        class Riddles(RowFormat):
            '''Riddles and what they mean.'''

            keys = ("riddle", "solution")

            def from_row(self, row):
                return [Record(instruction=row["riddle"], output=row["solution"])]

        @hookimpl
        def register_formats(register):
            register("riddles", Riddles)
    """


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
