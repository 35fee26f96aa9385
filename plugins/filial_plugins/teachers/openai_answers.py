"""Read what an endpoint returns with status 200: an answer, or the reason why it is not one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from filial import Reply, TeacherError
from filial.gateway import fault_of_end
from filial_plugins.teachers.openai_errors import make_answer_error
from filial_plugins.teachers.openai_usage import TokenUsage, read_usage
from filial_plugins.teachers.reasoning import join_reasoning, split_reasoning

EXCERPT_CHARACTERS = 2000
"""Characters of an unreadable body that are kept."""


class AnswerReader:
    """Reads the answers of one model. ``warn`` tells the user about unusual ones, once per subject."""

    def __init__(self, model: str, warn: Callable[[str, str], None]) -> None:
        self._model, self._warn = model, warn

    def read(self, raw: bytes, limit: int, stop: tuple[str, ...] = ()) -> Reply:
        """Return the reply in a chat completion with a limit of ``limit`` tokens, cut at the first of ``stop``.

        Raises:
            TeacherError: the body is not a completion, contains an error, or its answer is empty, incomplete or a
                refusal.
        """
        body = _decode(raw)
        usage = self._read_usage(body)
        if isinstance(body, dict) and body.get("error"):
            raise make_answer_error(body["error"], usage.billed)
        try:
            choice = body["choices"][0]
            if error := choice.get("error"):
                raise make_answer_error(error, usage.billed)
            message = choice["message"]
            text, thoughts = self._split_message(message)
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise _make_malformed_error(f"not a completion: {error}", raw, usage.billed) from None
        for mark in stop:
            text = text.partition(mark)[0]
        finish = str(choice.get("finish_reason") or "")
        full = usage.completion >= limit
        fault = fault_of_end(finish, text, usage.billed, full=full)
        if fault := fault or _find_empty_error(text, thoughts, message.get("refusal"), usage.billed):
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

    def _split_message(self, message: dict[str, Any]) -> tuple[str, str]:
        """Return the text of a message and its reasoning, wherever the endpoint puts that."""
        said, apart = _split_content(message.get("content") or "")
        answer = split_reasoning(said)
        if answer.removed:
            self._warn(
                "thoughts",
                f"answers of {self._model!r} begin with reasoning between tags (</think>); it is removed from the "
                "text and kept separately",
            )
        if answer.remaining:
            self._warn(
                "tags of thoughts",
                f"an answer of {self._model!r} has a reasoning tag (such as <think>) further in; it stays unchanged, "
                "since the answer may be about such tags",
            )
        field = message.get("reasoning_content") or message.get("reasoning") or ""
        return answer.text, join_reasoning([field if isinstance(field, str) else str(field), apart, answer.reasoning])

    def _read_usage(self, body: Any) -> TokenUsage:
        usage = read_usage(body) if isinstance(body, dict) else TokenUsage(0, 0, 0, 0)
        if usage.deviation:
            self._warn(
                "usage",
                f"the endpoint of {self._model!r} counts {usage.deviation}; all of them count, so that limits hold",
            )
        return usage


def _find_empty_error(text: str, thoughts: str, refusal: object, billed: tuple[int, int] | None) -> TeacherError | None:
    """Return the error for a complete answer without text; None if it has text."""
    if text.strip():
        return None
    if refusal:
        return TeacherError("refused", "the model declined", answer=str(refusal), billed=billed)
    if thoughts:
        detail = "the model reasoned and gave no answer; raise max_tokens, or lower its reasoning effort"
        return TeacherError("only-reasoning", detail, answer=thoughts, billed=billed)
    return TeacherError("empty-answer", "the answer has no text", answer=text, retry=True, billed=billed)


def _split_content(content: object) -> tuple[str, str]:
    """Return text and reasoning of a content, which may be a list of parts.

    Raises:
        TypeError: a part is neither.
    """
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise TypeError("content is not text")
    text, thoughts = list[str](), list[str]()
    for part in content:
        kind = "text" if isinstance(part, str) else part.get("type")
        if kind in ("text", "output_text"):
            text.append(_join_text(part))
        elif kind in ("thinking", "reasoning"):
            thoughts.append(_join_text(part.get("thinking") or part.get("reasoning") or part))
        else:
            raise TypeError(f"content has a part of type {kind!r}")
    return "".join(text), join_reasoning(thoughts)


def _join_text(part: Any) -> str:
    """Return the text of a part, or of the parts in it."""
    if isinstance(part, list):
        return "".join(map(_join_text, part))
    said = part if isinstance(part, str) else part.get("text", "")
    if not isinstance(said, str):
        raise TypeError("the text of a part is not a string")
    return said


def _decode(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if raw.lstrip()[:1] in (b"{", b"[", b""):
            raise _make_malformed_error(f"broken JSON: {error}", raw, None) from None
        detail = "the answer is not JSON; does base_url end in /v1?"
        raise TeacherError("not-json", detail, answer=_make_excerpt(raw)) from None


def _make_malformed_error(detail: str, raw: bytes, billed: tuple[int, int] | None) -> TeacherError:
    return TeacherError("malformed-answer", detail, answer=_make_excerpt(raw), retry=True, billed=billed)


def _make_excerpt(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")[:EXCERPT_CHARACTERS]
