"""HTML to Markdown, and what a chat page leaves in a text: by structure, or as FastChat's patterns have it."""

from __future__ import annotations

import gc
import re
import time
from contextlib import suppress

import pytest
from cpu_kit import bounded
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("markdownify", reason="needs the extra 'clean'")

from filial_plugins.filters.html_markdown import UnreadableHTML, is_html, remove_tags, to_markdown
from filial_plugins.filters.page_remnants import clean_as_fastchat, clean_carefully

CODE = (
    "<div class='markdown'><p>Try this:</p><pre><div><div><span>{}</span><button><svg></svg>Copy code</button></div>"
    "<div><code class='hljs {}'>\ndef f():\n\n\n    return <span>snake_case</span>\n</code></div></div></pre></div>"
)


def clean(text: str, html: bool = True) -> str:
    return clean_carefully(text, html=html, escapes=False)


@pytest.mark.parametrize(("head", "css"), [("python", ""), ("", "language-python"), ("python", "language-python")])
def test_a_code_block_keeps_its_language_its_indentation_and_its_blank_lines(head, css):
    wanted = "Try this:\n\n```python\ndef f():\n\n\n    return snake_case\n```"
    assert clean(CODE.format(head, css)) == wanted


@pytest.mark.parametrize(("html", "markdown"), [
    ("<p>snake_case and 2 * 3</p>", "snake_case and 2 * 3"),
    ("<div>one</div><div>two</div>", "one\n\ntwo"),
    ("<p>a</p>\n\n\n\n<p>b</p>", "a\n\nb"),
    ("<ol start='3'><li>c</li><li><p>d</p><p>e</p></li></ol>", "3. c\n4. d\n\n   e"),
    ("<pre>```\nx\n```</pre>", "````\n```\nx\n```\n````"),
    ("<pre><code>python\nCopy code\nprint(1)\n</code></pre>", "```python\nprint(1)\n```"),
    ("<pre><div>Copy code</div><code></code></pre><p>x</p>", "x"),
    ("1 / 2<div><p>Good</p></div>", "Good"),
    ("<p>a</p>Copy12 chars / 3 words", "a"),
    ("<p>so <span class='katex'><math><mi>x</mi><annotation>x_1</annotation></math><span>x1</span></span></p>",
     "so $x_1$"),
    ("<p>1 < 2 <!-- note --> and <b>3</p>", "1 < 2 and **3**"),
    ("<script>alert(1)</script><p>x</p>", "x"),
])  # fmt: skip
def test_careful(html, markdown):
    assert clean(html) == markdown


@pytest.mark.parametrize("text", [
    "    def f():\n        return 1\n\n\n\nIs that right?  \n", "3 / 4 of it", "3 / 4", "1 / 2x", "a < b, List<String>",
    "Press `Copy code` to go on.", "```python\nx = 1\n```", "snake_case *and* stars",
])  # fmt: skip
def test_a_text_without_html_and_remnants_stays_as_it_is(text):
    assert clean(text, html=False) == text


@pytest.mark.parametrize(("text", "left"), [
    ("2 / 3Why is that?", "Why is that?"),
    ("See:\n```pythonCopy codex = 1\n```\nand\n```\nCopy code\n```\nend", "See:\n```python\nx = 1\n```\nand\n\nend"),
    ("```\nplain\n```\nThe button says Copy code, see ```x```.", None),
    ("Copy12 chars / 3 wordsHello", "Hello"),
])  # fmt: skip
def test_remnants_in_a_text_that_is_markdown_already(text, left):
    assert clean(text, html=False) == (text if left is None else left)


def test_what_is_html():
    assert is_html("<p>x</p>")
    assert is_html(" 1 / 2<div class='a'>x</div>")
    assert not is_html("Write <p>x</p> for a paragraph.")
    assert not is_html("<p> opens a paragraph.")
    assert not is_html("```html\n<p>x</p>\n```")
    assert not is_html("<T>x</T>")


def test_escapes_are_an_option():
    assert to_markdown("<p>a_b*</p>", escapes=True, structure=True) == r"a\_b\*"


def test_html_that_would_take_too_deep_a_descent_or_too_long_is_refused():
    with pytest.raises(UnreadableHTML, match="more than 150 deep"):
        to_markdown("<b>" * 151, escapes=False, structure=True)
    rows = "<tbody><tr><td>1</td></tr></tbody>" * 2000
    with pytest.raises(UnreadableHTML, match="tables"):
        to_markdown(f"<table>{rows}</table>", escapes=False, structure=True)
    assert to_markdown("<br>" * 500 + "</p>" * 500 + "x", escapes=False, structure=True).strip() == "x"


BITS = ["```", "Copy code", "Copy codeCopy code", "\n", "  ", "python", "1 / 2", "Copy12 chars / 3 words", "`", "text"]
TAGS = ["<div class='a'>", "</div>", "<span>", "</span>", "<pre>", "</pre>", "<code>", "</code>", "<p>", "</p>"]
TAGS += ["<ol>", "<li>", "</li>", "</ol>", "<ol start='4'>", "<b>", "</b>", "&lt;", "<br>", "<h2>", "</h2>", "a < b "]


def original(text: str) -> str:
    """FastChat's regular expressions, read plainly: what they match is what ours finds by searching."""
    import markdownify

    text = re.sub("<span.*?>", "", re.sub("<div.*?>", "", text))
    text = markdownify.markdownify(text).strip()
    text = re.sub(r"(?s)```\s*(.*?)(?:Copy code)+(.+?)\s*?```", "```\\g<1>\n\\g<2>\n```", text)
    text = re.sub(r"\A\d+ / \d+", "", text)
    text = re.sub(r"```(.*?)Copy code\s*```", "", re.sub(r"Copy\d+ chars / \d+ words", "", text))
    return text.replace("\n\n\n", "\n").strip()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(BITS + TAGS), max_size=16).map("".join))
def test_as_fastchat_decides_as_its_patterns_and_markdownify_do(text):
    assume(re.search(r"</?[a-z]", re.sub("<(?:div|span).*?>", "", text)))
    assert clean_as_fastchat(text, html=True, escapes=True) == original(text)


def test_a_text_without_tags_keeps_its_lines_though_it_counts_as_html():
    """As in the markdownify that FastChat used; today's runs lines together."""
    text = "def f(a_b):\n    return a_b &gt; 1\n\nIs 1 < 2?"
    assert clean_as_fastchat(text, html=True, escapes=True) == "def f(a\\_b):\n return a\\_b > 1\n\nIs 1 < 2?"
    assert clean(text) == text.replace("&gt;", ">")


SLOW = {
    "open tags": "<a ", "quotes": "<a b='", "closed quotes": '<a b="<">', "comments": "<!--", "ends": "</",
    "div": "<div", "items": "<li>x</li>", "blanks": "<p>x" + " " * 50, "fences": "```", "copies": "```Copy code",
    "empty": "Copy code```", "rows": "<tr><td>1</td></tr>", "counter": "1 / ", "cells": "<td colspan=1000>1</td>",
    "lists": "<ol></ol> ",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("clean", [clean_carefully, clean_as_fastchat], ids=["careful", "as fastchat"])
@pytest.mark.parametrize("kind", SLOW)
def test_four_times_the_text_takes_no_more_than_a_dozen_times_as_long(kind, clean):
    """Quadratic time would be sixteen times; the library alone takes minutes for some of these. One of five comparisons
    that nobody disturbed is enough to show it."""

    def seconds(size: int) -> float:
        text = f"<ol>{SLOW[kind] * (size // len(SLOW[kind]))}</ol>"
        before = time.process_time()
        with suppress(UnreadableHTML):
            clean(text, html=True, escapes=False)
        return time.process_time() - before

    gc.disable()  # a collection takes as long as all that other tests have left behind
    try:
        seconds(1000)
        assert any(seconds(100_000) < 12 * seconds(25_000) + 0.2 for _ in range(5))
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_page_of_a_megabyte_becomes_markdown():
    page = CODE.format("python", "")
    markdown = clean(page * (1_000_000 // len(page)))
    assert markdown.count("```python\n") == 1_000_000 // len(page)


def test_a_long_run_of_blanks_in_code_and_a_long_list_take_no_time():
    """The library alone takes over a minute."""
    with bounded():
        code = to_markdown(f"<pre>a{' ' * 200_000}b</pre>", escapes=False, structure=True)
        items = to_markdown(f"<ol>{'<li>x</li>' * 5000}</ol>", escapes=False, structure=True)
    assert code.endswith("b\n```")
    assert items.rstrip().endswith("5000. x")


def test_tags_without_an_end_are_left_where_they_are():
    assert remove_tags("<div\n<div a><div b> <div", "div") == "<div\n  <div".replace("  ", " ")
