"""A teacher with scripted answers, and contexts that use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from pydantic import Field

from filial.contracts.context import Candidate, Context
from filial.contracts.errors import TeacherError
from filial.contracts.kinds import Teacher
from filial.contracts.messages import Reply, Request

Script = str | Sequence[str] | Callable[[Request], str | Reply]
TIME_LIMIT = 60.0
"""Seconds after which an asynchronous method counts as hanging."""


class ScriptedTeacher(Teacher):
    """A teacher with scripted answers.

    ``script`` is one answer to everything, a list of answers in order, or a function of the request. `requests` keeps
    what it was asked.
    """

    script: Any = Field("", description="One answer, a list of answers, or a function of the request.")
    _requests: list[Request] = []

    @property
    def requests(self) -> list[Request]:
        """All requests so far, the oldest first."""
        return self._requests

    async def reply(self, request: Request) -> Reply:
        """Return the next answer of the script.

        Raises:
            TeacherError: the list of answers is used up.
        """
        await asyncio.sleep(0)
        self._requests.append(request)
        if callable(self.script):
            said = self.script(request)
        elif isinstance(self.script, str):
            said = self.script
        elif len(self._requests) <= len(self.script):
            said = self.script[len(self._requests) - 1]
        else:
            raise TeacherError("script-ended", f"the script has {len(self.script)} answers, this request is one more")
        return said if isinstance(said, Reply) else Reply(text=said, model="scripted")

    def identity(self) -> dict[str, Any]:
        """Return a constant: scripted answers belong in no shared ledger."""
        return {"scripted": True}


def scripted_teacher(reply: Script) -> ScriptedTeacher:
    """Return a teacher that answers ``reply``."""
    return ScriptedTeacher.model_validate({"script": reply})


def context(
    reply: Script = "", *, key: tuple[object, ...] = ("test",), memory: dict[str, Any] | None = None
) -> Context:
    """Return a context whose teacher answers ``reply``; its random generator is seeded from ``key``."""
    return Context(scripted_teacher(reply).reply, key=key, memory=memory)


def candidate(reply: Script = "", name: str = "model") -> Candidate:
    """Return a candidate for a judge; it answers ``reply``."""
    return Candidate(name, scripted_teacher(reply).reply)


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end; fail after a minute."""
    return asyncio.run(asyncio.wait_for(work, TIME_LIMIT))
