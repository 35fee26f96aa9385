"""Decisions recorded from the original Self-Instruct code.

Where the default deviates on purpose, the case stands in a table here with what happens instead.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from filial_plugins.filters.rouge_index import RougeIndex, f_measure, tokens
from filial_plugins.generators.examples import faulty
from filial_plugins.generators.parsing import examples, numbered_tasks
from filial_plugins.generators.screening import BLOCKED, OPENINGS, Screen
from filial_plugins.texts import collapse

FOLDER = Path(__file__).parents[2].parent / "shared" / "reference" / "selfinstruct"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recorded cases of the originals are not here")
SCREEN = Screen(4, 150, BLOCKED, OPENINGS)


def cases(name: str) -> list[dict[str, Any]]:
    text = (FOLDER / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def test_scores_of_pairs():
    from rapidfuzz.distance import LCSseq

    for case in cases("rouge_pairs.jsonl"):
        a, b = tokens(case["a"]), tokens(case["b"])
        if case["fmeasure"] == 0 and not ("".join(a + b).isascii()):
            continue  # no Latin letters: compared by characters here, never similar there
        common = LCSseq.similarity(a, b)
        ours = f_measure(common, len(a), len(b)) if a and b else 0.0
        assert ours == pytest.approx(case["fmeasure"], abs=1e-12), case
        index = RougeIndex()
        index.add(case["b"])
        assert (index.nearest(case["a"]) is not None) == (case["fmeasure"] > 0.7), case


def decide(rows: list[dict[str, Any]], index: RougeIndex, places: list[int]) -> int:
    for row in rows:
        found = index.nearest(row["instruction"])
        assert (found is None) == row["accept"], row
        if found is None:
            index.add(row["instruction"])
            places.append(row["i"])
        else:
            assert found.score == pytest.approx(row["max_rougeL"], abs=1e-12), row
            assert places[found.place] == row["most_similar"], row
    return len(index)


def test_sequential_decisions_from_an_empty_pool():
    assert decide(cases("sequential_from_empty.jsonl"), RougeIndex(), []) == 623


def test_sequential_decisions_with_the_seeds_preloaded():
    index, places = RougeIndex(), []
    for row in cases("sequential_from_empty.jsonl")[:175]:
        index.add(row["instruction"])
        places.append(row["i"])
    assert decide(cases("sequential_seeds_preloaded.jsonl"), index, places) == 175 + 450


# Kept here, dropped there: the first letter need not be ASCII, and an opening counts as whole words.
KEPT_BY_DESIGN = (
    "éclair recipes from southern France please",
    "日本語 で 答えて ください",
    "ﬁle ligature word in this instruction",
    "İstanbul is in which country today?",
    "Write a programmer's biography in one paragraph",
)


def test_instruction_filters():
    deviating = []
    for case in cases("instruction_filter.jsonl"):
        text = collapse(case["text"])
        kept = SCREEN.fault(text) is None
        if kept != case["self_instruct_kept"]:
            assert kept, case
            deviating.append(case["text"])
        elif kept:
            assert text.lower() == case["self_instruct"][0].lower(), case  # there the case of letters is lost
    assert set(deviating) == set(KEPT_BY_DESIGN)


def test_bootstrap_parsing():
    for case in cases("parse_bootstrap.jsonl"):
        if case["finish_reason"] == "length":
            continue  # the teacher reports these as failed; no text reaches the parser
        kept = [t for t in numbered_tasks(case["text"], 9) if SCREEN.fault(t) is None]
        assert [t.lower() for t in kept] == [t.lower() for t in case["instructions"]], case


def test_instance_filters():
    for case in cases("instance_filters.jsonl"):
        pairs = [(given, output) for _, given, output in case["instances"]]
        faults = faulty(pairs)
        kept = sorted(pair for pair, fault in zip(pairs, faults, strict=True) if not fault)
        invalid = {"empty-output", "output-is-input", "unfinished-example"}
        valid = [pair for pair, fault in zip(pairs, faults, strict=True) if fault not in invalid]
        assert valid == [(g, o) for _, g, o in case["after_invalid"]], case
        after_both = {(g, o) for _, g, o in case["after_duplicate_sorted"]} & set(valid)
        assert kept == sorted(after_both), case


# raw completion -> what is read instead, and why
PARSED_BY_DESIGN = {
    # each "Input:" line begins an example; the original reads the first pair and drops it as an echo
    "Input: abc\nOutput: abc\nInput: def\nOutput: def": [],
    # "Example 3" inside an answer stays part of the answer
    "Example 1\nText: Hello\nOutput: A greeting. For Example 3 cases exist: hi, hey.": [
        ("Text: Hello", "A greeting. For Example 3 cases exist: hi, hey.")
    ],
    # "Examples" is no header and no input
    "Examples\nInput: a\nOutput: b": [("a", "b")],
}


def test_parsing_of_examples():
    seen = set()
    for case in cases("parse_instances.jsonl"):
        if case["kind"] == "classification" or case["finish_reason"] == "length":
            continue  # output-first answers come with a later version; cut answers never reach the parser
        pairs = examples(case["raw"])
        kept = sorted(pair for pair, fault in zip(pairs, faulty(pairs), strict=True) if not fault)
        wanted = sorted((given, output) for _, given, output in case["instances_sorted"])
        if case["raw"] in PARSED_BY_DESIGN:
            seen.add(case["raw"])
            wanted = PARSED_BY_DESIGN[case["raw"]]
        assert kept == wanted, case
    assert seen == set(PARSED_BY_DESIGN)
