"""The engine `local`: does the work of map stages in processes of this machine, each with its own components and event
loop. Only the run's process asks teachers: a component's ``ask`` is a call back to it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from filial.contracts import errors
from filial.contracts.errors import FilialError
from filial.contracts.kinds import BATCH
from filial.contracts.messages import Request
from filial.contracts.plugin_errors import blame_plugin
from filial.engine.build import stage_context
from filial.engine.stage import StageContext
from filial.engine.watchdog import Watchdog
from filial.engine.work import Job, Work
from filial.plugins.discovery import STAGES
from filial.plugins.manager import Manager

GRACE = 5.0
"""Seconds for plugin code to end by itself when its process is no longer needed."""
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); import filial.engine.local as x; x.serve(sys.argv[2])"
LENGTH = struct.Struct("!Q")
"""Length prefix of each message. A message is a pickled (type, number of its call, content)."""
CALL, CANCEL, RESULT, ERROR, NEWS = range(5)


class Peer:
    """One end of a connection: sends calls to the other end, and answers its calls with ``answer``.

    Cancelling a call cancels it at the other end, too. A `FilialError` arrives with its class. ``on_news`` receives
    messages that need no answer.
    """

    def __init__(self, answer: Callable[[Any], Awaitable[Any]], on_news: Callable[[Any], None]) -> None:
        self._answer, self._on_news = answer, on_news
        self._numbers = itertools.count()
        self.calls: dict[int, asyncio.Future[Any]] = {}
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._lost: FilialError | None = None

    async def connect(self, end: socket.socket) -> None:
        """Start; must be called in the loop that will run the connection."""
        self._loop = asyncio.get_running_loop()
        self._reader, self._writer = await asyncio.open_connection(sock=end)

    async def call(self, what: Any) -> Any:
        """Return the other end's answer.

        Raises:
            FilialError: the connection was lost; or whatever the other end raised.
        """
        if self._lost is not None:
            raise self._lost
        number, future = next(self._numbers), self._loop.create_future()
        self.calls[number] = future
        try:
            self._send(CALL, number, what)
            return await future
        except asyncio.CancelledError:
            self._send(CANCEL, number)
            raise
        finally:
            del self.calls[number]

    def notify(self, what: Any) -> None:
        """Send a message that needs no answer, from any thread."""
        self._send(NEWS, 0, what)

    def _send(self, kind: int, number: int, content: Any = None) -> None:
        try:
            message = pickle.dumps((kind, number, content), pickle.HIGHEST_PROTOCOL)
        except Exception as err:
            raise FilialError(f"this cannot be sent between processes; run it without processes: {err}") from err
        self._loop.call_soon_threadsafe(self._write, LENGTH.pack(len(message)) + message)

    def _write(self, message: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(message)

    async def listen(self) -> None:
        """Receive messages until the other end closes."""
        try:
            while True:
                (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
                self._handle(*pickle.loads(await self._reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            for task in self._answering.values():
                task.cancel()
            await asyncio.gather(*self._answering.values(), return_exceptions=True)

    def _handle(self, kind: int, number: int, content: Any) -> None:
        if kind == NEWS:
            self._on_news(content)
        elif kind == CALL:
            self._answering[number] = asyncio.create_task(self._respond(number, content))
        elif kind == CANCEL and number in self._answering:
            self._answering[number].cancel()
        elif number in self.calls and not self.calls[number].done():
            future = self.calls[number]
            future.set_result(content) if kind == RESULT else future.set_exception(_restore_error(*content))

    async def _respond(self, number: int, what: Any) -> None:
        try:
            self._send(RESULT, number, await self._answer(what))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as err:
            self._send(ERROR, number, _serialize_error(err))
        finally:
            del self._answering[number]

    def fail_calls(self, error: FilialError) -> None:
        """Fail all calls, present and future."""
        self._lost = error
        for future in self.calls.values():
            if not future.done():
                future.set_exception(error)

    def close(self) -> None:
        """Tell the other end that nothing follows."""
        self._writer.close()


def _serialize_error(error: BaseException) -> tuple[type[BaseException], str, dict[str, Any]]:
    """Return an error in a form that every filial can read: its class in filial, its text and its plain fields."""
    fields = {name: value for name, value in vars(error).items() if _is_plain(value)}
    fields["__notes__"] = [*getattr(error, "__notes__", ()), traceback.format_exc()]
    if not isinstance(error, FilialError):
        return RuntimeError, f"{type(error).__name__}: {error}", fields
    ours = next(kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__)
    return ours, str(error), {**fields, "exit_code": error.exit_code}


def _is_plain(value: Any) -> bool:
    return all(isinstance(v, str | int | float | None) for v in (value if isinstance(value, list | tuple) else [value]))


def _restore_error(kind: type[BaseException], text: str, fields: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, text)
    vars(error).update(fields)
    return error


class _Process(Peer):
    """A worker process, as the run's process sees it. It ends when its standard input is closed."""

    process: asyncio.subprocess.Process

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            await self.connect(ours)
            paths, number = json.dumps([path or os.getcwd() for path in sys.path]), theirs.fileno()
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-X", "faulthandler", "-c", START, paths, str(number),
                stdin=asyncio.subprocess.PIPE, pass_fds=(number,),
            )  # fmt: skip
        self._ending = asyncio.create_task(self._watch_exit())

    async def _watch_exit(self) -> None:
        """Receive messages until the process ends, then tell waiting calls how it ended."""
        cause = ""
        try:
            await self.listen()
        except Exception as err:
            cause = f" ({err!r})"
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = await self.process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = "; it may have taken too much memory" if code == -signal.SIGKILL else ""
        died = f"a worker process (pid {self.process.pid}) {how} during its work{cause}{hint}"
        self.fail_calls(FilialError(f"{died}; every answer is kept, so run it again"))

    async def stop(self) -> None:
        """End the process: after `GRACE` seconds, or at once if this is cancelled."""
        self.close()
        try:
            with suppress(TimeoutError):  # it is killed below
                await asyncio.wait_for(asyncio.shield(self._ending), GRACE)
        finally:
            if self.process.returncode is None:
                self.process.kill()
            await self._ending


class Local:
    """Does work in ``processes`` processes, for one stage after the other; `aclose` ends them."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._workers: list[_Process] = []
        self._env: StageContext

    async def begin(self, env: StageContext) -> None:
        """Begin a stage: its requests and messages are handled here. Processes start with the first stage.

        Raises:
            FilialError: the system cannot start them.
        """
        self._env = env
        try:
            while len(self._workers) < self.processes:
                worker = _Process(self._ask, self._on_news)
                await worker.start()
                self._workers.append(worker)
        except OSError as err:
            raise FilialError(f"{self.processes} processes cannot be started ({err}); give fewer") from err

    async def perform(self, work: Work) -> list[Any]:
        """Return the results of one `Work` of the stage.

        Raises:
            FilialError: as in the stage's ``perform``; or the process has died.
        """
        results: list[Any] = await min(self._workers, key=lambda worker: len(worker.calls)).call(work)
        return results

    async def _ask(self, request: Request) -> Any:
        return await self._env.ask_teacher(request)

    def _on_news(self, note: str | None) -> None:
        self._env.step() if note is None else self._env.note(note)

    async def aclose(self) -> None:
        """End the processes."""
        await asyncio.gather(*(worker.stop() for worker in self._workers))


class Performer:
    """Does work as it arrives, with the components of its job, built once. ``more`` are fields of the stage's context:
    how to ask, what to do with messages."""

    def __init__(self, **more: Any) -> None:
        self._more = more
        self._job: Job | None = None
        self._env: StageContext
        self._manager: Manager | None = None

    def owner(self, module: str) -> str:
        """Return the owner of a module, as `Manager.owner`."""
        return self._manager.owner(module) if self._manager else ""

    async def perform(self, work: Work) -> list[Any]:
        """Return the results of one work, as data."""
        assert work.job is not None
        if work.job != self._job:
            self._prepare(work.job)
        with blame_plugin(self._plugin, work.job.stage.name):
            results: list[Any] = await work.job.stage.settings.perform(self._prepared, self._env, work)
        return results

    def _prepare(self, job: Job) -> None:
        if self._job is not None:
            self._env.worker.close()
        self._manager = manager = job.manager()
        self._plugin = manager.provenance(STAGES, job.stage.verb)
        with blame_plugin(self._plugin, job.stage.name):
            self._prepared = job.stage.settings.prepare(job.stage, job.base, manager)
        # Workers write nothing.
        self._env = stage_context(job, manager, writer=None, window=BATCH, **self._more)
        self._job = job


def serve(end: str) -> None:
    """Do what the run's process asks for, until it ends. Signals are left to that process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, name="filial lifeline", daemon=True).start()

    async def listen() -> None:
        await peer.connect(socket.socket(fileno=int(end)))
        await peer.listen()

    peer = Peer(lambda work: performer.perform(work), lambda news: None)
    performer = Performer(ask=peer.call, note=peer.notify, on_progress=lambda counters: peer.notify(None))
    asyncio.run(Watchdog(performer.owner, peer.notify).watch(listen()))


def _exit_with_parent() -> None:
    os.read(0, 1)
    time.sleep(GRACE)
    os._exit(1)
