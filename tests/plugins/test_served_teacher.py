"""The same recipe with the procedural teacher in this process and behind HTTP: the same bytes."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from filial import Message, Request, Teacher
from filial_plugins.procedural import ProceduralTeacher

RECIPE = """
seed: 3
teacher: {teacher}
stages:
  - generate: {{use: self-instruct, count: 40, seeds: "pkg:filial_plugins/procedural/seeds.jsonl"}}
  - evolve:
      rounds: 3
      strategies: [add-constraints, deepen, concretize, increase-reasoning, complicate-input, mutate, vary-method]
      eliminate: [{{use: evolved, equality: ask}}]
  - filter: [novelty]
heldout: 10
template: {{use: plain}}
train: {{use: untrained, model: nobody}}
"""
TRAINER = '''
from filial import Trainer, hookimpl


class Untrained(Trainer):
    """Makes a model of nothing, so that a data set is written."""

    def train(self, data, model, template, out, ctx):
        out.mkdir()
        return {"steps": 0}


@hookimpl
def register_trainers(register):
    register("untrained", Untrained)
'''
_KEYS = re.compile(rb'"answers":\[[^\]]*\]')


def request_of(body: dict[str, Any]) -> Request:
    """What a body asks. The teacher `openai` sends the number of a further draw as the seed, where it sends one at all:
    that is how a served teacher can tell the draws of one request apart."""
    return Request(
        messages=tuple(Message(role=m["role"], content=m["content"]) for m in body["messages"]),
        draw=body.get("seed", 0),
        temperature=body.get("temperature"),
        max_tokens=body.get("max_tokens"),
        stop=tuple(body.get("stop", ())),
    )


@contextmanager
def serving(teacher: Teacher) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A teacher as an endpoint on this machine: its address, and the bodies that arrive."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            bodies.append(body)
            reply = asyncio.run(teacher.reply(request_of(body)))
            message = {"role": "assistant", "content": reply.text}
            usage = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
            choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
            data = json.dumps({"model": body["model"], "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def written(run: Path) -> dict[str, bytes]:
    """What a run wrote that holds records, without the ledger keys, which name the endpoint; and how many of those."""
    found = sorted(path for part in ("stages", "dataset") for path in (run / part).rglob("*.jsonl"))
    rows = {str(path.relative_to(run)): _KEYS.sub(b'"answers":[]', path.read_bytes()) for path in found}
    keys = {str(path.relative_to(run)): b"x" * path.read_bytes().count(b"\n") for path in run.rglob("answers.txt")}
    assert len(keys) == 3, "a list of ledger keys for each stage"
    return rows | dict(sorted(keys.items()))


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_teacher_behind_http_makes_the_same_bytes(cli, noise):
    (cli.folder / "untrained.py").write_text(TRAINER)

    def run(name: str, teacher: str) -> dict[str, bytes]:
        (cli.folder / f"{name}.yaml").write_text(RECIPE.format(teacher=teacher))
        assert cli("--plugin", "untrained.py", "run", f"{name}.yaml", toy=False) == 0, cli.err
        return written(cli.folder / "runs" / name)

    here = run("here", f"{{use: procedural, noise: {noise}}}")
    with serving(ProceduralTeacher(noise=noise)) as (url, bodies):
        there = run("there", f'{{use: openai, model: procedural, base_url: "{url}", profile: vllm}}')
    assert list(here) == list(there)
    assert {"dataset/train.jsonl", "dataset/heldout.jsonl", "stages/02-evolve/drops.jsonl"} <= here.keys()
    for name, data in here.items():
        assert data == there[name], name
    assert b"no-information-gain" in here["stages/02-evolve/drops.jsonl"]
    draws = Counter(body.get("seed", 0) for body in bodies)
    assert len(draws) > 1, "nothing was drawn again, so this shows nothing of draws"
    assert draws[0] > 100
