"""What all tests share: settings of nobody, a mock teacher behind a real socket, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Whether a property holds does not depend on how busy the machine is.
settings.register_profile("filial", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("filial")


@pytest.fixture(scope="session", autouse=True)
def no_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads the keys and prices of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FILIAL_CONFIG", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder of the test's own."""
    folder = tmp_path / "config"
    monkeypatch.setenv("FILIAL_CONFIG", str(folder))
    return folder


class MockLLM:
    """`tests/mock_llm.py` as a process of its own, which ends with this one whatever happens.

    ``options`` are its flags, ``latency_ms=200`` for ``--latency-ms 200``.
    """

    def __init__(self, **options: Any) -> None:
        flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        command = [sys.executable, str(Path(__file__).with_name("mock_llm.py")), "--port", "0", "--until-eof", *flags]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}/v1"

    def stats(self) -> dict[str, Any]:
        """What came and what was answered."""
        return self._call("/stats")

    def config(self, **options: Any) -> dict[str, Any]:
        """Other options from now on; returns all."""
        return self._call("/config", options)

    def wait(self, counter: str, least: int) -> None:
        """Wait until one of the `stats` is so large."""
        while self.stats()[counter] < least:
            time.sleep(0.01)

    def reset(self) -> None:
        """Zero the counters."""
        self._call("/reset", {})

    def stop(self) -> None:
        """End the process; nobody listens at ``url`` any more."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://{self.host}{path}", data, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture
def mock_llm() -> Iterator[Callable[..., MockLLM]]:
    """``mock_llm(latency_ms=50, p429=0.1)`` starts a mock teacher; all are stopped at the end of the test."""
    started: list[MockLLM] = []

    def start(**options: Any) -> MockLLM:
        started.append(MockLLM(**options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


TOY = Path(__file__).parent / "core" / "toy.py"


class Cli:
    """The command line, run inside this process in a folder of its own, with the toy plugins loaded."""

    def __init__(self, folder: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        self.folder, self._captured = folder, capsysbinary
        self.out = self.err = ""

    def __call__(self, *args: str | Path, toy: bool = True) -> int:
        """Run a command; returns its exit code and keeps what it wrote in ``out`` and ``err``."""
        from filial.cli import invoke

        self._captured.readouterr()
        code = invoke([*(["--plugin", str(TOY)] if toy else []), *map(str, args)])
        out, err = self._captured.readouterr()
        self.out, self.err = out.decode(), err.decode()
        return code

    def write(self, name: str, *rows: object) -> Path:
        """A JSONL file in the folder."""
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a JSONL file in the folder."""
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def files(self) -> list[str]:
        """Every file in the folder but the ledger's, hidden ones too."""
        found = (p for p in self.folder.rglob("*") if p.is_file() and not {".filial", "__pycache__"} & {*p.parts})
        return sorted(str(p.relative_to(self.folder)) for p in found)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """``cli("filter", "short", "in.jsonl", "-o", "out.jsonl")`` gives the exit code; see `Cli`."""
    monkeypatch.delenv("FILIAL_BLOCK", raising=False)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Cli(folder, capsysbinary)
