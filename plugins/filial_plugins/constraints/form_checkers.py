"""Checkers of the form of an answer: lists, tables, JSON, CSV, parts, and how it begins and ends.

Only the standard library is used here: `filial rewards` copies this file into reward files. Each says what is wrong
with a text, or nothing; none raises on any text.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from filial_plugins.constraints.measures import find_item_numbers, fold_text, split_lines, split_paragraphs, split_words
from filial_plugins.constraints.shapes import (
    count_table_columns,
    parse_csv,
    parse_json_object,
    split_at_marks,
    strip_fence,
    strip_quotes,
    strip_tags,
)

Args = dict[str, Any]


def check_numbered_list(text: str, args: Args) -> str:
    """The numbered items are 1, 2, 3 … up to the number, each once and in order."""
    found = find_item_numbers(text)
    right = found == list(range(1, args["items"] + 1))
    return "" if right else f"items 1 to {args['items']} wanted, {found[:20] or 'none'} found"


def check_table(text: str, args: Args) -> str:
    """There is a Markdown table, and the first one has this number of columns."""
    found = count_table_columns(text)
    return "" if found == args["columns"] else f"a table of {args['columns']} columns wanted, {found} columns found"


def check_json_keys(text: str, args: Args) -> str:
    """The whole text is a JSON object that has the keys; it may have others."""
    found = parse_json_object(text)
    if found is None:
        return "the answer is not a JSON object"
    missing = [key for key in args["keys"] if key not in found]
    return f"keys missing: {', '.join(missing)}" if missing else ""


def check_csv_columns(text: str, args: Args) -> str:
    """The whole text is comma-separated values: a head and one or more rows, all with this number of columns."""
    rows = parse_csv(text)
    if rows is None or len(rows) < 2:
        return "the answer is not CSV with a head and rows"
    widths = sorted({len(row) for row in rows})
    return "" if widths == [args["columns"]] else f"{args['columns']} columns wanted, {widths[:5]} found"


def check_title(text: str, args: Args) -> str:
    """The first line that is not blank is a title in double angle brackets: <<so>>."""
    first = "".join(split_lines(text)[:1]).strip()
    inner = first[2:-2]
    right = first.startswith("<<") and first.endswith(">>") and split_words(inner) and not set(inner) & set("<>")
    return "" if right else "the first line is not a <<title>>"


def check_start_with(text: str, args: Args) -> str:
    """The text begins with the phrase, exactly."""
    return "" if text.lstrip().startswith(args["phrase"]) else f"it begins with {text.lstrip()[:40]!r}"


def check_end_with(text: str, args: Args) -> str:
    """The text ends with the phrase, exactly."""
    return "" if text.rstrip().endswith(args["phrase"]) else f"it ends with {text.rstrip()[-40:]!r}"


def check_quoted(text: str, args: Args) -> str:
    """The whole text is in double quotation marks."""
    return "" if strip_quotes(text) is not None else "the answer is not in double quotation marks"


def check_tagged(text: str, args: Args) -> str:
    """The whole text is between an opening and a closing tag."""
    return "" if strip_tags(text, args["tag"]) is not None else f"the answer is not in <{args['tag']}>…</{args['tag']}>"


def check_code_fence(text: str, args: Args) -> str:
    """The whole text is one fenced block of code."""
    inner = strip_fence(text)
    return "" if inner is not None and inner.strip() else "the answer is not one fenced block of code"


def check_postscript(text: str, args: Args) -> str:
    """The last paragraph, or the last line, begins with the marker and has more text."""
    mark, ends = args["marker"], [*split_paragraphs(text)[-1:], *split_lines(text)[-1:]]
    there = any(end.strip().startswith(mark) and split_words(end.strip()[len(mark) :]) for end in ends)
    return "" if there else f"no postscript {mark} at the end"


def check_closing_choice(text: str, args: Args) -> str:
    """The last line that is not blank is the label, a colon and one of the options, with or without a full stop."""
    last = "".join(split_lines(text)[-1:]).strip()
    allowed = [f"{args['label']}: {option}{dot}" for option in args["options"] for dot in ("", ".")]
    return "" if last in allowed else f"the last line is {last[:60]!r}"


def check_two_answers(text: str, args: Args) -> str:
    """Two different texts with a line of six or more asterisks between them."""
    found = split_at_marks(text, "*", 6)
    if len(found) != 2 or not all(found):
        return f"two answers wanted, {sum(map(bool, found))} found"
    return "" if fold_text(found[0]) != fold_text(found[1]) else "both answers are the same"


def check_parts(text: str, args: Args) -> str:
    """This number of texts, none empty, separated by lines of three or more dashes."""
    found = split_at_marks(text, "-", 3)
    return "" if len(found) == args["parts"] and all(found) else f"{args['parts']} parts wanted, {len(found)} found"


def check_line_start(text: str, args: Args) -> str:
    """Every line that is not blank begins with the mark and a blank, and has more text."""
    found = [line.strip() for line in split_lines(text)]
    other = [line for line in found if not line.startswith(args["mark"] + " ")]
    return "" if found and not other else f"{len(other)} lines begin differently"


def check_acrostic(text: str, args: Args) -> str:
    """The first letters of the lines that are not blank spell the word, in either case."""
    letters = "".join(line.strip()[0] for line in split_lines(text))
    return "" if letters.casefold() == args["word"].casefold() else f"the lines spell {letters[:40]!r}"


def check_paragraph_word(text: str, args: Args) -> str:
    """The paragraph exists, and the word is its first, ignoring case and punctuation."""
    found = split_paragraphs(text)
    if len(found) < args["paragraph"]:
        return f"paragraph {args['paragraph']} wanted, {len(found)} paragraphs found"
    first = "".join(split_words(found[args["paragraph"] - 1])[:1])
    bare = re.sub(r"\A[\W_]+|[\W_]+\Z", "", unicodedata.normalize("NFC", first[:100])).casefold()
    return "" if bare == args["word"].casefold() else f"the paragraph begins with {first[:40]!r}"
