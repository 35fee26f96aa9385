"""Cleaning and splitting against FastChat's recorded decisions, and on real conversations."""

import json
from pathlib import Path

import pytest

from filial import Drop, Keep, Message, Record
from filial.formats import read
from filial.testing import context, run_async

pytest.importorskip("markdownify", reason="needs the extra 'clean'")

from filial_plugins.filters.page_remnants import clean_as_fastchat
from filial_plugins.filters.sharegpt_clean import ShareGPTClean
from filial_plugins.formats.sharegpt import ShareGPT
from filial_plugins.generators.split_long import SplitLong

SHARED = Path(__file__).parents[2].parent / "shared"
CASES = SHARED / "reference" / "vicuna"
DATA = SHARED / "data" / "conversations_400.jsonl.zst"
recorded = pytest.mark.skipif(not CASES.is_dir(), reason="the originals' recorded cases are not here (vicuna/)")
real = pytest.mark.skipif(not DATA.is_file(), reason="the real conversations are not here (data/)")
FASTCHAT = ShareGPTClean(style="fastchat")


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").split("\n") if line]


def cleaned(samples: list[dict], component: ShareGPTClean = FASTCHAT) -> list[Record | Drop]:
    """What becomes of each sample; one without turns is no record and not read."""
    memory: dict = {}
    out: list[Record | Drop] = []
    for sample in samples:
        if not sample["conversations"]:
            out.append(Drop("too-short", "no record"))
            continue
        (record,) = ShareGPT().from_row(sample)
        verdict = component.check(record, context(memory=memory))
        out.append(verdict if isinstance(verdict, Drop) else verdict.record or record)
    return out


def said(record: Record | Drop) -> list[tuple[str, str]]:
    assert isinstance(record, Record), record
    return [("human" if m.role == "user" else "gpt", m.content) for m in record.messages]


@recorded
def test_html_becomes_the_markdown_it_became_there() -> None:
    cases = lines("html_to_markdown.jsonl")
    assert [clean_as_fastchat(c["html"], html=True, escapes=True) for c in cases] == [c["markdown"] for c in cases]


@recorded
def test_each_sample_is_decided_as_there() -> None:
    codes = {1: {"too-short"}, 2: {"wrong-roles"}, 3: {"blocked-words", "blocked-answer"}, 4: {"unreadable-html"}}
    for case in lines("clean_one_sample.jsonl"):
        alone = {**case["sample"], "plugins": None}  # plugins are what the whole run looks at
        (result,) = cleaned([alone])
        if case["error_code"]:
            assert isinstance(result, Drop)
            assert result.reason in codes[case["error_code"]]
        else:
            assert said(result) == [(t["from"], t["value"]) for t in case["result"]["conversations"]]


@recorded
def test_a_whole_run_keeps_what_it_kept_there_and_counts_the_same() -> None:
    run = json.loads((CASES / "clean_all.json").read_text(encoding="utf-8"))
    samples = [case["sample"] for case in lines("clean_one_sample.jsonl")]
    results = cleaned(samples)
    kept = [r for r in results if isinstance(r, Record)]
    assert [(r.id, said(r)) for r in kept] == [
        (k["id"], [(t["from"], t["value"]) for t in k["conversations"]]) for k in run["kept"]
    ]
    logged = {"too short": "too-short", "blocked words": "blocked-words", "value dup": "repeated-conversation"}
    logged |= {"wrong format": "wrong-roles", "plugin": "plugins", "id dup": "repeated-id"}
    reasons = [r.reason for r in results if isinstance(r, Drop)]
    assert reasons == [next(v for k, v in logged.items() if k in line) for line in run["log"][:-1]]


@recorded
def test_lists_are_judged_as_by_its_filter_of_wrong_formats() -> None:
    component = ShareGPTClean(html="off", list_numbers="fastchat", min_characters=0)
    for case in lines("filter_wrong_format.jsonl"):
        record = Record(id="c", messages=(Message("user", "Go on."), Message("assistant", case["value"])))
        assert isinstance(component.check(record, context()), Keep) == (not case["skip"])


MENDED = {  # what ours gives where the original loses a pair, writes an empty piece or cuts what is no exchange
    (64, "last_pair_overflows"): [2, 2, 2],
    (64, "middle_too_long"): [2, 2, 2],
    (256, "middle_too_long"): [2, 2, 2],
    (128, "first_pair_too_long"): [2, 2],
    (128, "last_too_long"): [2, 2],
    (128, "one"): [1],  # a question alone is not split; that it has no answer is for others to say
    (64, "bad_roles"): [4],  # so are roles
    (256, "bad_roles"): [4],
}
TOO_LONG = {  # where an exchange fits nowhere and is dropped, what is left is what the original kept
    (64, "middle_too_long"): [2, 2],
    (256, "middle_too_long"): [2, 2],
    (128, "first_pair_too_long"): [2],
    (128, "last_too_long"): [2],
}


def split(record: Record, component: SplitLong) -> list[int]:
    """How many turns each piece has."""

    async def work() -> list[Record | Drop]:
        return [result async for result in component.generate([record], context())]

    return [len(r.messages) for r in run_async(work()) if isinstance(r, Record)]


@recorded
@pytest.mark.parametrize("over_long", ["keep", "drop"])
def test_conversations_are_split_where_they_are_there_and_no_pair_is_lost(over_long) -> None:
    tokenizer = str(SHARED / "reference" / "tokenizer" / "llama4k")
    mended = MENDED if over_long == "keep" else MENDED | TOO_LONG
    for case in lines("split_long.jsonl"):
        counts, key = case["words_per_message"], (case["max_length"], case["id"])
        if not counts:  # no record
            continue
        roles = ("user", "user") if case["id"] == "bad_roles" else ("user", "assistant")
        turns = tuple(Message(roles[i % 2], "word " * n) for i, n in enumerate(counts))
        component = SplitLong(max_tokens=case["max_length"], tokenizer=tokenizer, over_long=over_long)
        if case["id"] != "bad_roles":  # its texts are others
            measure = component._make_measure()
            assert [component._count_tokens([turn], measure) for turn in turns] == case["token_lens_plus6"]
        there = [piece["n"] for piece in case["after_role_filter"]]
        assert split(Record(id=case["id"], messages=turns), component) == mended.get(key, there), key


@real
def test_400_conversations_are_cleaned_and_split_and_every_one_is_accounted_for(cli) -> None:
    pytest.importorskip("zstandard", reason="the real conversations are packed with it")
    assert cli("filter", "sharegpt-clean", DATA, "-o", "clean.jsonl", toy=False) == 0, cli.err
    clean, drops = list(read(cli.folder / "clean.jsonl")), cli.rows("clean.drops.jsonl")
    assert len(clean) + len(drops) == 400
    assert len({r.id for r in clean}) == len(clean)
    came = {r.id: r for r in read(DATA)}
    assert all(r.id in came or r.origin.parents[0] in came for r in clean)
    untouched = [r for r in clean if r.id in came]
    assert all(r.messages == came[r.id].messages for r in untouched)
    assert len(untouched) > 300, "these conversations are plain text with sound roles; little of it is to be mended"

    options = ("--max-tokens", "300")
    assert cli("generate", "split-long", "clean.jsonl", "-o", "split.jsonl", *options, toy=False) == 0, cli.err
    pieces, gone = list(read(cli.folder / "split.jsonl")), {d["record"]["id"] for d in cli.rows("split.drops.jsonl")}
    whole = {r.id for r in clean}
    assert {r.id for r in pieces if r.id in whole} | gone == whole
    for record in clean:
        if record.id in gone:
            system = 1 if record.messages[0].role == "system" else 0
            parts = [r.messages[system:] for r in pieces if r.origin.parents == (record.id,)]
            assert tuple(m for part in parts for m in part) == record.messages[system:]
