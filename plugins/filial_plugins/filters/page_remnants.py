"""Remnants of a copied chat page in a text: "Copy code", "1 / 2", "Copy12 chars / 3 words".

Two ways to clean a turn: `clean_carefully`, ours, and `clean_as_fastchat`, which decides as clean_sharegpt.py of
lm-sys/FastChat (Apache-2.0) does; its regular expressions take quadratic time for some texts, so what they match is
found here by searching forwards.
"""

from __future__ import annotations

import re

from filial_plugins.filters.html_markdown import is_html, remove_tags, to_markdown

_COPY = "Copy code"
_COPY_CHARS = re.compile(r"Copy\d{1,12} chars / \d{1,12} words")
_COUNTER = re.compile(r"\s*\d{1,9} / \d{1,9}(?=\s*</?[a-zA-Z]|[^\W\d_]{2})")
_ANY_COUNTER = re.compile(r"\d+ / \d+")
_CODE_HEAD = re.compile(
    rf"(?m)^(`{{3,}})[ \t]{{0,20}}\n?([\w+#.-]{{0,30}})[ \t]{{0,20}}\n?(?:{_COPY})+[ \t]{{0,20}}\n?"
)
_EMPTY_CODE = re.compile(rf"{_COPY}\s*```")
_COPIES = re.compile(rf"(?:{_COPY})+")
_MANY_LINE_ENDS = re.compile(r"\n{3,}")
_UNSEEN = "\u200b\u2060\ufeff"
"""Characters that only take up room in a text: zero-width space, word joiner, byte-order mark."""


def clean_carefully(text: str, *, html: bool, escapes: bool) -> str:
    """Remove a page's remnants from a turn; ``html`` says whether the turn is HTML, which becomes Markdown.

    A turn without remnants is returned unchanged, including its blanks.

    Raises:
        UnreadableHTML: the HTML cannot be converted.
    """
    counter = _COUNTER.match(text)
    new = text[counter.end() :] if counter else text
    new = _COPY_CHARS.sub("", new)
    if html:
        new = to_markdown(new, escapes=escapes, structure=True).strip()
    new = _repair_code(new)
    if html:
        new = _reduce_blank_lines(new)
    return new.strip() if new != text else text


def _repair_code(text: str) -> str:
    """Remove the page's head above each code block: the language moves into the fence, "Copy code" is removed.

    A block that holds only its head is removed.
    """
    if _COPY not in text:
        return text
    out, at = list[str](), 0
    while head := _CODE_HEAD.search(text, at):
        fence, language = head.groups()
        end = text.find(fence, head.end())
        if end < 0:
            break
        body = text[head.end() : end].rstrip()
        block = f"{fence}{language}\n{body}\n{fence}" if body else ""
        out += (text[at : head.start()], block)
        at = end + len(fence)
    return "".join(out) + text[at:]


def _reduce_blank_lines(text: str) -> str:
    """Reduce several blank lines to one, except in code."""
    parts = re.split(r"(?m)^( *`{3,})", text)
    fence = ""
    for i, part in enumerate(parts):
        if i % 2:
            fence = part.strip() if not fence else "" if part.strip() == fence else fence
        elif not fence:
            parts[i] = _MANY_LINE_ENDS.sub("\n\n", part)
    return "".join(parts)


def clean_as_fastchat(text: str, *, html: bool, escapes: bool) -> str:
    """Clean a turn as FastChat's ``html_to_markdown`` does, its faults included; ``html`` says whether to convert it.

    Raises:
        UnreadableHTML: the HTML cannot be converted.
    """
    if html:
        text = remove_tags(remove_tags(text, "div"), "span")
        text = to_markdown(text, escapes=escapes, structure=False)
    text = _reformat_code(text.strip())
    counter = _ANY_COUNTER.match(text)
    text = _COPY_CHARS.sub("", text[counter.end() :] if counter else text)
    return _remove_empty_code(text).replace("\n\n\n", "\n").strip()


def _reformat_code(text: str) -> str:
    """Reformat code blocks as FastChat does: from a fence over the next "Copy code" to the fence after it.

    The text before "Copy code" becomes the head of the block, the text after it the code.
    """
    out, at = list[str](), 0
    while (start := text.find("```", at)) >= 0 and (copies := _COPIES.search(text, start + 3)):
        begin = copies.end()
        end = text.find("```", begin + 1)
        if end < 0 and len(copies[0]) > len(_COPY):  # the last of several may be the code itself
            begin -= len(_COPY)
            end = text.find("```", begin + 1)
        if end < 0:
            break
        head, code = text[start + 3 : copies.start()].lstrip(), text[begin:end]
        out += (text[at:start], f"```{head}\n{code[0]}{code[1:].rstrip()}\n```")
        at = end + 3
    return "".join(out) + text[at:]


def _remove_empty_code(text: str) -> str:
    """Remove, on one line, everything from a fence to a "Copy code" that is followed by a fence."""
    out, at = list[str](), 0
    for copy in _EMPTY_CODE.finditer(text):
        line = text.rfind("\n", at, copy.start()) + 1
        start = text.find("```", max(line, at), copy.start())
        if start >= 0:
            out.append(text[at:start])
            at = copy.end()
    return "".join(out) + text[at:]


def strip_invisible(text: str) -> str:
    """Strip invisible characters from the beginning of a text; return "" if nothing in the text is visible."""
    text = text.lstrip(_UNSEEN)
    return text if any(c.isprintable() and not c.isspace() for c in text) else ""


def should_convert(text: str, role: str, html: str) -> bool:
    """Return whether a turn is converted: by the option ``html`` all turns, none, or answers that are HTML."""
    return html == "all" or (html == "auto" and role == "assistant" and is_html(text))
