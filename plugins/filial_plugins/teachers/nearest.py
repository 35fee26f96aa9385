"""The copying baseline: answers with the most similar known record."""

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
    """Give the answer of the known record whose question is most similar.

    Similarity is the share of common words (Jaccard); on a tie, the first record is used. If no word is shared, the
    answer is empty. As a judge's rival in a recipe it knows the training data only: a better model has learned more
    than copying.
    """

    data: InputFile | None = Field(None, description="Records to copy from; for a judge's rival: training data.")
    _index: asyncio.Task[QuestionIndex] | None = PrivateAttr(None)

    def for_dataset(self, folder: Path) -> Teacher:
        """Return a copy that knows the training data, unless ``data`` is set."""
        return self if self.data else self.model_copy(update={"data": str(folder / "train.jsonl")})

    def identity(self) -> dict[str, Any]:
        """Return a hash of the records."""
        with open(self._locate_data(), "rb") as file:
            return {"data": hashlib.file_digest(file, "sha256").hexdigest()}

    def price(self) -> Price:
        return FREE

    def bound(self, request: Request) -> Bound:
        """Return 0 tokens: no model reads or writes anything."""
        return Bound(0, 0)

    async def reply(self, request: Request) -> Reply:
        if self._index is None:
            self._index = asyncio.create_task(asyncio.to_thread(QuestionIndex, self._locate_data()))
        known = await asyncio.shield(self._index)
        return Reply(text=await asyncio.to_thread(known.answer, request.messages))

    def _locate_data(self) -> Path:
        if self.data is None:
            raise UsageError("nearest copies from records, but has none; set data: FILE")
        return resolve(self.data)

    def __getstate__(self) -> dict[Any, Any]:
        """Leave out what was read: a copy reads the records itself."""
        return {**super().__getstate__(), "__pydantic_private__": {"_index": None}}


class QuestionIndex:
    """Records by the words of their questions."""

    def __init__(self, path: Path) -> None:
        self._answers, self._bags = list[str](), list[frozenset[str]]()
        self._records_by_word: dict[str, list[int]] = defaultdict(list)
        for i, record in enumerate(read(path, strict=True)):
            self._bags.append(_split_words(record.prompt()))
            self._answers.append(record.answer())
            for word in self._bags[-1]:
                self._records_by_word[word].append(i)

    def answer(self, asked: Iterable[Message]) -> str:
        """Return the answer to the most similar question."""
        bag, bags = _split_words(asked), self._bags
        shared = Counter(i for word in bag for i in self._records_by_word.get(word, ()))
        # Jaccard: shared words / (words of one + words of the other - shared words).
        best = min(shared, key=lambda i: (-shared[i] / (len(bag) + len(bags[i]) - shared[i]), i), default=None)
        return "" if best is None else self._answers[best]


def _split_words(turns: Iterable[Message]) -> frozenset[str]:
    return frozenset(" ".join(turn.content for turn in turns).lower().split())


@hookimpl
def register_teachers(register: Callable[[str, type[Teacher]], None]) -> None:
    register("nearest", Nearest)
