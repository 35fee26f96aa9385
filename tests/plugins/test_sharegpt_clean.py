"""The filter `sharegpt-clean`: what stays of a copied conversation, and why others go."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from filial import Drop, Keep, Message, Record, ToolCall
from filial.testing import FilterContract, context

pytest.importorskip("markdownify", reason="needs the extra 'clean'")

from filial_plugins.filters.sharegpt_clean import ShareGPTClean

ROLES: dict[str, Any] = {"u": "user", "a": "assistant", "s": "system", "c": "tool_call", "t": "tool"}
ASKED, SAID = "How high is the tower?", "It is ninety metres high."


class TestContract(FilterContract):
    component = ShareGPTClean()


class TestFastChatContract(FilterContract):
    component = ShareGPTClean(style="fastchat")


def talk(roles: str, *texts: str, id: str = "c", tags: tuple[str, ...] = ()) -> Record:
    """Turns by the roles' first letters; texts not given are a question or an answer."""
    usual = {"u": ASKED, "a": SAID, "s": "Be brief.", "c": '{"name": "f"}', "t": '{"ok": true}'}
    turns = [Message(ROLES[r], texts[i] if i < len(texts) else f"{usual[r]} ({i})") for i, r in enumerate(roles)]
    return Record(id=id, messages=tuple(turns), tags=tags)


def verdicts(records: Sequence[Record], **options: Any) -> list[Keep | Drop]:
    memory: dict[str, Any] = {}
    component = ShareGPTClean(**options)
    return [component.check(record, context(memory=memory)) for record in records]


def kept(record: Record, **options: Any) -> Record | str:
    """The record that goes on, or the reason why none does."""
    (verdict,) = verdicts([record], **options)
    return verdict.reason if isinstance(verdict, Drop) else verdict.record or record


def roles(result: Record | str) -> str:
    return result if isinstance(result, str) else "".join(m.role[0] for m in result.messages)


def texts(result: Record | str) -> list[str]:
    assert isinstance(result, Record), result
    return [m.content for m in result.messages]


def test_a_sound_conversation_is_kept_as_it_is():
    assert verdicts([talk("uaua"), talk("sua", id="d"), talk("ucta", id="e")]) == [Keep()] * 3


@pytest.mark.parametrize(("before", "filial", "fastchat"), [
    ("aua", "ua", "ua"),
    ("uau", "ua", "ua"),
    ("sua", "sua", "ua"),
    ("saua", "sua", "wrong-roles"),
    ("aaua", "ua", "wrong-roles"),
    ("uauu", "ua", "ua"),
    ("uauuu", "ua", "wrong-roles"),
    ("uuaa", "wrong-roles", "wrong-roles"),
    ("uasua", "wrong-roles", "wrong-roles"),
    ("ucta", "ucta", "wrong-roles"),
    ("uact", "wrong-roles", "wrong-roles"),
    ("uauc", "uauc", "wrong-roles"),
    ("tua", "ua", "ua"),
    ("u", "too-short", "too-short"), ("s", "too-short", "too-short"), ("a", "too-short", "too-short"),
    ("su", "too-short", "too-short"), ("au", "too-short", "too-short"), ("uu", "too-short", "too-short"),
])  # fmt: skip
def test_roles(before, filial, fastchat):
    letters = {"filial": filial, "fastchat": fastchat}
    for style, left in letters.items():
        found = roles(kept(talk(before), style=style))
        expected = left if "-" in left else "".join({"c": "t"}.get(c, c) for c in left)
        assert found == expected, style


def test_a_mended_conversation_is_a_new_record_and_a_single_turn_one_keeps_its_form():
    single = Record(id="s", instruction="Give the code.", input="for a loop", output="<p>for i in <code>x</code></p>")
    cleaned = kept(single)
    assert isinstance(cleaned, Record)
    assert (cleaned.instruction, cleaned.input, cleaned.output) == (single.instruction, single.input, "for i in `x`")
    assert kept(single.replaced(output="")) == "too-short"


@pytest.mark.parametrize(("roles", "given", "reason"), [
    ("ua", ["Is ChatGPT good?", SAID], "blocked-words"),
    ("ua", [ASKED, "<p>Open<span>AI</span> says so.</p>"], "blocked-words"),
    ("sua", ["You are CHATGPT.", ASKED, SAID], "blocked-words"),
    ("ua", [ASKED, "Too many requests in 1 hour. Try again later."], "blocked-answer"),
    ("ua", [ASKED, "!Too many requests in 1 hour. Try again later."], "blocked-answer"),
    ("ua", [ASKED, "<div><p>Too many requests in 1 hour. Try again later.</p></div>"], "blocked-answer"),
    ("ua", ["12345678", "1234567"], "too-short"),
    ("ua", [ASKED, "<p>" * 200 + "deep</p>"], "unreadable-html"),
    ("ua", [ASKED, "1. one\n\n1. two"], "wrong-list"),
])  # fmt: skip
def test_reasons(roles, given, reason):
    assert kept(talk(roles, *given)) == reason


@pytest.mark.parametrize(("roles", "given"), [
    ("ua", ["Too many requests in 1 hour. Try again later.", "The page says so when it is busy."]),
    ("ua", ["12345678", "12345678"]),
    ("ua", ["1. one\n1. two", "A question may number as it likes."]),
    ("ua", [ASKED, "1. one\n2. two\n\nAnother list:\n\n1. one"]),
])  # fmt: skip
def test_what_only_looks_like_a_fault_stays(roles, given):
    assert isinstance(kept(talk(roles, *given)), Record)


def test_the_lists_of_words_are_options():
    assert kept(talk("ua", ASKED, "Ask the oracle."), blocked_words=("Oracle",)) == "blocked-words"
    assert isinstance(kept(talk("ua", "Is ChatGPT good?"), blocked_words=()), Record)
    assert kept(talk("ua", ASKED, "Sorry, busy."), blocked_answers=("Sorry,",)) == "blocked-answer"
    for name in ("blocked_words", "blocked_answers"):
        with pytest.raises(ValidationError, match="would match every text"):
            ShareGPTClean(**{name: (" ",)})


@pytest.mark.parametrize("style", ["filial", "fastchat"])
def test_an_empty_turn_ends_the_conversation_before_it(style):
    assert roles(kept(talk("uauaua", ASKED, SAID, "More?", "<p> </p>", "Later?", "Fine."), style=style)) == "ua"
    assert kept(talk("uaua", "", SAID), style=style) == "too-short"
    assert kept(talk("ua", ASKED, "\u200b"), style=style) == "too-short"


def test_an_invisible_character_before_a_text_is_taken_off_or_ends_the_conversation():
    record = talk("ua", ASKED, f"\u200b{SAID}")
    assert texts(kept(record)) == [ASKED, SAID]
    assert kept(record, invisible="cut") == kept(record, style="fastchat") == "too-short"
    arabic = talk("ua", "\u200fكم ارتفاع البرج؟", "تسعون مترا في الارتفاع.")
    assert verdicts([arabic]) == [Keep()], "a mark for the direction of writing belongs to the text"


def test_repeats_by_what_was_said():
    short, same, longer = talk("ua"), talk("ua", id="d"), talk("uaua", id="e")
    other = talk("uaua", ASKED + " (0)", SAID + " (1)", "Why?", "Because.", id="f")
    found = [
        v.reason if isinstance(v, Drop) else "" for v in verdicts([short, same, longer, other, talk("ua", id="g")])
    ]
    assert found == ["", "repeated-conversation", "", "", "repeated-conversation"]
    found = [v.reason if isinstance(v, Drop) else "" for v in verdicts([longer, other, short], repeats="openings")]
    assert found == ["", "repeated-conversation", "repeated-conversation"]
    assert verdicts([short, same], repeats="keep") == [Keep()] * 2
    assert "conversation c" in verdicts([short, same])[1].detail


def test_a_repeat_is_told_from_the_cleaned_text_and_only_kept_conversations_count():
    page = talk("ua", ASKED, f"<p>{SAID}</p>")
    text = talk("ua", ASKED, SAID, id="d")
    assert [isinstance(v, Drop) for v in verdicts([page, text])] == [False, True]
    assert [isinstance(v, Drop) for v in verdicts([page.replaced(tags=("plugins",)), text])] == [True, False]


def test_repeated_ids_and_plugins():
    other = talk("ua", "What else?", "Nothing else at all.")
    found = verdicts([talk("ua"), other])
    assert isinstance(found[1], Drop)
    assert found[1].reason == "repeated-id"
    assert verdicts([talk("ua"), other], same_id="keep") == [Keep()] * 2
    assert kept(talk("ua", tags=("plugins",))) == "plugins"
    assert isinstance(kept(talk("ua", tags=("plugins",)), plugins="keep"), Record)


def test_options_that_are_off_by_themselves():
    zeros, hangul = (
        talk("ua", "What is it?", "3.000000000"),
        talk("ua", "탑의 높이는 얼마인가요?", "높이는 구십 미터입니다. OK."),
    )
    assert verdicts([zeros, hangul], same_id="keep") == [Keep()] * 2
    assert kept(zeros, repeated_digits=9) == "repeated-digits"
    assert isinstance(kept(zeros, repeated_digits=10), Record)
    assert kept(hangul, skip_scripts=("han", "hangul")) == "skipped-script"
    assert isinstance(kept(hangul, skip_scripts=("latin",)), Record)


@pytest.mark.parametrize(("text", "wrong"), [
    ("List:\n1. a\n1. b", True), ("1. a\n1. b", False), ("List:\n1. twenty 2 things\n1. b", False),
])  # fmt: skip
def test_fastchats_rule_for_lists_wants_a_line_before_the_list_and_no_digit_2_in_it(text, wrong):
    result = kept(talk("ua", ASKED, text), list_numbers="fastchat")
    assert (result == "wrong-list") == wrong


@pytest.mark.parametrize("style", ["filial", "fastchat"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_is_said_the_filter_decides_and_what_it_mends_is_sound(style, data):
    bits = ["<p>", "</p>", "<pre>", "<code>", "</code>", "<", "&lt;", "&#x110000;", "```", "Copy code", "1 / 2", "\n"]
    bits += [
        "\ud800",
        "\u200b",
        "snake_case",
        "word ",
        "<td colspan='²'>",
        "<ol start='²'><li>",
        "<!--",
        "]]>",
        "<![CDATA[",
    ]
    said = st.lists(st.sampled_from(bits), max_size=12).map("".join)
    turns = data.draw(st.lists(st.tuples(st.sampled_from("uasct"), said), min_size=1, max_size=6))
    record = Record(id="c", messages=tuple(Message(ROLES[r], text) for r, text in turns))
    (verdict,) = verdicts([record], style=style, html=data.draw(st.sampled_from(["auto", "all", "off"])))
    if isinstance(verdict, Keep) and verdict.record is not None:
        left = [m.role for m in verdict.record.messages if m.role != "system"]
        assert left[0] == "user"
        assert left[-1] in ("assistant", "tool_call")
        assert all(m.content for m in verdict.record.messages if m.role != "system")


def test_from_a_copied_page_to_pieces_on_the_command_line(cli):
    def page(id: str, *values: str, **more: Any) -> dict[str, Any]:
        turns = [{"from": ("human", "gpt")[i % 2], "value": value} for i, value in enumerate(values)]
        return {"id": id, "conversations": turns, **more}

    chats = [
        page("html", "2 / 2Count!", "<p>one <b>two</b></p>", "On!", "<p>three</p>", "And?"),
        page("plain", ASKED, SAID),
        page("again", ASKED, SAID),
        page("tool", "Look it up.", "<p>Found it on a page.</p>", plugins=[{"name": "browser"}]),
    ]
    (cli.folder / "chats.json").write_text(json.dumps(chats))
    assert cli("filter", "sharegpt-clean", "chats.json", "-o", "clean.jsonl", toy=False) == 0, cli.err
    mended, plain = cli.rows("clean.jsonl")
    assert [m["content"] for m in mended["messages"]] == ["Count!", "one **two**", "On!", "three"]
    assert (mended["origin"]["parents"], plain["id"], "origin" in plain) == (["html"], "plain", False)
    assert mended["origin"]["plugin"].startswith("filial:sharegpt-clean==")
    dropped = [(row["reason"], row["record"]["id"]) for row in cli.rows("clean.drops.jsonl")]
    assert dropped == [("repeated-conversation", "again"), ("plugins", "tool")]

    assert cli("generate", "split-long", "clean.jsonl", "-o", "split.jsonl", "--max-tokens", "20", toy=False) == 0
    first, second, whole = cli.rows("split.jsonl")
    assert first["origin"]["parents"] == second["origin"]["parents"] == [mended["id"]]
    assert whole == plain
    assert [(row["reason"], row["record"]["id"]) for row in cli.rows("split.drops.jsonl")] == [("split", mended["id"])]


def test_where_the_library_is_not_installed_it_says_in_one_sentence_what_brings_it(cli, monkeypatch):
    monkeypatch.setattr("filial.plugins.manager.is_installed", lambda module: module != "markdownify")
    cli.write("in.jsonl", {"instruction": ASKED, "output": SAID})
    assert cli("filter", "sharegpt-clean", "in.jsonl", "-o", "out.jsonl", toy=False) == 2
    assert "markdownify" in cli.err
    assert "pip install 'filial[clean]'" in cli.err
    assert cli.err.count("\n") == 1


def test_a_single_turn_record_keeps_its_system_text_and_a_turn_what_else_it_says():
    single = Record(id="s", instruction="What is this?", output="<p>That is a tree.</p>", system="Be brief.")
    mended = kept(single)
    assert mended == single.replaced(output="That is a tree.")
    call = ToolCall(name="f", arguments="{}")
    turns = (
        Message("user", "What is this?"), Message("assistant", "", tool_calls=(call,)),
        Message("user", "And now, please?"), Message("assistant", "<p>That is a tree.</p>", reasoning="it has leaves"),
    )  # fmt: skip
    mended = kept(Record(id="t", messages=turns))
    assert isinstance(mended, Record)
    assert mended.messages[1:4:2] == (turns[1], Message("assistant", "That is a tree.", reasoning="it has leaves"))
