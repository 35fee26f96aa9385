"""An endpoint with the habits of many at once: thoughts in ten forms, content in parts, streams that nobody asked for,
finish words of other vendors, token counts in eight conventions, a quota, one firewall, answers that break off.

Ten runs, each stopped by a cap on money in the middle and then finished. Told are the sound rows (the evolved text is
exactly what the model said), what was dropped and why, and the share of the cap that the server billed as it counts.

    python benchmarks/quirks.py
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from filial.contracts.errors import BudgetStop
from filial.engine.run import Run
from filial.plugins import Manager
from filial.recipe import load

ROWS, FORBIDDEN, CUT, RUNS = 500, 3, 3, 10
QUOTA, WINDOW = 150, 1.0
"""Requests that are answered in so many seconds; the others get 429 with a reset in a header of the endpoint's own."""
PRICE = {"prompt": 1.0, "completion": 10.0, "cached": 0.1, "cache_write": 2.0}
CAP = 0.25
RECIPE = """
seed: {seed}
teacher: {{use: openai, model: m, base_url: "{url}", max_tokens: 300, usd_per_million: {price}}}
budget: {{usd: {cap}}}
data: data.jsonl
stages:
  - evolve: {{strategies: [deepen], answer: false, eliminate: []}}
"""
THOUGHT = "They want it harder.\n1. DRAFT about stones."

Message = dict[str, Any]
FORMS: dict[str, Callable[[str], Message]] = {
    "plain": lambda a: {"content": a},
    "<think>": lambda a: {"content": f"<think>\n{THOUGHT}\n</think>\n\n{a}"},
    "</think> alone": lambda a: {"content": f"{THOUGHT}\n</think>\n\n{a}"},
    "<thinking>": lambda a: {"content": f"<thinking>{THOUGHT}</thinking>\n{a}"},
    "[THINK]": lambda a: {"content": f"[THINK]{THOUGHT}[/THINK]{a}"},
    "harmony": lambda a: {
        "content": f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final"
        f"<|message|>{a}<|return|>"
    },
    "reasoning_content": lambda a: {"content": a, "reasoning_content": THOUGHT},
    "reasoning": lambda a: {"content": a, "reasoning": THOUGHT},
    "parts": lambda a: {"content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": a}]},
    "end token": lambda a: {"content": f"{a}<|im_end|>"},
}
WHOLE = ("stop", "eos", "end_turn", "STOP", "stop_sequence", "COMPLETE", "eos_token", None)
BROKEN = ("error", "abort", "cancelled", "no_such_word")
USAGES: dict[str, Callable[[int, int, int, int], dict[str, Any] | None]] = {
    "parts of totals": lambda f, k, c, r: {
        "prompt_tokens": f + k, "completion_tokens": c + r, "total_tokens": f + k + c + r,
        "prompt_tokens_details": {"cached_tokens": k}, "completion_tokens_details": {"reasoning_tokens": r},
    },
    "reasoning beside": lambda f, k, c, r: {
        "prompt_tokens": f + k, "completion_tokens": c, "total_tokens": f + k + c + r,
        "completion_tokens_details": {"reasoning_tokens": r},
    },
    "reasoning in the total only": lambda f, k, c, r: {
        "prompt_tokens": f + k, "completion_tokens": c, "total_tokens": f + k + c + r,
    },
    "cache beside": lambda f, k, c, r: {
        "prompt_tokens": f, "completion_tokens": c + r, "total_tokens": f + c + r, "cache_read_input_tokens": k,
    },
    "texts": lambda f, k, c, r: {"prompt_tokens": str(f + k), "completion_tokens": str(c + r)},
    "the total only": lambda f, k, c, r: {"total_tokens": f + k + c + r},
    "no answer": lambda f, k, c, r: {"prompt_tokens": f + k, "completion_tokens": 0, "total_tokens": f + k},
    "none": lambda f, k, c, r: None,
}  # fmt: skip
"""From fresh and cached tokens of the prompt, and those of answer and reasoning."""


class Server:
    """The endpoint. A quirk of the k-th arrival of a body is a function of (seed, body, k)."""

    def __init__(self) -> None:
        self.seed, self.port = 0, 0
        self.reset(0)
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True).start()
        started.wait()

    def reset(self, seed: int) -> None:
        self.seed, self.billed = seed, 0.0
        self.seen, self.told = Counter[bytes](), Counter[str]()
        self.answers: set[str] = set()
        self.window, self.used = 0.0, 0

    async def _serve(self, started: threading.Event) -> None:
        server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await server.serve_forever()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                body = await reader.readexactly(length)
                await asyncio.sleep(0.02)
                status, headers, raw = self._answer(body)
                headers = {"content-length": str(len(raw)), "content-type": "application/json", **headers}
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {status} Told\r\n{lines}\r\n".encode() + raw)
                await writer.drain()
        writer.close()

    def _answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        now = time.monotonic()
        if now - self.window > WINDOW:
            self.window, self.used = now, 0
        self.used += 1
        if self.used > QUOTA:
            self.told["429"] += 1
            wait = f"{1000 * (WINDOW - now + self.window):.0f}ms"
            return 429, {"x-ratelimit-reset-requests": wait}, b'{"error": {"message": "slow down"}}'
        text = json.loads(body)["messages"][-1]["content"]
        if "forbidden" in text:
            self.told["403"] += 1
            return 403, {"content-type": "text/html"}, b"<html>Request blocked</html>"
        draw = blake2b(body, digest_size=16, key=b"%d.%d" % (self.seed, self.seen[body])).digest()
        self.seen[body] += 1
        answer = f"Rewritten task {blake2b(body, digest_size=8).hexdigest()} that asks for one more thing."
        self.answers.add(answer)
        form, usage = list(FORMS)[draw[0] % len(FORMS)], list(USAGES)[draw[1] % len(USAGES)]
        finish = WHOLE[draw[2] % len(WHOLE)]
        if "cut off" in text:
            answer, finish = answer[:20], "MAX_TOKENS"
        elif draw[3] < 26:  # one in ten breaks off
            answer, finish = answer[:30], BROKEN[draw[4] % len(BROKEN)]
        message = FORMS[form](answer)
        self.told[form] += 1
        counts = len(body) // 6, len(body) // 8, len(answer) // 4, 12 if "THOUGHT" in form or form != "plain" else 0
        fresh, cached, said, thought = counts
        self.billed += (
            fresh * PRICE["prompt"] + cached * PRICE["cached"] + (said + thought) * PRICE["completion"]
        ) / 1e6
        return 200, *self._write(message, finish, USAGES[usage](*counts), f"id-{draw.hex()}", stream=draw[5] < 52)

    def _write(
        self, message: Message, finish: str | None, usage: dict[str, Any] | None, name: str, *, stream: bool
    ) -> tuple[dict[str, str], bytes]:
        """Write a completion, one in five as a stream though nobody asked for one."""
        if not stream or not isinstance(message["content"], str):
            choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
            return {}, json.dumps({"id": name, "choices": [choice], **({"usage": usage} if usage else {})}).encode()
        self.told["streamed unasked"] += 1
        content, *_ = message.pop("content"), message
        deltas = [{key: value} for key, value in message.items()]
        deltas += [{"content": content[i : i + 7]} for i in range(0, len(content), 7)]
        events = [{"id": name, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        events.append({"id": name, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        events += [{"id": name, "choices": [], "usage": usage}] if usage else []
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        return {"content-type": "text/event-stream"}, "".join([*lines, "data: [DONE]\n\n"]).encode()


def run(folder: Path, server: Server, seed: int, cap: float) -> dict[str, Any] | None:
    """Run the recipe, again where it was; return its stage's summary, or None if the cap stopped it."""
    price = json.dumps(PRICE)
    (folder / "r.yaml").write_text(
        RECIPE.format(seed=seed, url=f"http://127.0.0.1:{server.port}/v1", price=price, cap=cap)
    )
    manager = Manager()
    with suppress(BudgetStop), redirect_stderr(io.StringIO()):
        return Run(load(folder / "r.yaml", manager), manager, folder, "r").execute()["stages"][0]
    return None


def main() -> int:
    server, failed, told = Server(), False, Counter[str]()
    print(f"{ROWS} sound rows, {FORBIDDEN} that a firewall refuses, {CUT} whose answers are cut; {RUNS} runs:\n")
    for seed in range(RUNS):
        server.reset(seed)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows = [f"Name {i} rivers and say why you chose them." for i in range(ROWS)]
            rows += [f"Say what is forbidden, no. {i}." for i in range(FORBIDDEN)]
            rows += [f"Tell a story that will be cut off, no. {i}." for i in range(CUT)]
            (folder / "data.jsonl").write_text("".join(json.dumps({"instruction": row}) + "\n" for row in rows))
            stopped, billed = run(folder, server, seed, CAP) is None, server.billed
            start = time.monotonic()
            stage = run(folder, server, seed, 100.0)
            assert stage is not None
            lines = (folder / "runs/r/stages/01-evolve/records.jsonl").read_text().splitlines()
            evolved = [
                record["instruction"] for record in map(json.loads, lines) if record.get("origin", {}).get("round")
            ]
            sound = sum(text in server.answers for text in evolved)
            told += server.told
            requests = sum(server.told.values()) - server.told["streamed unasked"]
            print(
                f"seed {seed}: {sound} of {ROWS} sound, {len(evolved) - sound} others; dropped {stage['reasons']}; "
                f"{'stopped' if stopped else 'not stopped'} at {billed / CAP:.1%} of the cap as billed; "
                f"{requests} requests, {time.monotonic() - start:.0f} s"
            )
            expected = {"teacher-forbidden": FORBIDDEN, "teacher-length": CUT}
            failed |= sound != ROWS or len(evolved) != ROWS or billed > CAP or not stopped
            failed |= stage["reasons"] != expected
    print(f"\nanswers by form: {dict(sorted(told.items()))}")
    print("FAILED" if failed else "all as it should be")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
