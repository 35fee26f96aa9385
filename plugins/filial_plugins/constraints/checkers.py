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
    acrostic,
    closing_choice,
    code_fence,
    csv_columns,
    end_with,
    json_keys,
    line_start,
    numbered_list,
    paragraph_word,
    postscript,
    quoted,
    separated,
    start_with,
    table,
    tagged,
    title,
    two_answers,
)
from filial_plugins.constraints.measures import (
    bolds,
    bullets,
    characters,
    folded,
    headings,
    lines,
    numbers,
    paragraphs,
    placeholders,
    questions,
    sentences,
    share_of_script,
    times,
    words,
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
"""Least share of the letters that are of the script asked for; the rest is for names, formulas and code."""
MARKS = {"exclamation marks": "!！", "question marks": "?？؟", "semicolons": ";；", "parentheses": "()（）"}
_COMMAS = ",，、،"


def wanted(args: Args) -> str:
    """The bounds of a count in words."""
    least, most = args.get("at_least"), args.get("at_most")
    if least is None or most is None:
        return f"at least {least}" if most is None else f"at most {most}"
    return f"exactly {least}" if least == most else f"{least} to {most}"


def _count(found: int, args: Args, what: str) -> str:
    """What is wrong with a count; both bounds belong to it."""
    fits = args.get("at_least", 0) <= found <= args.get("at_most", found)
    return "" if fits else f"{wanted(args)} {what} wanted, {found} found"


def _no(found: int, what: str) -> str:
    return f"no {what} wanted, {found} found" if found else ""


def sentence_length(text: str, args: Args) -> str:
    """The longest sentence keeps the limit of words."""
    longest = max((len(words(sentence)) for sentence in sentences(text)), default=0)
    most = args["at_most"]
    return "" if 0 < longest <= most else f"sentences of at most {most} words wanted, the longest has {longest}"


def include_words(text: str, args: Args) -> str:
    """Each of the words stands in the text, as a whole word."""
    missing = [word for word in args["words"] if not times(text, word)]
    return f"{', '.join(missing)} missing" if missing else ""


def include_phrase(text: str, args: Args) -> str:
    """The phrase stands in the text, case and width of blanks aside."""
    return "" if folded(args["phrase"]) in folded(text) else "the phrase is missing"


def exclude_words(text: str, args: Args) -> str:
    """None of the words stands in the text, as a whole word."""
    there = [word for word in args["words"] if times(text, word)]
    return f"{', '.join(there)} found" if there else ""


def letter_frequency(text: str, args: Args) -> str:
    """How often a letter stands in the text, in either case."""
    composed, letter = unicodedata.normalize("NFC", text), args["letter"]
    found = sum(composed.count(form) for form in {letter.lower(), letter.upper()})
    return _count(found, args, f"times {letter!r}")


def upper_case(text: str, args: Args) -> str:
    """No letter is in lower case, and some letter has case."""
    return "" if text.isupper() else f"{sum(map(str.islower, text))} letters in lower case found"


def lower_case(text: str, args: Args) -> str:
    """No letter is in upper case, and some letter has case."""
    return "" if text.islower() else f"{sum(map(str.isupper, text))} letters in upper case found"


def capital_words(text: str, args: Args) -> str:
    """How many words of two letters or more are all in upper case."""
    found = (word for word in words(text) if word.isupper() and sum(map(str.isalpha, word)) > 1)
    return _count(sum(1 for _ in found), args, "words in capitals")


def exclude_marks(text: str, args: Args) -> str:
    """None of these marks stands in the text, full-width forms included."""
    return _no(sum(map(text.count, MARKS[args["marks"]])), args["marks"])


def no_commas(text: str, args: Args) -> str:
    """No comma stands in the text, in any script."""
    return _no(sum(map(text.count, _COMMAS)), "commas")


def no_digits(text: str, args: Args) -> str:
    """No decimal digit stands in the text, in any script."""
    return _no(sum(map(str.isdecimal, text)), "digits")


def script(text: str, args: Args) -> str:
    """At least nine in ten letters are of the script, and there are letters."""
    share = share_of_script(text, SCRIPTS[args["script"]])
    return "" if share >= SCRIPT_SHARE else f"{100 * share:.0f} % of the letters are {args['script']}"


def _counter(measure: Callable[[str], Any], what: str) -> Checker:
    """A checker for how many things there are, explained by what counts as one."""

    def check(text: str, args: Args) -> str:
        return _count(len(measure(text)), args, what)

    check.__doc__ = measure.__doc__
    return check


def character_count(text: str, args: Args) -> str:
    """The characters, blanks between them included, those around the text not (code points after NFC)."""
    return _count(characters(text), args, "characters")


def word_frequency(text: str, args: Args) -> str:
    """How often the word stands in the text as a whole word, case aside; in scripts without blanks anywhere."""
    return _count(times(text, args["word"]), args, f"times {args['word']!r}")


CHECKERS: dict[str, Checker] = {
    "word-count": _counter(words, "words"),
    "sentence-count": _counter(sentences, "sentences"),
    "sentence-length": sentence_length,
    "paragraph-count": _counter(paragraphs, "paragraphs"),
    "line-count": _counter(lines, "lines"),
    "character-count": character_count,
    "include-words": include_words,
    "include-phrase": include_phrase,
    "exclude-words": exclude_words,
    "word-frequency": word_frequency,
    "letter-frequency": letter_frequency,
    "bullet-count": _counter(bullets, "bullets"),
    "numbered-list": numbered_list,
    "heading-count": _counter(headings, "headings"),
    "highlight-count": _counter(bolds, "parts in bold"),
    "placeholder-count": _counter(placeholders, "placeholders"),
    "table": table,
    "json": json_keys,
    "csv": csv_columns,
    "code-fence": code_fence,
    "title": title,
    "start-with": start_with,
    "end-with": end_with,
    "quoted": quoted,
    "tagged": tagged,
    "postscript": postscript,
    "closing-choice": closing_choice,
    "upper-case": upper_case,
    "lower-case": lower_case,
    "capital-words": capital_words,
    "no-commas": no_commas,
    "exclude-marks": exclude_marks,
    "no-digits": no_digits,
    "number-count": _counter(numbers, "numbers"),
    "question-count": _counter(questions, "questions"),
    "script": script,
    "two-answers": two_answers,
    "parts": separated,
    "line-start": line_start,
    "acrostic": acrostic,
    "paragraph-word": paragraph_word,
}
"""The checker of each type."""
