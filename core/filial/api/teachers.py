"""The teacher of a verb: by name, as an object, or any function."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from inspect import isawaitable
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from filial.api.plugins import Plugin, build, is_plugin
from filial.contracts.errors import UsageError
from filial.contracts.kinds import Teacher
from filial.contracts.messages import Message, Reply, Request
from filial.engine.progress import Reporter
from filial.engine.run_context import open_gateway
from filial.gateway.budget import Budget, BudgetAccount
from filial.gateway.gateway import Gateway
from filial.plugins.manager import Manager
from filial.plugins.options import validate
from filial.recipe.settings import Budget as Caps


class Prompt(str):
    """The argument of a function that is a teacher: the text of the last message, with the rest as attributes."""

    request: Request

    @property
    def messages(self) -> tuple[Message, ...]:
        return self.request.messages


Answer = Callable[[Prompt], str | Reply | Awaitable[str | Reply]]
"""A teacher that is a function, sync or async."""


class FunctionTeacher(Teacher):
    """Asks a function. One that is not async is called in threads, at most ``max_concurrency`` at once."""

    _function: Answer = PrivateAttr()
    _threads: ThreadPoolExecutor = PrivateAttr()

    @classmethod
    def of(cls, function: Answer) -> FunctionTeacher:
        teacher = cls()
        teacher._function, teacher._threads = function, ThreadPoolExecutor(teacher.max_concurrency)
        return teacher

    async def reply(self, request: Request) -> Reply:
        prompt = Prompt(request.messages[-1].content)
        prompt.request = request
        if asyncio.iscoroutinefunction(self._function):
            said: Any = await self._function(prompt)
        else:
            said = await asyncio.get_running_loop().run_in_executor(self._threads, self._function, prompt)
        said = await said if isawaitable(said) else said
        if not isinstance(said, str | Reply):
            raise TypeError(f"a function that is a teacher must return a str or a Reply, not {said!r:.60}")
        return Reply(text=said) if isinstance(said, str) else said

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def find_teacher(teacher: Plugin | Answer, manager: Manager) -> tuple[str, Teacher, bool]:
    """Return the teacher's name (``dist:name``), the teacher, and whether to store its answers. Answers of a teacher
    that exists in this process only are not stored.

    Raises:
        UsageError: there is no such teacher, its options are invalid, or a package that it needs is not installed.
    """
    if not is_plugin(teacher):
        if isinstance(teacher, type) or not callable(teacher):
            raise UsageError(f"teacher: {teacher!r:.60} is not a name, a component or a function")
        return f"function:{getattr(teacher, '__name__', 'teacher')}", FunctionTeacher.of(teacher), False
    made = build("teachers", teacher, manager)
    assert isinstance(made, Teacher)
    return manager.identity(made), made, not manager.provenance(made).endswith("==unregistered")


@asynccontextmanager
async def open_teacher(
    teacher: Plugin | Answer | None, manager: Manager, home: str | Path, budget: Mapping[str, float] | None,
    said: Reporter,
) -> AsyncIterator[Gateway | None]:  # fmt: skip
    """Open a gateway to a teacher, with the ledger of ``home``, and close it at the end; None without a teacher."""
    if teacher is None:
        if budget:
            raise UsageError("budget needs a teacher; name one")
        yield None
        return
    who, made, kept = find_teacher(teacher, manager)
    caps = validate(Caps, dict(budget or {}), owner="budget").plain_values()
    ledger = Path(home) if kept else None
    gateway = open_gateway(manager, who, made, ledger, BudgetAccount(Budget(**caps)), note=said.note)
    try:
        yield gateway
    finally:
        await gateway.close()
