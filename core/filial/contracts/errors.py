"""Errors for users. Each is one sentence that says what to do, and has an exit code."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

DONE, FAILED, USAGE, BUDGET, UNREACHABLE, ROWS_LOST, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class FilialError(Exception):
    """An error for the user to read. ``exit_code`` is the exit code of the command line."""

    exit_code = FAILED


class UsageError(FilialError):
    """A wrong command line, recipe, option or input file."""

    exit_code = USAGE


class RecipeError(UsageError):
    """All faults of a recipe, one line each: ``file:line:column: what``."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class PluginError(UsageError):
    """A plugin is missing, ambiguous, broken or breaks its contract. The message names its distribution."""


class MissingExtra(UsageError):
    """A package that a component needs is not installed. The message holds the ``pip install`` line."""


class ColumnsError(UsageError):
    """Columns of a source that need a word from the user.

    ``ways`` are the keys that would say it, such as ``{"ignore": ["row"]}``, each after what it is good for. They are
    written in the form of ``door``: "python" (arguments), "source" (a `SourceSpec`), "recipe" or "flags".
    """

    def __init__(self, why: str, ways: Mapping[str, tuple[str, Any]], more: str = "") -> None:
        super().__init__(why)
        self.why, self.ways, self.more, self.door = why, ways, more, "python"

    def __str__(self) -> str:
        ways = [f"{what} {_spell_key(self.door, key, value)}" for what, (key, value) in self.ways.items()]
        return "; ".join(filter(None, [self.why, ", or ".join(ways), self.more]))


def _spell_key(door: str, key: str, value: Any) -> str:
    """Write a key of a source as a user of this door would type it."""
    if door in ("python", "source"):
        return f"{key}={value!r}" if door == "python" else f"SourceSpec(file=…, {key}={value!r})"
    pairs = [*value.items()] if isinstance(value, dict) else [[name] for name in value]
    names, flow = "".join(name for pair in pairs for name in pair), json.dumps(value, ensure_ascii=False)
    if door == "recipe":
        return f"{key}: " + (flow.replace('"', "") if re.fullmatch(r"[\w.-]*", names) else flow)
    flag = "--columns" if key == "columns" else f"--{key}-columns"
    return f"{flag} {shlex.quote(flow if {*',={['} & {*names} else ','.join(map('='.join, pairs)))}"


@contextmanager
def spell_columns(door: str) -> Iterator[None]:
    """Write what a `ColumnsError` proposes in the form of this door, unless another nearer to the user has."""
    try:
        yield
    except ColumnsError as err:
        err.door = door if err.door == "python" else err.door
        raise


class BudgetStop(FilialError):
    """The next request could exceed a cap of the budget. All answers are kept.

    ``cap`` is its name in the recipe: requests, tokens or usd.
    """

    exit_code = BUDGET

    def __init__(self, message: str, cap: str = "requests") -> None:
        super().__init__(message)
        self.cap = cap


class TeacherUnreachable(FilialError):
    """The teacher's endpoint does not answer at all, or rejects the key."""

    exit_code = UNREACHABLE


class TeacherError(FilialError):
    """A request was not answered. Raised by `Teacher.reply`, it concerns one attempt; raised by ``ctx.ask``, it is
    final, and a stage turns it into a `Drop` with this reason.

    Args:
        reason: a slug that is counted, such as ``timeout``, ``length``, ``http-500``.
        detail: one sentence for people.
        answer: the raw answer, if there was one.
        retry: whether the same request may be sent again.
        retry_after: seconds that the endpoint asked to wait, if it did.
        down: the endpoint seems unreachable, or seems to reject all requests. If it still answers others, the failure
            is that of this request.
        billed: tokens (prompt, completion) that are charged nevertheless; None if unknown, for example if the answer
            was lost.

    ``key`` is the ledger key of a final failure, set by the gateway.
    """

    key = ""

    def __init__(
        self, reason: str, detail: str = "", *, answer: str | None = None, retry: bool = False,
        retry_after: float | None = None, down: bool = False, billed: tuple[int, int] | None = (0, 0),
    ) -> None:  # fmt: skip
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail, self.answer = reason, detail, answer
        self.retry, self.retry_after, self.down, self.billed = retry, retry_after, down, billed


def near(word: str, known: Iterable[str]) -> str:
    """Find the known word that was probably meant, ignoring case and dashes; empty if none is similar."""
    from difflib import get_close_matches  # for messages only: not worth its import in every command

    plain = {other.lower().replace("-", "_"): other for other in known}
    return next((plain[match] for match in get_close_matches(word.lower().replace("-", "_"), plain, 1)), "")


def hint(word: str, known: Iterable[str], spell: Callable[[str], str] = repr) -> str:
    """Write the end of a message about an unknown word: the one that was probably meant; empty if none is similar."""
    meant = near(word, known)
    return f"; did you mean {spell(meant)}?" if meant else ""
