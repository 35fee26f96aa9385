"""The beginning, the end, the letter case and the wrapping of an answer that obeys constraints."""

from __future__ import annotations

from .answer_layouts import is_laid_out
from .answer_sentences import Orders


def add_ending(text: str, orders: Orders) -> str:
    """Return the text with the end that is asked for."""
    if "end-with" in orders:
        phrase = orders["end-with"]["phrase"]
        wrong: tuple[str, ...] = (text, f"{text}\n\n{phrase} So it is.", f"{text}\n\n{phrase[:-1]}")
        return orders.pick(*wrong) if orders.breaks("end-with") else f"{text}{_draw_gap(orders)}{phrase}"
    if "postscript" in orders:
        remark = f"{orders['postscript']['marker']} One more remark goes here."
        wrong = (text, f"{text} {remark}", f"{text}\n\n{remark}\n\nSo it is.")
        return orders.pick(*wrong) if orders.breaks("postscript") else f"{text}\n\n{remark}"
    if "closing-choice" in orders:
        label, options = orders["closing-choice"]["label"], orders["closing-choice"]["options"]
        right = [f"{text}\n\n{label}: {orders.pick(*options)}{orders.pick('', '.')}"]
        wrong = (f"{text}\n\n{label}: unknown", f"{text} {label}: {options[0]}", f"{right[0]}\n\nSo it is.", text)
        return orders.pick(*(wrong if orders.breaks("closing-choice") else right))
    return text


def _draw_gap(orders: Orders) -> str:
    """Return the separator between the text and a sentence before or after it."""
    return "\n\n" if is_laid_out(orders) else orders.pick(" ", "\n\n")


def add_beginning(text: str, orders: Orders) -> str:
    """Return the text with the beginning that is asked for."""
    if "start-with" in orders:
        phrase = orders["start-with"]["phrase"]
        wrong = (text, f"Well. {phrase}\n\n{text}", f"{phrase.lower()}\n\n{text}", f"{phrase[:-1]}\n\n{text}")
        return orders.pick(*wrong) if orders.breaks("start-with") else f"{phrase}{_draw_gap(orders)}{text}"
    if "title" in orders:
        wrong = (f"The answer\n\n{text}", f"<The answer>\n\n{text}", f"So it is.\n<<The answer>>\n\n{text}", text)
        return orders.pick(*wrong) if orders.breaks("title") else f"<<The answer>>\n\n{text}"
    return text


def change_case(text: str, orders: Orders) -> str:
    """Return the text in capitals or small letters, if these are asked for; or all but its first letters."""
    if "upper-case" in orders:
        wrong = orders.pick(text, text[:40] + text[40:].upper(), text.title())
        return wrong if orders.breaks("upper-case") else text.upper()
    if "lower-case" in orders:
        wrong = orders.pick(text, text[:40] + text[40:].lower(), text.title())
        return wrong if orders.breaks("lower-case") else text.lower()
    return text


def wrap(text: str, orders: Orders) -> str:
    """Wrap the text in a code fence, quotes or a tag, if these are asked for."""
    if "code-fence" in orders:
        mark = orders.pick("```", "~~~", "````")
        block = f"{mark}{orders.pick('', 'text')}\n{text}\n{mark}"
        wrong = (text, f"{block}\n\nSo it is.", f"So it is:\n\n{block}", block[: -len(mark)].rstrip())
        return orders.pick(*wrong) if orders.breaks("code-fence") else block
    if "quoted" in orders:
        wrong = (text, f'"{text}', f"'{text}'", f'"{text}" So it is.')
        return orders.pick(*wrong) if orders.breaks("quoted") else orders.pick(f'"{text}"', f"“{text}”")
    if "tagged" in orders:
        tag = orders["tagged"]["tag"]
        right = f"<{tag}>\n{text}\n</{tag}>"
        wrong = (f"<{tag}>\n{text}", f"{right}\n\nSo it is.", f"{tag}:\n{text}", f"{right}\n\n<{tag}>so</{tag}>")
        return orders.pick(*wrong) if orders.breaks("tagged") else right
    return text
