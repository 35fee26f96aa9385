"""Flags that say whether a turn, or a row, is trained: what they mean, told by the words of their names."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[a-z]+|[A-Z][a-z]*|[A-Z]+(?![a-z])")
_SUBJECTS = {
    "train", "trained", "trains", "training", "trainable", "loss", "losses", "learn", "learned", "learning",
    "learnable", "supervise", "supervised", "supervision", "backprop", "weight", "weights", "grad",
}  # fmt: skip
_DENIALS = {
    "no", "not", "non", "dont", "never", "without", "untrained", "ignore", "ignored", "skip", "skipped", "exclude",
    "excluded", "omit", "omitted", "freeze", "frozen", "disable", "disabled", "mask", "masked", "unsupervised",
}  # fmt: skip
_ALONE = {
    "untrained", "ignore", "ignored", "skip", "skipped", "exclude", "excluded", "omitted", "frozen", "masked",
    "unsupervised",
}  # fmt: skip
"""Denials that need no subject."""
_OTHERS = {
    "is", "do", "does", "should", "to", "on", "in", "from", "for", "of", "at", "by", "use", "used", "uses", "calculate",
    "calculated", "compute", "computed", "apply", "applied", "include", "included", "has", "have", "require",
    "requires", "enable", "enabled", "with", "this", "the", "it", "turn", "message", "token", "label", "sample", "step",
    "scale", "factor", "multiplier", "flag",
}  # fmt: skip


@lru_cache(4096)
def tell_flag(name: str) -> bool | None:
    """Return what a flag of this name means if it is true or 1: that a turn is trained, or that it is not.

    None: the name is no such flag, or public data use it both ways (``mask``). A mask behind a subject marks what is
    trained (``loss_mask``); in front of something it hides it (``mask_turn``).
    """
    words = [word.lower() for word in _WORD.findall(name)]
    subjects = _SUBJECTS.intersection(words)
    if not words or not set(words) <= _SUBJECTS | _DENIALS | _OTHERS:
        return None
    if words[-1] in ("mask", "masks"):
        return words[-2] in _SUBJECTS if len(words) > 1 and subjects else None
    if not subjects and _ALONE.isdisjoint(words) and not (words[0] == "mask" and words[1:] in (["turn"], ["message"])):
        return None
    return sum(word in _DENIALS for word in words) % 2 == 0


@lru_cache(4096)
def is_flag_of_row(name: str) -> bool:
    """Return whether a column of this name says that its row is trained, or not. A loss alone is a measurement there,
    and what a mask hides is not the whole row."""
    words = {word.lower() for word in _WORD.findall(name)}
    if tell_flag(name) is None or words <= {"loss", "losses"}:
        return False
    return bool(words & (_SUBJECTS - {"loss", "losses"} | {"untrained", "exclude", "excluded", "skip", "ignore"}))
