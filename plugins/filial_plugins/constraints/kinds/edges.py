"""Types about how an answer begins and ends, and what stands around it."""

from __future__ import annotations

import random

from filial_plugins.constraints.constraint_type import ConstraintType, nothing, one_of, option, phrase, phrases

FIRST_SENTENCES = ("Here is my answer.", "This is what I found.", "Let us take a look.", "My answer follows.")
LAST_SENTENCES = ("That is all.", "I hope this helps.", "Ask me if you need more.", "Thank you for asking.")
TAGS = ("answer", "reply", "response", "output")
MARKERS = ("P.S.", "P.P.S.", "Note:")
CHOICES = {
    "Confidence": ("low", "medium", "high"),
    "Level": ("easy", "moderate", "hard"),
    "Certain": ("yes", "no"),
    "Tone": ("formal", "casual", "neutral"),
}


def _choice(rng: random.Random) -> dict[str, object]:
    label = rng.choice(list(CHOICES))
    return {"label": label, "options": list(CHOICES[label])}


EDGES = (
    ConstraintType(
        "start-with",
        (phrase("phrase"),),
        one_of("phrase", FIRST_SENTENCES),
        (
            "Begin your answer with {phrase}",
            "The first words of your answer must be exactly {phrase}",
            "Start with this sentence: {phrase}",
            "Open your answer with the words {phrase}",
        ),
        claims=("start",),
        needs=("case", "latin"),
    ),
    ConstraintType(
        "end-with",
        (phrase("phrase"),),
        one_of("phrase", LAST_SENTENCES),
        (
            "End your answer with {phrase}",
            "The last words of your answer must be exactly {phrase}",
            "Finish with this sentence and nothing after it: {phrase}",
            "Close your answer with the words {phrase}",
        ),
        claims=("end",),
        needs=("case", "latin"),
    ),
    ConstraintType(
        "title",
        (),
        nothing,
        (
            "Put a title in double angle brackets, <<like this>>, on the first line.",
            "The first line must be a title in double angle brackets, such as <<A title>>.",
            "Give your answer a title on a first line of its own, written <<so>>.",
            "Start with a title line that is wrapped in double angle brackets: <<title>>.",
        ),
        claims=("start",),
    ),
    ConstraintType(
        "quoted",
        (),
        nothing,
        (
            "Put your whole answer in double quotation marks.",
            "Wrap the entire answer in double quotes.",
            "Your answer should begin and end with a double quotation mark.",
            "Enclose everything you write in one pair of double quotation marks.",
        ),
        claims=("start", "end", "layout"),
    ),
    ConstraintType(
        "tagged",
        (option("tag", TAGS),),
        one_of("tag", TAGS),
        (
            "Put the whole answer between <{tag}> and its closing tag.",
            "Wrap your entire answer in one <{tag}> element, with nothing outside of it.",
            "Your answer should begin with the tag <{tag}> and end with the closing tag of it.",
            "Enclose everything you write in a single <{tag}> tag and close it at the end.",
        ),
        claims=("start", "end", "layout"),
        needs=("case",),
    ),
    ConstraintType(
        "postscript",
        (option("marker", MARKERS),),
        one_of("marker", MARKERS),
        (
            "Add a postscript at the end that begins with {marker} on a line of its own.",
            "Close with a line that starts with {marker} and adds one more remark.",
            "At the very end, write a remark that opens with {marker} on a new line.",
            "Let the last line of your answer be a remark after {marker} at its beginning.",
        ),
        claims=("end",),
        needs=("case", "capitals"),
    ),
    ConstraintType(
        "closing-choice",
        (phrase("label"), phrases("options")),
        _choice,
        (
            "On the last line write {label}, a colon, and one of {options}.",
            "End with a line that holds {label}, a colon, and one of these words: {options}.",
            "Let your last line be {label} followed by a colon and one of {options}.",
            "Close with {label} and a colon on a line of its own, and choose one of {options} after it.",
        ),
        claims=("end",),
        needs=("case", "latin"),
    ),
)
