"""Hand-labelled cases of Evol-Instruct's elimination rules."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from filial import Drop, Record
from filial.testing import context
from filial_plugins.filters.evolved import Evolved

FILE = Path(__file__).parents[2].parent / "shared" / "reference" / "evol" / "elimination.jsonl"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="the recorded cases of the originals are not here")
RULES = {
    "no_information_gain": "no-information-gain",
    "sorry_short": "apology",
    "punct_or_stopwords_only": "empty-answer",
    "prompt_leakage": "prompt-leak",
}


def test_every_case_is_decided_as_labelled():
    scored = 0
    for line in FILE.read_text(encoding="utf-8").split("\n"):
        case = json.loads(line) if line else {"score": False}
        if not case["score"]:
            continue
        scored += 1
        parent = Record(id="p", instruction=case["original"])
        child = parent.evolved(instruction=case["evolved"], output=case["response"])
        ctx = context(case["judge_output"]).derive("child", parent=parent)
        result = asyncio.run(Evolved(equality="ask").check(child, ctx))
        if case["expect"] == "keep":
            assert not isinstance(result, Drop), case
        else:
            assert isinstance(result, Drop), case
            assert result.reason in {RULES[reason] for reason in case["reasons"]}, case
    assert scored >= 20
