"""An endpoint on this machine that answers, fails and stalls as a test tells it to, and the teacher that asks it; an
untrained model and what trainings teach it; models with random weights for the teacher that asks those."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from filial import Message, Reply, Request, TeacherError
from filial_plugins.teachers.openai import OpenAI

ASK = Request(messages=(Message(role="system", content="Be short."), Message(role="user", content="Who?")))


def completion(text: str | None, *, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "served-model",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


@dataclass(frozen=True)
class Answer:
    """What the endpoint does with a request.

    ``body`` is sent as JSON, a string and bytes as they are. ``drip`` seconds pass before each byte of it. ``reset``
    cuts the connection with a TCP reset instead; ``short`` promises more bytes than it sends.
    """

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    drip: float = 0.0
    reset: bool = False
    short: bool = False


@dataclass
class Seen:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: Any


class Endpoint:
    """A server on 127.0.0.1. ``answer`` is called with each request and says what to do."""

    def __init__(self, answer: Callable[[Seen], Answer]) -> None:
        self.answer, self.seen = answer, list[Seen]()
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self._open.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Seen(head[0].split(" ")[1], headers, json.loads(body) if body else None)
        self.seen.append(request)
        answer = self.answer(request)
        if answer.reset:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        data = answer.body if isinstance(answer.body, bytes | str) else json.dumps(answer.body)
        data = data.encode() if isinstance(data, str) else data
        length = len(data) + (100 if answer.short else 0)
        sent = {"content-type": answer.content_type, "content-length": str(length), **answer.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"HTTP/1.1 {answer.status} Told\r\n{lines}\r\n".encode())
        for piece in [data[i : i + 1] for i in range(len(data))] if answer.drip else [data]:
            if answer.drip:
                await asyncio.sleep(answer.drip)
            writer.write(piece)
            await writer.drain()
        return not answer.short

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Endpoint]:
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._open):
                writer.transport.abort()


@pytest.fixture
def endpoint() -> Callable[..., Endpoint]:
    """Make an endpoint from one answer, a list of answers (the last one repeats), or a function of the request."""

    def make(script: Answer | list[Answer] | Callable[[Seen], Answer]) -> Endpoint:
        if callable(script):
            return Endpoint(script)
        answers = script if isinstance(script, list) else [script]
        served = Endpoint(lambda request: answers[min(len(served.seen), len(answers)) - 1])
        return served

    return make


@pytest.fixture
def answers() -> Any:
    """The building blocks of an endpoint's script: ``answers.Answer`` and ``answers.completion``."""

    class Blocks:
        Answer = Answer
        completion = staticmethod(completion)

    return Blocks


@pytest.fixture
def call() -> Callable[..., Reply]:
    """``call(endpoint, request, url=…, **options)``: one reply of the `openai` teacher at an endpoint of these."""

    def reply(endpoint: Endpoint, request: Request = ASK, url: str | None = None, **options: Any) -> Reply:
        async def work() -> Reply:
            async with endpoint.serving():
                teacher = OpenAI(**{"model": "m", "base_url": url or endpoint.url, **options})
                try:
                    return await teacher.reply(request)
                finally:
                    await teacher.close()

        return asyncio.run(asyncio.wait_for(work(), 300))

    return reply


@pytest.fixture
def fault(call: Callable[..., Reply]) -> Callable[..., TeacherError]:
    """Like ``call``, for a request that fails: its error."""

    def error(endpoint: Endpoint, *args: Any, **options: Any) -> TeacherError:
        with pytest.raises(TeacherError) as caught:
            call(endpoint, *args, **options)
        return caught.value

    return error


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks of which each reading is ten milliseconds later than the one before."""
    readings = count()
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, name, lambda: next(readings) / 100)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an untrained Llama."""
    from training_kit import make  # torch, for those who need it

    return make(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that teaches to say a word."""
    from training_kit import ECHO, TAUGHT, write

    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.jsonl", TAUGHT)
    write(folder / "heldout.jsonl", [r for r in ECHO if r not in TAUGHT])
    return folder


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of random weights, which goes on with any text."""
    from local_model_kit import llama

    return llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a chat template."""
    from local_model_kit import CHAT, llama

    return llama(tmp_path_factory.mktemp("chat"), chat=CHAT)


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a T5 of random weights."""
    from local_model_kit import t5

    return t5(tmp_path_factory.mktemp("t5"))
