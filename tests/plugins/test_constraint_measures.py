"""What counts as a word, a sentence, an item: cases by hand, and what other libraries say of the same text."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from filial_plugins.constraints.checkers import SCRIPTS
from filial_plugins.constraints.measures import (
    compute_script_share,
    count_characters,
    count_word,
    find_bold,
    find_bullets,
    find_headings,
    find_item_numbers,
    find_placeholders,
    find_questions,
    split_paragraphs,
    split_sentences,
    split_words,
)
from filial_plugins.constraints.shapes import count_table_columns, parse_json_object, strip_fence
from filial_plugins.constraints.verdicts import holds, make_variants


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0), ("One two.", 2), ("well-known", 1), ("don't stop", 2), ("a - b", 2), ("3.5 % of it", 3),
        ("** bold **", 1), ("…", 0), ("你好，世界", 4), ("2024年", 2), ("한국어 문장", 2), ("สวัสดี", 4),
        ("x\u00a0y", 2), ("I_O", 1), ("https://a.b/c", 1),
    ],
)  # fmt: skip
def test_words(text, count):
    assert len(split_words(text)) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0), ("No end", 1), ("One. Two! Three?", 3), ("Really?! Yes...", 2), ("Pi is 3.14 or so.", 1),
        ("Dr. Ek met Mrs. Li. They spoke.", 2), ("Use tools, e.g. a saw. Then rest.", 2), ("J. K. R. wrote.", 1),
        ('He said "Go." She went.', 2), ("See filial.org for more.", 1), ("# Title\nText one. Text two.", 3),
        ("- one\n- two. Three.", 3), ("1. one\n2. two", 2), ("One\n\ntwo", 2), ("One\ntwo.", 1), ("你好。再见！", 2),
        ("मैं यहाँ हूँ। तुम कहाँ हो?", 2), ("**Bold.** Then.", 2), ("?!", 0), ("Yes. ... No.", 2),
    ],
)  # fmt: skip
def test_sentences(text, count):
    assert len(split_sentences(text)) == count, split_sentences(text)


def test_paragraphs_are_parted_by_blank_lines_of_any_kind():
    assert split_paragraphs("a\nb\n\n\nc\r\n \r\nd") == ["a\nb", "c", "d"]
    assert split_paragraphs(" \n\n") == []


def test_characters_are_those_one_sees():
    assert count_characters("  e\u0301a \n") == 2


def test_a_word_is_found_whole_and_in_any_case():
    assert count_word("Rivers: RIVER, river-bed, driver, river.", "river") == 3
    assert count_word("Cafe\u0301 and CAFÉ", "café") == 2
    assert count_word("你好你好", "你好") == 2


def test_questions_end_with_a_question_mark():
    assert len(find_questions('Is it? "Is it?" It is ?? 是吗？ See a.b/?c=1 now.')) == 4


BLOCKS = st.lists(
    st.sampled_from(
        [
            "- so\n- so",
            "* so\n+ so",
            "1. so\n2. so\n3. so",
            "1) so",
            "# so",
            "###### so #",
            "#so",
            "so\nso",
            "---",
            "* * *",
            "```\n- so\n# so\n1. so\n```",
            "~~~ text\n# so\n~~~",
            "**so** -so",
            "2.5 so",
            "| a | b |\n|---|:-:|\n| 1 | 2 |",
            "a | b | c\n--- | --- | ---\n1 | 2 | 3",
            "| a |\n|---|\n| 1 |",
            "| a | b |\n| 1 | 2 |",
            "| a \\| b |\n|---|\n| 1 |",
        ]
    ),
    max_size=7,
).map("\n\n".join)
INLINE = st.lists(
    st.sampled_from(
        ["so", "**so**", "**a b**", "*so*", "**a.**", "** so **", "2*3", "****", "**so", "**so**,", "(**so**)"]
    ),
    max_size=7,
).map(" ".join)


def parsed(text, kind):
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return [t for token in tokens for t in (token, *(token.children or [])) if t.type == kind]


@settings(max_examples=200, deadline=None)
@given(BLOCKS)
def test_headings_items_and_tables_are_those_of_a_markdown_parser(text):
    """For blocks with blank lines between them; Markdown's rules for blocks without are many, and nobody's wish."""
    assert len(find_headings(text)) == len(parsed(text, "heading_open"))
    items = parsed(text, "list_item_open")
    assert [int(item.info) for item in items if item.info] == find_item_numbers(text)
    assert len(find_bullets(text)) == sum(not item.info for item in items)
    tables = MarkdownIt("commonmark").enable("table").parse(text)
    kinds = [t.type for t in tables]
    first = kinds[kinds.index("table_open") : kinds.index("table_close")] if "table_open" in kinds else []
    assert count_table_columns(text) == first.count("th_open")


@settings(max_examples=200, deadline=None)
@given(INLINE)
def test_bold_parts_are_those_of_a_markdown_parser(text):
    if text.count("**") == 2 * len(parsed(text, "strong_open")):  # every pair of stars belongs to a bold part
        assert len(find_bold(text)) == len(parsed(text, "strong_open"))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["```", "````", "~~~", "```py", "so", "", "  "]), max_size=6).map("\n".join))
def test_one_fenced_block_is_one_to_a_markdown_parser(text):
    blocks = MarkdownIt("commonmark").parse(text.strip())
    if strip_fence(text) is not None:
        assert [block.type for block in blocks] == ["fence"]
        assert strip_fence(text).strip() == blocks[0].content.strip()


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
    st.sampled_from(["", " ", ",", "x"]),
)
def test_json_is_what_another_parser_takes_for_json(value, more):
    import json

    text = json.dumps(value) + more
    try:
        other = isinstance(msgspec.json.decode(text.encode("utf-8", "surrogatepass")), dict)
    except (msgspec.DecodeError, UnicodeDecodeError):
        other = False
    assert (parse_json_object(text) is not None) is other


def test_numbers_of_any_length_are_json():
    assert parse_json_object('{"a": ' + "9" * 10_000 + "}") is not None


def test_scripts_are_those_of_the_unicode_database():
    regex = pytest.importorskip("regex", reason="comes with the extra 'train'")
    named = {"Kana": r"[\p{Script=Hiragana}\p{Script=Katakana}ー]"}
    codes = [*range(0x3400), *range(0x3400, 0x2FFFF, 7)]  # beyond are long runs of one script
    letters = [chr(code) for code in codes if regex.match(r"\p{L}", chr(code))]
    for name, prefixes in SCRIPTS.items():
        pattern = regex.compile(named.get(name, rf"\p{{Script={name}}}"))
        wrong = [c for c in letters if bool(pattern.match(c)) != (compute_script_share(c, prefixes) == 1.0)]
        assert len(wrong) < 0.01 * len(letters), (name, len(wrong), wrong[:20])


def test_placeholders_are_no_links_boxes_or_footnotes():
    assert find_placeholders("[name], [a b] and [here](http://x), [ ] [x] [1] []") == ["[name]", "[a b]"]


LOOSE = "Sure, here it is:\n**red** and *blue*\nHope that helps!"


def test_the_loose_variants_are_those_of_ifeval_and_those_without_quotes():
    """IFEval: the text, without its first line, its last, both; and the four without asterisks."""
    rows = LOOSE.split("\n")
    four = [LOOSE, "\n".join(rows[1:]), "\n".join(rows[:-1]), rows[1]]
    eight = [v.replace(a, "") for v in four for a in ("\0", "*")]
    assert [LOOSE, *make_variants(LOOSE)] == eight
    assert list(make_variants('"So."')) == ["So."]
    assert list(make_variants("")) == []


@pytest.mark.parametrize(
    ("text", "name", "args"),
    [
        ('Here you are:\n{"answer": 1}', "json", {"keys": ["answer"]}),
        ('```json\n{"answer": 1}\n```', "json", {"keys": ["answer"]}),
        ("red\nI hope you like it, all of you.", "no-commas", {}),
        ("**Answer: red**", "start-with", {"phrase": "Answer: red"}),
        ('"That is all."', "end-with", {"phrase": "That is all."}),
    ],
)
def test_quotes_markdown_and_first_and_last_line_are_forgiven_loosely_only(text, name, args):
    assert not holds(text, name, args)
    assert holds(text, name, args, loosely=True)


def test_a_letter_is_counted_as_it_is_written_in_either_case():
    from filial_plugins.constraints.verdicts import holds

    assert holds("Straße ß", "letter-frequency", {"letter": "s", "at_most": 1})
    assert not holds("Ssss", "letter-frequency", {"letter": "s", "at_most": 3})
