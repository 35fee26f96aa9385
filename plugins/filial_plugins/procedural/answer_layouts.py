"""The layout of an answer that obeys constraints, or that breaks the layout on purpose."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Literal

from .answer_sentences import Orders, remove_forbidden, spread

_HEADINGS = ("Start", "Middle", "More", "Rest", "End")
_COLUMNS = ("Answer", "Comment", "Note", "More", "Rest")
_LINE_OPENERS = {
    "A": "And", "B": "But", "C": "Come", "D": "Do", "E": "Even", "G": "Go", "H": "Here", "I": "In", "L": "Long",
    "N": "Now", "O": "On", "R": "Right", "S": "So", "T": "There", "U": "Up", "V": "Vast",
}  # fmt: skip


def _write_bullets(said: list[str], right: str, orders: Orders) -> str:
    mark = orders.pick("- ", "* ", "+ ", "• ", "  - ")
    return "\n".join(mark + piece for piece in spread(said, orders.amount("bullet-count")))


def _write_numbered(said: list[str], right: str, orders: Orders) -> str:
    count, first = orders["numbered-list"]["items"], 1
    if orders.breaks("numbered-list"):
        count, first = orders.style.choice([(count + 1, 1), (count - 1, 1), (count, 0), (count, 2)])
    dot = "." if "exclude-marks" in orders else orders.pick(".", ")")
    return "\n".join(f"{i}{dot} {piece}" for i, piece in enumerate(spread(said, count), first))


def _write_headed(said: list[str], right: str, orders: Orders) -> str:
    pieces, mark = spread(said, orders.amount("heading-count")), orders.pick("#", "##", "###")
    return "\n\n".join(f"{mark} {head}\n\n{piece}" for head, piece in zip(_HEADINGS, pieces, strict=False))


def _write_paragraphs(said: list[str], right: str, orders: Orders) -> str:
    return orders.pick("\n\n", "\n\n\n", "\n \n").join(spread(said, orders.amount("paragraph-count")))


def _write_lines(said: list[str], right: str, orders: Orders) -> str:
    return orders.pick("\n", "\n\n").join(spread(said, orders.amount("line-count")))


def _write_table(said: list[str], right: str, orders: Orders) -> str:
    count, dashes = orders["table"]["columns"], True
    if orders.breaks("table"):
        count, dashes = orders.style.choice([(count + 1, True), (count, False)])
    row = [" ".join(said), *["as said"] * (count - 1)]
    rows = [_COLUMNS[:count], *[[orders.pick("---", ":--", ":-:")] * count] * dashes, row]
    edge = orders.pick("|", "")
    return "\n".join(f"{edge} {' | '.join(cells)} {edge}".strip() for cells in rows)


def _write_json(said: list[str], right: str, orders: Orders) -> str:
    keys = list(orders["json"]["keys"])
    values = [" ".join(said), *["as said"] * (len(keys) - 1)]
    indent = orders.style.choice((None, 2))
    text = json.dumps(dict(zip(keys, values, strict=True)), ensure_ascii=False, indent=indent)
    if not orders.breaks("json"):
        return text
    other = json.dumps(dict(zip([*keys[:-1], "other"], values, strict=True)), ensure_ascii=False, indent=indent)
    return orders.pick(other, f"Here it is:\n{text}", f"```json\n{text}\n```", text[:-1], text[:-1] + ",}", f"[{text}]")


def _write_csv(said: list[str], right: str, orders: Orders) -> str:
    count = orders["csv"]["columns"]
    row = [" ".join(said), *["as said"] * (count - 1)]
    out = io.StringIO()
    quoting: Literal[0, 1] = orders.style.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    csv.writer(out, lineterminator="\n", quoting=quoting).writerows([_COLUMNS[:count], row])
    text = out.getvalue().rstrip("\n")
    if not orders.breaks("csv"):
        return text
    return orders.pick(f"{text},more", f"Here it is:\n{text}", text.rsplit(",", 1)[0], f"{text}\nThat is all.")


def _write_two(said: list[str], right: str, orders: Orders) -> str:
    first, other = " ".join(said), f"One could just say {remove_forbidden(right, orders)} and leave it there."
    if orders.breaks("two-answers"):
        return orders.pick(
            f"{first} {other}", f"{first}\n***\n{other}", f"{first}\n\n{other}", f"{first}\n******\n******\n{other}"
        )
    return orders.pick(f"{first}\n******\n{other}", f"{first}\n\n********\n\n{other}")


def _write_parts(said: list[str], right: str, orders: Orders) -> str:
    count = orders["parts"]["parts"]
    if orders.breaks("parts"):
        count += orders.style.choice((-1, 1))
    return orders.pick("\n---\n", "\n\n---\n\n", "\n\n------\n\n").join(spread(said, count))


def _write_marked_lines(said: list[str], right: str, orders: Orders) -> str:
    mark = orders["line-start"]["mark"]
    rows = [f"{mark} {piece}" for piece in spread(said, 3)]
    if orders.breaks("line-start"):
        place = orders.style.randrange(3)
        rows[place] = rows[place].removeprefix(orders.pick(f"{mark} ", mark))
    return "\n".join(rows)


def _write_acrostic(said: list[str], right: str, orders: Orders) -> str:
    letters = word = orders["acrostic"]["word"]
    if orders.breaks("acrostic"):
        letters = orders.pick(word[:-1], word[1:], word[1] + word[0] + word[2:], word + "S")
    pieces = spread(said, len(letters))
    rows = (f"{_LINE_OPENERS[letter]} it goes. {piece}" for letter, piece in zip(letters, pieces, strict=True))
    return orders.pick("\n", "\n\n").join(rows)


def _write_opened_paragraph(said: list[str], right: str, orders: Orders) -> str:
    number, word = orders["paragraph-word"]["paragraph"], orders["paragraph-word"]["word"]
    pieces = spread(said, number)
    if orders.obeys("paragraph-word"):
        pieces[-1] = f"{orders.pick(word, word.capitalize())} we add this. {pieces[-1]}"
    else:
        pieces[-1] = orders.pick(f"We {word} add this. {pieces[-1]}", pieces[-1])
    return "\n\n".join(pieces)


_LAYOUTS: dict[str, Callable[[list[str], str, Orders], str]] = {
    "bullet-count": _write_bullets,
    "numbered-list": _write_numbered,
    "heading-count": _write_headed,
    "paragraph-count": _write_paragraphs,
    "line-count": _write_lines,
    "table": _write_table,
    "json": _write_json,
    "csv": _write_csv,
    "two-answers": _write_two,
    "parts": _write_parts,
    "line-start": _write_marked_lines,
    "acrostic": _write_acrostic,
    "paragraph-word": _write_opened_paragraph,
}


def is_laid_out(orders: Orders) -> bool:
    """Return whether a layout is asked for, so that what goes before and after takes lines of its own."""
    return any(name in orders for name in _LAYOUTS)


def arrange(said: list[str], right: str, orders: Orders) -> str:
    """Return the sentences in the layout that is asked for (no two of them go together), or one after the other."""
    layout = next((name for name in _LAYOUTS if name in orders), "")
    return _LAYOUTS[layout](said, right, orders) if layout else " ".join(said)
