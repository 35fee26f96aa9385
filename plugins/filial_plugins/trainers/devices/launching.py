"""Start several processes on this machine that train one model together, and listen to the first of them."""

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
from filial_plugins.trainers.devices.memory import enough
from filial_plugins.trainers.devices.stopping import patient
from filial_plugins.trainers.devices.team import Team, team
from filial_plugins.trainers.options import Tuning

PATIENCE, BRIEFLY = 30.0, 2.0  # seconds that processes have to end: usually, and where somebody waits for that
POLL = 0.2  # seconds between looks at whether to stop


@dataclass(frozen=True)
class Job:
    """A call of `Trainer.train`, to be made in another process."""

    trainer: Tuning
    data: Path
    model: str
    template: Template
    out: Path
    seed: int
    base: Path
    cache: Path | None


def member() -> bool:
    """Whether this process is already one of several that train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def launched(count: int, job: Job, ctx: TrainContext) -> dict[str, Any]:
    """Make the call in so many processes. Returns the figures of the first.

    Raises:
        UsageError, FilialError: what a process raised; a process ended without a word; the template or the trainer
            cannot be sent to another process.
        KeyboardInterrupt: Ctrl-C or SIGTERM came, and the processes stopped after a checkpoint.
    """
    try:
        pickle.dumps(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"{type(job.trainer).__name__} and its template cannot be sent to other processes ({error}); start them "
            f"with torchrun --nproc-per-node {count} -m filial train ... instead of launch"
        ) from error
    context = multiprocessing.get_context("spawn")
    heard: dict[Connection, int] = {}
    with tempfile.TemporaryDirectory(prefix="filial-") as folder:
        processes = []
        for rank in range(count):
            mine, theirs = context.Pipe(duplex=False)
            place = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": count,
                "FILIAL_MEETING": f"file://{folder}/meeting",
            }
            process = context.Process(target=_work, args=(job, theirs, place))
            process.start()
            theirs.close()
            processes.append(process)
            heard[mine] = rank
        patience = PATIENCE
        try:
            with patient() as stopping:
                return _listen(heard, processes, ctx, stopping)
        except KeyboardInterrupt:
            patience = BRIEFLY
            raise
        finally:
            _end(processes, patience)


def together(
    job: Job, ctx: TrainContext, torch: Any, train: Callable[[Team, TrainContext], dict[str, Any]]
) -> dict[str, Any]:
    """Train in this process; or, where this is not one of several yet and ``launch`` wishes them, in so many.

    Of several, only the leader has a context that anybody hears.

    Raises:
        UsageError, FilialError: as `launched` and ``train``; there is not enough memory.
    """
    if job.trainer.launch > 1 and not member():
        return launched(job.trainer.launch, job, ctx)
    with team(torch) as members, enough(torch):
        heard = ctx if members.leads else TrainContext(ctx.seed, base=ctx.base, cache=ctx.cache)
        return train(members, heard)


def _listen(
    heard: dict[Connection, int], processes: Sequence[Any], ctx: TrainContext, stopping: Callable[[], bool]
) -> dict[str, Any]:
    """Pass on what the processes say until all have ended; tell them to stop when that is wished."""
    say: dict[str, Callable[..., Any]] = {"log": ctx.log, "progress": ctx.progress, "note": ctx.note}
    figures: dict[str, Any] = {}
    told = stopped = False
    while heard:
        if stopping() and not told:
            told = True
            for process in processes:
                process.terminate()
        for connection in wait(list(heard), POLL):
            assert isinstance(connection, Connection)
            try:
                what, *values = connection.recv()
            except EOFError:
                what, values = "stopped" if told else "gone", []
            if what in say:
                say[what](*values)
                continue
            rank = heard.pop(connection)
            if what == "failed":
                raise values[0]
            if what == "gone":
                raise FilialError(
                    f"process {rank + 1} of the training ended without a word (killed, or out of memory?); see above "
                    "for why, and start it again: it goes on from its last checkpoint, if there is one"
                )
            stopped |= what == "stopped"
            if what == "done" and rank == 0:
                (figures,) = values
    if stopped:
        raise KeyboardInterrupt
    return figures


def _end(processes: list[Any], patience: float) -> None:
    """Wait for processes that have come to their end; stop the others."""
    failed = False
    for process in processes:
        process.join(0.0 if failed else patience)
        if process.is_alive():
            failed = True
            process.kill()  # it may be waiting for one that is gone, where no signal is heard
            process.join()


def _work(job: Job, connection: Connection, place: dict[str, Any]) -> None:
    """In a process of its own: train, and say how it goes. Ctrl-C is for the one that listens; it passes it on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update({name: str(value) for name, value in place.items()})

    def saying(what: str) -> Callable[..., None]:
        return lambda *values: connection.send((what, *values))

    ctx = TrainContext(
        job.seed, log=saying("log"), progress=saying("progress"), note=saying("note"), base=job.base, cache=job.cache
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
