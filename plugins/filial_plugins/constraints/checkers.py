"""A checker for each type of constraint: given a text and the arguments, it says what is wrong, or nothing.

Only the standard library is used here: `filial rewards` copies this file into reward files. A checker never raises on
any text; its arguments are those of the type (`filial_plugins.constraints.catalogue`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from filial_plugins.constraints.form_checkers import (
    Args,
    check_acrostic,
    check_closing_choice,
    check_code_fence,
    check_csv_columns,
    check_end_with,
    check_json_keys,
    check_line_start,
    check_numbered_list,
    check_paragraph_word,
    check_parts,
    check_postscript,
    check_quoted,
    check_start_with,
    check_table,
    check_tagged,
    check_title,
    check_two_answers,
)
from filial_plugins.constraints.measures import (
    compute_script_share,
    count_characters,
    count_word,
    find_bold,
    find_bullets,
    find_headings,
    find_numbers,
    find_placeholders,
    find_questions,
    fold_text,
    split_lines,
    split_paragraphs,
    split_sentences,
    split_words,
)

Checker = Callable[[str, Args], str]

SCRIPTS: dict[str, tuple[str, ...]] = {
    "Latin": ("LATIN",),
    "Cyrillic": ("CYRILLIC",),
    "Greek": ("GREEK",),
    "Hangul": ("HANGUL",),
    "Han": ("CJK", "IDEOGRAPHIC"),
    "Kana": ("HIRAGANA", "KATAKANA"),
    "Arabic": ("ARABIC",),
    "Devanagari": ("DEVANAGARI",),
}
"""Scripts and how the names of their letters begin in the Unicode database."""
SCRIPT_SHARE = 0.9
"""Minimum share of letters of the required script; the rest is for names, formulas and code."""
MARKS = {"exclamation marks": "!！", "question marks": "?？؟", "semicolons": ";；", "parentheses": "()（）"}
_COMMAS = ",，、،"


def describe_bounds(args: Args) -> str:
    """Describe the bounds of a count."""
    least, most = args.get("at_least"), args.get("at_most")
    if least is None or most is None:
        return f"at least {least}" if most is None else f"at most {most}"
    return f"exactly {least}" if least == most else f"{least} to {most}"


def _check_count(found: int, args: Args, what: str) -> str:
    """Say what is wrong with a count; both bounds are allowed."""
    fits = args.get("at_least", 0) <= found <= args.get("at_most", found)
    return "" if fits else f"{describe_bounds(args)} {what} wanted, {found} found"


def _check_none(found: int, what: str) -> str:
    return f"no {what} wanted, {found} found" if found else ""


def check_sentence_length(text: str, args: Args) -> str:
    """No sentence has more words than the limit."""
    longest = max((len(split_words(sentence)) for sentence in split_sentences(text)), default=0)
    most = args["at_most"]
    return "" if 0 < longest <= most else f"sentences of at most {most} words wanted, the longest has {longest}"


def check_include_words(text: str, args: Args) -> str:
    """Each of the words occurs in the text, as a whole word."""
    missing = [word for word in args["words"] if not count_word(text, word)]
    return f"{', '.join(missing)} missing" if missing else ""


def check_include_phrase(text: str, args: Args) -> str:
    """The phrase occurs in the text, ignoring case and the width of blanks."""
    return "" if fold_text(args["phrase"]) in fold_text(text) else "the phrase is missing"


def check_exclude_words(text: str, args: Args) -> str:
    """None of the words occurs in the text, as a whole word."""
    there = [word for word in args["words"] if count_word(text, word)]
    return f"{', '.join(there)} found" if there else ""


def check_letter_frequency(text: str, args: Args) -> str:
    """The number of times a letter occurs in the text, in either case."""
    composed, letter = unicodedata.normalize("NFC", text), args["letter"]
    found = sum(composed.count(form) for form in {letter.lower(), letter.upper()})
    return _check_count(found, args, f"times {letter!r}")


def check_upper_case(text: str, args: Args) -> str:
    """No letter is in lower case, and some letter is in upper case."""
    return "" if text.isupper() else f"{sum(map(str.islower, text))} letters in lower case found"


def check_lower_case(text: str, args: Args) -> str:
    """No letter is in upper case, and some letter is in lower case."""
    return "" if text.islower() else f"{sum(map(str.isupper, text))} letters in upper case found"


def check_capital_words(text: str, args: Args) -> str:
    """The number of words of two or more letters that are all in upper case."""
    found = (word for word in split_words(text) if word.isupper() and sum(map(str.isalpha, word)) > 1)
    return _check_count(sum(1 for _ in found), args, "words in capitals")


def check_exclude_marks(text: str, args: Args) -> str:
    """None of these marks occurs in the text, full-width forms included."""
    return _check_none(sum(map(text.count, MARKS[args["marks"]])), args["marks"])


def check_no_commas(text: str, args: Args) -> str:
    """No comma occurs in the text, in any script."""
    return _check_none(sum(map(text.count, _COMMAS)), "commas")


def check_no_digits(text: str, args: Args) -> str:
    """No decimal digit occurs in the text, in any script."""
    return _check_none(sum(map(str.isdecimal, text)), "digits")


def check_script(text: str, args: Args) -> str:
    """At least nine in ten letters are of the script, and there are letters."""
    share = compute_script_share(text, SCRIPTS[args["script"]])
    return "" if share >= SCRIPT_SHARE else f"{100 * share:.0f} % of the letters are {args['script']}"


def _make_count_checker(measure: Callable[[str], Any], what: str) -> Checker:
    """Make a checker for a number of things; ``measure`` defines what counts."""

    def check(text: str, args: Args) -> str:
        return _check_count(len(measure(text)), args, what)

    check.__doc__ = measure.__doc__
    return check


def check_character_count(text: str, args: Args) -> str:
    """The characters, including blanks inside the text, without those around it (code points after NFC)."""
    return _check_count(count_characters(text), args, "characters")


def check_word_frequency(text: str, args: Args) -> str:
    """The number of times the word occurs as a whole word, ignoring case; in scripts without blanks anywhere."""
    return _check_count(count_word(text, args["word"]), args, f"times {args['word']!r}")


CHECKERS: dict[str, Checker] = {
    "word-count": _make_count_checker(split_words, "words"),
    "sentence-count": _make_count_checker(split_sentences, "sentences"),
    "sentence-length": check_sentence_length,
    "paragraph-count": _make_count_checker(split_paragraphs, "paragraphs"),
    "line-count": _make_count_checker(split_lines, "lines"),
    "character-count": check_character_count,
    "include-words": check_include_words,
    "include-phrase": check_include_phrase,
    "exclude-words": check_exclude_words,
    "word-frequency": check_word_frequency,
    "letter-frequency": check_letter_frequency,
    "bullet-count": _make_count_checker(find_bullets, "bullets"),
    "numbered-list": check_numbered_list,
    "heading-count": _make_count_checker(find_headings, "headings"),
    "highlight-count": _make_count_checker(find_bold, "parts in bold"),
    "placeholder-count": _make_count_checker(find_placeholders, "placeholders"),
    "table": check_table,
    "json": check_json_keys,
    "csv": check_csv_columns,
    "code-fence": check_code_fence,
    "title": check_title,
    "start-with": check_start_with,
    "end-with": check_end_with,
    "quoted": check_quoted,
    "tagged": check_tagged,
    "postscript": check_postscript,
    "closing-choice": check_closing_choice,
    "upper-case": check_upper_case,
    "lower-case": check_lower_case,
    "capital-words": check_capital_words,
    "no-commas": check_no_commas,
    "exclude-marks": check_exclude_marks,
    "no-digits": check_no_digits,
    "number-count": _make_count_checker(find_numbers, "numbers"),
    "question-count": _make_count_checker(find_questions, "questions"),
    "script": check_script,
    "two-answers": check_two_answers,
    "parts": check_parts,
    "line-start": check_line_start,
    "acrostic": check_acrostic,
    "paragraph-word": check_paragraph_word,
}
"""The checker of each type."""
