"""The gateway: the one owner of retries, limits and caps between plugins and a teacher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from filial.contracts.errors import FilialError, TeacherError, TeacherUnreachable, UsageError
from filial.contracts.kinds import Teacher
from filial.contracts.messages import Bound, Reply, Request
from filial.contracts.plugin_errors import half_character
from filial.gateway.budget import Budget, BudgetAccount, Totals, Usage, picodollars, unknown_price
from filial.gateway.deadlines import LoopClock
from filial.gateway.ledger import Ledger, TeacherKeys, encode_request
from filial.gateway.proving import Proof
from filial.gateway.rate_limits import Pace, Pause, Window
from filial.gateway.retries import Call, Doubt, Retrying, heard
from filial.gateway.usage import Counted, counted

if TYPE_CHECKING:
    pass


class GatewayStatus(NamedTuple):
    """How a gateway is doing: requests in flight and the window they have; requests sent, answers from the ledger and
    tokens since the process started; US dollars of the whole run and their cap; seconds of a pause still to wait;
    requests kept waiting until others turn out cheaper than the worst that is set aside for them."""

    in_flight: int
    window: int
    requests: int
    from_ledger: int
    tokens: int
    usd: float
    cap: float | None
    pause: float
    held_back: int


__all__ = ["Budget", "BudgetAccount", "Gateway", "Proceed", "Usage", "stopping"]

Proceed = Callable[[Request], Awaitable[Reply]]
USUAL_ANSWER = 512
"""Tokens an answer is expected to have before the first one came; for the pace, not for caps."""

NO_FINISH = (
    "gives answers without a finish_reason, so nobody says whether they are whole; they are kept as they are, unless "
    "they have as many tokens as they may have"
)
UNKNOWN_FINISH = (
    "ends answers with a finish_reason that filial does not know; they are not taken for whole: they are asked for "
    "again, then dropped"
)

LOOK = 0.1
"""Seconds between two looks for an answer that another run waits for."""


class Gateway:
    """Asks one teacher for everybody: from the ledger when it can, else once, with retries, below the caps.

    ``who`` is the teacher as ``dist:name`` (`Manager.identity`): answers are kept under it. ``claimants`` are all who
    claim its name, in the same form: whose the answers are that filial 0.1 kept under the bare name.
    ``wrap`` is the chain of ``ask`` hooks; it stands outside the ledger, so what a wrapper changes in a request is
    what gets stored. ``offline``: answer from the ledger alone. ``facts``: what answers depend on beside the teacher's
    own identity. ``stopped`` holds the error that ends the whole run,
    once there is one: a plugin that catches too much cannot hide it. What is in flight then is still waited for and
    stored (`close`).

    Raises (from `ask`):
        TeacherError: this request failed for good.
        TeacherUnreachable: the endpoint refuses everybody, is dead, or is not to be asked.
        BudgetStop: the next request would pass a cap.
    """

    def __init__(
        self,
        who: str,
        teacher: Teacher,
        ledger: Ledger,
        account: BudgetAccount | None = None,
        wrap: Callable[[Proceed], Proceed] | None = None,
        *,
        claimants: Sequence[str] = (),
        offline: bool = False,
        facts: dict[str, Any] | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._keys = TeacherKeys(who, {**teacher.identity(), **(facts or {})})
        self.use, self.teacher, self.ledger, self.account = self._keys.name, teacher, ledger, account or BudgetAccount()
        self.offline, self.note = offline, note
        self.price = teacher.price()
        if self.account.budget.usd is not None and self.price is None:
            raise UsageError(f"the budget: {unknown_price(self.use)}")
        self.slots = Window(teacher.max_concurrency)
        self.pause = Pause()
        self.stopped: FilialError | None = None
        self.ask: Proceed = wrap(self._answer) if wrap else self._answer
        if news := ledger.recognize(self._keys, claimants):
            note(news)
        self._requests, self._tokens = Pace(teacher.requests_per_minute), Pace(teacher.tokens_per_minute)
        self._in_flight: dict[str, asyncio.Task[Reply]] = {}
        self._on_the_wire: set[asyncio.Task[Reply]] = set()
        self._retrying = Retrying(self.use, teacher.max_retries, self.slots, self.pause)
        answered = partial(ledger.latest, self._keys)
        self._proof = Proof(self._retrying, teacher.bound, answered, self._in_flight, self._on_the_wire)
        self._clock, self._usual = LoopClock(), 0.0
        self._closing = self._introduced = self._overspent = False
        self._told: set[str] = set()

    @property
    def spent(self) -> Usage:
        return self.account.spent

    def status(self) -> GatewayStatus:
        """The figures of this moment."""
        account, spent = self.account, self.spent
        return GatewayStatus(
            len(self._on_the_wire), int(self.slots.limit), spent.requests, spent.from_ledger, spent.tokens, account.usd,
            account.budget.usd, self.pause.left, account.held_back,
        )  # fmt: skip

    @property
    def window(self) -> int:
        """How many records a stage should work on at once to keep this teacher busy."""
        return max(64, 2 * self.teacher.max_concurrency)

    async def close(self) -> None:
        """Wait for what is in flight and store it, then let go of the teacher's connections and the ledger's file.

        Interrupted a second time, it waits no longer.
        """
        self._closing = True
        try:
            self._call_off()
            if open_ := len(self._on_the_wire):
                self.note(f"finishing {open_:,} request{'s' if open_ > 1 else ''} in flight (Ctrl-C leaves them)")
                await asyncio.wait(self._on_the_wire)
        finally:
            for task in self._on_the_wire:
                task.cancel()
            try:
                await self.teacher.close()
            finally:
                self.ledger.close()

    def _call_off(self) -> None:
        """End what has not been sent yet."""
        for task in self._in_flight.values():
            if task not in self._on_the_wire:
                task.cancel()

    def _despair(self) -> None:
        """Stop if nobody was ever answered and nobody is going to be."""
        if not self._closing and (doubt := self._proof.hopeless()):
            self._stop(doubt)

    def _stop(self, error: FilialError) -> None:
        if self.stopped is None:
            self.stopped = error
            self._call_off()

    async def _answer(self, request: Request) -> Reply:
        if self.stopped is not None:
            raise self.stopped
        try:
            asked = encode_request(request)
        except UnicodeEncodeError as err:
            raise TeacherError("not-unicode", f"the question {half_character(err)}") from err
        key = self._keys.key(asked)
        task = self._in_flight.get(key)
        if task is None:
            if (known := self._held(asked, request)) is not None:
                return known
            if self.offline:
                raise self._unheld(request)
            task = asyncio.create_task(self._fetched(key, asked, request))
            self._in_flight[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        try:
            # Whoever asked may go away; the request goes on, since it is paid for.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and self.stopped is not None:
                raise self.stopped from None
            raise

    def _held(self, asked: bytes, request: Request) -> Reply | None:
        """The ledger's answer, if it has one."""
        if (known := self.ledger.find(self._keys, asked)) is not None:
            self.spent.from_ledger += 1
            self._proof.known = request
        return known

    def _unheld(self, request: Request) -> FilialError:
        question = request.messages[-1].content[:100]
        self._stop(TeacherUnreachable(f"this run is offline, and the ledger holds no answer to: {question!r}"))
        assert self.stopped is not None
        return self.stopped

    def _landed(self, key: str, task: asyncio.Task[Reply]) -> None:
        del self._in_flight[key]
        if not task.cancelled():
            task.exception()  # a failure that nobody waits for any more is not a leak
        self._despair()

    async def _fetched(self, key: str, asked: bytes, request: Request) -> Reply:
        """Send a request, again while the teacher says that helps, and store its answer."""
        call, task = Call(request, self.teacher.bound(request)), asyncio.current_task()
        assert task is not None
        while True:
            if (known := await self._others(call, key, asked)) is not None:
                return known
            try:
                reply = await self._once(call, task)
                if isinstance(reply, Reply):
                    self._proof.answered(request)
                    return await self._stored(key, asked, reply)
                self.ledger.release(key)
                delay = await self._failed(call, reply, task)
            except FilialError as error:
                if not isinstance(error, TeacherError):
                    self._stop(error)
                raise
            finally:
                self._on_the_wire.discard(task)
                self.slots.leave()
                self._despair()
            await (self._proof.first_answer() if delay is None else asyncio.sleep(delay))

    async def _others(self, call: Call, key: str, asked: bytes) -> Reply | None:
        """What another run with this ledger was answered while this one waited for its turn, or is being answered now.
        None: the turn is this call's, which has a place in the window then."""
        while True:
            await self._turn(call)
            try:
                known = self._held(asked, call.request)
                if known is None and self.ledger.claim(key):
                    return None
            except BaseException:
                self.slots.leave()
                raise
            self.slots.leave()
            self._tokens.give_back(call.expected)
            self._requests.give_back(1)
            if known is not None:
                return known
            await asyncio.sleep(LOOK)

    async def _failed(self, call: Call, error: TeacherError, task: asyncio.Task[Reply]) -> float | None:
        """Seconds until a failed request is sent again, None for when somebody is answered; raises what it ends with
        otherwise."""
        if self.stopped is not None:
            raise self.stopped
        try:
            try:
                delay: float | None = self._retrying.wait(call, error, last=self._closing)
            except Doubt as doubt:
                if self._closing:
                    raise
                self._on_the_wire.discard(task)
                delay = await self._proof.settle(call, error, doubt, partial(self._again, task))
                if self._closing or self.stopped is not None:  # by now
                    raise
        except TeacherError:
            self.spent.refused += 1
            raise
        self.spent.retries += 1
        return delay

    async def _again(self, task: asyncio.Task[Reply], proof: Call) -> Reply | TeacherError:
        """What is said now to a request that was answered before; sent from the place of the one that failed."""
        await self.pause.over()
        try:
            return await self._once(proof, task)
        finally:
            self._on_the_wire.discard(task)

    async def _turn(self, call: Call) -> None:
        """Wait until this call may be sent; it has a place in the window then."""
        call.expected = self._usual or call.bound.prompt / 4 + min(call.bound.completion, USUAL_ANSWER)
        await self._tokens.take(call.expected)
        await self._requests.take(1)
        await self.slots.enter_after(self.pause)

    async def _once(self, call: Call, task: asyncio.Task[Reply]) -> Reply | TeacherError:
        """One attempt, paid for: the answer or the fault.

        Raises:
            BudgetStop: it does not fit into the budget.
            FilialError: the teacher's own code failed or broke its contract.
        """
        given = await self.account.reserve(call.bound, self.price)
        self._on_the_wire.add(task)
        call.tried = time.monotonic()
        lost = Totals(requests=1, prompt=given.tokens, unsure=given.pico)
        cost = lost
        try:
            reply = await heard(self.use, self.teacher, call.request, self._clock)
            if not reply.finish_reason:
                self._tell_once(NO_FINISH)
            cost = self._cost(call.bound, reply)
            self._retrying.answered(call.tried)
            self._usual = 0.9 * self._usual + 0.1 * cost.tokens if self._usual else cost.tokens
            return reply
        except TeacherError as error:
            self.spent.lost += error.billed is None
            if error.reason == "unknown-finish":
                self._tell_once(UNKNOWN_FINISH, f" ({error.detail})")
            if error.billed is not None:
                free = error.billed == (0, 0)
                told = Counted(0, 0, 0, False) if free else counted(call.bound, *error.billed)
                cost = self._priced(call.bound, told)
            return error
        finally:
            self.account.settle(given, cost)
            self._tokens.give_back(call.expected - cost.tokens)

    def _tell_once(self, text: str, instance: str = "") -> None:
        if text not in self._told:
            self._told.add(text)
            self.note(f"{self.use!r} {text}{instance}")

    def _cost(self, bound: Bound, reply: Reply) -> Totals:
        """What an answer costs."""
        told = (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens, reply.reasoning_tokens)
        counts = counted(bound, *told)
        self.spent.with_reasoning += bool(reply.reasoning)
        self.spent.cached_tokens += counts.cached
        self.spent.reasoning_tokens += max(0, reply.reasoning_tokens)
        return self._priced(bound, counts)

    def _priced(self, bound: Bound, counts: Counted) -> Totals:
        """What tokens cost; where some were not told, what they cost at most."""
        prompt, completion = counts.prompt, counts.completion
        self.spent.estimated += counts.estimated
        if (prompt > bound.prompt or completion > bound.completion) and not self._overspent:
            self._overspent = True
            self.note(
                f"{self.use!r} counts {prompt:,} + {completion:,} tokens where {bound.prompt:,} + {bound.completion:,} "
                "were expected at most; a cap may be passed by the difference"
            )
        pico = picodollars(self.price.cost(prompt, completion, counts.cached)) if self.price else 0
        return Totals(requests=1, prompt=prompt, completion=completion, pico=pico)

    async def _stored(self, key: str, asked: bytes, reply: Reply) -> Reply:
        if not self._introduced:
            self._introduced = True
            self.ledger.introduce(self._keys)
        return await self.ledger.put(key, self._keys.identity, asked, reply)


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
