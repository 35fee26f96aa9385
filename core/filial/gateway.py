"""The gateway: the one owner of retries, limits and caps between plugins and a teacher."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from filial.components import Teacher
from filial.errors import BudgetStop, FilialError, TeacherError, TeacherUnreachable
from filial.ledger import Ledger, answer_key
from filial.stages.blame import failure, half_character
from filial.teaching import Reply, Request

Proceed = Callable[[Request], Awaitable[Reply]]
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0


@dataclass(slots=True)
class Budget:
    """Caps on what a run may send; None means no cap. Answers from the ledger are free."""

    requests: int | None = None


@dataclass(slots=True)
class Spent:
    """What a run has sent and received."""

    requests: int = 0
    from_ledger: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refused: int = 0


class Gateway:
    """Asks one teacher for everybody: from the ledger when it can, else once, with retries, below the caps.

    ``wrap`` is the chain of ``ask`` hooks; it stands outside the ledger, so what a wrapper changes in a request is
    what gets stored. ``stopped`` holds the error that ends the whole run, once there is one: a plugin that catches
    too much cannot hide it.

    Raises (from `ask`):
        TeacherError: this request failed for good.
        TeacherUnreachable: the endpoint refuses everybody, or nothing ever came back from it.
        BudgetStop: the next request would pass a cap.
    """

    def __init__(
        self,
        use: str,
        teacher: Teacher,
        ledger: Ledger,
        budget: Budget | None = None,
        wrap: Callable[[Proceed], Proceed] | None = None,
    ) -> None:
        self.teacher, self.ledger, self.budget = teacher, ledger, budget or Budget()
        self.spent = Spent()
        self.use, self._identity = use, teacher.identity()
        self._slots = asyncio.Semaphore(teacher.max_concurrency)
        self._in_flight: dict[str, asyncio.Future[Reply]] = {}
        self._quiet_until = 0.0
        self._answered = False
        self.stopped: FilialError | None = None
        self.ask: Proceed = wrap(self._answer) if wrap else self._answer

    @property
    def window(self) -> int:
        """How many records a stage should work on at once to keep this teacher busy."""
        return max(64, 4 * self.teacher.max_concurrency)

    async def close(self) -> None:
        """Let go of the teacher's connections and the ledger's file."""
        try:
            await self.teacher.close()
        finally:
            self.ledger.close()

    async def _answer(self, request: Request) -> Reply:
        try:
            key = answer_key(self.use, self._identity, request)
        except UnicodeEncodeError as err:
            raise TeacherError("not-unicode", f"the question {half_character(err)}") from err
        while (same := self._in_flight.get(key)) is not None:
            try:
                return await asyncio.shield(same)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not same.cancelled() or (task is not None and task.cancelling()):
                    raise
                # Only whoever asked first was cancelled: ask again.
        if (known := self.ledger.get(key)) is not None:
            self.spent.from_ledger += 1
            return known
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._in_flight[key] = future
        try:
            reply = await self.ledger.put(key, self.use, request, await self._send(request))
            future.set_result(reply)
            return reply
        except BaseException as err:
            if isinstance(err, FilialError) and not isinstance(err, TeacherError):
                self.stopped = err
            future.set_exception(err) if isinstance(err, Exception) else future.cancel()
            if not future.cancelled():
                future.exception()  # a failure nobody else waits for is not a leak
            raise
        finally:
            del self._in_flight[key]

    async def _send(self, request: Request) -> Reply:
        """One request through the window, again while the teacher says that helps."""
        attempt = 0
        async with self._slots:
            while True:
                self._reserve()
                try:
                    return await self._once(request)
                except TimeoutError:
                    error = TeacherError("timeout", f"no answer within {self.teacher.timeout:g} s", retry=True)
                except TeacherError as err:
                    error = err
                if not error.retry or attempt >= self.teacher.max_retries:
                    raise self._final(error)
                await self._wait(attempt, error.retry_after)
                attempt += 1
                self.spent.retries += 1

    async def _once(self, request: Request) -> Reply:
        """One call to the teacher, and a look at what it gave.

        Raises:
            TeacherError: the answer cannot be used.
            FilialError: the teacher's own code failed or broke its contract.
        """
        who = f"the teacher {self.use!r}"
        try:
            async with asyncio.timeout(self.teacher.timeout):
                reply = await self.teacher.reply(request)
        except (FilialError, TimeoutError):
            raise
        except (Exception, SystemExit) as err:
            raise failure(f"{who} fails", err) from err
        if not isinstance(reply, Reply) or not isinstance(reply.text, str):
            raise FilialError(f"{who} breaks its contract: reply gave {type(reply).__name__}, not a Reply with a text")
        self._answered = True
        try:
            reply.text.encode()
        except UnicodeEncodeError as err:
            raise TeacherError("not-unicode", f"the answer {half_character(err)}", answer=reply.text) from err
        if reply.finish_reason == "length":
            raise TeacherError("length", "the answer was cut at the token limit", answer=reply.text)
        self.spent.prompt_tokens += reply.prompt_tokens
        self.spent.completion_tokens += reply.completion_tokens
        return reply

    def _reserve(self) -> None:
        """Count a request before it is sent, so that a cap is never passed."""
        caps = self.budget
        if caps.requests is not None and self.spent.requests >= caps.requests:
            raise BudgetStop(f"the budget of {caps.requests:,} requests is used up")
        self.spent.requests += 1

    async def _wait(self, attempt: int, asked: float | None) -> None:
        """Back off; what the endpoint asked of one caller holds for all, and nobody wakes at the same moment."""
        delay = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) if asked is None else asked
        if asked is not None:
            self._quiet_until = max(self._quiet_until, time.monotonic() + asked)
        delay = max(delay, self._quiet_until - time.monotonic())
        await asyncio.sleep(delay * random.uniform(1.0, 1.25))

    def _final(self, error: TeacherError) -> Exception:
        unheard = error.reason in ("connection-refused", "connection-reset") and not self._answered
        if error.down or unheard:
            return TeacherUnreachable(f"the teacher {self.use!r} cannot be reached: {error.detail or error.reason}")
        self.spent.refused += 1
        return error


@contextmanager
def stopping(gateway: Gateway | None) -> Iterator[None]:
    """End with the error that stopped the gateway, whatever a plugin made of it."""
    try:
        yield
    except Exception as err:
        if gateway is not None and gateway.stopped is not None and err is not gateway.stopped:
            raise gateway.stopped from err
        raise
    if gateway is not None and gateway.stopped is not None:
        raise gateway.stopped
