"""Whether an endpoint that fails one request still serves others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sized

from filial.contracts.errors import TeacherError
from filial.contracts.messages import Bound, Reply, Request
from filial.gateway.retries import Call, Doubt, Retrying

REFUSALS = 3
"""Requests refused before anybody was ever answered, after which an endpoint counts as refusing everybody."""

Ask = Callable[[Call], Awaitable[Reply | TeacherError]]


class Proof:
    """Asks again what was answered before, and so tells a request at fault from an endpoint that serves nobody.

    One answer clears every request that failed before the proof was sent. Where nothing was ever answered, there is
    nothing to ask: a refused request is put aside until somebody is answered. The first few make room for the next,
    which may fare better; after `REFUSALS` nothing new is sent until all that is on the wire has come back.

    Args:
        stored: gives a request that was answered in an earlier process, if there is one.
        in_flight: the requests that have not ended.
        on_the_wire: those of them that an answer is awaited for.
    """

    def __init__(
        self, retrying: Retrying, bound: Callable[[Request], Bound], stored: Callable[[], Request | None],
        in_flight: Sized, on_the_wire: Sized,
    ) -> None:  # fmt: skip
        self.known: Request | None = None
        self._retrying, self._bound, self._stored = retrying, bound, stored
        self._in_flight, self._on_the_wire = in_flight, on_the_wire
        self._asking, self._first = asyncio.Lock(), asyncio.Event()
        self._aside, self._doubt = 0, Doubt()

    def answered(self, request: Request) -> None:
        """Somebody got an answer from the endpoint."""
        self.known = request
        self._first.set()

    async def first_answer(self) -> None:
        """Wait until somebody is answered."""
        await self._first.wait()

    def hopeless(self) -> Doubt | None:
        """The error to stop with when those put aside wait for nobody any more."""
        enough = self._aside >= REFUSALS and not self._on_the_wire
        waiting = self._aside and not self._first.is_set()
        return self._doubt if waiting and (enough or self._aside >= len(self._in_flight)) else None

    async def settle(self, call: Call, error: TeacherError, doubt: Doubt, ask: Ask) -> float | None:
        """Seconds until a call in doubt, which is off the wire, is sent again; None: at the first answer to anybody.

        Raises:
            Doubt: the endpoint serves nobody.
            TeacherError: it does, so the call failed by itself.
        """
        if error.down and not error.retry and not self._possible():
            call.cleared = True
            self._aside, self._doubt = self._aside + 1, doubt
            if self.hopeless():
                raise doubt
            if self._aside < REFUSALS:
                return None
            await self.first_answer()
            return 0.0
        if not await self._found(call, error, ask):
            raise doubt
        if not error.down:
            raise error from None
        call.cleared = True
        return 0.0

    def _possible(self) -> bool:
        """Whether there is something to ask."""
        if self.known is None:
            self.known = self._stored()
        return self.known is not None

    async def _found(self, call: Call, error: TeacherError, ask: Ask) -> bool:
        """Whether the endpoint serves others since this call failed."""
        async with self._asking:
            if not self._possible():
                return False
            assert self.known is not None
            proof = Call(self.known, self._bound(self.known))
            while not self._retrying.cleared(call, error):  # else somebody was answered meanwhile
                said = await ask(proof)
                if isinstance(said, Reply) or any(said.billed or ()):  # of no use perhaps, yet a model was at work
                    return True
                # Refused as well, or the last of many signs that the endpoint is dead; else this tells nothing yet.
                if said.down or not error.down:
                    return False
                try:
                    delay = self._retrying.wait(proof, said)
                except TeacherError:
                    return False
                await asyncio.sleep(delay)
            return True
