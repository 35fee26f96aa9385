"""PyYAML's syntax errors in words for people who write recipes, not parsers."""

from __future__ import annotations

from collections.abc import Callable

import yaml

Place = Callable[[int], tuple[int, int]]

_PLAIN = {
    "mapping values are not allowed here": (
        "a second ':' on one line, or a line indented too far; text that holds ': ' needs quotes"
    ),
    "could not find expected ':'": "this is neither 'key: value' nor '- item'; is a ':' missing?",
    "sequence entries are not allowed here": "a list item must start on a line of its own",
    "expected '<document start>', but found": "the YAML ends before this; is the indentation right?",
    "expected <block end>, but found": "the indentation of this line does not fit the lines above",
    "mapping keys are not allowed here": "the '?' of a key must start a line of its own",
    "expected the node content, but found": "a value is missing here",
    "found undefined tag handle": "tags ('!...') are not allowed; remove it or put the text in quotes",
    "found incompatible YAML document": "this line asks for a YAML that is not version 1; remove it",
    "found unknown escape character": ("this backslash starts no known escape; write '\\\\' or use single quotes"),
}


def syntax_words(error: yaml.MarkedYAMLError, place: Place) -> str:
    """One plain sentence for a syntax error; ``place`` turns an index into line and column."""
    problem = error.problem or "something is wrong here"
    opened = ""
    if error.context_mark is not None:
        opened = "line {}, column {}".format(*place(error.context_mark.index))
    if problem.startswith("expected ',' or ']'"):
        return f"the list that opens with '[' at {opened} needs a ',' or a ']' here"
    if problem.startswith("expected ',' or '}'"):
        return f"the mapping that opens with '{{' at {opened} needs a ',' or a '}}' here"
    if problem.startswith(("found unexpected end of stream", "found unexpected document separator")):
        return f"the quoted text that opens at {opened} is never closed"
    if problem.startswith("found character '\\t'"):
        return "a tab cannot stand here; use spaces"
    if problem.startswith("found character"):
        return f"text cannot start with {problem.split()[2]}; put it in quotes"
    for start, words in _PLAIN.items():
        if problem.startswith(start):
            return words
    return f"this is not YAML: {problem}"
