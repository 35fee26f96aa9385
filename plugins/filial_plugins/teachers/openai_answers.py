"""What comes back from an endpoint with status 200, read: an answer, or the way in which it is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from filial import Reply, TeacherError
from filial_plugins.teachers.openai_faults import error_in_answer
from filial_plugins.teachers.openai_finish import Ending, Endings

SHOWN = 2000
"""Characters of an unreadable body that are kept."""


class Answers:
    """Reads the answers of one model. ``warn`` tells the user what is odd about them, once per subject."""

    def __init__(self, model: str, warn: Callable[[str, str], None]) -> None:
        self._model, self._endings = model, Endings(model, warn)

    def read(self, raw: bytes, limit: int, stop: tuple[str, ...] = ()) -> Reply:
        """The reply in the body of a chat completion that may have ``limit`` tokens, cut at the first of ``stop``.

        Raises:
            TeacherError: the body is no completion, holds an error, or its answer is empty, not whole or a refusal.
        """
        body = _decoded(raw)
        if isinstance(body, dict) and body.get("error"):
            raise error_in_answer(body["error"], _billed(body))
        try:
            choice = body["choices"][0]
            if error := choice.get("error"):
                raise error_in_answer(error, _billed(body))
            message = choice["message"]
            text = message.get("content") or ""
            if not isinstance(text, str):
                raise TypeError("content is no text")
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise _malformed(f"no completion: {error}", raw) from None
        for mark in stop:
            text = text.partition(mark)[0]
        usage = _dict(body.get("usage"))
        finish, completion = str(choice.get("finish_reason") or ""), _count(usage.get("completion_tokens"))
        ending = self._endings.judge(finish, full=completion >= limit)
        if fault := _not_whole(ending, finish, text, _billed(body)) or _empty(text, message, _billed(body)):
            raise fault
        return Reply(
            text=text,
            finish_reason=finish,
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=completion,
            cached_tokens=_count(_dict(usage.get("prompt_tokens_details")).get("cached_tokens")),
            reasoning_tokens=_count(_dict(usage.get("completion_tokens_details")).get("reasoning_tokens")),
            model=str(body.get("model") or self._model),
        )


def _not_whole(ending: Ending, finish: str, text: str, billed: tuple[int, int] | None) -> TeacherError | None:
    """The fault of an answer that is not whole. All are charged; what is likely to come out the same again is not asked
    again."""
    said = f" ({finish[:100]})" if finish not in ("length", "content_filter", "") else ""
    if ending == "cut":
        detail = f"the answer was cut off{said}; raise max_tokens, or the context of the model"
        return TeacherError("length", detail, answer=text, billed=billed)
    if ending == "refused":
        return TeacherError("content-filter", f"the endpoint withheld the answer{said}", answer=text, billed=billed)
    if ending == "failed":
        return TeacherError("interrupted", f"the answer broke off{said}", answer=text, retry=True, billed=billed)
    if ending == "unknown":
        word = f"the finish_reason {finish[:100]!r}, which filial does not know" if finish else "no finish_reason"
        return TeacherError("unknown-finish", f"the answer ended with {word}", answer=text, retry=True, billed=billed)
    return None


def _empty(text: str, message: dict[str, Any], billed: tuple[int, int] | None) -> TeacherError | None:
    """The fault of a whole answer that has no text."""
    if text.strip():
        return None
    if refusal := message.get("refusal"):
        return TeacherError("refused", "the model declined", answer=str(refusal), billed=billed)
    if thoughts := message.get("reasoning_content") or message.get("reasoning"):
        detail = "the model thought and gave no answer; raise max_tokens, or have it think less"
        return TeacherError("only-reasoning", detail, answer=str(thoughts), billed=billed)
    return TeacherError("empty-answer", "the answer has no text", answer=text, retry=True, billed=billed)


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if raw.lstrip()[:1] in (b"{", b"[", b""):
            raise _malformed(f"broken JSON: {error}", raw) from None
        detail = "the answer is no JSON; does base_url end in /v1?"
        raise TeacherError("not-json", detail, answer=_shown(raw)) from None


def _malformed(detail: str, raw: bytes) -> TeacherError:
    return TeacherError("malformed-answer", detail, answer=_shown(raw), retry=True, billed=None)


def _shown(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")[:SHOWN]


def _billed(body: Any) -> tuple[int, int] | None:
    """Tokens that an answer is charged for, whatever it is worth; None where it does not say."""
    usage = _dict(body.get("usage"))
    return (_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))) if usage else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
