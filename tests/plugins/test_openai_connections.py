"""No request gets the answer of another, whatever an endpoint sends too often, too late or without an id of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socketserver
import threading
from collections.abc import Callable
from typing import Any

import pytest

from filial import Message, Request, TeacherError
from filial_plugins.teachers.openai import OpenAI
from filial_plugins.teachers.openai_secrets import Secrets

ROWS = 40
Name = Callable[[str, int], str]
NAMES: dict[str, Name] = {
    "own": lambda text, n: f"chatcmpl-{n}",
    "constant": lambda text, n: "chatcmpl-1",
    "none": lambda text, n: "",
    "content": lambda text, n: hashlib.sha1(text[:1].encode()).hexdigest(),
}
"""How endpoints name answers, from the answer and the number of the request."""


def answer(text: str, name: str, status: int = 200) -> bytes:
    body: dict[str, Any] = {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    raw = json.dumps({"id": name, **body} if name else body).encode()
    return (
        f"HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n".encode() + raw
    )


class Server:
    """Answers ``question`` with ``answer to question``, but what ``odd`` says: it gets the number of the request and
    its right answer, and gives what is sent now and what is sent in front of the next answer of the connection."""

    def __init__(self, name: Name, odd: Callable[[int, bytes], tuple[bytes, bytes]]) -> None:
        self.name, self.odd = name, odd
        self.requests = self.connections = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        late = b""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
                )
                question = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
                self.requests += 1
                text = f"answer to {question}"
                now, after = self.odd(self.requests, answer(text, self.name(text, self.requests)))
                writer.write(late + now)
                late = after
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client closed it
        finally:
            writer.close()


def ask(server: Server, at_once: int = 1) -> list[str]:
    """Ask `ROWS` questions, each up to four times; return the answers, or the reasons why there are none."""

    async def one(teacher: OpenAI, gate: asyncio.Semaphore, question: str) -> str:
        request = Request(messages=(Message(role="user", content=question),))
        for _ in range(4):
            async with gate:
                try:
                    return (await teacher.reply(request)).text
                except TeacherError as error:
                    last = error
        return last.reason

    async def work() -> list[str]:
        listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        teacher, gate = OpenAI(model="m", base_url=f"http://127.0.0.1:{port}/v1"), asyncio.Semaphore(at_once)
        try:
            return list(await asyncio.gather(*(one(teacher, gate, f"{n}?") for n in range(ROWS))))
        finally:
            await teacher.close()
            listening.close()

    return asyncio.run(asyncio.wait_for(work(), 120))


RIGHT = [f"answer to {n}?" for n in range(ROWS)]


def twice_now(n: int, sent: bytes) -> tuple[bytes, bytes]:
    return (sent * 2, b"") if n == 7 else (sent, b"")


def twice_later(n: int, sent: bytes) -> tuple[bytes, bytes]:
    return (sent, sent) if n == 7 else (sent, b"")


def error_first(n: int, sent: bytes) -> tuple[bytes, bytes]:
    return (answer("", "", 504), sent) if n == 7 else (sent, b"")


@pytest.mark.parametrize("at_once", [1, 2, 8])
@pytest.mark.parametrize("odd", [twice_now, twice_later, error_first])
def test_no_request_gets_the_answer_of_another(odd: Any, at_once: int) -> None:
    server = Server(NAMES["own"], odd)
    assert ask(server, at_once) == RIGHT
    assert server.requests <= ROWS + 2


@pytest.mark.parametrize("odd", [twice_now, error_first])
@pytest.mark.parametrize("name", ["constant", "none", "content"])
def test_nor_does_it_where_ids_say_nothing_as_far_as_the_connection_tells(odd: Any, name: str) -> None:
    assert ask(Server(NAMES[name], odd)) == RIGHT


@pytest.mark.parametrize("at_once", [1, 8])
@pytest.mark.parametrize("name", NAMES)
def test_a_sound_endpoint_is_asked_once_a_row_over_few_connections_however_it_names_answers(
    name: str, at_once: int
) -> None:
    server = Server(NAMES[name], lambda n, sent: (sent, b""))
    assert ask(server, at_once) == RIGHT
    assert server.requests <= ROWS + 1, "one more at most, to find out that it uses ids again"
    assert server.connections <= at_once + 4


def test_an_answer_twice_at_the_very_beginning_costs_one_row_at_most() -> None:
    server = Server(NAMES["own"], lambda n, sent: (sent, sent if n == 1 else b""))
    wrong = [text for text, right in zip(ask(server), RIGHT, strict=True) if text != right]
    assert len(wrong) <= 1


@pytest.mark.parametrize("status", [301, 400, 401, 429, 500, 504])
def test_a_connection_is_closed_after_an_error(status: int) -> None:
    server = Server(NAMES["own"], lambda n, sent: (answer("", "", status) if n % 2 else sent, b""))
    ask(server)
    assert server.connections >= server.requests // 2


KEY = "ABSK+canary/Zq8v=L&N<4'R\"t"
FORMS = {
    "as it is": KEY,
    "JSON": json.dumps(KEY)[1:-1],
    "JSON, slashes escaped": json.dumps(KEY)[1:-1].replace("/", "\\/"),
    "JSON of .NET": "".join(c if c.isalnum() else f"\\u{ord(c):04X}" for c in KEY),
    "JSON of Go": KEY.replace("&", "\\u0026").replace("<", "\\u003c").replace('"', '\\"'),
    "JSON in JSON": json.dumps(json.dumps(KEY))[3:-3],
    "an address": "".join(c if c.isalnum() else f"%{ord(c):02x}" for c in KEY),
    "HTML": KEY.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;").replace("'", "&#39;"),
    "HTML in numbers": "".join(c if c.isalnum() else f"&#x{ord(c):X};" for c in KEY),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_removed_in_every_form(form: str) -> None:
    said = f"you sent {FORMS[form]}, \\u00e9 %41 &amp; 漢字"
    secrets = Secrets([KEY, "", "other-key"])
    assert secrets.clean(said.encode()).decode() == "you sent [key], \\u00e9 %41 &amp; 漢字"
    assert secrets.clean_text(said) == "you sent [key], \\u00e9 %41 &amp; 漢字"
    assert secrets.clean_text(said.replace("canary", "canari")) == said.replace("canary", "canari")


def test_the_longer_of_two_keys_is_removed_whole() -> None:
    assert Secrets(["key-1", "key-12"]).clean_text("key-12 key-1") == "[key] [key]"


def test_a_key_without_letters_and_digits_is_removed_too() -> None:
    assert Secrets(["+/="]).clean_text("a+/=b") == "a[key]b"


def test_a_key_in_a_broken_line_of_the_protocol_is_in_no_error(
    endpoint: Any, answers: Any, fault: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("FILIAL_CONFIG", str(tmp_path))
    (tmp_path / "keys.json").write_text('{"MY_KEY": ["127.0.0.1"]}')
    monkeypatch.setenv("MY_KEY", "sk-canary-4711")
    for headers in (
        {"content-length": "sk-canary-4711"},
        {"transfer-encoding": "sk-canary-4711"},
        {"bad\0": "sk-canary-4711"},
    ):
        error = fault(endpoint(answers.Answer("x", headers=headers)), api_key_env="MY_KEY")
        assert "canary" not in f"{error} {error.answer}"


def test_bytes_that_came_while_the_loop_was_busy_are_seen() -> None:
    sent_twice = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while head := b"".join(iter(self.rfile.readline, b"\r\n")):
                length = re.search(rb"(?i)content-length: (\d+)", head)
                assert length is not None
                question = json.loads(self.rfile.read(int(length[1])))["messages"][-1]["content"]
                sent = answer(f"answer to {question}", question)
                self.wfile.write(sent)
                if question == "0?":
                    ready.wait()
                    self.wfile.write(sent)
                    sent_twice.set()

    ready = threading.Event()

    async def work(port: int) -> list[str]:
        teacher, texts = OpenAI(model="m", base_url=f"http://127.0.0.1:{port}/v1"), []
        for question in ("0?", "1?"):
            reply = await teacher.reply(Request(messages=(Message(role="user", content=question),)))
            texts.append(reply.text)
            ready.set()
            sent_twice.wait(60)  # the loop does not run meanwhile
        await teacher.close()
        return texts

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            assert asyncio.run(work(server.server_address[1])) == ["answer to 0?", "answer to 1?"]
        finally:
            server.shutdown()
