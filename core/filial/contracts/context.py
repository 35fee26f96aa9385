"""What a component may use while it runs. Attributes may be added here; none is removed within a major version."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

from msgspec.structs import replace

from filial.contracts.checks import copy_for_plugin, describe_change, fault_of_request, format_value
from filial.contracts.errors import TeacherError, hint
from filial.contracts.messages import Message, Reply, Request
from filial.contracts.records import Record
from filial.contracts.structured import ask_with_schema

Asker = Callable[[Request], Awaitable[Reply]]


class AskOptions(TypedDict, total=False):
    """How a teacher may be asked, as `Context.ask` explains it."""

    draw: int
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: tuple[str, ...]
    schema: dict[str, Any] | None
    partial: bool


DRAWS_PER_ATTEMPT = 1000
"""How far apart the draws of two attempts at the same work lie: a second attempt asks anew."""


def seeded_rng(*parts: object) -> random.Random:
    """A random generator that depends on its arguments alone, on every machine and in every process."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return random.Random(int.from_bytes(hashlib.sha256(text).digest(), "big"))


class Context:
    """The world as one component sees it: a teacher, a seeded random generator, memory.

    Attributes:
        rng: seeded from (run seed, stage, record id), so results never depend on the order of work.
        memory: lives as long as the stage; only for filters that say they remember.
        parent: the record that the one at hand was evolved from, where known; a copy to look at.
        note: tells the user one line of news, such as the yield of the first rounds.
        seeds: gives the seed records that the recipe names in front of this stage, read anew at each call; on the
            command line there are none.
        replies: the replies this context received, in order of asking.
    """

    def __init__(
        self,
        ask: Asker | None,
        *,
        key: tuple[object, ...] = (),
        memory: dict[str, Any] | None = None,
        parent: Record | None = None,
        attempt: int = 0,
        note: Callable[[str], None] = lambda text: None,
        seeds: Callable[[], Iterable[Record]] = tuple,
    ) -> None:
        self._ask, self._key, self._attempt = ask, key, attempt
        self.note, self.seeds = note, seeds
        self.memory: dict[str, Any] = {} if memory is None else memory
        self._parent = parent
        self._parent_copy: Record | None = None
        self.replies: list[Reply] = []

    @cached_property
    def rng(self) -> random.Random:  # seeding costs more than all else here, and most work draws nothing
        return seeded_rng(*self._key)

    @property
    def parent(self) -> Record | None:
        if self._parent_copy is None and self._parent is not None:  # few look, so it is copied for those who do
            self._parent_copy = copy_for_plugin(self._parent)
        return self._parent_copy

    def fault_of_parent(self) -> str:
        """What was done to ``parent``, in words; empty if nothing."""
        copy, parent = self._parent_copy, self._parent
        return describe_change(copy, parent, "ctx.parent") if copy and parent else ""

    async def ask(self, prompt: str | Sequence[Message], *, system: str = "", **options: Unpack[AskOptions]) -> Reply:
        """Ask the run's teacher.

        Args:
            prompt: a user message, or a whole conversation.
            system: a system message put in front.
            temperature, top_p, max_tokens, stop: as for any chat model; the teacher's own unless given.
            draw: which of several independent answers to the same request.
            schema: a JSON Schema that the answer must satisfy (its value is ``reply.json()``). Teachers that can are
                held to it; the answer is checked here in any case. One that does not fit is asked for once more, with
                what was wrong.
            partial: take an answer that was cut at the token limit, too (its ``finish_reason`` is "length"); without
                it such an answer is a failed call.

        Raises:
            TeacherError: the call failed for good. Let it pass: the stage records a drop with its reason.
            ValueError: an argument is nothing that a teacher can be asked.
            TypeError: there is no such argument.
        """
        if self._ask is None:
            raise RuntimeError("this component asks a teacher, but none was given")
        for name in options:
            if name not in AskOptions.__annotations__:
                raise TypeError(f"ask: there is no argument {name!r}{hint(name, AskOptions.__annotations__)}")
        if not isinstance(prompt, Iterable):
            raise ValueError(f"ask: {format_value(prompt)} is asked, not a text or messages")
        if not isinstance(system, str):
            raise ValueError(f"ask: system is {format_value(system)}, not a text")
        turns = (Message(role="user", content=prompt),) if isinstance(prompt, str) else tuple(prompt)
        if system:
            turns = (Message(role="system", content=system), *turns)
        request = Request(messages=turns, **options)
        plain = isinstance(prompt, str) and not options  # then there is nothing to look at
        if not plain and (fault := fault_of_request(request)):
            raise ValueError(f"ask: {fault}")
        if self._attempt:
            request = replace(request, draw=request.draw + DRAWS_PER_ATTEMPT * self._attempt)
        return await (self._send(request) if request.schema is None else ask_with_schema(request, self._send))

    async def _send(self, request: Request) -> Reply:
        assert self._ask is not None
        reply = await self._ask(request)
        self.replies.append(reply)
        return reply

    def derive(self, *parts: object, parent: Record | None = None) -> Context:
        """A context for one piece of the work, with a random generator of its own and the same memory."""
        return Context(
            self._ask,
            key=(*self._key, *parts),
            memory=self.memory,
            parent=parent or self._parent,
            attempt=self._attempt,
            note=self.note,
            seeds=self.seeds,
        )


class Candidate:
    """One of those whose answers a judge compares: the trained model, the model it came from, any teacher.

    Attributes:
        name: what the figures call it.
        replies: what it said, in order.
        failed: the error of the first call that failed for good; None where none did.
    """

    def __init__(self, name: str, ask: Asker, *, max_tokens: int | None = None) -> None:
        self.name = name
        self.replies: list[Reply] = []
        self.failed: TeacherError | None = None
        self._ask, self._max_tokens = ask, max_tokens

    async def ask(self, messages: str | Sequence[Message], *, system: str = "", **options: Unpack[AskOptions]) -> Reply:
        """Ask it; arguments as for `Context.ask`. A conversation of several turns is asked again with each turn.

        Args:
            max_tokens: tokens of the answer at most; the exam's own limit unless given.
            partial: unless it is False, an answer cut at that limit counts as it is, and so does an empty one.

        Raises:
            TeacherError: the call failed for good. The record is then not judged, whatever becomes of this error.
        """
        options.setdefault("partial", True)
        options["max_tokens"] = options.get("max_tokens") or self._max_tokens
        try:
            reply = await Context(self._ask).ask(messages, system=system, **options)
        except TeacherError as error:
            self.failed = self.failed or error
            raise
        self.replies.append(reply)
        return reply


@dataclass(frozen=True, slots=True, eq=False)
class RunInfo:
    """What hooks may read of a run, and not change.

    ``folder`` is the run's own, ``teacher`` who is asked, as ``dist:name``; empty where nobody is. ``recipe`` is what
    runs, as in ``recipe.lock.yaml``, ``summary`` the figures so far, as in ``summary.json``; each time a copy.
    """

    name: str
    folder: Path
    teacher: str
    _recipe: Callable[[], dict[str, Any]]
    _summary: dict[str, Any]

    @property
    def recipe(self) -> dict[str, Any]:
        return deepcopy(self._recipe())

    @property
    def summary(self) -> dict[str, Any]:
        return deepcopy(self._summary)


class DropInfo(Protocol):
    """What hooks may read of a drop: the slug that is counted and the sentence for people."""

    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...


@dataclass(eq=False)
class TrainContext:
    """What a trainer may use: a seed and a way to say how far it is.

    ``log`` takes flat dictionaries of figures (step, loss, lr, ...); ``progress(done, total, text)`` feeds the
    progress bar, in whatever unit bounds the training; ``note(text)`` is a line that people should see. ``cache`` is a
    folder for what can be made again from the data, such as its tokens; None: nothing is to be kept.
    """

    seed: int = 0
    _: KW_ONLY
    log: Callable[[dict[str, Any]], None] = lambda figures: None
    progress: Callable[[float, float, str], None] = lambda done, total, text: None
    note: Callable[[str], None] = lambda text: None
    base: Path = field(default_factory=Path.cwd)
    cache: Path | None = None
