"""Where a chat template puts the contents of a conversation, and which of its text is control text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from filial import Span, UsageError

# Place-holders are private-use characters round a number; the padding shows whether a template strips its contents.
_OPEN, _CLOSE, _PAD = "\ue0f0", "\ue0f1", "\x0b"
_HOLDER = re.compile(f"({_PAD}?){_OPEN}(\\d+){_CLOSE}({_PAD}?)")


class Renderer:
    """A Jinja chat template with the tokenizer's special tokens, as transformers runs it."""

    def __init__(self, tokenizer: Any, source: Any) -> None:
        self._tokenizer, self._source = tokenizer, source
        specials = {*tokenizer.all_special_tokens}
        specials |= {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        self._special = re.compile("|".join(sorted(map(re.escape, specials), key=len, reverse=True)) or r"(?!)")

    def __call__(self, turns: Sequence[tuple[str, str]], *, prompt: bool) -> str:
        """The text of a conversation; ``prompt`` adds the beginning of the answer to come.

        Raises:
            UsageError: the template refuses the conversation.
        """
        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            text = self._tokenizer.apply_chat_template(
                messages, chat_template=self._source, tokenize=False, add_generation_prompt=prompt
            )
        except Exception as error:
            roles = ", ".join(role for role, _ in turns)
            raise UsageError(f"this chat template refuses a conversation of {roles}: {error}") from error
        return str(text)

    def end_of(self, control: str) -> int | None:
        """Where the first special token in control text ends; None if there is none."""
        found = self._special.search(control)
        return found.end() if found else None


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a turn's content goes. ``strip`` holds which sides the template strips ("", "l", "r", "lr")."""

    turn: int
    train: bool
    strip: str


@dataclass(frozen=True, slots=True)
class Layout:
    """A conversation's text with its contents left open: control spans and slots, in order."""

    parts: tuple[Span | Slot, ...]

    def filled(self, contents: Sequence[str]) -> list[Span]:
        """The spans of a conversation with these contents."""
        spans = []
        for part in self.parts:
            if isinstance(part, Slot):
                text = contents[part.turn]
                text = text.lstrip() if "l" in part.strip else text
                text = text.rstrip() if "r" in part.strip else text
                part = Span(text, train=part.train)
            spans.append(part)
        return spans


def lay_out(roles: Sequence[str], render: Renderer) -> Layout:
    """The layout of conversations with these roles.

    An answer is trained together with the control text round it that the model has to write itself: a blank which is
    no part of the generation prompt, and everything up to the first special token after it.

    Raises:
        UsageError: the template refuses the roles, leaves a turn out, repeats one, or ends an answer without a
            special token.
    """
    turns = [(role, f"{_PAD}{_OPEN}{i}{_CLOSE}{_PAD}") for i, role in enumerate(roles)]
    pieces = _HOLDER.split(render(turns, prompt=roles[-1] != "assistant"))
    order = [int(n) for n in pieces[2::4]]
    if sorted(order) != list(range(len(roles))):
        lost = sorted(set(range(len(roles))) - set(order))
        what = f"leaves out the {roles[lost[0]]} turn" if lost else "writes a turn twice"
        raise UsageError(f"this chat template {what} of a conversation of {', '.join(roles)}; use another template")
    parts: list[Span | Slot] = []
    control = pieces[0]
    for at, turn in enumerate(order):
        before, after = pieces[4 * at + 1], pieces[4 * at + 3]
        strip = ("" if before else "l") + ("" if after else "r")
        slot, follows = Slot(turn, roles[turn] == "assistant", strip), pieces[4 * at + 4]
        if not slot.train:
            parts += [Span(control, special=True), slot]
            control = follows
            continue
        own = _written_by_model(control, turns[:turn], render)
        end = _after_end_token(follows, render)
        parts += [Span(control[: len(control) - len(own)], special=True), Span(own, train=True, special=True), slot]
        parts.append(Span(follows[:end], train=True, special=True))
        control = follows[end:]
    parts.append(Span(control, special=True))
    return Layout(tuple(p for p in parts if isinstance(p, Slot) or p.text))


def _after_end_token(control: str, render: Renderer) -> int:
    """Where the end token in the control text after an answer ends."""
    end = render.end_of(control)
    if end is None:
        raise UsageError(
            "this chat template writes no special token after an answer, so a model trained on it would never stop; "
            "use another template"
        )
    return end


def _written_by_model(control: str, asked: Sequence[tuple[str, str]], render: Renderer) -> str:
    """The end of the control text before an answer that the generation prompt does not contain, if it is blank."""
    if not asked or asked[-1][0] == "assistant":
        return ""
    prompt = _HOLDER.split(render(asked, prompt=True))[-1]
    own = control.removeprefix(prompt) if control.startswith(prompt) else ""
    return own if own.isspace() else ""
