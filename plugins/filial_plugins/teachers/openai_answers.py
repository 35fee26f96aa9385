"""Read what an endpoint returns with status 200: an answer, or the reason why it is not one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from filial import Reply, Request, TeacherError
from filial.gateway import fault_of_end
from filial_plugins.teachers.answer_text import find_json, join_reasoning, split_answer
from filial_plugins.teachers.openai_errors import make_answer_error
from filial_plugins.teachers.openai_prices import WRITE_RATIO
from filial_plugins.teachers.openai_streams import is_stream, join_stream
from filial_plugins.teachers.openai_usage import TokenUsage, read_usage

EXCERPT_CHARACTERS = 2000
"""Characters of an unreadable body that are kept."""


FIELDS = (
    "reasoning_content", "reasoning", "thinking", "thinking_content", "thought", "thoughts", "reasoning_text",
    "reasoning_details", "thinking_blocks",
)  # fmt: skip
"""Fields of a message that hold its reasoning; several hold the same text, so the first that is not empty counts."""
BYTES_PER_TOKEN, LEAST_BYTES = 64, 1 << 20
"""An answer with more bytes than this for each token of its limit is none, unless it has few bytes."""


class AnswerReader:
    """Reads the answers of one model. ``warn`` tells the user about unusual ones, once per subject. A token that is
    written to the endpoint's cache counts ``write_ratio`` times."""

    def __init__(self, model: str, warn: Callable[[str, str], None], write_ratio: float = WRITE_RATIO) -> None:
        self._model, self._warn, self._write_ratio = model, warn, write_ratio

    def read(self, raw: bytes, limit: int, request: Request) -> Reply:
        """Return the reply in a chat completion with a limit of ``limit`` tokens, cut at the request's first stop text.

        Raises:
            TeacherError: the body is not a completion, contains an error, or its answer is empty, incomplete or a
                refusal.
        """
        body = self._decode(raw)
        usage = self._read_usage(body)
        if error := _find_error(body):
            raise make_answer_error(error, usage.billed)
        try:
            choice = body["choices"][0]
            if error := choice.get("error"):
                raise make_answer_error(error, usage.billed)
            message = choice.get("message") or choice.get("delta") or {"content": choice["text"]}
            said = _read_content(message.get("content"), "" if body.get("streamed") else "\n\n")
            text, thoughts = self._split(said, message, request)
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise _make_malformed_error(f"not a completion: {error}", raw, usage.billed) from None
        for mark in request.stop:
            text = text.partition(mark)[0]
        text = text if request.schema is None else find_json(text)
        finish = _read_finish(choice.get("finish_reason"))
        if body.get("streamed") and not finish:
            detail = "the stream ended without a finish_reason"
            raise TeacherError("interrupted", detail, answer=text, retry=True, billed=usage.billed)
        full = usage.completion >= limit
        fault = fault_of_end(finish, text, usage.billed, full=full)
        if fault := fault or _find_empty_error(text, thoughts, message.get("refusal") or said.refusal, usage.billed):
            raise fault
        if len(text) > max(LEAST_BYTES, BYTES_PER_TOKEN * limit):
            detail = f"the answer has {len(text):,} characters, but its limit is {limit:,} tokens"
            raise TeacherError("too-long", detail, answer=text[:EXCERPT_CHARACTERS], billed=usage.billed)
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

    def _decode(self, raw: bytes) -> Any:
        """Return the body as JSON; that of a stream as one completion."""
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            fault = error
        body = raw.removeprefix(b"\xef\xbb\xbf").strip()
        try:
            if is_stream(body) or (body[:1] == b"{" and b"\n" in body):
                joined = join_stream(body)
                if is_stream(body):
                    self._warn("stream", f"the endpoint of {self._model!r} streams its answers; they are put together")
                return joined
            if body != raw:
                return msgspec.json.decode(body)
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            if is_stream(body):
                raise _make_malformed_error(f"broken stream: {error}", raw, None) from None
        if body[:1] in (b"{", b"[", b""):
            raise _make_malformed_error(f"broken JSON: {fault}", raw, None)
        detail = "the answer is not JSON; does base_url end in /v1?"
        raise TeacherError("not-json", detail, answer=_make_excerpt(raw))

    def _split(self, said: _Content, message: dict[str, Any], request: Request) -> tuple[str, str]:
        """Return the text of a message and its reasoning, wherever the endpoint puts that."""
        answer = split_answer(said.text, lambda mark: any(mark in turn.content for turn in request.messages))
        if answer.removed:
            self._warn(
                "thoughts",
                f"answers of {self._model!r} begin with reasoning between tags (such as </think>); it is removed from "
                "the text and kept separately",
            )
        if answer.remaining:
            self._warn(
                "tags of thoughts",
                f"an answer of {self._model!r} has a reasoning tag (such as <think>) further in; it stays unchanged, "
                "since the answer may be about such tags",
            )
        if answer.leaked:
            self._warn(
                "leaks",
                f"answers of {self._model!r} contain marks of its chat format ({answer.leaked}); they are removed",
            )
        for kind in said.unknown:
            self._warn(f"part {kind}", f"answers of {self._model!r} have parts of type {kind!r}; they are left out")
        apart = next((text for name in FIELDS if (text := _join_text(message.get(name)))), "")
        return answer.text, join_reasoning([apart, said.reasoning, answer.reasoning])

    def _read_usage(self, body: Any) -> TokenUsage:
        usage = read_usage(body, self._write_ratio) if isinstance(body, dict) else TokenUsage(0, 0, 0, 0)
        if usage.deviation:
            self._warn(
                "usage",
                f"the endpoint of {self._model!r} counts {usage.deviation}; the highest reading is used",
            )
        return usage


def _find_error(body: Any) -> Any:
    """Return the error in a body; None if it has none."""
    if not isinstance(body, dict):
        return None
    if body.get("error"):
        return body["error"]
    base = body.get("base_resp")  # MiniMax
    if isinstance(base, dict) and base.get("status_code"):
        return {"message": base.get("status_msg"), "type": base["status_code"]}
    if "choices" not in body and (body.get("object") == "error" or body.keys() & {"message", "msg", "detail"}):
        return {"message": body.get("message") or body.get("msg") or body.get("detail"), **body}
    return None


def _read_finish(word: object) -> str:
    """Return the reason why an answer ended; SGLang's own form has it in an object, others write a missing one out."""
    if isinstance(word, dict):
        word = word.get("type")
    return "" if word in (None, "null", "none", "None") else str(word)


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


class _Content(NamedTuple):
    """A content: its text, reasoning and refusal, and the types of parts that are neither."""

    text: str
    reasoning: str = ""
    refusal: str = ""
    unknown: tuple[str, ...] = ()


def _read_content(content: Any, glue: str) -> _Content:
    """Read a content, which may be a list of parts; ``glue`` is put between parts of its reasoning.

    Raises:
        TypeError: it has parts, but none of a known type.
    """
    if content is None or isinstance(content, str):
        return _Content(content or "")
    if not isinstance(content, list | dict):
        raise TypeError("content is not text")
    found: dict[str, list[str]] = {"text": [], "reasoning": [], "refusal": [], "unknown": []}
    for part in content if isinstance(content, list) else [content]:
        kind = _find_kind(part)
        found[kind].append(str(part.get("type")) if kind == "unknown" else _join_text(part))
        if kind == "text" and not isinstance(part if isinstance(part, str) else part.get("text"), str):
            raise TypeError("the text of a part is not a string")
    if found["unknown"] and not (found["text"] or found["reasoning"] or found["refusal"]):
        raise TypeError(f"content has a part of type {found['unknown'][0]!r}")
    thoughts = glue.join(filter(None, found["reasoning"]))
    return _Content("".join(found["text"]), thoughts, "".join(found["refusal"]), tuple(found["unknown"]))


def _find_kind(part: Any) -> str:
    """Return which kind of part this is: text, reasoning, refusal or unknown."""
    if isinstance(part, str):
        return "text"
    kind = str(part.get("type") or ("text" if isinstance(part.get("text"), str) else "")).lower()
    if part.get("thought") is True or re.search("think|thought|reason|summary", kind):
        return "reasoning"
    return (
        "refusal" if "refus" in kind else "text" if re.fullmatch("(output_|input_)?text(_delta)?", kind) else "unknown"
    )


def _join_text(part: Any) -> str:
    """Return all text in a part, however it is nested; encrypted reasoning and signatures are not text."""
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "".join(map(_join_text, part))
    if not isinstance(part, dict):
        return ""
    names = ("text", "thinking", "reasoning", "reasoning_content", "summary", "refusal", "content")
    return next((text for name in names if (text := _join_text(part.get(name)))), "")


def _make_malformed_error(detail: str, raw: bytes, billed: tuple[int, int] | None) -> TeacherError:
    return TeacherError("malformed-answer", detail, answer=_make_excerpt(raw), retry=True, billed=billed)


def _make_excerpt(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")[:EXCERPT_CHARACTERS]
