"""Hand-labelled cases of Evol-Instruct's elimination rules, and what EvolKit takes for a failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filial import Drop, Record
from filial.testing import context, run_async
from filial_plugins.filters.evolved import Evolved
from filial_plugins.filters.evolved.function_words import FUNCTION_WORDS, says_nothing
from filial_plugins.filters.evolved.non_answers import is_non_answer

FOLDER = Path(__file__).parents[2].parent / "shared" / "reference" / "evol"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recorded cases of the originals are not here")
RULES = {
    "no_information_gain": "no-information-gain",
    "sorry_short": "apology",
    "punct_or_stopwords_only": "empty-answer",
    "prompt_leakage": "prompt-leak",
}


def cases(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize("options", [{"style": "paper"}, {"equality": "ask"}], ids=["as published", "our style"])
def test_every_case_is_decided_as_labelled(options):
    scored = [case for case in cases("elimination.jsonl") if case["score"]]
    assert len(scored) >= 20
    for case in scored:
        parent = Record(id="p", instruction=case["original"])
        child = parent.evolved(instruction=case["evolved"], output=case["response"])
        ctx = context(case["judge_output"]).derive("child", parent=parent)
        result = run_async(Evolved(**options).check(child, ctx))
        if case["expect"] == "keep":
            assert not isinstance(result, Drop), case
        else:
            assert isinstance(result, Drop), case
            assert result.reason in {RULES[reason] for reason in case["reasons"]}, case


def test_our_function_words_hold_every_stop_word_of_the_usual_list():
    words = json.loads((FOLDER / "stopwords.json").read_text(encoding="utf-8"))["stop_words"]
    assert [word for word in words if not says_nothing(word, with_function_words=True)] == []
    assert len(FUNCTION_WORDS) < 200  # no content word slipped in with them


ARGUED = {
    "Understood.": "an acknowledgement and nothing else answers no task",
    "Sure! Here is the answer.": "it announces an answer and ends",
    "okay\nIs it right?": "their pattern does not look beyond a line end; on one line they call it a failure",
    "Please, provide it": "their pattern knows the request without a comma only",
}
"""EvolKit's detector lets these pass; we do not, and why. ("" is no answer either, and has its own rule.)"""


def test_failures_of_evolkit_are_non_answers_and_differences_are_argued():
    found = {
        case["response"]: (case["is_failure"], is_non_answer(case["response"]))
        for case in cases("auto_evol_failure.jsonl")
    }
    assert all(ours for theirs, ours in found.values() if theirs)
    assert {text for text, (theirs, ours) in found.items() if ours and not theirs} == set(ARGUED)
