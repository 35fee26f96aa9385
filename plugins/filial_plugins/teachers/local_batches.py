"""Answer requests together that arrive at the same time: a queue with one worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from filial import Reply, Request

GATHER_SECONDS = 0.005
"""Seconds to wait before a batch is taken: requests sent at the same moment arrive one after the other."""


@dataclass(eq=False, slots=True)
class PendingRequest:
    """A request that waits for its answer. ``row`` is for the worker to store what it made of the request."""

    request: Request
    answer: asyncio.Future[Reply]
    row: Any = None

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.answer.done()


Outcome = tuple[PendingRequest, Reply | Exception]
AnswerBatch = Callable[[list[PendingRequest]], list[Outcome]]


class BatchQueue:
    """Gives all pending requests to ``work``, repeatedly. Each call answers at least one of them.

    ``work`` runs in a thread, one call at a time, so that the event loop stays free. It receives the requests in the
    order of arrival, without cancelled ones. If it raises an error, the error is the answer to all it was given.
    """

    def __init__(self, work: AnswerBatch) -> None:
        self._work = work
        self._pending: list[PendingRequest] = []
        self._worker: asyncio.Task[None] | None = None

    async def answer(self, request: Request) -> Reply:
        """Return the answer to one request, computed in a batch."""
        job = PendingRequest(request, asyncio.get_running_loop().create_future())
        self._pending.append(job)
        if self._worker is None:
            self._worker = asyncio.create_task(self._serve())
        return await job.answer

    async def close(self) -> None:
        """Cancel all pending requests and wait until the worker has ended."""
        for job in self._pending:
            job.answer.cancel()
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _serve(self) -> None:
        try:
            while True:
                await asyncio.sleep(GATHER_SECONDS)
                self._pending = [job for job in self._pending if not job.cancelled]
                if not self._pending:
                    return
                for job, said in await self._run_batch(list(self._pending)):
                    if job.cancelled:
                        continue
                    if isinstance(said, Reply):
                        job.answer.set_result(said)
                    else:
                        job.answer.set_exception(said)
        finally:
            self._worker = None

    async def _run_batch(self, jobs: list[PendingRequest]) -> list[Outcome]:
        try:
            return await asyncio.to_thread(self._work, jobs)
        except Exception as error:
            return [(job, error) for job in jobs]
