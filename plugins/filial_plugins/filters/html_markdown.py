"""HTML to Markdown, by markdownify (MIT, the library FastChat uses), in time that grows with the text alone.

Python's HTML parser and markdownify take quadratic time for some texts, such as a thousand "<a " without an end, a
long numbered list or a long run of blanks. Nobody writes these on purpose, but one of them would stall a run. So the
markup is repaired first, and the slow parts of the converter are replaced here.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from html import unescape
from typing import Any

DEPTH = 150
"""The deepest nesting of tags; the converter recurses once per level."""
_LONGEST_TAG = 1000
_TABLE_WORK = 2_000_000
_WIDEST_CELL = 100

_OPENING = re.compile(
    r"\s*(?:\d{1,9} / \d{1,9}\s*)?(?:Copy\d{1,9} chars / \d{1,9} words\s*)?"
    r"<(?:div|p|pre|h[1-6]|ul|ol|dl|table|blockquote|section|article|span|figure|hr|br)\b[^<>]*>",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/<>]*)[^<>]*>")
_TAG_WITH_QUOTES = re.compile(r"""<(/?)([a-zA-Z][^\s/<>]*)(?:[^<>"']|"[^"]*"|'[^']*')*+>""")
_DECLARATION = re.compile(r"<[!?][^<>]*>")
_VOID = frozenset({
    "area", "base", "basefont", "bgsound", "br", "col", "command", "embed", "frame", "hr", "image", "img", "input",
    "isindex", "keygen", "link", "menuitem", "meta", "nextid", "param", "source", "spacer", "track", "wbr",
})  # fmt: skip
_LONG_BLANKS = re.compile(r"[ \t]{30}")
_BLANKS = re.compile(r"[ \t]+")
_BLANK_LINES = re.compile(r"[ \n]*\n")
_LANGUAGE = re.compile(r"[\w+#.-]{1,30}")
_FENCE = re.compile(r"`{3,}")


class UnreadableHTML(ValueError):
    """HTML that is not converted, and why."""


def is_html(text: str) -> bool:
    """Return whether a text is HTML from its beginning, as a copied page is: a block tag first, and closing tags."""
    return _OPENING.match(text) is not None and "</" in text


def to_markdown(html: str, *, escapes: bool, structure: bool) -> str:
    """Return the HTML as Markdown.

    Args:
        escapes: put a backslash before each "_" and "*" of the text.
        structure: take code blocks, their languages and formulas from the page's structure and leave its buttons out;
            otherwise the text is what markdownify alone makes of it.

    Raises:
        Unreadable: tags nested deeper than `DEPTH`, a table that would take too long, or markup the parser refuses.
    """
    from bs4 import BeautifulSoup
    from bs4.builder import ParserRejectedMarkup

    try:
        sound = _repair_markup(html)
        if "<" not in sound:
            return _convert_plain_text(sound, escapes=escapes, structure=structure)
        soup = BeautifulSoup(sound, "html.parser")
        _remove_slow_parts(soup)
        if structure:
            _simplify(soup)
        converter = _load_converter()(structure, escape_underscores=escapes, escape_asterisks=escapes)
        markdown: str = converter.convert_soup(soup)
    except UnreadableHTML:
        raise
    except (ParserRejectedMarkup, ValueError, AssertionError, RecursionError) as error:
        raise UnreadableHTML(f"{type(error).__name__}: {error}"[:200]) from error
    return markdown


def _convert_plain_text(text: str, *, escapes: bool, structure: bool) -> str:
    """Convert a text without tags, such as a typed question.

    Its line breaks stay; an HTML parser would join the lines. Blanks are treated as in the markdownify of FastChat's
    time.
    """
    text = unescape(text if structure else _BLANKS.sub(" ", text))
    return text.replace("*", r"\*").replace("_", r"\_") if escapes else text


def _repair_markup(html: str) -> str:
    """Return the markup without comments and declarations, with every "<" that begins no tag written as an entity.

    Raises:
        UnreadableHTML: tags nested deeper than `DEPTH`.
    """
    out, at, nesting, last_comment = list[str](), 0, _Nesting(), html.rfind("-->")
    while (start := html.find("<", at)) >= 0:
        out.append(html[at:start])
        if html.startswith("<!--", start) and start + 4 <= last_comment:
            at = html.find("-->", start + 4) + 3
        elif declaration := _DECLARATION.match(html, start):
            at = declaration.end()
        elif tag := _TAG.match(html, start) or _TAG_WITH_QUOTES.match(html, start, start + _LONGEST_TAG):
            nesting.note(tag[2].lower(), closing=bool(tag[1]), empty=tag[0].endswith("/>"))
            out.append(tag[0])
            at = tag.end()
        else:
            out.append("&lt;")
            at = start + 1
    return "".join(out) + html[at:]


class _Nesting:
    """The tags that are open, as the parser sees them: an end tag closes the nearest of its name and all within."""

    def __init__(self) -> None:
        self._open: list[str] = []
        self._count: Counter[str] = Counter()

    def note(self, name: str, *, closing: bool, empty: bool) -> None:
        if closing:
            while self._count[name]:
                self._count[(last := self._open.pop())] -= 1
                if last == name:
                    return
        elif not empty and name not in _VOID:
            self._open.append(name)
            self._count[name] += 1
            if len(self._open) > DEPTH:
                raise UnreadableHTML(f"tags nested more than {DEPTH} deep")


def _remove_slow_parts(soup: Any) -> None:
    """Remove what makes the converter slow: long runs of blanks (one blank stays) and the width of very wide cells.

    Raises:
        UnreadableHTML: the tables have so many parts that finding their heads would take too long.
    """
    for text in soup.find_all(string=_LONG_BLANKS):
        if text.find_parent("pre") is None:
            text.replace_with(_BLANKS.sub(" ", text))
    for cell in soup.find_all(colspan=True):
        span = str(cell["colspan"])
        if not (span.isascii() and span.isdecimal() and len(span) < 4 and int(span) <= _WIDEST_CELL):
            del cell["colspan"]
    parts = soup.find_all(["thead", "tbody"])
    work = len(parts) * len(soup.find_all(True))
    work += sum(len(part.find_all("tr")) * len(part.find_all(True)) for part in parts if part.name == "thead")
    if work > _TABLE_WORK:
        raise UnreadableHTML("tables of too many parts")


def _simplify(soup: Any) -> None:
    """Remove a page's buttons, and replace its formulas (KaTeX) by their TeX source."""
    for button in soup.find_all("button"):
        button.decompose()
    for formula in soup.find_all(class_="katex"):
        tex = formula.find("annotation")
        if tex is not None:
            mark = "$$" if "katex-display" in (formula.parent.get("class") or ()) else "$"
            formula.replace_with(f"{mark}{tex.get_text().strip()}{mark}")


@cache
def _load_converter() -> Any:
    """Return the class of converters; made at first use, because importing markdownify takes time."""
    from markdownify import MarkdownConverter

    class Converter(MarkdownConverter):
        """markdownify with the numbering of lists and the trimming of code in linear time, and, where asked for, code
        blocks by structure."""

        def __init__(self, structure: bool, **options: Any) -> None:
            super().__init__(strip_pre=None, **options)
            self._structure = structure
            self._items: Counter[int] = Counter()

        def convert_li(self, el: Any, text: str, parent_tags: set[str]) -> str:
            parent = el.parent
            if parent is None or parent.name != "ol":
                return str(super().convert_li(el, text, parent_tags))  # type: ignore[misc]
            start = str(parent.get("start") or "")
            first = int(start) if start.isascii() and start.isdecimal() and len(start) < 10 else 1
            bullet = f"{first + self._items[id(parent)]}. "
            self._items[id(parent)] += 1
            text = text.strip()
            indent = " " * len(bullet)
            indented = "\n".join(f"{indent}{line}" if line else "" for line in text.split("\n"))
            return f"{bullet}{indented[len(bullet) :]}\n" if text else "\n"

        def convert_pre(self, el: Any, text: str, parent_tags: set[str]) -> str:
            if not text:
                return ""
            codes = el.find_all("code") if self._structure else []
            language, fence = "", "```"
            if len(codes) == 1:
                text = codes[0].get_text()
                language = _find_language(el, codes[0], text)
            if self._structure:
                fence = max([*_FENCE.findall(text), "``"], key=len) + "`"
            blank = _BLANK_LINES.match(text)
            text = text[blank.end() if blank else 0 :].rstrip(" \n")
            return f"\n\n{fence}{language}\n{text}\n{fence}\n\n" if text or not self._structure else ""

        def convert_div(self, el: Any, text: str, parent_tags: set[str]) -> str:
            if "pre" in parent_tags:
                return text
            return str(super().convert_div(el, text, parent_tags))  # type: ignore[misc]

    return Converter


def _find_language(block: Any, code: Any, text: str) -> str:
    """Return the language of a code block: by its class, or the one word that stands above the code."""
    named = [word.removeprefix("language-") for word in code.get("class") or () if word.startswith("language-")]
    whole = block.get_text()
    above = whole[: max(0, whole.find(text))].replace("Copy code", "").strip()
    return next((word for word in (*named, above) if _LANGUAGE.fullmatch(word)), "")


def remove_tags(html: str, name: str) -> str:
    """Remove the opening tags of a name, each up to the first ">" on its line (FastChat's ``<div.*?>``)."""
    pattern = re.compile(rf"<{name}.*?>")
    # Up to the last ">" of a line every match ends; behind it none does, and looking would take quadratic time.
    return re.sub(r"(?m)^.*>", lambda line: pattern.sub("", line[0]), html)
