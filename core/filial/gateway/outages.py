"""What a failed attempt means: again after a while, never again, or the end of the run."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass, field

from filial.contracts.errors import TeacherError, TeacherUnreachable
from filial.contracts.kinds import Teacher
from filial.contracts.messages import Bound, Reply, Request
from filial.gateway.rate_limits import Pause, Window

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
MAX_RETRY_AFTER = 600.0
"""Seconds an endpoint may ask to wait; above that the run stops and says so."""
SUSPECTS = 10
"""Requests that failed in a row, with no answer to anybody meanwhile, after which an endpoint counts as dead; and
requests refused before anybody was ever answered, after which it counts as refusing everybody."""
Ask = Callable[["Call"], Awaitable[Reply | TeacherError]]


@dataclass(slots=True)
class Call:
    """A request on its way to an answer, over all its attempts; times are of the monotonic clock. ``expected`` are its
    tokens by the usual measure. ``cleared``: it was refused, and others were served after that."""

    request: Request
    bound: Bound
    since: float = field(default_factory=lambda: time.monotonic())
    sent_at: float = 0.0
    failed: float = 0.0
    cleared: bool = False
    attempts: int = 0
    failures: int = 0
    expected: float = 0.0


class Outages:
    """Tells a request at fault from an endpoint that serves nobody, by how the other requests fare.

    A request that fails while others are answered is at fault itself and fails alone. Where nobody was answered since
    it was first sent, the endpoint may be to blame: after `SUSPECTS` such requests in a row it is in doubt. Faults that
    trying again cannot help (``retry`` is false) speak of the request, once the endpoint has answered at all. A refusal
    that looks like one of everybody (``down``) puts the endpoint in doubt at once.

    In doubt, what was answered before is asked again. If it is answered still, the requests that failed before that
    fail alone; a refused one is sent once more, and what it is told then is meant for it alone. If not, the run stops
    rather than lose every row. Where nothing was ever answered, there is nothing to ask, and nobody knows whether the
    endpoint refuses all or these: a refused request is put aside until somebody is answered, and makes room for the
    next, which may fare better. From `SUSPECTS` of them on nothing new is sent until all that is on the wire has come
    back; if nobody is answered then either, the run stops and says so.

    Args:
        stored: gives a request that was answered in an earlier process, if there is one.
        in_flight: the requests that have not ended.
        on_the_wire: those of them that an answer is awaited for.
    """

    def __init__(
        self, use: str, teacher: Teacher, slots: Window, pause: Pause, stored: Callable[[], Request | None],
        in_flight: Sized, on_the_wire: Sized,
    ) -> None:  # fmt: skip
        self.known: Request | None = None
        self._use, self._teacher, self._slots, self._pause, self._stored = use, teacher, slots, pause, stored
        self._in_flight, self._on_the_wire = in_flight, on_the_wire
        self._answered_at = self._served = 0.0
        self._suspects = 0
        self._proving, self._first = asyncio.Lock(), asyncio.Event()
        self._aside = 0
        self._doubt: TeacherUnreachable | None = None

    def note_answer(self, call: Call) -> None:
        """Somebody got an answer from the endpoint."""
        self._slots.note_answer()
        self._answered_at, self._suspects = time.monotonic(), 0
        self._served = max(self._served, call.sent_at)
        self.known = call.request
        self._first.set()

    async def wait_for_answer(self) -> None:
        """Wait until somebody is answered."""
        await self._first.wait()

    def retry_delay(self, call: Call, error: TeacherError) -> float | None:
        """Seconds until a failed call is sent again, longer each time; None: it has failed for good.

        Raises:
            TeacherUnreachable: the endpoint asks for more patience than there is.
        """
        call.failed = time.monotonic()
        crowded = error.reason == "rate-limited"
        if crowded or error.reason in ("http-503", "http-529"):
            self._slots.note_refusal()
        elif error.retry:
            self._slots.note_trouble()
        call.attempts += 1
        # To be told to come back later is no failure while others are served.
        call.failures += 0 if crowded and self._answered_at > call.sent_at else 1
        if not error.retry or call.failures > self._teacher.max_retries:
            return None
        if not error.retry_after:
            return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (call.attempts - 1)) * random.uniform(1.0, 1.25)
        if error.retry_after > MAX_RETRY_AFTER:
            raise TeacherUnreachable(
                f"the teacher {self._use!r} asks to wait {error.retry_after / 60:,.0f} minutes: {_cause(error)}; "
                "run again then"
            )
        self._pause.extend(error.retry_after)
        return 0.0

    def diagnose(self, call: Call, error: TeacherError) -> TeacherUnreachable | None:
        """The error to stop with if what a call has failed with for good means that the endpoint serves nobody, which
        it may; None where it means this call alone.

        Raises:
            TeacherUnreachable: it does mean that.
        """
        unreachable = f"the teacher {self._use!r} cannot be reached: {_cause(error)}"
        if error.down:
            return None if call.cleared else TeacherUnreachable(unreachable)
        if error.reason in ("connection-refused", "connection-reset") and not self._answered_at:
            raise TeacherUnreachable(unreachable)
        if self._answered_at < call.since and (error.retry or not self._answered_at):
            self._suspects += 1
            if self._suspects >= SUSPECTS:
                return TeacherUnreachable(
                    f"the teacher {self._use!r} serves nobody: {self._suspects} requests in a row have failed, the "
                    f"last with {error}; what it answered before is kept, so mend that and run again"
                )
        return None

    async def resolve_doubt(self, call: Call, error: TeacherError, doubt: TeacherUnreachable, ask: Ask) -> float | None:
        """Seconds until a call in doubt, which is off the wire, is sent again; None: at the first answer to anybody.

        Raises:
            TeacherUnreachable: the endpoint serves nobody.
            TeacherError: it does, so the call failed by itself.
        """
        if error.down and not error.retry and not self._has_proof():
            call.cleared = True
            self._aside, self._doubt = self._aside + 1, doubt
            if stop := self.check_stalled():
                raise stop
            if self._aside < SUSPECTS:
                return None
            await self._first.wait()
            return 0.0
        if not await self._serves_others(call, error, ask):
            raise doubt
        if not error.down:
            raise error
        call.cleared = True
        return 0.0

    def check_stalled(self) -> TeacherUnreachable | None:
        """The error to stop with when those put aside wait for nobody any more."""
        if not self._aside or self._first.is_set():
            return None
        if self._aside >= len(self._in_flight):
            return self._doubt
        if self._aside < SUSPECTS or self._on_the_wire:
            return None
        return TeacherUnreachable(
            f"{self._doubt}; so it says to the first {self._aside} requests, and nothing was ever answered. If it is "
            "these alone that it refuses, have another one answered first: 'filial ask' with the same options"
        )

    def _has_proof(self) -> bool:
        """Whether something was answered, and can be asked again."""
        if self.known is None:
            self.known = self._stored()
        return self.known is not None

    def _is_cleared(self, call: Call, error: TeacherError) -> bool:
        """Whether somebody was answered who shows that the endpoint is not to blame.

        A refusal is outweighed only by a request sent after it: those sent before may tell of a key that was valid
        until then.
        """
        return self._served >= call.failed if error.down else self._suspects < SUSPECTS

    async def _serves_others(self, call: Call, error: TeacherError, ask: Ask) -> bool:
        """Whether the endpoint serves others since this call failed; one answer clears all that failed before."""
        async with self._proving:
            if not self._has_proof():
                return False
            assert self.known is not None
            proof = Call(self.known, self._teacher.bound(self.known))
            while not self._is_cleared(call, error):  # else somebody was answered meanwhile
                said = await ask(proof)
                if isinstance(said, Reply) or any(said.billed or ()):  # of no use perhaps, yet a model was at work
                    return True
                # Refused as well, or the last of many signs that the endpoint is dead; else this tells nothing yet.
                if said.down or not error.down:
                    return False
                if (delay := self.retry_delay(proof, said)) is None:
                    return False
                await asyncio.sleep(delay)
            return True


def _cause(error: TeacherError) -> str:
    return error.detail or error.reason
