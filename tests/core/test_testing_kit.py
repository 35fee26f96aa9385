"""The conformance kit: a faithful plugin passes it, and what it is made of does what it says."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from contract_kit import (
    GoodBatchFilter,
    GoodFilter,
    GoodFormat,
    GoodGenerator,
    GoodJudge,
    GoodMixer,
    GoodStrategy,
    GoodTeacher,
    GoodTemplate,
)
from sample_kit import CORE

from filial import Message, Reply, Request, TeacherError
from filial.testing import (
    FilterContract,
    FormatContract,
    GeneratorContract,
    JudgeContract,
    MixerContract,
    ScriptedTeacher,
    StrategyContract,
    TeacherContract,
    TemplateContract,
    context,
    run_async,
)


class TestGoodGenerator(GeneratorContract):
    test_is_registered_under_the_name_it_promises = None  # defined in a test, not in a package
    component = GoodGenerator()


class TestGoodStrategy(StrategyContract):
    test_is_registered_under_the_name_it_promises = None  # defined in a test, not in a package
    component = GoodStrategy(words=3)


class TestGoodFilter(FilterContract):
    test_is_registered_under_the_name_it_promises = None  # defined in a test, not in a package
    component = GoodFilter()


class TestGoodBatchFilter(FilterContract):
    test_is_registered_under_the_name_it_promises = None  # defined in a test, not in a package
    component = GoodBatchFilter()


class TestGoodMixer(MixerContract):
    test_is_registered_under_the_name_it_promises = None  # defined in a test, not in a package
    component = GoodMixer()


class TestGoodTemplate(TemplateContract):
    test_is_registered_under_the_name_it_promises = None  # defined in a test, not in a package
    component = GoodTemplate()


class TestGoodTeacher(TeacherContract):
    test_is_registered_under_the_name_it_promises = None  # defined in a test, not in a package
    component = GoodTeacher(bonus=1)
    offline = True


class TestGoodJudge(JudgeContract):
    test_is_registered_under_the_name_it_promises = None  # defined in a test, not in a package
    component = GoodJudge()


class TestGoodFormat(FormatContract):
    test_is_registered_under_the_name_it_promises = None  # defined in a test, not in a package
    component = GoodFormat()


ASK = Request(messages=(Message(role="user", content="hello"),))


def test_scripted_teacher_speaks_from_text_list_and_function():
    assert asyncio.run(ScriptedTeacher(script="a").reply(ASK)).text == "a"
    listed = ScriptedTeacher(script=["a", Reply(text="b", finish_reason="length")])
    assert asyncio.run(listed.reply(ASK)).text == "a"
    assert asyncio.run(listed.reply(ASK)).finish_reason == "length"
    with pytest.raises(TeacherError, match="script-ended: the script has 2 answers"):
        asyncio.run(listed.reply(ASK))
    assert asyncio.run(ScriptedTeacher(script=lambda r: r.messages[0].content.upper()).reply(ASK)).text == "HELLO"
    assert ScriptedTeacher().requests == [], "each teacher keeps its own requests"


def test_context_is_seeded_and_hangs_are_cut(monkeypatch):
    assert context().rng.random() == context().rng.random() != context(key=("other",)).rng.random()
    monkeypatch.setattr("filial.testing.scripted.TIME_LIMIT", 0.05)
    with pytest.raises(TimeoutError):
        run_async(asyncio.sleep(5))


def test_the_kit_needs_nothing_heavy_and_no_pytest():
    code = "import filial.testing, sys; print([m for m in ('pytest', 'torch', 'openai', 'numpy') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": CORE}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
