"""Find out where a chat template puts the contents of a conversation, and which of its text is control text."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from filial import Span, UsageError
from filial.labels import special_tokens

# Placeholders are private-use characters around a number; the padding shows whether a template strips its contents.
_OPEN, _CLOSE, _PAD = "\ue0f0", "\ue0f1", "\x0b"
_HOLDER = re.compile(f"({_PAD}?){_OPEN}(\\d+){_CLOSE}({_PAD}?)")


def find_chat_template(tokenizer: Any) -> str | None:
    """Return a tokenizer's own chat template; of several, the default one."""
    found = getattr(tokenizer, "chat_template", None)
    return found.get("default") if isinstance(found, dict) else found


class Renderer:
    """A Jinja chat template with the tokenizer's special tokens, rendered as transformers does."""

    def __init__(self, tokenizer: Any, source: Any) -> None:
        self._tokenizer, self.source = tokenizer, source
        self.special_tokens = special_tokens(tokenizer)
        longest_first = sorted(map(re.escape, self.special_tokens), key=len, reverse=True)
        self._special = re.compile("|".join(longest_first) or r"(?!)")

    def __call__(self, turns: Sequence[tuple[str, str]], *, prompt: bool) -> str:
        """Render a conversation; ``prompt`` adds the beginning of the next answer.

        Raises:
            UsageError: the template refuses the conversation.
        """
        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            text = self._tokenizer.apply_chat_template(
                messages, chat_template=self.source, tokenize=False, add_generation_prompt=prompt
            )
        except Exception as error:
            roles = ", ".join(role for role, _ in turns)
            raise UsageError(f"this chat template refuses a conversation of {roles}: {error}") from error
        return str(text)

    def end_of(self, control: str) -> int | None:
        """Return where the first special token in control text ends; None if there is none."""
        found = self._special.search(control)
        return found.end() if found else None


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of a turn's content. ``strip`` says on which sides the template strips it ("", "l", "r", "lr")."""

    turn: int
    strip: str


@dataclass(frozen=True, slots=True)
class Control:
    """Control text. ``turn`` is the answer that it belongs to, if the model itself has to write it."""

    text: str
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The text of a conversation without its contents: control texts and slots, in order."""

    parts: tuple[Control | Slot, ...]

    def fill(self, contents: Sequence[str], trained: Collection[int] = ()) -> list[Span]:
        """Return the spans of a conversation with these contents; the turns in ``trained`` are trained."""
        spans = []
        for part in self.parts:
            if isinstance(part, Control):
                spans.append(Span(part.text, train=part.turn in trained, special=True))
            else:
                text = contents[part.turn]
                text = text.lstrip() if "l" in part.strip else text
                text = text.rstrip() if "r" in part.strip else text
                spans.append(Span(text, train=part.turn in trained))
        return spans


def make_layout(roles: Sequence[str], render: Renderer, *, to_train: bool = True) -> Layout:
    """Make the layout of conversations with these roles.

    An answer includes the control text around it that the model has to write itself: what comes before it after the
    generation prompt, and everything up to the first special token after it.

    Args:
        to_train: False for conversations that are only read; no control text then belongs to an answer.

    Raises:
        UsageError: the template refuses the roles, omits a turn, or repeats one; or, if it is to be trained, ends an
            answer without a special token, or writes another prompt before an answer than when it asks for one.
    """
    placeholders = [(role, f"{_PAD}{_OPEN}{i}{_CLOSE}{_PAD}") for i, role in enumerate(roles)]
    text = render(placeholders, prompt=roles[-1] != "assistant")
    before_all, found = _find_slots(text)
    _check_order([slot.turn for slot, _ in found], roles)
    parts: list[Control | Slot] = []
    control = before_all  # control text that is not in a part yet: what the template wrote since the last turn
    for slot, follows in found:
        if to_train and roles[slot.turn] == "assistant":
            # prompt | what the model writes first | the answer | what it writes up to its end token | the next turn's
            asked = _count_prompt(control, placeholders[: slot.turn], render)
            end = _find_answer_end(follows, render)
            own_start, own_end = Control(control[asked:], slot.turn), Control(follows[:end], slot.turn)
            parts += [Control(control[:asked]), own_start, slot, own_end]
            control = follows[end:]
        else:
            parts += [Control(control), slot]
            control = follows
    parts.append(Control(control))
    return Layout(tuple(p for p in parts if isinstance(p, Slot) or p.text))


def _find_slots(text: str) -> tuple[str, list[tuple[Slot, str]]]:
    """Return the text before the first placeholder, and the slot of each placeholder with the text that follows it."""
    # The pattern has three groups, so split() gives for every placeholder: padding before, number, padding after, and
    # the text that follows. Padding that is gone was stripped by the template.
    before_all, *rest = _HOLDER.split(text)
    found = []
    for before, number, after, follows in zip(rest[::4], rest[1::4], rest[2::4], rest[3::4], strict=True):
        found.append((Slot(int(number), ("" if before else "l") + ("" if after else "r")), follows))
    return before_all, found


def _check_order(order: Sequence[int], roles: Sequence[str]) -> None:
    """Check that a template has written each turn once."""
    if sorted(order) == list(range(len(roles))):
        return
    lost = sorted(set(range(len(roles))) - set(order))
    what = f"leaves out the {roles[lost[0]]} turn" if lost else "writes a turn twice"
    raise UsageError(f"this chat template {what} of a conversation of {', '.join(roles)}; use another template")


def _find_answer_end(control: str, render: Renderer) -> int:
    """Return where the end token in the control text after an answer ends."""
    end = render.end_of(control)
    if end is None:
        raise UsageError(
            "this chat template writes no special token after an answer, so a model trained on it would never stop; "
            "use another template"
        )
    return end


def _count_prompt(control: str, asked: Sequence[tuple[str, str]], render: Renderer) -> int:
    """Return how many characters of the control text before an answer are in the prompt that asks for it."""
    if not asked or asked[-1][0] == "assistant":
        return len(control)
    prompt = _HOLDER.split(render(asked, prompt=True))[-1]  # what it writes after the last turn, the question
    if not control.startswith(prompt):
        raise UsageError(
            f"this chat template asks for an answer with {prompt!r}, but writes {control!r} before a given answer, "
            "so the prompt would differ from that in training; use a named format or another template"
        )
    return len(prompt)
