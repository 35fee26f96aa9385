"""The copying baseline: what a model has beyond it was learned."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from filial import FREE, Bound, Field, InputFile, Message, Price, Reply, Request, Teacher, UsageError, hookimpl, resolve
from filial.formats import read


class Nearest(Teacher):
    """Copies: the answer of the known record whose question shares most words with what is asked.

    Likeness is the share of common words (Jaccard); the first record wins ties. Where no word is shared, the answer is
    empty. As a judge's rival in a recipe it knows what the model is trained on, and nothing else.
    """

    data: InputFile | None = Field(None, description="Records to copy from; for a judge's rival the training data.")
    _known: asyncio.Task[Known] | None = PrivateAttr(None)

    def for_dataset(self, folder: Path) -> Teacher:
        """One that knows the training data, unless it was told what to know."""
        return self if self.data else self.model_copy(update={"data": str(folder / "train.jsonl")})

    def identity(self) -> dict[str, Any]:
        """The records, by content."""
        with open(self._path(), "rb") as file:
            return {"data": hashlib.file_digest(file, "sha256").hexdigest()}

    def price(self) -> Price:
        return FREE

    def bound(self, request: Request) -> Bound:
        """None: no model reads or writes anything."""
        return Bound(0, 0)

    async def reply(self, request: Request) -> Reply:
        if self._known is None:
            self._known = asyncio.create_task(asyncio.to_thread(Known, self._path()))
        known = await asyncio.shield(self._known)
        return Reply(text=await asyncio.to_thread(known.answer, request.messages))

    def _path(self) -> Path:
        if self.data is None:
            raise UsageError("nearest copies from records, and none are named; give it data: FILE")
        return resolve(self.data)

    def __getstate__(self) -> dict[Any, Any]:
        """Without what was read: a copy reads for itself."""
        return {**super().__getstate__(), "__pydantic_private__": {"_known": None}}


class Known:
    """Records by the words of their questions."""

    def __init__(self, path: Path) -> None:
        self._answers, self._bags = list[str](), list[frozenset[str]]()
        self._holders: dict[str, list[int]] = defaultdict(list)
        for i, record in enumerate(read(path, strict=True)):
            self._bags.append(_bag(record.prompt()))
            self._answers.append(record.answer())
            for word in self._bags[-1]:
                self._holders[word].append(i)

    def answer(self, asked: Iterable[Message]) -> str:
        """The answer to the question that is most like this one."""
        bag, bags = _bag(asked), self._bags
        shared = Counter(i for word in bag for i in self._holders.get(word, ()))
        best = min(shared, key=lambda i: (-shared[i] / (len(bag) + len(bags[i]) - shared[i]), i), default=None)
        return "" if best is None else self._answers[best]


def _bag(turns: Iterable[Message]) -> frozenset[str]:
    return frozenset(" ".join(turn.content for turn in turns).lower().split())


@hookimpl
def register_teachers(register: Callable[[str, type[Teacher]], None]) -> None:
    register("nearest", Nearest)
