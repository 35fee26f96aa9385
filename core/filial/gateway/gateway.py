"""The gateway between plugins and a teacher: the only place of retries, limits and caps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from filial.contracts.errors import FilialError, TeacherError, TeacherUnreachable, UsageError
from filial.contracts.kinds import Teacher
from filial.contracts.messages import Bound, Reply, Request
from filial.contracts.plugin_errors import describe_surrogate
from filial.gateway.budget import BudgetAccount, Totals, Usage, to_picodollars, unknown_price
from filial.gateway.deadlines import Deadlines
from filial.gateway.ledger import Ledger, TeacherKeys, encode_request
from filial.gateway.outages import Outages, Pending, Retry
from filial.gateway.rate_limits import Pause, RateLimit, Window
from filial.gateway.replies import read_failure, receive, write_failure


class GatewayStatus(NamedTuple):
    """State of a gateway: requests in flight and the window size; requests sent, answers from the ledger and tokens
    since the process started; US dollars of the whole run and their cap; remaining seconds of a pause; requests that
    wait because the budget is reserved by others."""

    in_flight: int
    window: int
    requests: int
    from_ledger: int
    tokens: int
    usd: float
    cap: float | None
    pause: float
    held_back: int


Proceed = Callable[[Request], Awaitable[Reply]]
TYPICAL_ANSWER = 512
"""Tokens assumed per answer before the first one has arrived; used for rates, not for caps."""

NO_FINISH = (
    "gives answers without a finish_reason, so it is unknown whether they are complete; they are kept, unless they "
    "have the maximum number of tokens"
)
UNKNOWN_FINISH = (
    "ends answers with a finish_reason that filial does not know; they do not count as complete: they are requested "
    "again, then dropped"
)

FIRST_WINDOW = 16.0
"""Requests in flight until the first answers: what a small quota refuses of them is sent in vain."""
POLL_INTERVAL = 0.1
"""Seconds between two checks for an answer that another run is waiting for."""


class Gateway:
    """Asks one teacher on behalf of all plugins: answers from the ledger if possible, else sends the request,
    again if an attempt fails, within limits and caps; of equal requests only one.

    Args:
        who: the teacher as ``dist:name`` (`Manager.identity`); answers are stored under it.
        claimants: all plugins that claim its name, in the same form; decides whose the answers of filial 0.1 are, which
            were stored under the bare name.
        wrap: the chain of ``ask`` hooks. It is outside the ledger, so the request is stored as the hooks changed it.
        offline: answer from the ledger only.
        facts: what answers depend on in addition to the teacher's own identity.

    ``stopped`` is the error that ends the whole run, if there is one; a plugin that catches too much cannot hide it.
    Requests already in flight are still completed and stored (`close`).

    Raises (from `ask`):
        TeacherError: this request failed for good.
        TeacherUnreachable: the endpoint rejects every request, is down, or must not be asked.
        BudgetStop: the next request would exceed a cap.
    """

    def __init__(
        self, who: str, teacher: Teacher, ledger: Ledger, account: BudgetAccount | None = None,
        wrap: Callable[[Proceed], Proceed] | None = None, *, claimants: Sequence[str] = (), offline: bool = False,
        facts: dict[str, Any] | None = None, note: Callable[[str], None] = lambda text: None,
    ) -> None:  # fmt: skip
        self._keys = TeacherKeys(who, {**teacher.identity(), **(facts or {})})
        self.use, self.teacher, self.ledger, self.account = self._keys.name, teacher, ledger, account or BudgetAccount()
        self.offline, self.note = offline, note
        self.price = teacher.price()
        if self.account.budget.usd is not None and self.price is None:
            raise UsageError(f"the budget: {unknown_price(self.use)}")
        self.slots = Window(teacher.max_concurrency)
        self.slots.limit = min(self.slots.limit, FIRST_WINDOW)
        self.pause = Pause()
        self.stopped: FilialError | None = None
        self.ask: Proceed = wrap(self._answer) if wrap else self._answer
        if news := ledger.recognize(self._keys, claimants):
            note(news)
        self._requests, self._tokens = RateLimit(teacher.requests_per_minute), RateLimit(teacher.tokens_per_minute)
        self._pending: dict[str, asyncio.Task[Reply]] = {}
        self._failures: list[tuple[str, bytes, Reply]] = []
        self._on_the_wire: set[asyncio.Task[Reply]] = set()
        self._outages = Outages(
            self.use, teacher, self.slots, self._requests, self.pause, partial(ledger.latest_request, self._keys),
            self._pending, self._on_the_wire,
        )  # fmt: skip
        self._deadlines = Deadlines(teacher.timeout)
        self._mean_tokens = 0.0
        self._closing = self._teacher_stored = False
        self._noted: set[str] = set()

    @property
    def spent(self) -> Usage:
        return self.account.spent

    def status(self) -> GatewayStatus:
        """Return the current figures."""
        account, spent = self.account, self.spent
        return GatewayStatus(
            len(self._on_the_wire), int(self.slots.limit), spent.requests, spent.from_ledger, spent.tokens, account.usd,
            account.budget.usd, self.pause.left, account.held_back,
        )  # fmt: skip

    @property
    def window(self) -> int:
        """How many records a stage should process at once to keep this teacher busy."""
        return max(64, 2 * self.teacher.max_concurrency)

    async def close(self) -> None:
        """Wait for the requests in flight and store their answers, then close the teacher's connections and the ledger.

        A second interrupt ends the waiting.
        """
        self._closing = True
        try:
            self._cancel_unsent()
            if open_ := len(self._on_the_wire):
                self.note(f"finishing {open_:,} request{'s' if open_ > 1 else ''} in flight (Ctrl-C leaves them)")
                await asyncio.wait(self._on_the_wire)
        finally:
            for task in self._on_the_wire:
                task.cancel()
            try:
                await self.teacher.close()
                if self.stopped is None:
                    self._store_failures()
            finally:
                self.ledger.close()

    def _cancel_unsent(self) -> None:
        """Cancel what has not been sent yet."""
        for task in self._pending.values():
            if task not in self._on_the_wire:
                task.cancel()

    def _stop(self, error: FilialError) -> None:
        if self.stopped is None:
            self.stopped = error
            self._cancel_unsent()

    async def _answer(self, request: Request) -> Reply:
        """Return the answer from the ledger, from an identical request in flight, or from the teacher."""
        if self.stopped is not None:
            raise self.stopped
        try:
            asked = encode_request(request)
        except UnicodeEncodeError as err:
            raise TeacherError("not-unicode", f"the question {describe_surrogate(err)}") from err
        key = self._keys.key(asked)
        task = self._pending.get(key)
        if task is None:
            if (known := self._find_stored(key, asked, request)) is not None:
                return known
            if self.offline:
                question = request.messages[-1].content[:100]
                error = TeacherUnreachable(f"this run is offline, and the ledger holds no answer to: {question!r}")
                self._stop(error)
                raise error
            task = self._pending[key] = asyncio.create_task(self._fetch(key, asked, request))
            task.add_done_callback(partial(self._finish, key))
        try:
            # The caller may be cancelled; the request goes on, because it is paid for.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled() and self.stopped is not None:
                raise self.stopped from None
            raise

    def _find_stored(self, key: str, asked: bytes, request: Request) -> Reply | None:
        """Return the ledger's answer, if there is one.

        Raises:
            TeacherError: the request failed for good, and this run must not send it again.
        """
        known = self.ledger.find(self._keys, asked, key)
        if known is None or (known.failure and not self.offline):
            return None
        self.spent.from_ledger += 1
        if known.failure:
            self.spent.failed += 1
            raise read_failure(known)
        self._outages.known = request
        return known

    def _finish(self, key: str, task: asyncio.Task[Reply]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # retrieve it: asyncio reports errors that nobody retrieves
        if not self._closing and (error := self._outages.check_stalled()):
            self._stop(error)

    async def _fetch(self, key: str, asked: bytes, request: Request) -> Reply:
        """Send a request, again while an attempt fails, and store its answer."""
        pending, task = Pending(request, self.teacher.bound(request)), asyncio.current_task()
        assert task is not None
        while True:
            if (known := await self._wait_for_turn(pending, key, asked)) is not None:
                return known
            try:
                reply = await self._send(pending, task)
                if isinstance(reply, Reply):
                    return await self._store(key, asked, reply)
                self.ledger.release(key)
                retry = await self._plan_retry(pending, reply, task)
            except FilialError as error:
                if not isinstance(error, TeacherError):
                    self._stop(error)
                elif not self._closing:
                    self._failures.append((key, asked, write_failure(error)))
                    error.key = key
                raise
            finally:
                self._on_the_wire.discard(task)
                self.slots.leave()
            await (self._outages.wait_for_answer() if retry.aside else asyncio.sleep(retry.delay))

    async def _wait_for_turn(self, pending: Pending, key: str, asked: bytes) -> Reply | None:
        """Wait until an attempt may be sent. It then has a place in the window, and nobody else sends the same request.

        Returns the answer instead if another run with this ledger has received it meanwhile.
        """
        pending.expected = self._mean_tokens or pending.bound.prompt / 4 + min(pending.bound.completion, TYPICAL_ANSWER)
        while True:
            await self._tokens.take(pending.expected)
            await self.slots.enter_after(self.pause)
            try:
                await self._requests.take(1)  # in its place: the rate may be learned while it waits for one
                late = self.pause.left or self.slots.in_flight > int(self.slots.limit)  # by now
                mine = not late and await self.ledger.claim(key)
                known = None if late else self._find_stored(key, asked, pending.request)
            except BaseException:
                self.slots.leave()
                raise
            if mine and known is None:
                return None
            if mine:
                self.ledger.release(key)
            self.slots.leave()
            self._tokens.give_back(pending.expected)
            self._requests.give_back(1)
            if known is not None:
                return known
            await asyncio.sleep(0 if late else POLL_INTERVAL)

    async def _send(self, pending: Pending, task: asyncio.Task[Reply]) -> Reply | TeacherError:
        """Send one attempt and account for its cost. Return the answer or the error.

        Raises:
            BudgetStop: it does not fit into the budget.
            FilialError: the teacher's own code failed or broke its contract.
        """
        reserved = await self.account.reserve(pending.bound, self.price)
        self._on_the_wire.add(task)
        pending.sent_at = time.monotonic()
        cost = Totals(requests=1, prompt=reserved.tokens, unsure=reserved.pico)  # unless the answer reports less
        try:
            reply = await receive(self.use, self.teacher, pending.request, self._deadlines)
            if not reply.finish_reason:
                self._note_once("no finish", NO_FINISH)
            told = (reply.prompt_tokens, reply.completion_tokens, reply.cached_tokens, reply.reasoning_tokens)
            cost = self._cost(pending.bound, *told)
            self.spent.with_reasoning += bool(reply.reasoning)
            self.spent.reasoning_tokens += reply.reasoning_tokens
            self._outages.note_answer(pending)
            self._mean_tokens = 0.9 * self._mean_tokens + 0.1 * cost.tokens if self._mean_tokens else cost.tokens
            return reply
        except TeacherError as error:
            if error.reason == "unknown-finish":
                self._note_once(error.reason, f"{UNKNOWN_FINISH} ({error.detail})")
            if error.billed is None:
                self.spent.lost += 1
            else:
                cost = self._cost(pending.bound, *error.billed) if any(error.billed) else Totals(requests=1)
            return error
        finally:
            self.account.settle(reserved, cost)
            self._tokens.give_back(pending.expected - cost.tokens)

    def _cost(self, bound: Bound, prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> Totals:
        """Return the cost of an answer, complete or not: never less than the teacher reports.

        A missing count is replaced by the maximum for the request, because the visible text does not show how much
        reasoning was hidden. A part that is larger than its total was counted separately and is added: cached tokens
        to the prompt, reasoning tokens to the answer.
        """
        self.spent.estimated += not prompt or not completion
        prompt, completion = prompt or bound.prompt, completion or bound.completion
        prompt += cached if cached > prompt else 0
        completion += reasoning if reasoning > completion else 0
        self.spent.cached_tokens += cached
        if prompt > bound.prompt or completion > bound.completion:
            self._note_once(
                "beyond the bound",
                f"counts {prompt:,} + {completion:,} tokens, but at most {bound.prompt:,} + {bound.completion:,} were "
                "expected; a cap may be exceeded by the difference",
            )
        pico = to_picodollars(self.price.cost(prompt, completion, cached)) if self.price else 0
        return Totals(requests=1, prompt=prompt, completion=completion, pico=pico)

    async def _store(self, key: str, asked: bytes, reply: Reply) -> Reply:
        if not self._teacher_stored:
            self._teacher_stored = True
            self.ledger.store_teacher(self._keys)
        self._store_failures()
        return await self.ledger.put(key, self._keys.identity, asked, reply)

    def _store_failures(self) -> None:
        """Store the final failures so far, so that an offline run loses the same rows. Not if they only showed that the
        endpoint answers no request."""
        for key, asked, reply in self._failures:
            self.ledger.put_failure(key, self._keys.identity, asked, reply)
        self._failures.clear()

    async def _plan_retry(self, pending: Pending, error: TeacherError, task: asyncio.Task[Reply]) -> Retry:
        """Return when a request whose attempt failed is sent again. Raises the final error if it is not."""
        if self.stopped is not None:
            raise self.stopped
        try:
            retry = self._outages.note_failure(pending, error)
            if self._closing or retry is None:
                doubt = self._outages.diagnose(pending, error)
                if doubt is None or self._closing:
                    raise doubt or error
                self._on_the_wire.discard(task)
                retry = await self._outages.resolve_doubt(pending, error, doubt, partial(self._send_proof, task))
                if self._closing or self.stopped is not None:  # by now
                    raise doubt
        except TeacherError:
            self.spent.failed += 1
            raise
        self.spent.retries += 1
        return retry

    async def _send_proof(self, task: asyncio.Task[Reply], proof: Pending) -> Reply | TeacherError:
        """Repeat a request that was answered before, in the place of the one that failed."""
        await self.pause.wait()
        try:
            return await self._send(proof, task)
        finally:
            self._on_the_wire.discard(task)

    def _note_once(self, about: str, text: str) -> None:
        if about not in self._noted:
            self._noted.add(about)
            self.note(f"{self.use!r} {text}")


@contextmanager
def raise_stop_error(gateway: Gateway | None) -> Iterator[None]:
    """Raise the error that stopped the gateway, even if a plugin has caught it."""
    try:
        yield
    except Exception as err:
        if gateway is not None and gateway.stopped is not None and err is not gateway.stopped:
            raise gateway.stopped from err
        raise
    if gateway is not None and gateway.stopped is not None:
        raise gateway.stopped
