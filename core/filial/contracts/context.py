"""What a component may use while it runs. Attributes may be added; none is removed within a major version."""

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
    """Options of a request; `Context.ask` explains them."""

    draw: int
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: tuple[str, ...]
    schema: dict[str, Any] | None
    partial: bool


DRAWS_PER_ATTEMPT = 1000
"""Distance between the draws of two attempts at the same work: a second attempt asks again."""


def seeded_rng(*parts: object) -> random.Random:
    """Return a random generator that depends on its arguments only, on every machine and in every process."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return random.Random(int.from_bytes(hashlib.sha256(text).digest(), "big"))


class Context:
    """What one component can use: a teacher, a seeded random generator, memory.

    Attributes:
        rng: seeded from (run seed, stage, record id), so results do not depend on the order of work.
        memory: exists as long as the stage; only for filters with ``remembers = True``.
        parent: the record from which the current one was evolved, if known; a copy.
        history: for strategies, the turns before the question, if the record is the last question of a conversation.
        note: shows the user one line, such as the yield of the first rounds.
        seeds: returns the seed records that the recipe names before this stage, read again at each call; on the command
            line there are none.
        replies: the replies this context received, in the order of requests.
    """

    def __init__(
        self, ask: Asker | None, *, key: tuple[object, ...] = (), memory: dict[str, Any] | None = None,
        parent: Record | None = None, attempt: int = 0, note: Callable[[str], None] = lambda text: None,
        seeds: Callable[[], Iterable[Record]] = tuple,
    ) -> None:  # fmt: skip
        self._ask, self._key, self._attempt = ask, key, attempt
        self.note, self.seeds = note, seeds
        self.memory: dict[str, Any] = {} if memory is None else memory
        self._parent = parent
        self._parent_copy: Record | None = None
        self.history: tuple[Message, ...] = ()
        self.replies: list[Reply] = []

    @cached_property
    def rng(self) -> random.Random:  # seeding is the slowest part here, and most work draws nothing
        return seeded_rng(*self._key)

    @property
    def parent(self) -> Record | None:
        if self._parent_copy is None and self._parent is not None:  # copied on first use: few plugins need it
            self._parent_copy = copy_for_plugin(self._parent)
        return self._parent_copy

    def fault_of_parent(self) -> str:
        """Say how ``parent`` was changed; empty if it was not."""
        copy, parent = self._parent_copy, self._parent
        return describe_change(copy, parent, "ctx.parent") if copy and parent else ""

    async def ask(self, prompt: str | Sequence[Message], *, system: str = "", **options: Unpack[AskOptions]) -> Reply:
        """Ask the run's teacher.

        Args:
            prompt: a user message, or a whole conversation.
            system: a system message to put first.
            temperature, top_p, max_tokens, stop: as for any chat model; default: the teacher's own.
            draw: number of one of several independent answers to the same request.
            schema: a JSON Schema that the answer must satisfy (``reply.json()`` returns its value). It is sent to
                teachers that support it, and the answer is always checked. An answer that does not satisfy it is
                requested once more, with the error.
            partial: also accept an answer that was cut at the token limit (its ``finish_reason`` is "length"); by
                default such an answer is a failed request.

        Raises:
            TeacherError: the request failed for good. Do not catch it: the stage records a drop with its reason.
            ValueError: the value of an argument is invalid.
            TypeError: there is no such argument.
        """
        if self._ask is None:
            raise RuntimeError("this component asks a teacher, but none was given")
        for name in options:
            if name not in AskOptions.__annotations__:
                raise TypeError(f"ask: there is no argument {name!r}{hint(name, AskOptions.__annotations__)}")
        if not isinstance(prompt, Iterable):
            raise ValueError(f"ask: the prompt is {format_value(prompt)}, not a text or messages")
        if not isinstance(system, str):
            raise ValueError(f"ask: system is {format_value(system)}, not a text")
        turns = (Message(role="user", content=prompt),) if isinstance(prompt, str) else tuple(prompt)
        if system:
            turns = (Message(role="system", content=system), *turns)
        request = Request(messages=turns, **options)
        plain = isinstance(prompt, str) and not options  # then there is nothing to check
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
        """Return a context for one piece of the work, with its own random generator and the same memory."""
        return Context(
            self._ask, key=(*self._key, *parts), memory=self.memory, parent=parent or self._parent,
            attempt=self._attempt, note=self.note, seeds=self.seeds,
        )  # fmt: skip


class Candidate:
    """One of the models whose answers a judge compares: the trained model, its base model, any teacher.

    Attributes:
        name: its name in the figures.
        replies: its replies, in order.
        failed: the error of the first request that failed for good, if any.
    """

    def __init__(self, name: str, ask: Asker, *, max_tokens: int | None = None) -> None:
        self.name = name
        self.replies: list[Reply] = []
        self.failed: TeacherError | None = None
        self._ask, self._max_tokens = ask, max_tokens

    async def ask(self, messages: str | Sequence[Message], *, system: str = "", **options: Unpack[AskOptions]) -> Reply:
        """Ask the candidate; arguments as for `Context.ask`. For several turns, ask once per turn with all before it.

        Args:
            max_tokens: maximum tokens of the answer; default: the limit of the evaluation.
            partial: accept an answer that was cut at that limit, or an empty one; False refuses them.

        Raises:
            TeacherError: the request failed for good. The record is then not judged, even if the error is caught.
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
    """What hooks may read of a run, but not change.

    ``folder`` is the run's folder, ``teacher`` its teacher as ``dist:name`` (empty if there is none). ``recipe`` is the
    resolved recipe, as in ``recipe.lock.yaml``, ``summary`` the figures so far, as in ``summary.json``; each access
    returns a copy.
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
    """What a trainer may use: a seed, and ways to report progress.

    ``log`` takes flat dictionaries of figures (step, loss, lr, ...); ``progress(done, total, text)`` updates the
    progress bar, in the unit that limits the training; ``note(text)`` shows the user a line. ``cache`` is a folder for
    data that can be computed again, such as tokens; None: store nothing.
    """

    seed: int = 0
    _: KW_ONLY
    log: Callable[[dict[str, Any]], None] = lambda figures: None
    progress: Callable[[float, float, str], None] = lambda done, total, text: None
    note: Callable[[str], None] = lambda text: None
    base: Path = field(default_factory=Path.cwd)
    cache: Path | None = None
