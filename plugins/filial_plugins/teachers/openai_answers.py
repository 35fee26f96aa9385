"""What comes back from an endpoint with status 200, read: an answer, or the way in which it is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from filial import Reply, TeacherError
from filial.gateway import fault_of_end
from filial_plugins.teachers.openai_faults import error_in_answer
from filial_plugins.teachers.openai_usage import Usage, usage_of
from filial_plugins.teachers.thoughts import joined, parted

SHOWN = 2000
"""Characters of an unreadable body that are kept."""


class Answers:
    """Reads the answers of one model. ``warn`` tells the user what is odd about them, once per subject."""

    def __init__(self, model: str, warn: Callable[[str, str], None]) -> None:
        self._model, self._warn = model, warn

    def read(self, raw: bytes, limit: int, stop: tuple[str, ...] = ()) -> Reply:
        """The reply in the body of a chat completion that may have ``limit`` tokens, cut at the first of ``stop``.

        Raises:
            TeacherError: the body is no completion, holds an error, or its answer is empty, not whole or a refusal.
        """
        body = _decoded(raw)
        usage = self._usage(body)
        if isinstance(body, dict) and body.get("error"):
            raise error_in_answer(body["error"], usage.billed)
        try:
            choice = body["choices"][0]
            if error := choice.get("error"):
                raise error_in_answer(error, usage.billed)
            message = choice["message"]
            text, thoughts = self._parted(message)
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise _malformed(f"no completion: {error}", raw, usage.billed) from None
        for mark in stop:
            text = text.partition(mark)[0]
        finish = str(choice.get("finish_reason") or "")
        full = usage.completion >= limit
        fault = fault_of_end(finish, text, usage.billed, full=full)
        if fault := fault or _empty(text, thoughts, message.get("refusal"), usage.billed):
            raise fault
        return Reply(
            text=text,
            reasoning=thoughts,
            finish_reason=finish,
            prompt_tokens=usage.prompt,
            completion_tokens=usage.completion,
            cached_tokens=usage.cached,
            reasoning_tokens=usage.reasoning,
            model=str(body.get("model") or self._model),
        )

    def _parted(self, message: dict[str, Any]) -> tuple[str, str]:
        """The text of a message and its thoughts, wherever the endpoint puts those."""
        said, apart = _parts(message.get("content") or "")
        answer = parted(said)
        if answer.cut:
            self._warn(
                "thoughts",
                f"answers of {self._model!r} begin with thoughts between tags (</think>); these are no part of the "
                "text, but kept beside it",
            )
        if answer.left:
            self._warn(
                "tags of thoughts",
                f"an answer of {self._model!r} holds a tag of thoughts (<think> or the like) further in; it stays as "
                "it is, since the answer may be about such tags",
            )
        field = message.get("reasoning_content") or message.get("reasoning") or ""
        return answer.text, joined([field if isinstance(field, str) else str(field), apart, answer.thoughts])

    def _usage(self, body: Any) -> Usage:
        usage = usage_of(body) if isinstance(body, dict) else Usage(0, 0, 0, 0)
        if usage.odd:
            self._warn(
                "usage",
                f"the endpoint of {self._model!r} counts {usage.odd}; all of them are counted, so a cap holds",
            )
        return usage


def _empty(text: str, thoughts: str, refusal: object, billed: tuple[int, int] | None) -> TeacherError | None:
    """The fault of a whole answer that has no text."""
    if text.strip():
        return None
    if refusal:
        return TeacherError("refused", "the model declined", answer=str(refusal), billed=billed)
    if thoughts:
        detail = "the model thought and gave no answer; raise max_tokens, or have it think less"
        return TeacherError("only-reasoning", detail, answer=thoughts, billed=billed)
    return TeacherError("empty-answer", "the answer has no text", answer=text, retry=True, billed=billed)


def _parts(content: object) -> tuple[str, str]:
    """Text and thoughts of a content, which may be a list of parts.

    Raises:
        TypeError: a part is neither.
    """
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise TypeError("content is no text")
    text, thoughts = list[str](), list[str]()
    for part in content:
        kind = "text" if isinstance(part, str) else part.get("type")
        if kind in ("text", "output_text"):
            text.append(_words(part))
        elif kind in ("thinking", "reasoning"):
            thoughts.append(_words(part.get("thinking") or part.get("reasoning") or part))
        else:
            raise TypeError(f"content holds a part of type {kind!r}")
    return "".join(text), joined(thoughts)


def _words(part: Any) -> str:
    """The text of a part, or of the parts in it."""
    if isinstance(part, list):
        return "".join(map(_words, part))
    said = part if isinstance(part, str) else part.get("text", "")
    if not isinstance(said, str):
        raise TypeError("the text of a part is none")
    return said


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if raw.lstrip()[:1] in (b"{", b"[", b""):
            raise _malformed(f"broken JSON: {error}", raw, None) from None
        detail = "the answer is no JSON; does base_url end in /v1?"
        raise TeacherError("not-json", detail, answer=_shown(raw)) from None


def _malformed(detail: str, raw: bytes, billed: tuple[int, int] | None) -> TeacherError:
    return TeacherError("malformed-answer", detail, answer=_shown(raw), retry=True, billed=billed)


def _shown(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")[:SHOWN]
