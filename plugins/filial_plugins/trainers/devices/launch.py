"""Start processes on this machine that train one model together, and relay their messages."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from filial import FilialError, Template, TrainContext, UsageError
from filial_plugins.trainers.devices.memory import explain_memory_errors
from filial_plugins.trainers.devices.process_group import ProcessGroup, join_process_group
from filial_plugins.trainers.devices.signals import defer_signals
from filial_plugins.trainers.options import GradientTrainer

JOIN_SECONDS, STOP_SECONDS = 30.0, 2.0  # seconds until a process is killed: usually, and after Ctrl-C
POLL_SECONDS = 0.2  # seconds between checks whether to stop


@dataclass(frozen=True)
class TrainingCall:
    """The arguments of a call of `Trainer.train` that another process is to make."""

    trainer: GradientTrainer
    data: Path
    model: str
    template: Template
    out: Path
    seed: int
    base: Path
    cache: Path | None


def is_launched() -> bool:
    """Return whether this process is already one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def launch_processes(count: int, job: TrainingCall, ctx: TrainContext) -> dict[str, Any]:
    """Make the call in ``count`` processes. Returns the figures of the first.

    Raises:
        UsageError, FilialError: what a process raised; a process ended without a result; the template or the trainer
            cannot be sent to another process.
        KeyboardInterrupt: Ctrl-C or SIGTERM arrived, and the processes stopped after a checkpoint.
    """
    try:
        pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{type(job.trainer).__name__} and its template cannot be sent to other processes ({error}); start them "
            f"with torchrun --nproc-per-node {count} -m filial train ... instead of launch"
        ) from error
    context = multiprocessing.get_context("spawn")
    connections: dict[Connection, int] = {}
    with tempfile.TemporaryDirectory(prefix="filial-") as folder:
        processes = []
        for rank in range(count):
            mine, theirs = context.Pipe(duplex=False)
            place = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": count,
                "FILIAL_RENDEZVOUS": f"file://{folder}/rendezvous",
            }
            process = context.Process(target=_run_worker, args=(job, theirs, place))
            process.start()
            theirs.close()
            processes.append(process)
            connections[mine] = rank
        seconds = JOIN_SECONDS
        try:
            with defer_signals() as stop_requested:
                return _relay_messages(connections, processes, ctx, stop_requested)
        except KeyboardInterrupt:
            seconds = STOP_SECONDS
            raise
        finally:
            _stop_processes(processes, seconds)


def run_training(
    job: TrainingCall, ctx: TrainContext, torch: Any, train: Callable[[ProcessGroup, TrainContext], dict[str, Any]]
) -> dict[str, Any]:
    """Train in this process, or in ``launch`` new ones unless this is already one of several.

    Only the leader's context passes messages on.

    Raises:
        UsageError, FilialError: as `launch_processes` and ``train``; there is not enough memory.
    """
    if job.trainer.launch > 1 and not is_launched():
        return launch_processes(job.trainer.launch, job, ctx)
    with join_process_group(torch) as group, explain_memory_errors(torch):
        context = ctx if group.is_leader else TrainContext(ctx.seed, base=ctx.base, cache=ctx.cache)
        return train(group, context)


def _relay_messages(
    connections: dict[Connection, int], processes: Sequence[Any], ctx: TrainContext, stop_requested: Callable[[], bool]
) -> dict[str, Any]:
    """Pass on the messages of the processes until all have ended; stop them when that is requested."""
    handlers: dict[str, Callable[..., Any]] = {"log": ctx.log, "progress": ctx.progress, "note": ctx.note}
    figures: dict[str, Any] = {}
    terminated = stopped = False
    while connections:
        if stop_requested() and not terminated:
            terminated = True
            for process in processes:
                process.terminate()
        for connection in wait(list(connections), POLL_SECONDS):
            assert isinstance(connection, Connection)
            try:
                what, *values = connection.recv()
            except EOFError:
                what, values = "stopped" if terminated else "gone", []
            if what in handlers:
                handlers[what](*values)
                continue
            rank = connections.pop(connection)
            if what == "failed":
                raise values[0]
            if what == "gone":
                raise FilialError(
                    f"process {rank + 1} of the training ended without a result (killed, or out of memory?); see the "
                    "output above for the reason, and start it again: it resumes from its last checkpoint, if there "
                    "is one"
                )
            stopped |= what == "stopped"
            if what == "done" and rank == 0:
                (figures,) = values
    if stopped:
        raise KeyboardInterrupt
    return figures


def _stop_processes(processes: list[Any], seconds: float) -> None:
    """Wait for each process to end; kill those that do not."""
    failed = False
    for process in processes:
        process.join(0.0 if failed else seconds)
        if process.is_alive():
            failed = True
            process.kill()  # it may wait for a process that has ended, and then it handles no signal
            process.join()


def _run_worker(job: TrainingCall, connection: Connection, place: dict[str, Any]) -> None:
    """Train in this process and send messages about it. Ctrl-C is ignored here: the parent process handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update({name: str(value) for name, value in place.items()})

    def send_as(what: str) -> Callable[..., None]:
        return lambda *values: connection.send((what, *values))

    ctx = TrainContext(
        job.seed, log=send_as("log"), progress=send_as("progress"), note=send_as("note"), base=job.base, cache=job.cache
    )
    try:
        figures = job.trainer.train(job.data, job.model, job.template, job.out, ctx)
    except (UsageError, FilialError) as error:
        connection.send(("failed", type(error)(str(error))))
    except KeyboardInterrupt:
        connection.send(("stopped",))
    else:
        connection.send(("done", figures))
    connection.close()
