"""Requests that wait at the same time are answered together: a queue with one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from filial import Reply, Request

GATHER = 0.005
"""Seconds to wait before a batch is taken: requests sent at the same moment arrive one after the other."""


@dataclass(eq=False, slots=True)
class Job:
    """A request that somebody waits for. ``row`` is for the worker to keep what it made of it."""

    request: Request
    answer: asyncio.Future[Reply]
    row: Any = None

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self.answer.done()


Outcome = tuple[Job, Reply | Exception]
Work = Callable[[list[Job]], list[Outcome]]


class Batches:
    """Hands all jobs that wait to ``work``, again and again; it answers as many of them as it sees fit, at least one.

    ``work`` runs in a thread, one call at a time, so that the event loop stays free. It is given the jobs in the order
    of their coming, without those that nobody waits for any more. What it raises is the answer to all it was given.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._waiting: list[Job] = []
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, request: Request) -> Reply:
        """The answer to one request, as one of a batch."""
        job = Job(request, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._worker is None:
            self._worker = asyncio.create_task(self._serve())
        return await job.answer

    async def close(self) -> None:
        """Answer nobody any more; returns when the worker has come to rest."""
        for job in self._waiting:
            job.answer.cancel()
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _serve(self) -> None:
        try:
            while True:
                await asyncio.sleep(GATHER)
                self._waiting = [job for job in self._waiting if not job.gone]
                if not self._waiting:
                    return
                for job, said in await self._answered(list(self._waiting)):
                    if job.gone:
                        continue
                    if isinstance(said, Reply):
                        job.answer.set_result(said)
                    else:
                        job.answer.set_exception(said)
        finally:
            self._worker = None

    async def _answered(self, jobs: list[Job]) -> list[Outcome]:
        try:
            return await asyncio.to_thread(self._work, jobs)
        except Exception as error:
            return [(job, error) for job in jobs]
