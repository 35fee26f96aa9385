"""The mock endpoint of the tests as a process of its own, for benchmarks: on another core where there is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOCK = Path(__file__).parents[1] / "tests" / "mock_llm.py"


class Endpoint:
    """One server; ``url`` is what a teacher's base_url says."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"
        self.url = f"{self._root}/v1"

    def stats(self) -> dict[str, Any]:
        return self._call("/stats")

    def reset(self, **options: Any) -> None:
        """Other options from now on, counters at zero."""
        self._call("/config", options)
        self._call("/reset", {})

    def _call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self._root + path, data), timeout=30) as answer:
            return json.loads(answer.read() or b"{}")


@contextmanager
def serving(**options: Any) -> Iterator[Endpoint]:
    """A server with these options; this process keeps to the first core, the server to the last."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    server = subprocess.Popen([sys.executable, str(MOCK), "--port", "0", *words], stdout=subprocess.PIPE, text=True)
    try:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
        if len(cores) > 1:
            os.sched_setaffinity(server.pid, cores[-1:])
            os.sched_setaffinity(0, cores[:1])
        assert server.stdout is not None
        yield Endpoint(int(server.stdout.readline()))
    finally:
        server.terminate()
        server.wait()
