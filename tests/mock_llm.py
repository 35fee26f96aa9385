"""A server that speaks OpenAI's chat completions, for load and fault tests. Standard library only, 127.0.0.1 only.

    python tests/mock_llm.py --port 0 --latency-ms 200 --jitter-ms 50 --p429 .10 --p500 .05 --preset .05

Its first line of output is the port. An answer is a function of the request's body and ``--salt`` alone. The fault of
the k-th arrival of a body is a function of (fault seed, body, k): the same requests meet the same faults in whatever
order they come, and a retry draws anew (with ``--sticky 1`` it meets the same fault again).

A prompt that ends with a number and a dot gets a numbered list of tasks, one that shows an ``Output:`` line gets an
example, so that generators find what they look for; all others get prose.

POST /v1/chat/completions   max_tokens, n, response_format; no streaming
GET  /v1/models
GET  /stats                 what came and what was answered, as JSON
POST /reset                 zero the counters; forgets which bodies were seen
POST /config                {"latency_ms": 200, "p429": 0.1, …}: other options from now on
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import struct
import sys
import time
from collections import Counter
from hashlib import blake2b
from typing import Any

from mock_answers import completion

OPTIONS: dict[str, tuple[Any, str]] = {
    "latency_ms": (0.0, "time before an answer"),
    "jitter_ms": (0.0, "up to so much more, a function of the request"),
    "words": (60, "words of an answer"),
    "p429": (0.0, "share of 429 with Retry-After"),
    "retry_after": (1.0, "seconds in Retry-After"),
    "p500": (0.0, "share of 500"),
    "pquota": (0.0, "share of 429 that say the account is empty"),
    "preset": (0.0, "share of TCP resets instead of an answer"),
    "phang": (0.0, "share of requests kept waiting for hang_s, then cut off"),
    "hang_s": (60.0, "how long those wait"),
    "pbadjson": (0.0, "share of 200 with JSON cut in half (Content-Length agrees)"),
    "pcut": (0.0, "share of bodies shorter than their Content-Length"),
    "pempty": (0.0, "share of 200 with empty content"),
    "plength": (0.0, "share of finish_reason=length"),
    "p403": (0.0, "share of 403, as a firewall refuses what it dislikes"),
    "sticky": (0, "1: a retry meets the same fault again"),
    "fault_seed": (0, "seed of the faults"),
    "limit_inflight": (0, "429 to whatever exceeds so many in flight; 0: no limit"),
    "hold_after": (-1, "so many good answers are given, and the others held until this is changed; -1: all are given"),
    "usage": ("full", "none: leave the token counts out"),
    "echo_headers": (0, "1: put the Authorization header into answers and errors"),
}
FAULTS = ("p429", "p500", "pquota", "preset", "phang", "pbadjson", "pcut", "pempty", "plength", "p403")
REFUSED = {
    "p429": (429, "p429", "rate limit reached"),
    "p500": (500, "p500", "internal error"),
    "pquota": (429, "pquota", "you exceeded your current quota"),
    "p403": (403, "p403", "request blocked"),
}
"""The faults that cost nothing; whatever else was asked is billed, also where the answer is lost or useless."""
MAX_HEAD, MAX_BODY = 64 * 1024, 32 * 1024 * 1024
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 413: "Payload Too Large", 429: "Too Many Requests"}


class State:
    """Options and counters of one server."""

    def __init__(self, options: dict[str, Any], salt: str) -> None:
        self.options, self.salt = options, salt.encode()
        self.in_flight = 0
        self.held: list[tuple[Connection, bytes, Any]] = []
        self.reset()

    def reset(self) -> None:
        self.bodies, self.prompts, self.answered = Counter[bytes](), Counter[bytes](), Counter[bytes]()
        self.outcome = Counter(dict.fromkeys(("ok", "bad_request", "limited", "gone", *FAULTS), 0))
        self.most, self.area = self.in_flight, 0.0
        self.first = self.last = 0.0
        self.billed = Counter(prompt_tokens=0, completion_tokens=0)
        self.cpu = time.process_time()

    def release(self) -> None:
        """Answer whoever is held, as far as the options have it."""
        held, self.held = self.held, []
        for connection, digest, made in held:
            if connection.counted:  # else the client went away
                connection.answer(digest, made, "ok")

    def step(self, delta: int) -> None:
        """A request came (+1) or was done with (-1)."""
        now = time.perf_counter()
        self.first = self.first or now
        self.area += self.in_flight * (now - (self.last or now))
        self.last = now
        self.in_flight += delta
        self.most = max(self.most, self.in_flight)

    def stats(self) -> dict[str, Any]:
        """``answered_again``: good answers to a body that had one before, which is work paid for twice. ``billed``: the
        tokens of whatever a model was put to work on."""
        span, requests, good = self.last - self.first, self.bodies.total(), self.answered.total()
        return {
            "requests": requests, "distinct_bodies": len(self.bodies), "repeated": requests - len(self.bodies),
            "distinct_prompts": len(self.prompts), "answered": good, "answered_again": good - len(self.answered),
            "billed": dict(self.billed), "outcome": dict(self.outcome),
            "in_flight": self.in_flight, "max_in_flight": self.most,
            "mean_in_flight": round(self.area / span, 2) if span else 0.0, "seconds": round(span, 4),
            "server_cpu_s": round(time.process_time() - self.cpu, 3), "options": self.options,
        }  # fmt: skip


class Connection(asyncio.Protocol):
    """One client's connection; requests on it are served one after the other."""

    def __init__(self, state: State) -> None:
        self.state, self.buffer = state, bytearray()
        self.transport: Any = None
        self.timer: asyncio.TimerHandle | None = None
        self.counted = False
        self.authorization = ""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.counted:  # the client went away before its answer
            self.done()
            self.state.outcome["gone"] += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.parse()

    def parse(self) -> None:
        """Take a whole request out of the buffer, if there is one and none is being served."""
        if self.timer is not None:
            return
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0 and len(self.buffer) <= MAX_HEAD:
            return
        lines = bytes(self.buffer[: max(end, 0)]).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = headers.get("content-length", "0")
        if end < 0 or "transfer-encoding" in headers or not length.isdigit() or int(length) > MAX_BODY:
            self.send(413, {"error": {"message": "this mock wants a Content-Length within reason"}})
            self.transport.close()
            return
        total = end + 4 + int(length)
        if len(self.buffer) >= total:
            body = bytes(self.buffer[end + 4 : total])
            del self.buffer[:total]
            self.authorization = headers.get("authorization", "")
            method, path, *_ = [*lines[0].split(" "), "", ""]
            self.route(method, path.partition("?")[0], body)

    def route(self, method: str, path: str, body: bytes) -> None:
        state = self.state
        if method == "POST" and path.endswith("/chat/completions"):
            self.chat(body)
        elif path.endswith("/models"):
            self.send(200, {"object": "list", "data": [{"id": "mock-model", "object": "model"}]})
        elif path == "/stats":
            self.send(200, state.stats())
        elif method == "POST" and path == "/reset":
            state.reset()
            self.send(200, {})
        elif method == "POST" and path == "/config":
            new = json.loads(body)
            if unknown := sorted(new.keys() - OPTIONS.keys()):
                self.send(400, {"error": {"message": f"no such option: {', '.join(unknown)}"}})
            else:
                state.options |= {name: type(OPTIONS[name][0])(value) for name, value in new.items()}
                state.release()
                self.send(200, state.options)
        else:
            self.send(404, {"error": {"message": "no such path", "type": "not_found"}})

    def chat(self, body: bytes) -> None:
        """Count a request, draw its fault, bill it, and answer it after the latency."""
        state, options = self.state, self.state.options
        digest = blake2b(body, digest_size=16, key=state.salt).digest()
        arrival = state.bodies[digest]
        state.bodies[digest] += 1
        self.counted = True
        state.step(+1)
        try:
            request = json.loads(body)
            prompt = json.dumps(request["messages"]).encode()
            if request.get("stream"):
                raise ValueError("this mock does not stream")
        except (ValueError, KeyError, TypeError) as error:
            self.fail(400, "bad_request", str(error))
            return
        state.prompts[blake2b(prompt, digest_size=16).digest()] += 1
        if options["limit_inflight"] and state.in_flight > options["limit_inflight"]:
            self.fail(429, "limited", "too many in flight")
            return
        key = b"%d.%d" % (options["fault_seed"], 0 if options["sticky"] else arrival)
        drawn = blake2b(digest, digest_size=16, key=key).digest()
        fault = self.drawn_fault(int.from_bytes(drawn[:8], "little") / 2**64)
        wait = options["latency_ms"] + options["jitter_ms"] * int.from_bytes(drawn[8:12], "little") / 2**32
        wait = options["hang_s"] if fault == "phang" else wait / 1000
        made = None
        if fault not in REFUSED:
            made, usage = completion(digest, request, fault, options, self.authorization)
            state.billed.update(usage)
        self.timer = asyncio.get_running_loop().call_later(wait, self.answer, digest, made, fault)

    def drawn_fault(self, share: float) -> str:
        for name in FAULTS:
            share -= self.state.options[name]
            if share < 0:
                return name
        return "ok"

    def answer(self, digest: bytes, made: dict[str, Any] | None, fault: str) -> None:
        if fault == "ok" and 0 <= self.state.options["hold_after"] <= self.state.answered.total():
            self.state.held.append((self, digest, made))
            return
        self.timer = None
        if fault in REFUSED:
            self.fail(*REFUSED[fault])
        elif fault in ("preset", "phang"):
            self.done(fault)
            if fault == "preset":
                raw = self.transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.done(fault)
            body = json.dumps(made).encode()
            if fault == "ok":
                self.state.answered[digest] += 1
            if fault == "pcut":
                self.write(200, body[: len(body) // 2], len(body))
                self.transport.close()
                return
            self.write(200, body[: len(body) // 2] if fault == "pbadjson" else body)

    def fail(self, status: int, outcome: str, message: str) -> None:
        self.done(outcome)
        options = self.state.options
        if options["echo_headers"]:
            message += f" [{self.authorization}]"
        head = f"retry-after: {options['retry_after']:g}\r\n" if status == 429 else ""
        code = "insufficient_quota" if outcome == "pquota" else outcome
        self.send(status, {"error": {"message": message, "type": "mock_error", "code": code}}, head)

    def done(self, outcome: str = "") -> None:
        self.counted = False
        self.state.step(-1)
        if outcome:
            self.state.outcome[outcome] += 1

    def send(self, status: int, body: Any, head: str = "") -> None:
        self.write(status, json.dumps(body).encode(), head=head)

    def write(self, status: int, body: bytes, length: int | None = None, head: str = "") -> None:
        size = len(body) if length is None else length
        first = f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{first}content-length: {size}\r\n{head}\r\n".encode() + body)
        if self.buffer:
            asyncio.get_running_loop().call_soon(self.parse)


async def serve(state: State, port: int, until_eof: bool) -> None:
    """Serve until SIGTERM or SIGINT, or with ``until_eof`` until whoever holds the other end of stdin is gone."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    await stop.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--salt", default="mock", help="changes every answer")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input is closed")
    for name, (default, text) in OPTIONS.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=type(default), default=default, help=f"{text} ({default})")
    args = parser.parse_args()
    state = State({name: getattr(args, name) for name in OPTIONS}, args.salt)
    asyncio.run(serve(state, args.port, args.until_eof))


if __name__ == "__main__":
    main()
