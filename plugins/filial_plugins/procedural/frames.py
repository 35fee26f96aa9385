"""The sentences around a task: lead-ins, openers, closing phrases, connectives, input descriptions.

Everything here changes how a task is worded, never what it asks. The parser is built from the same tables, so a
phrase must not be readable as a clause of a task; `wording.render` checks each text by reading it back.
"""

from __future__ import annotations

from .grammar import Phrasebook

# ---------------------------------------------------------------- whole sentences that carry no task
LEAD_INS = Phrasebook(
    (
        "{who} is {doing}[| {when}].",
        "{when}, {who} is {doing}.",
        "{who} is in the {place}[| {when}].",
        "{who} is {doing} [in|near] the {place}.",
        "You are a {kind} {role}.",
        "[Imagine you are|Act as] a {kind} {role}.",
        "This is a {size} {puzzle} for {group}.",
        "[Here is|Next comes] a {size} {puzzle}[| for {group}].",
        "I have a {size} {puzzle} for you.",
        "{who} needs [some help|a hand][| {when}].",
        "{who} has a {puzzle}[| for us][| {when}].",
        "We are {doing}[| {when}], and {who} is [here too|waiting].",
    ),
    {
        "who": (
            "Tom", "Anna", "Ben", "Mia", "Lucy", "Omar", "my sister", "our teacher", "a farmer", "the cook",
            "our neighbor", "my uncle", "the new student", "a friend of mine",
        ),
        "doing": (
            "packing for a trip", "tidying the room", "writing a letter", "planning a party", "cleaning the windows",
            "getting ready for school", "making a poster", "learning English", "reading the news",
            "painting the fence", "playing a game", "cooking soup", "moving to a new house", "waiting for a guest",
            "filling a box", "looking for old books",
        ),
        "when": ("today", "this morning", "this evening", "right now", "after school", "on the weekend"),
        "place": ("garden", "kitchen", "library", "shop", "school yard", "office", "market", "museum"),
        "kind": ("helpful", "careful", "friendly", "patient", "clever", "polite"),
        "role": ("assistant", "clerk", "editor", "librarian", "guide", "tutor", "secretary", "shop keeper"),
        "size": ("short", "simple", "little", "quick", "funny", "tricky"),
        "puzzle": ("task", "puzzle", "exercise", "test", "problem sheet", "riddle"),
        "group": ("beginners", "children", "adults", "our class", "the team", "my family"),
    },
)  # fmt: skip

THANKS = Phrasebook(
    (
        "Thank you[| very much].", "Thanks [for your help|in advance].", "Take your time.", "[Be|Please be] exact.",
        "There is no rush.", "Check your work.", "This is [important|just for fun].", "That is all.",
        "Keep it short.", "Say nothing else.",
    )
)  # fmt: skip

# ---------------------------------------------------------------- openers: before the clause
ANCHORS = Phrasebook(
    (
        "[given|using|with] the [input|data|text] [below|here]", "from the [input|data] below",
        "[looking at|based on] the [input|data]", "for the [input|data] [below|that follows]",
    )
)  # fmt: skip
ORDER_OPENERS = Phrasebook(
    (
        "[can|could|would|will] you[| please]", "[please|kindly|now|simply|quickly|just]",
        "[your|the] [task|job|goal] is to", "I [need|want|would like|ask] you to", "my [goal|plan|wish] is to",
        "[please |]help [me|us|them] [to |]", "we [have|need|want] to", "[try|remember|be sure] to",
        "it is [time|your turn] to", "let us", "what you [have to|should] do is",
        "your [first|next|only] [task|job] is to", "be so kind as to",
        "{who} [wants|asks|needs] you to", "show {who} how to", "help {who} [to |]",
    ),
    {"who": ("Tom", "Anna", "Ben", "Mia", "my sister", "our teacher", "the cook", "my uncle", "the student")},
)  # fmt: skip
QUESTION_OPENERS = Phrasebook(
    (
        "tell [me|us|them]:", "[here is|I have] a question:", "[please |]answer this[| question]:",
        "[a|one] [quick|short|simple] question:", "[look at|study|read] the [input|data][| and answer]:",
        "let me ask:", "[I|we] wonder:", "[I|we] [want|need|would like] to know:",
        "{who} [asks|wonders|wants to know]:", "can you tell [me|us]:", "do you know:", "[now|next], say:",
    ),
    {"who": ("Tom", "Anna", "Ben", "Mia", "my sister", "our teacher", "the cook", "my uncle", "the student")},
)  # fmt: skip
POLITE_QUESTIONS = ("can", "could", "would", "will")
"""An order that opens with one of these ends in a question mark."""

# ---------------------------------------------------------------- closers: after the clause
CLOSERS = Phrasebook(
    (
        "for {my} {thing}", "for {my} {kind} {thing}", "before {event}", "while I {work}",
        "so that {who} can [check|read|use|see|print] it", "because {who} [asked|needs it|is waiting|told me to]",
        "and [send|show|give|hand] it to {who}", "as part of {my} {thing}", "to [help|please|surprise] {who}",
    ),
    {
        "my": ("my", "our", "the", "his", "her", "your"),
        "kind": ("new", "weekly", "secret", "private", "yearly", "next"),
        "thing": (
            "shopping list", "school project", "garden party", "travel plan", "report", "quiz", "birthday card",
            "notebook", "museum guide", "newsletter", "diary", "wall calendar", "story book", "catalog",
        ),
        "event": ("lunch", "dinner", "the meeting", "the lesson", "noon", "we leave", "the shop opens"),
        "work": (
            "make some tea", "call Anna", "look for a pen", "tidy the shelf", "set the table", "water the plants",
        ),
        "who": ("Tom", "Anna", "Mia", "my sister", "our teacher", "my uncle", "the boss", "everyone", "the cook"),
    },
)  # fmt: skip

# ---------------------------------------------------------------- frames for one, two and three steps
# {open} stands for an opener (maybe empty), {close} for a closer (maybe empty); {1} {2} {3} for the clauses.
ORDER_FRAMES: dict[int, tuple[str, ...]] = {
    1: ("{open}{1}{close}.",),
    2: (
        "{open}{1}, then {2}{close}.",
        "{open}{1} and then {2}{close}.",
        "{open}first {1} and then {2}{close}.",
        "{open}{1}{close}. After that, {2}.",
        "{open}{1}{close}. Next, {2}.",
        "First, {open}{1}. Then {2}{close}.",
        "There are two steps: {1}, then {2}{close}.",
        "Step one: {1}. Step two: {2}{close}.",
        "Begin like this: {1}. Then {2}{close}.",
        "{open}{1}, and once that is done, {2}{close}.",
    ),
    3: (
        "{open}{1}, then {2}, and finally {3}{close}.",
        "{open}first {1}, then {2}, then {3}{close}.",
        "{open}{1}. Next, {2}. Finally, {3}{close}.",
        "First, {open}{1}. After that, {2}. Then {3}{close}.",
        "There are three steps: {1}, then {2}, then {3}{close}.",
        "Step one: {1}. Step two: {2}. Step three: {3}{close}.",
    ),
}
QUESTION_FRAMES: dict[int, tuple[str, ...]] = {
    1: ("{ask}{1}?",),
    2: (
        "If you {1}, {2}?",
        "Suppose you {1}: {2}?",
        "{ask}when you {1}, {2}?",
        "{open}{1}{close}. Now {2}?",
        "First, {open}{1}{close}. Then {2}?",
        "After you {1}, {2}?",
        "{open}{1}, then answer this: {2}?",
    ),
    3: (
        "If you {1} and then {2}, {3}?",
        "Suppose you {1} and then {2}: {3}?",
        "{open}{1}{close}. Next, {2}. Now {3}?",
        "{open}first {1}, then {2}, then answer this: {3}?",
    ),
}

# ---------------------------------------------------------------- what the input looks like
SHAPE_SENTENCES: dict[str, Phrasebook] = {
    "json": Phrasebook(
        (
            "The [input|data|list] is [a JSON list|in JSON].", "You [are given|get|have] a JSON list.",
            "[Take|Use] the [items|entries] of the JSON list.",
        )
    ),
    "bullets": Phrasebook(
        (
            "The [input|data|list] is a bullet list.", "You [are given|get|have] a bullet list.",
            "[Take|Use] the [items|entries] with bullets.",
        )
    ),
    "table": Phrasebook(
        (
            "[Take|Use] the [items|entries] [in|of] the table.", "You [are given|get|have] a table of items.",
            "The items [are|stand] in the first column of the table.",
        )
    ),
}  # fmt: skip

INLINE_LISTS = Phrasebook(("here is the list", "[use|take] this list", "the list is", "my list", "the input is"))
INLINE_WORDS = Phrasebook(("here is the input", "[use|take] this", "the input is", "my input"))
