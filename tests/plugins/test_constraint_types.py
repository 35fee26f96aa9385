"""Each type of constraint tells a text that keeps it from one that breaks it.

The texts are made here, from the arguments alone, without a look at the checkers.
"""

from __future__ import annotations

import csv
import io
import json
import random

import pytest
from cpu_kit import bounded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filial_plugins.constraints.catalogue import CONSTRAINT_TYPES
from filial_plugins.constraints.verdicts import find_violation, holds

WORD = st.text("abcdefghiklmnoprstuvwyäéœß", min_size=3, max_size=8)
BLANK = st.sampled_from([" ", "  ", "\n", " \t"])
LETTERS = {
    "Latin": "abcdefgäéßſ", "Cyrillic": "абвгдеёжї", "Greek": "αβγδεώ", "Hangul": "가나다라ㄱ", "Han": "你好世界々",
    "Kana": "あいうアイウー", "Arabic": "ابتثج", "Devanagari": "अआइकखग",
}  # fmt: skip


class Writer:
    """Draws texts; ``good`` says whether the text is to keep the constraint."""

    def __init__(self, draw, args, good):
        self.draw, self.args, self.good = draw, args, good

    def words(self, least=1, most=6):
        return self.draw(st.lists(WORD, min_size=least, max_size=most))

    def some(self, least=1, most=6):
        return " ".join(self.words(least, most))

    def pick(self, *choices):
        return self.draw(st.sampled_from(choices))

    def count(self, least=None, most=None):
        """A number within the bounds of the arguments, or outside of them."""
        low, high = self.args.get("at_least", least), self.args.get("at_most", most)
        if self.good:
            return self.draw(st.integers(low or 0, high if high is not None else low + 5))
        outside = [n for n in (low and low - 1, low and low // 2) if n] if low else []
        if high is not None:
            outside += [high + 1, high + 3]
        return self.pick(*outside)

    def mixed(self, special):
        """Special words among others, in any order."""
        tokens = self.words() + special
        return " ".join(self.draw(st.permutations(tokens)))


def word_count(w):
    tokens = [self + w.pick("", ",", ".", "'s", "-so") for self in w.draw(lists_of(WORD, w.count()))]
    return w.draw(BLANK).join(tokens).replace(" ", w.pick(" ", " - ", " & "), 3)


def lists_of(strategy, count):
    return st.lists(strategy, min_size=count, max_size=count)


def sentence(w, most=5):
    return w.some(1, most).capitalize() + w.pick(".", "!", "?", "...", "?!", ' 3.5 m."', " e.g. so.", " by Dr. Ek.")


def sentence_count(w):
    return w.pick(" ", "\n", "\n\n").join(sentence(w) for _ in range(w.count()))


def sentence_length(w):
    most = w.args["at_most"]
    exact = most if w.good else most + 1
    longest = " ".join(w.draw(lists_of(WORD, exact))) + "."
    return f"{sentence(w)} {longest} {w.some()}."


def paragraph_count(w):
    return w.pick("\n\n", "\n \n", "\r\n\r\n\r\n").join(w.pick("", "- ") + w.some() for _ in range(w.count()))


def line_count(w):
    return w.pick("\n", "\r\n", "\n\n", "\n  \n").join(w.some() for _ in range(w.count()))


def character_count(w):
    n = w.count()
    return w.pick("", "\n ") + (w.some(2, 6) * n)[: n - 1].replace("  ", "oo").ljust(n, ".") + w.pick("", "\n")


def include_words(w):
    words = w.args["words"] if w.good else [f"{w.args['words'][0]}s", *w.args["words"][1:]]
    return w.mixed([w.pick(word, word.upper(), f"({word})", f"{word},", f"**{word}**") for word in words])


def include_phrase(w):
    phrase = w.args["phrase"]
    if not w.good:
        return f"{w.some()} {' '.join(phrase.split()[::-1])} {w.some()}"
    return f"{w.some()} {w.pick(phrase, phrase.upper(), phrase.replace(' ', '  '))} {w.some()}"


def exclude_words(w):
    words = w.args["words"]
    return w.mixed([f"a{word}b" for word in words] if w.good else [w.pick(words[0], words[0].title() + "!")])


def word_frequency(w):
    word = w.args["word"]
    return w.mixed([w.pick(word, word.title(), f"{word}!") for _ in range(w.count())] + [f"{word}x"])


def letter_frequency(w):
    letter = w.args["letter"]
    other = "".join(w.words()).replace(letter, "")
    return w.draw(st.permutations([*other, *(w.pick(letter, letter.upper()) for _ in range(w.count()))]).map("".join))


def without(mark):
    return lambda w: w.some() + ("" if w.good else w.pick(*mark(w))) + w.some()


def upper_case(w):
    text = w.some().upper().replace("ß", "SS") + " 12!"
    return text if w.good else text + w.draw(WORD)


def lower_case(w):
    text = w.some() + " 12!"
    return text if w.good else text + "A"


def capital_words(w):
    return w.mixed([w.draw(WORD).upper() + w.pick("", ".", "2") for _ in range(w.count())] + ["I", "A", "Big", "12"])


def script(w):
    own, other = LETTERS[w.args["script"]], LETTERS[w.pick(*(n for n in LETTERS if n != w.args["script"]))]
    share = w.draw(st.integers(0, 10) if w.good else st.integers(11, 100))
    letters = [w.pick(*other) for _ in range(share)] + [w.pick(*own) for _ in range(100 - share)]
    return f"12 {' '.join(''.join(letters[i : i + 9]) for i in range(0, 100, 9))} !"


def bullets(w):
    items = [w.pick("- ", "* ", "+ ", "  - ", "• ") + w.some() for _ in range(w.count())]
    return f"{w.pick('**so** ', '-so ', '')}{w.some()}:\n" + "\n".join(items) + w.pick("", "\n---\n", "\n```\n- x\n```")


def numbered(w):
    n, mark = w.args["items"], w.pick(". ", ") ")
    numbers = (
        list(range(1, n + 1)) if w.good else w.pick([*range(1, n)], [*range(1, n + 2)], [1] * n, [*range(n, 0, -1)])
    )
    return "\n".join(f"{i}{mark}{w.some()}" for i in numbers) + w.pick("", "\n2.5 is no item")


def headings(w):
    parts = [f"{'#' * w.draw(st.integers(1, 6))} {w.some()}\n{w.some()}" for _ in range(w.count())]
    return w.pick("", "#so\n", "```\n# so\n```\n") + "\n".join(parts)


def bolds(w):
    return w.mixed([f"**{w.some(1, 2)}**" for _ in range(w.count())] + ["*so*", "2*3"])


def brackets(w):
    return w.mixed([f"[{w.some(1, 2)}]" for _ in range(w.count())] + ["[ ]", "[so](http://so)", "[x]"])


def numbers(w):
    return w.mixed([w.pick("3", "3.5", "1,000", "(12)", "-7%") for _ in range(w.count())])


def questions(w):
    asked = [w.some() + w.pick("?", "??", '?"') for _ in range(w.count())]
    return " ".join(w.draw(st.permutations([*asked, w.some() + "."])))


def table(w):
    n = w.args["columns"]
    rows = [w.draw(lists_of(WORD, n)) for _ in range(3)]
    if w.good:
        rows[0][0] += r" \| more"
        rows[1:1] = [[w.pick("---", ":-:", "--:")] * n]
    else:
        rows[1:1] = w.pick([["---"] * (n + 1)], [], [["--"] * (n - 1)])
    edge = w.pick("|", "") if n > 1 else "|"
    return f"{w.some()}\n\n" + "\n".join(f"{edge} {' | '.join(row)} {edge}".strip() for row in rows)


def as_json(w):
    value = {key: w.draw(st.one_of(WORD, st.integers(), st.lists(st.booleans()))) for key in w.args["keys"]}
    text = json.dumps({**value, "other": [1, {"a": None}]}, indent=w.pick(None, 2), ensure_ascii=w.pick(True, False))
    if w.good:
        return w.pick("", "\n") + text + w.pick("", "\n")
    bad = {**value, "other": 1}
    del bad[w.args["keys"][0]]
    return w.pick(text + ".", text[:-1], f"[{text}]", text.replace("null", "NaN"), json.dumps(bad), w.some())


def as_csv(w):
    n = w.args["columns"]
    rows = [[w.draw(WORD) + w.pick("", ", so", '"', "\nso") for _ in range(n)] for _ in range(3)]
    if not w.good:
        rows = w.pick(rows[:1], [*rows, [*rows[0], "more"]], [row[:-1] for row in rows])
    out = io.StringIO()
    csv.writer(out, lineterminator=w.pick("\n", "\r\n")).writerows(rows)
    return out.getvalue()


def fence(w):
    mark, text = w.pick("```", "~~~~"), "\n".join(w.words())
    block = f"{mark}{w.pick('', 'text')}\n{text}\n{mark}"
    return block if w.good else w.pick(f"So:\n{block}", f"{block}\nSo.", f"{mark}\n{text}", f"{block}\n{block}", text)


def title(w):
    head, text = f"<<{w.some()}>>", w.some()
    bad = (f"{text}\n{head}", f"{head} {text}", f"<{head[2:-2]}>\n{text}", f"<<>>\n{text}", text)
    return w.pick("", "\n") + f"{head}\n\n{text}" if w.good else w.pick(*bad)


def start(w):
    phrase = w.args["phrase"]
    return (
        w.pick("", "\n") + f"{phrase} {w.some()}"
        if w.good
        else w.pick(f"{w.some()} {phrase}", phrase[:-1], phrase.upper())
    )


def end(w):
    phrase = w.args["phrase"]
    return (
        f"{w.some()} {phrase}" + w.pick("", "\n")
        if w.good
        else w.pick(f"{phrase} {w.some()}", phrase[1:], phrase.upper())
    )


def quoted(w):
    text = w.some()
    bad = (f'"{text}', f"'{text}'", f'He said "{text}"', '""', text)
    return w.pick('"{}"', "“{}”", "«{}»", "„{}“").format(text) if w.good else w.pick(*bad)


def tagged(w):
    tag, text = w.args["tag"], w.some()
    good, bare = f"<{tag}>{w.pick('', chr(10))}{text}</{tag}>", f"<{tag}>{text}"
    return good if w.good else w.pick(bare, f"{good} so", f"so {good}", good * 2, f"<{tag}></{tag}>", f"<b>{text}</b>")


def postscript(w):
    mark = w.args["marker"]
    good = f"{w.some()}{w.pick(chr(10), chr(10) * 2)}{mark} {w.some()}"
    return (
        good
        if w.good
        else w.pick(f"{good}\n\n{w.some()}", f"{w.some()}\n\n{mark}", f"{w.some()} {mark} {w.some()}", w.some())
    )


def closing(w):
    label, options = w.args["label"], w.args["options"]
    line = f"{label}: {w.pick(*options)}"
    bad = (f"{line}\n{w.some()}", f"{w.some()} {line}", f"{label}: maybe", f"{label}: {' or '.join(options)}", w.some())
    return f"{w.some()}\n{line}{w.pick('', '.', chr(10))}" if w.good else w.pick(*bad)


def two(w):
    first, line = w.some(), w.pick("\n******\n", "\n\n********\n\n")
    bad = (f"{first}{line}{first}", first, f"{first}{line}", f"{first}\n***\nso {first}", f"{first}{line}a b{line}c")
    return f"{first}{line}so {first}" if w.good else w.pick(*bad)


def parts(w):
    n = w.args["parts"]
    count = n if w.good else w.pick(n - 1, n + 1)
    return w.pick("\n---\n", "\n\n-----\n\n").join(w.some() + w.pick("", "\n- so") for _ in range(count))


def line_start(w):
    mark = w.args["mark"]
    rows = [f"{mark} {w.some()}" for _ in range(w.draw(st.integers(1, 4)))]
    if not w.good:
        rows.insert(w.draw(st.integers(0, len(rows))), w.pick(w.some(), f"{mark}{w.some()}", mark))
    return w.pick("\n", "\n\n").join(rows)


def acrostic(w):
    word = w.args["word"]
    letters = word if w.good else w.pick(word[:-1], word[::-1], word + "S")
    return w.pick("\n", "\n\n").join(w.pick(letter, letter.lower()) + w.some() for letter in letters)


def paragraph_word(w):
    n, word = w.args["paragraph"], w.args["word"]
    said = [f"so {w.some()}" for _ in range(n + w.draw(st.integers(0, 2)))]
    if not w.good:
        return w.pick("\n\n".join(said), "\n\n".join(said[: n - 1]), f"{word} " + "\n\n".join(said))
    said[n - 1] = f"{w.pick('', '**', chr(34))}{w.pick(word, word.title())}{w.pick('', ',', '**')} {w.some()}"
    return "\n\n".join(said)


MARKS = {"exclamation marks": "!！", "question marks": "?？", "semicolons": ";；", "parentheses": "()（）"}
WRITERS = {
    "word-count": word_count, "sentence-count": sentence_count, "sentence-length": sentence_length,
    "paragraph-count": paragraph_count, "line-count": line_count, "character-count": character_count,
    "include-words": include_words, "include-phrase": include_phrase, "exclude-words": exclude_words,
    "word-frequency": word_frequency, "letter-frequency": letter_frequency, "no-commas": without(lambda w: ",，،、"),
    "exclude-marks": without(lambda w: MARKS[w.args["marks"]]), "no-digits": without(lambda w: "07٣५"),
    "upper-case": upper_case, "lower-case": lower_case, "capital-words": capital_words, "script": script,
    "bullet-count": bullets, "numbered-list": numbered, "heading-count": headings, "highlight-count": bolds,
    "placeholder-count": brackets, "number-count": numbers, "question-count": questions, "table": table,
    "json": as_json, "csv": as_csv, "code-fence": fence, "title": title, "start-with": start, "end-with": end,
    "quoted": quoted, "tagged": tagged, "postscript": postscript, "closing-choice": closing, "two-answers": two,
    "parts": parts, "line-start": line_start, "acrostic": acrostic, "paragraph-word": paragraph_word,
}  # fmt: skip


def test_every_type_is_put_to_the_test():
    assert set(WRITERS) == set(CONSTRAINT_TYPES)
    assert len(CONSTRAINT_TYPES) >= 25


@pytest.mark.slow
@pytest.mark.parametrize("good", [True, False], ids=["kept", "broken"])
@pytest.mark.parametrize("name", CONSTRAINT_TYPES)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_text_that_keeps_it_passes_and_one_that_breaks_it_does_not(name, good, data):
    args = CONSTRAINT_TYPES[name].draw(random.Random(data.draw(st.integers(0, 10**6))))
    text = WRITERS[name](Writer(data.draw, args, good))
    assert (find_violation(text, name, args) == "") is good, find_violation(text, name, args)


HOSTILE = (
    "", " ", "\n", "\0", "\ud800", "a\udfff. \udc00b", "." * 99_999 + "a", "*" * 99_999, "[" * 99_999, '{"a":' * 20_000,
    "`" * 99_999, "```\n" * 30_000, "\n " * 50_000, "| - |\n" * 20_000, '"a,' * 30_000, "1." * 50_000, "9" * 99_999,
    "<<" + "a" * 99_999, "** a " * 20_000, "\u0301" * 99_999, "\r" * 99_999, "- a\n" * 30_000, "٣." * 30_000,
)  # fmt: skip


@pytest.mark.parametrize("name", CONSTRAINT_TYPES)
def test_no_text_makes_a_checker_raise(name):
    args = CONSTRAINT_TYPES[name].draw(random.Random(3))
    for text in HOSTILE:
        assert holds(text, name, args, loosely=len(text) < 10) in (True, False)


@pytest.mark.parametrize("name", CONSTRAINT_TYPES)
@settings(max_examples=20, deadline=None)
@given(text=st.text(st.characters(codec=None, categories=("L", "N", "P", "S", "Z", "Cc", "Cs", "M"))))
def test_what_holds_by_the_letter_holds_loosely(name, text):
    args = CONSTRAINT_TYPES[name].draw(random.Random(len(text)))
    assert holds(text, name, args, loosely=True) or not holds(text, name, args)


@pytest.mark.slow
def test_a_long_text_is_checked_in_no_time_that_matters():
    """A teacher that lost its way says a megabyte; checkers whose time goes with the square would take hours."""
    args = {name: kind.draw(random.Random(5)) for name, kind in CONSTRAINT_TYPES.items()}
    for text in ("." * 500_000 + "a", "** a" * 125_000, "```\n" * 125_000):
        for name in CONSTRAINT_TYPES:
            with bounded():
                find_violation(text, name, args[name])
