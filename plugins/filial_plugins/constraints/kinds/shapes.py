"""Types about the shape of an answer: lists, tables, JSON, CSV, code, parts."""

from __future__ import annotations

from filial_plugins.constraints.constraint_type import (
    AMOUNT,
    ConstraintType,
    amounts,
    both,
    nothing,
    number,
    one_of,
    phrase,
    phrases,
)

KEYS = (("answer",), ("answer", "reason"), ("result", "comment"), ("answer", "steps"), ("topic", "answer"))
LINE_MARKS = (">", "=>", "*", "-", "::")
ACROSTICS = ("RIVER", "LIGHT", "STONE", "CLOUD", "BREAD", "NORTH")
OPENERS = ("first", "here", "now", "then", "still", "next")
_WHOLE = ("layout", "length", "start", "end", "case", "capitals", "commas", "marks", "questions", "bold", "brackets")

SHAPES = (
    ConstraintType(
        "bullet-count",
        (AMOUNT,),
        amounts(least=range(3, 6), exact=range(3, 7)),
        (
            "Give the answer as a list with {amount} bullet points.",
            "Use {amount} bullet points, each on a line of its own.",
            "Write {amount} bullets, one to a line.",
            "Your answer should be set out in {amount} bullet points.",
        ),
        claims=("layout",),
    ),
    ConstraintType(
        "numbered-list",
        (number("items"),),
        one_of("items", range(3, 7)),
        (
            "Write a numbered list from 1 to {items}, one item on each line.",
            "Put the answer into a numbered list of {items} items.",
            "Number your points from 1. to {items}. and give each a line of its own.",
            "Your answer should be a list of {items} numbered items.",
        ),
        claims=("layout", "numbers"),
        needs=("digits",),
    ),
    ConstraintType(
        "heading-count",
        (AMOUNT,),
        amounts(least=range(2, 4), exact=range(2, 5)),
        (
            "Structure your answer with {amount} Markdown headings.",
            "Give your answer {amount} headings, each a line that begins with #.",
            "Divide the answer by {amount} headings in Markdown (# or ##).",
            "Your answer should have {amount} headings written with #.",
        ),
        claims=("layout",),
    ),
    ConstraintType(
        "table",
        (number("columns"),),
        one_of("columns", range(2, 5)),
        (
            "Present the answer in a Markdown table with {columns} columns.",
            "Use a Markdown table of {columns} columns.",
            "Your answer should contain a table in Markdown that has {columns} columns.",
            "Put what you have to say into a Markdown table with {columns} columns.",
        ),
        claims=("layout",),
    ),
    ConstraintType(
        "json",
        (phrases("keys"),),
        lambda rng: {"keys": list(rng.choice(KEYS))},
        (
            "Answer with nothing but a JSON object that has {keys} as keys.",
            "The whole answer must be one JSON object with {keys} among its keys.",
            "Give your answer as a JSON object, with {keys} for keys and no text around it.",
            "Write a JSON object and nothing else; its keys must include {keys}.",
        ),
        claims=_WHOLE,
        needs=("latin",),
    ),
    ConstraintType(
        "csv",
        (number("columns"),),
        one_of("columns", range(2, 5)),
        (
            "Answer with nothing but CSV: a header and at least one row, {columns} columns each.",
            "The whole answer must be comma-separated values with {columns} columns, header first.",
            "Give the answer as CSV of {columns} columns with a header line and no text around it.",
            "Write CSV only: {columns} columns, a header line, then one row or more.",
        ),
        claims=_WHOLE,
        needs=("latin",),
    ),
    ConstraintType(
        "code-fence",
        (),
        nothing,
        (
            "Put the whole answer into one fenced code block.",
            "Wrap your entire answer in a single code block with triple backticks.",
            "Your answer should be one code block in Markdown, with nothing before or after it.",
            "Write everything inside one block fenced by ```, and nothing outside.",
        ),
        claims=("layout", "start", "end", "bold"),
    ),
    ConstraintType(
        "two-answers",
        (),
        nothing,
        (
            "Give two different answers with a line of six asterisks (******) between them.",
            "Write two answers that differ, parted by a line that holds only ******.",
            "Answer twice, in different ways, and put a line of ****** between the two answers.",
            "Offer two different versions of the answer; separate them by a line of six asterisks: ******.",
        ),
        claims=("layout",),
    ),
    ConstraintType(
        "parts",
        (number("parts"),),
        one_of("parts", range(2, 5)),
        (
            "Divide your answer into {parts} parts with a line of three dashes (---) between them.",
            "Write {parts} parts and put a line that holds only --- between each two.",
            "Your answer should have {parts} parts, parted by lines of three dashes: ---.",
            "Split the answer into {parts} parts by lines with nothing but --- on them.",
        ),
        claims=("layout",),
    ),
    ConstraintType(
        "line-start",
        (phrase("mark"),),
        one_of("mark", LINE_MARKS),
        (
            "Begin every line with {mark} and a blank.",
            "Every line of your answer must start with {mark}, followed by a blank.",
            "Put {mark} and a blank at the beginning of each line.",
            "Let each line open with the mark {mark} and a blank.",
        ),
        claims=("layout", "start", "end"),
    ),
    ConstraintType(
        "acrostic",
        (phrase("word"),),
        one_of("word", ACROSTICS),
        (
            "Let the first letters of your lines spell {word}, one line for each letter.",
            "Write as many lines as {word} has letters, so that their first letters spell it.",
            "Make an acrostic of {word}: the first letters of the lines spell the word.",
            "Your lines, read by their first letters from top to bottom, should spell {word}.",
        ),
        claims=("layout", "length", "start", "end"),
        needs=("latin",),
    ),
    ConstraintType(
        "paragraph-word",
        (number("paragraph"), phrase("word")),
        both(one_of("paragraph", range(2, 5)), one_of("word", OPENERS)),
        (
            "Begin paragraph {paragraph} with the word {word}; blank lines part the paragraphs.",
            "Part your paragraphs by blank lines, and start number {paragraph} with the word {word}.",
            "Write paragraphs with blank lines between them; the first word of number {paragraph} must be {word}.",
            "Paragraph {paragraph} of your answer (blank lines part them) should open with the word {word}.",
        ),
        claims=("layout", "start"),
        needs=("latin",),
    ),
)
