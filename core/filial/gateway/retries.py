"""What a failed attempt means: again after a while, never again, or the end of the run."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import msgspec

from filial.contracts.checks import fault_of_error, fault_of_reply
from filial.contracts.errors import FilialError, TeacherError, TeacherUnreachable
from filial.contracts.kinds import Teacher
from filial.contracts.messages import Bound, Reply, Request
from filial.contracts.plugin_errors import failure, half_character, is_fault
from filial.gateway.deadlines import Deadline, LoopClock
from filial.gateway.endings import fault_of_end
from filial.gateway.rate_limits import Pause, Window

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
PATIENCE = 600.0
"""Seconds an endpoint may ask to wait; above that the run stops and says so."""
SUSPECTS = 10
"""Failed requests in a row, with no answer to anybody meanwhile, after which an endpoint counts as dead."""


@dataclass(slots=True)
class Call:
    """A request on its way to an answer, over all its attempts; times are of the monotonic clock. ``expected`` are its
    tokens by the usual measure. ``cleared``: it was refused, and others were served after that."""

    request: Request
    bound: Bound
    since: float = field(default_factory=lambda: time.monotonic())
    tried: float = 0.0
    failed: float = 0.0
    cleared: bool = False
    attempts: int = 0
    failures: int = 0
    expected: float = 0.0


class Doubt(TeacherUnreachable):
    """The endpoint seems to serve nobody: ask it something that it answered before, to be sure."""


class Retrying:
    """Judges failures of one teacher's calls, each in the light of how the others fare.

    A request that fails while others are answered is at fault itself and fails alone. Where nobody was answered since
    it was first sent, the endpoint may be to blame: after `SUSPECTS` such requests in a row it is in doubt, and a run
    stops rather than lose every row, unless what was answered before is answered still. Faults that trying again
    cannot help (``retry`` is false) speak of the request, once the endpoint has answered at all. A refusal that looks
    like one of everybody (``down``) puts the endpoint in doubt at once; where others are served after it, the request
    is sent once more, and what it is told then is meant for it alone.
    """

    def __init__(self, use: str, most: int, slots: Window, pause: Pause) -> None:
        self.use, self.most, self._slots, self._pause = use, most, slots, pause
        self._answered_at = self._served = 0.0
        self._suspects = 0

    @property
    def doubtful(self) -> bool:
        """Whether so many have failed in a row."""
        return self._suspects >= SUSPECTS

    def cleared(self, call: Call, error: TeacherError) -> bool:
        """Whether somebody was answered who shows that the endpoint is not to blame.

        A refusal is outweighed only by a request sent after it: those sent before may tell of a key that was valid
        until then.
        """
        return self._served >= call.failed if error.down else not self.doubtful

    def answered(self, tried: float) -> None:
        """Somebody got an answer to what was sent at a time."""
        self._slots.answered()
        self._answered_at, self._suspects = time.monotonic(), 0
        self._served = max(self._served, tried)

    def wait(self, call: Call, error: TeacherError, *, last: bool = False) -> float:
        """Seconds until the next attempt, longer each time; ``last``: there is to be none.

        Raises:
            TeacherError: this request failed for good.
            TeacherUnreachable: no request would fare better.
        """
        call.failed = time.monotonic()
        crowded = error.reason == "rate-limited"
        if crowded or error.reason in ("http-503", "http-529"):
            self._slots.refused()
        elif error.retry:
            self._slots.troubled()
        call.attempts += 1
        # To be told to come back later is no failure while others are served.
        call.failures += 0 if crowded and self._answered_at > call.tried else 1
        if last or not error.retry or call.failures > self.most:
            raise self._final(call, error)
        if not error.retry_after:
            return min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (call.attempts - 1)) * random.uniform(1.0, 1.25)
        if error.retry_after > PATIENCE:
            minutes = error.retry_after / 60
            raise TeacherUnreachable(
                f"the teacher {self.use!r} asks to wait {minutes:,.0f} minutes: {_cause(error)}; run again then"
            )
        self._pause.ask(error.retry_after)
        return 0.0

    def _final(self, call: Call, error: TeacherError) -> FilialError:
        """The error a call ends with: its own, unless it shows that the endpoint serves nobody."""
        if error.down:
            return error if call.cleared else Doubt(f"the teacher {self.use!r} cannot be reached: {_cause(error)}")
        if error.reason in ("connection-refused", "connection-reset") and not self._answered_at:
            return TeacherUnreachable(f"the teacher {self.use!r} cannot be reached: {_cause(error)}")
        if self._answered_at < call.since and (error.retry or not self._answered_at):
            self._suspects += 1
            if self.doubtful:
                return Doubt(
                    f"the teacher {self.use!r} serves nobody: {self._suspects} requests in a row have failed, the last "
                    f"with {error}; what it answered before is kept, so mend that and run again"
                )
        return error


def _cause(error: TeacherError) -> str:
    return error.detail or error.reason


async def heard(use: str, teacher: Teacher, request: Request, clock: LoopClock) -> Reply:
    """What the teacher says, if it can be used, is whole and comes in time by the clock.

    Raises:
        TeacherError: it cannot, or there is none.
    """
    who = f"the teacher {use!r}"
    try:
        async with Deadline(clock, teacher.timeout):
            reply = await teacher.reply(request)
    except TimeoutError:
        late = f"no answer within {teacher.timeout:g} s"
        raise TeacherError("timeout", late, retry=True, billed=None) from None
    except FilialError as err:
        if isinstance(err, TeacherError) and (fault := fault_of_error(err)):
            raise FilialError(f"{who} breaks its contract: {fault}") from err
        if (cut := _cut(err, request)) is None:
            raise
        reply = cut
    except BaseException as err:
        if not is_fault(err):
            raise
        raise failure(f"{who} fails", err) from err
    if fault := fault_of_reply(reply):
        raise FilialError(f"{who} breaks its contract: {fault}")
    told = (reply.prompt_tokens, reply.completion_tokens)
    billed = told if any(told) else None
    try:
        reply.text.encode()
        reply.reasoning.encode()
    except UnicodeEncodeError as err:
        why = f"the answer {half_character(err)}"
        raise TeacherError("not-unicode", why, answer=reply.text, billed=billed) from err
    full = not reply.finish_reason and reply.completion_tokens >= teacher.bound(request).completion > 0
    broken = fault_of_end(reply.finish_reason, reply.text, billed, full=full)
    if broken is None:
        return reply
    if broken.reason == "length" and request.partial:
        return msgspec.structs.replace(reply, finish_reason="length")
    raise broken


def _cut(error: FilialError, request: Request) -> Reply | None:
    """The reply in the failure of a call that was cut off, where a part of an answer is welcome."""
    if not (request.partial and isinstance(error, TeacherError) and error.reason == "length"):
        return None
    if error.answer is None:
        return None
    prompt, completion = error.billed or (0, 0)
    return Reply(
        text=error.answer, finish_reason="length", prompt_tokens=prompt, completion_tokens=completion
    )  # fmt: skip
