"""A teacher that says what a test wants, a clock that only sleeping moves, and gateways to the one by the other."""

import asyncio

import pytest

from filial import Message, Reply, Request, Teacher
from filial.gateway import Budget, BudgetAccount, Gateway, Ledger


def request(text):
    return Request(messages=(Message(role="user", content=text),))


class Moody(Teacher):
    """Says what ``answer`` returns or raises; counts calls and how many were open at once."""

    _state: dict = {}

    @classmethod
    def saying(cls, answer, **options):
        teacher = cls(**options)
        teacher._state.update(answer=answer, calls=0, open=0, peak=0)
        return teacher

    async def reply(self, request):
        s = self._state
        s["calls"] += 1
        s["open"] += 1
        s["peak"] = max(s["peak"], s["open"])
        try:
            await asyncio.sleep(0.001)
            said = s["answer"](request, s["calls"])
            if asyncio.iscoroutine(said):
                said = await said
            if isinstance(said, Exception):
                raise said
            return said if isinstance(said, Reply) else Reply(text=said, prompt_tokens=3, completion_tokens=2)
        finally:
            s["open"] -= 1


class Clock:
    """A clock that only sleeping moves; what was slept is kept in ``waits``."""

    def __init__(self):
        self.now, self.waits = 1000.0, []

    def monotonic(self):
        self.now += 1e-6
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The gateway's time: a wait that it begins is over at once, and noted."""
    made, sleep = Clock(), asyncio.sleep

    async def no_wait(seconds):
        if seconds < 0.01:
            await sleep(seconds)
        else:
            made.waits.append(seconds)
            made.now += seconds
            await sleep(0)

    monkeypatch.setattr("asyncio.sleep", no_wait)
    for module in ("rate_limits", "retries", "gateway"):
        monkeypatch.setattr(f"filial.gateway.{module}.time", made)
    return made


@pytest.fixture
def gateway(tmp_path, clock):
    """``gateway(answer, budget, wrap, **options)``: one more gateway to a moody teacher, all with the same ledger."""
    made = []

    def make(answer, budget=None, wrap=None, **options):
        teacher = Moody.saying(answer, **options)
        account = BudgetAccount(budget or Budget())
        made.append(Gateway("moody", teacher, Ledger(tmp_path / "ledger.sqlite"), account, wrap))
        made[-1].waits = clock.waits
        return made[-1]

    yield make
    for g in made:
        g.ledger.close()


def ask(gateway, *texts):
    """Ask all questions at once; a failure stands in the place of its answer."""

    async def all_at_once():
        return await asyncio.gather(*(gateway.ask(request(t)) for t in texts), return_exceptions=True)

    return asyncio.run(all_at_once())
