"""What a failed attempt means: retry later, never retry, or end the run."""

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
"""Longest wait in seconds that an endpoint may ask for; above that the run stops and says so."""
SUSPECTS = 10
"""An endpoint counts as down after this many failures in a row without any answer; it counts as rejecting everything
after this many rejections before the first answer."""
Ask = Callable[["Call"], Awaitable[Reply | TeacherError]]


@dataclass(slots=True)
class Call:
    """A request with all its attempts; times are of the monotonic clock. ``expected``: estimated tokens. ``cleared``:
    it was rejected, and others were answered after that."""

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
    """Decides from the other requests whether a failed request or the endpoint is at fault.

    A request that fails while others are answered is at fault itself and fails alone. If no request was answered since
    it was first sent, the endpoint may be at fault: after `SUSPECTS` such requests in a row it is in doubt. Errors that
    a retry cannot help (``retry`` is false) concern the request, once the endpoint has answered any request. A
    rejection that looks like one of all requests (``down``) puts the endpoint in doubt at once.

    In doubt, a request that was answered before is sent again. If it is answered again, the requests that failed before
    that fail alone; a rejected one is sent once more, and its next error is final. If not, the run stops instead of
    losing every row. If nothing was ever answered, there is nothing to repeat, and it is unknown whether the endpoint
    rejects all requests or only these: a rejected request is put aside until another is answered, and makes room for
    the next. When `SUSPECTS` of them are put aside, nothing new is sent until all requests in flight have ended; if
    none of them is answered, the run stops and says so.

    Args:
        stored: returns a request that was answered in an earlier process, if there is one.
        in_flight: the requests that have not ended.
        on_the_wire: those of them whose answer is awaited.
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
        """Note that the endpoint has answered a request."""
        self._slots.note_answer()
        self._answered_at, self._suspects = time.monotonic(), 0
        self._served = max(self._served, call.sent_at)
        self.known = call.request
        self._first.set()

    async def wait_for_answer(self) -> None:
        """Wait until any request is answered."""
        await self._first.wait()

    def retry_delay(self, call: Call, error: TeacherError) -> float | None:
        """Return the seconds until a failed call is sent again, longer each time; None: it has failed for good.

        Raises:
            TeacherUnreachable: the endpoint asks for a longer wait than `MAX_RETRY_AFTER`.
        """
        call.failed = time.monotonic()
        crowded = error.reason == "rate-limited"
        if crowded or error.reason in ("http-503", "http-529"):
            self._slots.note_refusal()
        elif error.retry:
            self._slots.note_trouble()
        call.attempts += 1
        # A request to wait is not a failure while others are answered.
        call.failures += 0 if crowded and self._answered_at > call.sent_at else 1
        if not error.retry or call.failures > self._teacher.max_retries:
            return None
        if not error.retry_after:
            return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (call.attempts - 1)) * random.uniform(1.0, 1.25)
        if error.retry_after > MAX_RETRY_AFTER:
            raise TeacherUnreachable(
                f"the teacher {self._use!r} asks to wait {error.retry_after / 60:,.0f} minutes: {_cause(error)}; "
                "run again after that"
            )
        self._pause.extend(error.retry_after)
        return 0.0

    def diagnose(self, call: Call, error: TeacherError) -> TeacherUnreachable | None:
        """Return the error to stop with if this failure may mean that the endpoint answers no request; None if it
        concerns this call alone.

        Raises:
            TeacherUnreachable: the endpoint answers no request.
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
                    f"the teacher {self._use!r} answers no request: {self._suspects} requests in a row have failed, "
                    f"the last with {error}; what it answered before is kept, so fix the cause and run again"
                )
        return None

    async def resolve_doubt(self, call: Call, error: TeacherError, doubt: TeacherUnreachable, ask: Ask) -> float | None:
        """Return the seconds until a call in doubt, which is not in flight, is sent again; None: when any request is
        answered.

        Raises:
            TeacherUnreachable: the endpoint answers no request.
            TeacherError: it answers others, so the call failed by itself.
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
        """Return the error to stop with if no request is left that the ones put aside could wait for."""
        if not self._aside or self._first.is_set():
            return None
        if self._aside >= len(self._in_flight):
            return self._doubt
        if self._aside < SUSPECTS or self._on_the_wire:
            return None
        return TeacherUnreachable(
            f"{self._doubt}; it says so to the first {self._aside} requests, and nothing was ever answered. If it "
            "rejects only these, let it answer another one first: 'filial ask' with the same options"
        )

    def _has_proof(self) -> bool:
        """Return whether an answered request is known that can be sent again."""
        if self.known is None:
            self.known = self._stored()
        return self.known is not None

    def _is_cleared(self, call: Call, error: TeacherError) -> bool:
        """Return whether an answer shows that the endpoint is not at fault.

        Only a request sent after a rejection outweighs it: an earlier one may have used a key that was valid until
        then.
        """
        return self._served >= call.failed if error.down else self._suspects < SUSPECTS

    async def _serves_others(self, call: Call, error: TeacherError, ask: Ask) -> bool:
        """Return whether the endpoint has answered others since this call failed; one answer clears all failures."""
        async with self._proving:
            if not self._has_proof():
                return False
            assert self.known is not None
            proof = Call(self.known, self._teacher.bound(self.known))
            while not self._is_cleared(call, error):  # else another request was answered meanwhile
                said = await ask(proof)
                if isinstance(said, Reply) or any(said.billed or ()):  # perhaps unusable, but a model was at work
                    return True
                # Rejected as well, or the last of many signs of an outage; otherwise this proves nothing yet.
                if said.down or not error.down:
                    return False
                if (delay := self.retry_delay(proof, said)) is None:
                    return False
                await asyncio.sleep(delay)
            return True


def _cause(error: TeacherError) -> str:
    return error.detail or error.reason
