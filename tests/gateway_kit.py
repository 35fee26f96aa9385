"""A teacher that says what a test wants, waits that are over at once, and gateways to the one with the other."""

import asyncio

import pytest
import virtual_time

from filial import Message, Reply, Request, Teacher
from filial.gateway import Budget, BudgetAccount, Gateway, Ledger
from filial_plugins.ledger import maintenance


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


def stored(gateway):
    """All entries of the gateway's ledger: whether it is a failure, which, and the text. Closes the gateway."""
    path = gateway.ledger.path
    asyncio.run(gateway.close())
    gateway.ledger = Ledger(path)
    replies = [entry.decode()[1] for entry in maintenance.read_entries(gateway.ledger)]
    return [(bool(reply.failure), reply.failure, reply.text) for reply in replies]


@pytest.fixture
def waits(monkeypatch):
    """What is waited before something is asked again; all of it in virtual time."""
    noted, sleep = [], asyncio.sleep

    async def note(seconds):
        if seconds >= 0.01:
            noted.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr("asyncio.sleep", note)
    return noted


@pytest.fixture
def gateway(tmp_path, waits):
    """``gateway(answer, budget, wrap, **options)``: one more gateway to a moody teacher, all with the same ledger."""
    made = []

    def make(answer, budget=None, wrap=None, **options):
        teacher = Moody.saying(answer, **options)
        account = BudgetAccount(budget or Budget())
        made.append(Gateway("moody", teacher, Ledger(tmp_path / "ledger.sqlite"), account, wrap))
        made[-1].waits = waits
        return made[-1]

    yield make
    for g in made:
        g.ledger.close()


def ask(gateway, *texts):
    """Ask all questions at once; a failure stands in the place of its answer."""

    async def all_at_once():
        return await asyncio.gather(*(gateway.ask(request(t)) for t in texts), return_exceptions=True)

    return virtual_time.run(all_at_once())
