"""What a failed attempt (a request is sent once) means: send the request again, give it up, or end the run."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sized
from dataclasses import dataclass, field
from typing import NamedTuple

from filial.contracts.errors import TeacherError, TeacherUnreachable
from filial.contracts.kinds import Teacher
from filial.contracts.messages import Bound, Reply, Request
from filial.gateway.rate_limits import Pause, RateLimit, Window

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
MAX_RETRY_AFTER = 600.0
"""Longest seconds that an endpoint may ask to wait, or refuse everything; above that the run stops and says so."""
BUSY, CROWD = ("rate-limited", "http-503", "http-529"), 8
"""Reasons of an endpoint without time; refusals in a row after which it has none for any request."""
SUSPECTS = 10
"""An endpoint counts as down after this many failures in a row without any answer; it counts as rejecting everything
after this many rejections before the first answer."""
Ask = Callable[["Pending"], Awaitable[Reply | TeacherError]]


class Retry(NamedTuple):
    """When a failed request is sent again: after ``delay`` seconds; put ``aside``, once any request is answered."""

    delay: float = 0.0
    aside: bool = False


@dataclass(slots=True)
class Pending:
    """A request with all its attempts; times are of the monotonic clock. ``failures`` count towards ``max_retries``.
    ``last_chance``: it was rejected, and if it is again, it fails alone. ``expected``: estimated tokens.
    ``refused_at``: when the endpoint first had no time for it."""

    request: Request
    bound: Bound
    since: float = field(default_factory=lambda: time.monotonic())
    sent_at: float = 0.0
    failed_at: float = 0.0
    refused_at: float = 0.0
    last_chance: bool = False
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

    A request for which the endpoint has no time (a rate limit, a model that is being loaded) waits and has not failed.
    If there is no time for any, all wait, as asked or longer each time; then one is sent until one is answered.

    Args:
        stored: returns a request that was answered in an earlier process, if there is one.
        pending: the requests that have not ended.
        on_the_wire: those of them whose answer is awaited.
    """

    def __init__(
        self, use: str, teacher: Teacher, slots: Window, rate: RateLimit, pause: Pause,
        stored: Callable[[], Request | None], pending: Sized, on_the_wire: Sized,
    ) -> None:  # fmt: skip
        self.known: Request | None = None
        self._use, self._teacher, self._stored = use, teacher, stored
        self._slots, self._rate, self._pause = slots, rate, pause
        self._refusals = self._rounds = 0  # without an answer in between; waits of all requests
        self._held_at = self._held_since = 0.0  # start of the latest wait of all requests, and of the first
        self._pending, self._on_the_wire = pending, on_the_wire
        self._answered_at = self._answered_sent_at = 0.0  # latest: arrival of an answer; start of an answered attempt
        self._suspects = 0
        self._proving, self._first = asyncio.Lock(), asyncio.Event()
        self._aside = 0
        self._doubt: TeacherUnreachable | None = None

    def note_answer(self, pending: Pending) -> None:
        """Note that the endpoint has answered a request."""
        self._slots.note_answer()
        self._rate.note_answer(pending.sent_at)
        self._answered_at, self._suspects, self._refusals = time.monotonic(), 0, 0
        self._rounds = 0 if pending.sent_at >= self._held_at else self._rounds
        self._answered_sent_at = max(self._answered_sent_at, pending.sent_at)
        self.known = pending.request
        self._first.set()

    async def wait_for_answer(self) -> None:
        """Wait until any request is answered."""
        await self._first.wait()

    def note_failure(self, pending: Pending, error: TeacherError) -> Retry | None:
        """Note a failed attempt: slow all requests down as the error asks, and return when to send this one again; None
        if a retry cannot help or none is left.

        Raises:
            TeacherUnreachable: the endpoint asks for more than `MAX_RETRY_AFTER`, or refuses everything for so long.
        """
        now = pending.failed_at = time.monotonic()
        busy, limited = error.reason in BUSY, error.reason == "rate-limited"
        pending.attempts += 1
        if busy:
            self._slots.note_overload()
            self._refusals, pending.refused_at = self._refusals + 1, pending.refused_at or now
        elif error.retry:
            self._slots.note_trouble()
        crowd = busy and self._refusals >= (1 if self._rate.is_learned else CROWD)
        pending.failures += not busy or (not limited and self._answered_at > pending.refused_at)  # others are served
        late = busy and not crowd and now - pending.refused_at > MAX_RETRY_AFTER
        if not error.retry or late or (pending.failures > self._teacher.max_retries and not crowd):
            return None
        if crowd and pending.sent_at >= self._held_at:  # else it was sent before the present wait began
            self._held_since = self._held_since if self._rounds else now
            self._rounds, self._held_at = self._rounds + 1, now
            self._rate.refused_at = now if limited else 0.0
            self._slots.shrink()
        tries, told = self._rounds if crowd else pending.attempts, error.retry_after or 0.0
        growth = 2.0 ** min(tries - (CROWD if told else 1), 10)  # after `CROWD` times, a told wait grows too
        delay = max(told, min(LONGEST_DELAY, (told or FIRST_DELAY) * growth) * random.uniform(1.0, 1.25))
        if (wait := max(delay, crowd and now + delay - self._held_since)) > MAX_RETRY_AFTER:
            asks = f"the teacher {self._use!r} asks to wait {wait / 60:,.0f} minutes"
            raise TeacherUnreachable(f"{asks}: {_cause(error)}; run again after that")
        if crowd or told:
            self._pause.extend(delay if crowd else told)
        return Retry() if crowd or delay == told else Retry(delay)  # the pause holds every attempt back, this one too

    def diagnose(self, pending: Pending, error: TeacherError) -> TeacherUnreachable | None:
        """Return the error to stop with if this failure may mean that the endpoint answers no request; None if it
        concerns this request alone.

        Raises:
            TeacherUnreachable: the endpoint answers no request.
        """
        unreachable = f"the teacher {self._use!r} cannot be reached: {_cause(error)}"
        if error.down:
            return None if pending.last_chance else TeacherUnreachable(unreachable)
        # A connection that was reset, or refused for a teacher that does not set ``down``.
        if error.reason in ("connection-refused", "connection-reset") and not self._answered_at:
            raise TeacherUnreachable(unreachable)
        if self._answered_at < pending.since and (error.retry or not self._answered_at):
            self._suspects += 1
            if self._suspects >= SUSPECTS:
                return TeacherUnreachable(
                    f"the teacher {self._use!r} answers no request: {self._suspects} requests in a row have failed, "
                    f"the last with {error}; what it answered before is kept, so fix the cause and run again"
                )
        return None

    async def resolve_doubt(self, pending: Pending, error: TeacherError, doubt: TeacherUnreachable, ask: Ask) -> Retry:
        """Find out whether the endpoint is at fault, and return when to send a request again that is in doubt.

        Raises:
            TeacherUnreachable: the endpoint answers no request.
            TeacherError: it answers others, so the request failed by itself.
        """
        if error.down and not error.retry and not self._has_proof():
            pending.last_chance = True
            self._aside, self._doubt = self._aside + 1, doubt
            if stop := self.check_stalled():
                raise stop
            if self._aside < SUSPECTS:
                return Retry(aside=True)
            await self._first.wait()  # here, in its place in the window, which nothing new can take
            return Retry()
        if not await self._serves_others(pending, error, ask):
            raise doubt
        if not error.down:
            raise error
        pending.last_chance = True
        return Retry()

    def check_stalled(self) -> TeacherUnreachable | None:
        """Return the error to stop with if no request is left that the ones put aside could wait for."""
        if not self._aside or self._first.is_set():
            return None
        if self._aside >= len(self._pending):
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

    def _was_answered_since(self, pending: Pending, error: TeacherError) -> bool:
        """Return whether an answer to others shows that this is no outage. After a rejection only an attempt that was
        sent later shows it: an earlier one may have used a key that was valid until then."""
        return self._answered_sent_at >= pending.failed_at if error.down else self._suspects < SUSPECTS

    async def _serves_others(self, pending: Pending, error: TeacherError, ask: Ask) -> bool:
        """Return whether the endpoint has answered others since this request failed; one answer clears all failures."""
        async with self._proving:
            if not self._has_proof():
                return False
            assert self.known is not None
            proof = Pending(self.known, self._teacher.bound(self.known))
            while not self._was_answered_since(pending, error):  # else another request was answered meanwhile
                said = await ask(proof)
                if isinstance(said, Reply) or any(said.billed or ()):  # perhaps unusable, but a model was at work
                    return True
                # Rejected as well, or the last of many signs of an outage; otherwise this proves nothing yet.
                if said.down or not error.down:
                    return False
                if (retry := self.note_failure(proof, said)) is None:
                    return False
                await asyncio.sleep(retry.delay)
            return True


def _cause(error: TeacherError) -> str:
    return error.detail or error.reason
