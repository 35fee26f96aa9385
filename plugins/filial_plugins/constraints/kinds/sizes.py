"""Types about how long an answer is, and how many of something it holds."""

from __future__ import annotations

from filial_plugins.constraints.constraint_type import AMOUNT, ConstraintType, amounts, number, one_of

SIZES = (
    ConstraintType(
        "word-count",
        (AMOUNT,),
        amounts(least=range(80, 181, 20), most=range(80, 201, 20), span=60),
        (
            "Answer in {amount} words.",
            "Use {amount} words for your whole answer.",
            "Your answer should have {amount} words.",
            "Write {amount} words in all.",
            "The length of the answer must be {amount} words.",
        ),
        claims=("length",),
    ),
    ConstraintType(
        "sentence-count",
        (AMOUNT,),
        amounts(least=range(5, 10), most=range(6, 11), exact=range(5, 9)),
        (
            "Answer in {amount} sentences.",
            "Write {amount} sentences.",
            "Your answer should consist of {amount} sentences.",
            "Put the whole answer into {amount} sentences.",
        ),
        claims=("length", "layout", "questions"),
        needs=("start", "end"),
    ),
    ConstraintType(
        "sentence-length",
        (number("at_most"),),
        one_of("at_most", range(20, 31, 5)),
        (
            "Let no sentence have more than {at_most} words.",
            "Keep every sentence to {at_most} words or fewer.",
            "Write short sentences: {at_most} words each at the most.",
            "None of your sentences may be longer than {at_most} words.",
        ),
        claims=("length",),
        needs=("layout",),
    ),
    ConstraintType(
        "paragraph-count",
        (AMOUNT,),
        amounts(least=range(3, 5), most=range(3, 6), exact=range(2, 6)),
        (
            "Write {amount} paragraphs, parted by blank lines.",
            "Split your answer into {amount} paragraphs with a blank line between them.",
            "Your answer should have {amount} paragraphs, with blank lines between them.",
            "Give the answer in {amount} paragraphs and leave a blank line after each but the last.",
        ),
        claims=("layout",),
        needs=("start", "end"),
    ),
    ConstraintType(
        "line-count",
        (AMOUNT,),
        amounts(least=range(4, 8), most=range(4, 8), exact=range(3, 8)),
        (
            "Write {amount} lines, blank ones not counted.",
            "Your answer should take up {amount} lines, apart from blank ones.",
            "Spread the answer over {amount} lines (blank lines do not count).",
            "Break your answer into {amount} lines that are not blank.",
        ),
        claims=("layout", "length"),
        needs=("start", "end"),
    ),
    ConstraintType(
        "character-count",
        (AMOUNT,),
        amounts(least=range(400, 801, 100), most=range(600, 1201, 100)),
        (
            "Your answer should have {amount} characters, blanks included.",
            "Use {amount} characters in all, counting blanks.",
            "Write {amount} characters, with the blanks between words counted.",
            "The answer must be {amount} characters long, blanks included.",
        ),
        claims=("length",),
        needs=("layout",),
    ),
    ConstraintType(
        "highlight-count",
        (AMOUNT,),
        amounts(least=range(2, 6), exact=range(2, 5)),
        (
            "Put {amount} parts of your answer in bold, **like this**.",
            "Highlight {amount} parts with double asterisks, **as here**.",
            "Set {amount} words or phrases in Markdown's **bold**.",
            "Mark {amount} important parts in bold with two asterisks on each side, **so**.",
        ),
        claims=("bold",),
    ),
    ConstraintType(
        "placeholder-count",
        (AMOUNT,),
        amounts(least=range(2, 5), exact=range(2, 5)),
        (
            "Use {amount} placeholders in square brackets, such as [name].",
            "Leave {amount} places open with placeholders in square brackets, for instance [date].",
            "Your answer should hold {amount} placeholders like [address], in square brackets.",
            "Put in {amount} placeholders that stand in square brackets, as in [place].",
        ),
        claims=("brackets",),
    ),
    ConstraintType(
        "number-count",
        (AMOUNT,),
        amounts(least=range(3, 7)),
        (
            "Give {amount} numbers in digits.",
            "Your answer should hold {amount} numbers written in digits.",
            "Mention {amount} figures, in digits rather than in words.",
            "Put {amount} numbers into the answer, each written in digits.",
        ),
        claims=("numbers",),
        needs=("digits",),
    ),
    ConstraintType(
        "question-count",
        (AMOUNT,),
        amounts(least=range(2, 4), exact=range(2, 4)),
        (
            "Ask {amount} questions in your answer, each with a question mark.",
            "Your answer should contain {amount} questions that end with a question mark.",
            "Put {amount} questions to the reader, with question marks.",
            "Let {amount} sentences of your answer be questions with a question mark.",
        ),
        claims=("questions",),
    ),
    ConstraintType(
        "capital-words",
        (AMOUNT,),
        amounts(least=range(2, 6), most=range(2, 5), exact=range(2, 5)),
        (
            "Write {amount} words in capital letters only.",
            "Your answer should have {amount} words that are all capitals.",
            "Use {amount} words in ALL CAPS.",
            "Let {amount} words of the answer stand in capitals, every letter of them.",
        ),
        claims=("capitals",),
        needs=("case", "latin"),
    ),
)
