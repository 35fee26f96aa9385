"""Write the ten task files beside this module: ``python -m filial_plugins.tasks.make_tasks``.

Every text is made of the word lists here. The same seed gives the same files.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 1
Row = dict[str, Any]

NAMES = ("Ana", "Ben", "Chen", "Dora", "Emil", "Fatou", "Goran", "Hana", "Ivan", "Jun", "Kira", "Leo")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUMBERS = ("two", "three", "four", "five", "six", "seven")


def make_sentiment(rng: random.Random) -> Row:
    """A remark on a thing, good or bad."""
    thing = rng.choice(("soup", "film", "hotel", "book", "concert", "coat", "train ride", "garden", "cake", "museum"))
    good = rng.random() < 0.5
    words = ("lovely", "warm", "quick", "clean", "charming", "fresh") if good else (
        "dull", "cold", "slow", "dirty", "noisy", "stale"
    )  # fmt: skip
    first, second = rng.sample(words, 2)
    ends = ("I will come back.", "I told all my friends.", "What a good day.") if good else (
        "Never again.", "I want my money back.", "What a waste of time."
    )  # fmt: skip
    text = f"The {thing} was {first} and {second}. {rng.choice(ends)}"
    return {"text": text, "answer": "positive" if good else "negative", "options": ["positive", "negative"]}


def make_inference(rng: random.Random) -> Row:
    """A statement that follows, contradicts, or is not decided."""
    name, count, day = rng.choice(NAMES), rng.choice(NUMBERS), rng.choice(DAYS)
    thing, kind = rng.choice((("apples", "fruit"), ("roses", "flowers"), ("chairs", "furniture"), ("hens", "birds")))
    other = rng.choice([one for one in DAYS if one != day])
    answer, hypothesis = rng.choice(
        (
            ("yes", f"{name} bought some {kind}."),
            ("yes", f"{name} bought something on {day}."),
            ("no", f"{name} bought nothing on {day}."),
            ("no", f"{name} bought the {thing} on {other}."),
            ("not said", f"{name} paid a lot for the {thing}."),
            ("not said", f"{name} bought the {thing} for a friend."),
        )
    )
    premise = f"On {day} {name} bought {count} {thing} at the market."
    return {"premise": premise, "hypothesis": hypothesis, "answer": answer, "options": ["yes", "no", "not said"]}


def make_paraphrase(rng: random.Random) -> Row:
    """Two sentences on who did what, with the same meaning or with the roles changed."""
    giver, taker = rng.sample(NAMES, 2)
    thing = rng.choice(("a letter", "a map", "the keys", "a lamp", "an old coin", "the tickets"))
    same = rng.random() < 0.5
    first, second = (giver, taker) if same else (taker, giver)
    one, other = rng.choice(
        (
            (f"{giver} gave {taker} {thing}.", f"{second} got {thing} from {first}."),
            (f"{giver} sold {thing} to {taker}.", f"{second} bought {thing} from {first}."),
            (f"{giver} lent {taker} {thing}.", f"{second} borrowed {thing} from {first}."),
        )
    )
    return {"first": one, "second": other, "answer": "yes" if same else "no", "options": ["yes", "no"]}


TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sport": (("The home team", "The young goalkeeper", "The swimmer"), ("won by a hair", "set a record")),
    "weather": (("Rain", "A strong wind", "Thick fog"), ("will reach the coast", "stays until the weekend")),
    "food": (("The new bakery", "A cook from the harbour", "The market"), ("sells rye bread", "serves fish soup")),
    "money": (("The rent", "The price of bread", "A tax"), ("went up by a tenth", "was cut by a third")),
    "travel": (("The night train", "A ferry to the island", "The tour"), ("leaves an hour later", "is fully booked")),
}


def make_topic(rng: random.Random) -> Row:
    """A line of news on one of five topics."""
    topic = rng.choice(list(TOPICS))
    who, what = TOPICS[topic]
    text = f"{rng.choice(who)} {rng.choice(what)}, people said on {rng.choice(DAYS)}."
    return {"text": text, "answer": topic, "options": list(TOPICS)}


OPPOSITES = (
    ("hot", "cold"),
    ("early", "late"),
    ("full", "empty"),
    ("loud", "quiet"),
    ("wet", "dry"),
    ("thick", "thin"),
)
KINDS = {
    "animal": ("fox", "owl", "trout", "goat"), "tool": ("hammer", "saw", "drill", "spade"),
    "colour": ("red", "green", "purple", "grey"), "drink": ("tea", "milk", "juice", "cocoa"),
}  # fmt: skip


def make_question(rng: random.Random) -> Row:
    """A question on words with four answers to choose from."""
    if rng.random() < 0.5:
        pair = rng.choice(OPPOSITES)
        word, answer = rng.sample(pair, 2)
        others = [each for two in OPPOSITES for each in two if each not in pair]
        question = f"What is the opposite of '{word}'?"
    else:
        kind = rng.choice(list(KINDS))
        answer = rng.choice(KINDS[kind])
        others = [word for name, words in KINDS.items() if name != kind for word in words]
        question = f"Which of these is {'an' if kind == 'animal' else 'a'} {kind}?"
    options = [answer, *rng.sample(others, 3)]
    rng.shuffle(options)
    return {"question": question, "answer": answer, "options": options}


def make_reading(rng: random.Random) -> Row:
    """A portrait of two or three facts, and a question about one."""
    name, other = rng.sample(NAMES, 2)
    town = rng.choice(("Oslo", "Porto", "Lima", "Kyoto", "Tunis", "Riga"))
    work = rng.choice(("baker", "nurse", "pilot", "gardener", "teacher", "carpenter"))
    pets = f"{rng.choice(NUMBERS)} {rng.choice(('cats', 'dogs', 'rabbits'))}"
    context = f"{name} lives in {town} and works as a {work}. At home there are {pets}. {other} is a good friend."
    question, answer = rng.choice(
        (
            (f"Where does {name} live?", town),
            (f"What does {name} work as?", f"a {work}"),
            ("Which animals are at home?", pets),
            (f"Who is a friend of {name}?", other),
        )
    )
    return {"context": context, "question": question, "answer": answer}


def make_summary(rng: random.Random) -> Row:
    """A notice to neighbours, and what it comes down to."""
    thing = rng.choice(("lift", "laundry room", "garden gate", "water", "heating", "front door"))
    day, hour = rng.choice(DAYS), rng.randint(7, 15)
    cause = rng.choice(("it has to be repaired", "a part is replaced", "it is inspected", "the pipes are cleaned"))
    ask = rng.choice(("Please plan ahead.", "Please tell those who were not here.", "We are sorry for the trouble."))
    text = (
        f"Dear neighbours, on {day} between {hour} and {hour + 3} o'clock the {thing} cannot be used, because {cause}. "
        f"{ask} Yours, {rng.choice(NAMES)}"
    )
    return {"text": text, "summary": f"The {thing} cannot be used on {day} from {hour} to {hour + 3}."}


NOUNS = {
    "dog": ("Der Hund", "El perro"), "table": ("Der Tisch", "La mesa"), "house": ("Das Haus", "La casa"),
    "book": ("Das Buch", "El libro"), "street": ("Die Straße", "La calle"), "garden": ("Der Garten", "El jardín"),
    "chair": ("Der Stuhl", "La silla"), "shirt": ("Das Hemd", "La camisa"),
}  # fmt: skip
ADJECTIVES = {
    "old": ("alt", "viej"), "new": ("neu", "nuev"), "small": ("klein", "pequeñ"), "red": ("rot", "roj"),
    "white": ("weiß", "blanc"), "beautiful": ("schön", "hermos"),
}  # fmt: skip


def make_translation(rng: random.Random) -> Row:
    """A short sentence in English, and in German or Spanish."""
    noun, adjective = rng.choice(list(NOUNS)), rng.choice(list(ADJECTIVES))
    (german, spanish), (said, stem) = NOUNS[noun], ADJECTIVES[adjective]
    text = f"The {noun} is {adjective}."
    if rng.random() < 0.5:
        return {"text": text, "language": "German", "translation": f"{german} ist {said}."}
    ending = "o" if spanish.startswith("El") else "a"
    return {"text": text, "language": "Spanish", "translation": f"{spanish} es {stem}{ending}."}


def make_reasoning(rng: random.Random) -> Row:
    """A problem of two steps with its reasoning."""
    name, other = rng.sample(NAMES, 2)
    thing = rng.choice(("apples", "stamps", "marbles", "shells", "pencils"))
    first, second, third = rng.randint(8, 20), rng.randint(2, 7), rng.randint(2, 9)
    left, total = first - second, first - second + third
    question = (
        f"{name} has {first} {thing}, gives {second} to {other} and then finds {third}. "
        f"How many {thing} does {name} have?"
    )
    rationale = (
        f"After the gift {first} - {second} = {left} are left. With those found it is {left} + {third} = {total}."
    )
    return {"question": question, "rationale": rationale, "answer": str(total)}


def make_dialogue(rng: random.Random) -> Row:
    """A short exchange and its next turn."""
    name, count, day, hour = rng.choice(NAMES), rng.choice(NUMBERS), rng.choice(DAYS), rng.randint(6, 9)
    history, reply = rng.choice(
        (
            (
                [f"Guest: A table for {count} on {day}, please.", "Host: At which time?", f"Guest: At {hour}."],
                f"Host: A table for {count} on {day} at {hour}. Under which name?",
            ),
            (
                [f"Caller: Is {name} in?", f"Desk: {name} is back on {day}.", "Caller: Can I leave a message?"],
                f"Desk: Of course. I will give it to {name} on {day}.",
            ),
            (
                ["Visitor: Where is the station?", f"Local: Go straight on for {count} streets.", "Visitor: And then?"],
                "Local: Then turn left. You cannot miss it.",
            ),
        )
    )
    return {"history": history, "reply": reply}


TASKS: dict[str, tuple[Callable[[random.Random], Row], int]] = {
    "sentiment": (make_sentiment, 100),
    "inference": (make_inference, 90),
    "paraphrase": (make_paraphrase, 60),
    "topic": (make_topic, 80),
    "question-answering": (make_question, 50),
    "reading": (make_reading, 70),
    "summarization": (make_summary, 40),
    "translation": (make_translation, 60),
    "reasoning": (make_reasoning, 80),
    "dialogue": (make_dialogue, 40),
}
"""How to make a row of each type of task, and how many there are."""


def make_rows(name: str) -> list[Row]:
    """Return the rows of a task, none twice."""
    make_row, count = TASKS[name]
    rng, rows = random.Random(f"{SEED} {name}"), list[Row]()
    while len(rows) < count:
        row = make_row(rng)
        if row not in rows:
            rows.append(row)
    return rows


def write_tasks(folder: Path) -> None:
    """Write ``TASK.jsonl`` for every task."""
    for name in TASKS:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in make_rows(name)]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    write_tasks(Path(__file__).parent)
