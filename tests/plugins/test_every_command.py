"""Every generator, strategy and filter by its command, against a teacher that is now helpful and now hostile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from filial import resolve
from filial.plugins import index

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "instructions_20k.jsonl.zst"
OWN = str(resolve("pkg:filial_plugins/seeds/english.jsonl", Path.cwd()))
SOURCES = [
    pytest.param((OWN, 40), id="our seeds"),
    pytest.param(
        (str(REAL), 500),
        id="500 real records",
        marks=pytest.mark.skipif(not REAL.is_file(), reason=f"the real records are not here ({REAL.name})"),
    ),
]
FLAGS = {
    "self-instruct": ["--count", "20", "--patience", "2"],
    "from-fields": ["--type", "question-answering", "--map", "question=instruction", "--map", "answer=instruction"],
    "split-reasoning": ["--marker", ". "],
    "prompt": ["--text", "Make it harder:\n{prompt}"],
}
TEACHER = r'''
import hashlib
import random
import re

from filial import Reply, Teacher, TeacherError, hookimpl

WORDS = (
    "tree river lamp stone cloud road spoon clock paint brush letter garden winter copper signal basket window market "
    "harbour pencil ladder valley button timber saddle candle mirror bottle bridge carpet desert engine feather"
).split()
EXAMPLE = "Example 1\nInput: oak and elm\nOutput: Both are trees.\n\nExample 2\nOutput: None."
SAID = [
    "", " \n\t ", EXAMPLE, EXAMPLE, "Equal", "Not Equal", "yes", "Name three long rivers of Asia.",
    "Sort the words.\n\nInput:\npear, fig", "Sorry, I cannot help with that.", "Please provide the text.", "x" * 20_000,
    "1.\n2.\n\n3. \n-1. x\n9999999999999999999999. y", "เขียนบทกวี\n1. اكتب قصيدة\n2. 写一首诗。", None,
    "Name \ud800 rivers.", "Nul \x00 and \x1b[31m bell \x07.", "[" * 5_000 + "]" * 5_000, "Input:\n" * 500,
    "###\n" * 500,
    "\u202e\u2067Name rivers.\u2069", "#Rewritten Prompt#: Name a river.", "PROMPT", "LENGTH", "FAILURE",
]


class Moody(Teacher):
    """Answers, or does not, as a hash of the request has it."""

    async def reply(self, request):
        prompt = request.messages[-1].content
        key = f"{request.draw}|{prompt}".encode("utf-8", "surrogatepass")
        rng = random.Random(hashlib.sha256(key).digest())
        text = rng.choice(SAID)
        if rng.random() < 0.5 and (last := re.search(r"\n(\d+)\.\s*$", prompt)):
            first = int(last[1])
            text = "\n".join(f"{i}. Describe {' '.join(rng.sample(WORDS, 7))}." for i in range(first, first + 6))
        elif rng.random() < 0.3 and "xample" in prompt:
            text = EXAMPLE
        if text is None or text == "FAILURE":
            raise TeacherError("empty-answer" if text is None else "server-error", "no answer")
        finish = "length" if text == "LENGTH" else "stop"
        return Reply(text=prompt if text == "PROMPT" else text, finish_reason=finish, prompt_tokens=9)


@hookimpl
def register_teachers(register):
    register("moody", Moody)
'''


def names(kind: str) -> list[str]:
    return [name for name, claims in sorted(index()[kind].items()) if any(claim.dist == "filial" for claim in claims)]


@pytest.fixture
def command(cli):
    """``command(verb, name, source, *flags)``: the counts that the command prints, its files having been counted."""
    (cli.folder / "moody.py").write_text(TEACHER, encoding="utf-8")

    def run(verb, name, source, *flags):
        path, limit = source
        asks = [] if verb == "filter" and name not in ("agreement",) else ["--teacher", "moody"]
        own = FLAGS.get(name, []) if verb != "evolve" or name == "prompt" else []
        files = [path, "-o", "out.jsonl", "--drops", "drops.jsonl", "--limit", str(limit), "--json"]
        code = cli("--plugin", "moody.py", verb, name, *files, *asks, *own, *flags, toy=False)
        assert code in (0, 5), cli.err
        assert "Traceback" not in cli.err
        counts = json.loads(cli.out)
        drops = cli.folder / "drops.jsonl"
        for file, count in ((cli.folder / "out.jsonl", counts["kept"]), (drops, sum(counts["dropped"].values()))):
            assert (file.read_bytes().count(b"\n") if file.exists() else 0) == count, file.name
        return counts

    return run


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", names("strategies"))
def test_every_strategy(command, name, source):
    counts = command("evolve", name, source)
    assert counts["kept"] + sum(counts["dropped"].values()) == 2 * source[1]  # each is there, and tried to evolve once
    assert counts["kept"] > source[1]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", names("generators"))
def test_every_generator(command, name, source):
    counts = command("generate", name, source)
    assert counts["kept"] > 5
    assert counts["dropped"] or name in (
        "split-long",
        "from-fields",
    )  # nothing is long enough to split, or lacks a field


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", names("filters"))
def test_every_filter(command, name, source):
    counts = command("filter", name, source)
    assert counts["kept"] + sum(counts["dropped"].values()) == source[1]
