"""What can go wrong between the `openai` client and an endpoint, told apart.

Over its aiohttp transport the client reports a refused or reset connection as a time-out; the exception behind
it tells which it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from filial import TeacherError


def connection_fault(error: BaseException) -> TeacherError:
    """The fault behind an exception of the connection: there was no whole answer. All may be tried again."""
    import aiohttp

    chain = list(_causes(error))
    detail = str(chain[-1]) or type(chain[-1]).__name__
    if any(isinstance(e, TimeoutError) for e in chain):
        return TeacherError("timeout", detail, retry=True)
    if any(isinstance(e, ConnectionRefusedError) for e in chain):
        return TeacherError("connection-refused", detail, retry=True, down=True)
    if any(isinstance(e, aiohttp.ClientConnectorError) for e in chain):
        return TeacherError("cannot-connect", detail, retry=True, down=True)
    return TeacherError("connection-reset", detail, retry=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those behind it, the root last."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        # aiohttp keeps the error of the operating system here, not as a cause.
        link = link.__cause__ or link.__context__ or getattr(link, "os_error", None)


def status_fault(status: int, body: object, headers: Mapping[str, str]) -> TeacherError:
    """The fault an HTTP status stands for; ``body`` is the decoded answer, or its text."""
    code, detail = _words_of(body)
    if status == 429 and "insufficient_quota" in code:
        return TeacherError("insufficient-quota", detail or "the account has no quota left", down=True)
    if status == 429:
        return TeacherError("rate-limited", detail, retry=True, retry_after=_retry_after(headers))
    if status in (401, 403):
        reason = "unauthorized" if status == 401 else "forbidden"
        return TeacherError(reason, detail or "the endpoint refuses the key", down=True)
    if status == 404:
        detail = detail or "the endpoint knows no such model or path; check model and base_url"
        return TeacherError("http-404", detail, down=True)
    if 300 <= status < 400:
        return TeacherError("redirected", "the endpoint redirects; set base_url to its new address", down=True)
    if status in (408, 409, 425) or status >= 500:
        return TeacherError(f"http-{status}", detail, retry=True, retry_after=_retry_after(headers))
    return TeacherError(f"http-{status}", detail)


def error_in_answer(error: object) -> TeacherError:
    """The fault of an answer with status 200 whose body is ``{"error": …}``, as some routers send it."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and 400 <= code < 600:
        return status_fault(code, {"error": error}, {})
    if isinstance(error, dict) and "insufficient_quota" in (code, error.get("type")):
        return status_fault(429, {"error": error}, {})
    return TeacherError("error-in-answer", _words_of({"error": error})[1], retry=True)


def _words_of(body: object) -> tuple[str, str]:
    """Error code (with its type) and message of an answer, as far as it has them."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, dict):
        message = error.get("message")
        return f"{error.get('code')} {error.get('type')}", str(message or json.dumps(error))[:500]
    return "", str(error or "")[:500]


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds an endpoint asks to wait: in milliseconds, in seconds, or as a date."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        if "retry-after" in headers:
            value = headers["retry-after"]
            return max(0.0, float(value) if _is_number(value) else _until(value))
    except (ValueError, TypeError, OverflowError):
        return None  # neither a number nor a date: as if the endpoint had not asked
    return None


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdigit()


def _until(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()


def answer_of(body: object) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Text, choice and usage of a chat completion.

    Raises:
        TeacherError: the body is no completion, holds an error, or its answer is empty, cut off or a refusal.
    """
    if isinstance(body, str):
        raise TeacherError("not-json", "the answer is no JSON; does base_url end in /v1?", answer=body[:2000])
    if isinstance(body, dict) and body.get("error"):
        raise error_in_answer(body["error"])
    try:
        choice = body["choices"][0]  # type: ignore[index]
        message, text = choice["message"], choice["message"].get("content") or ""
        if not isinstance(text, str):
            raise TypeError("content is no text")
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        shown = json.dumps(body)[:2000]
        raise TeacherError("malformed-answer", f"no completion: {error}", answer=shown, retry=True) from None
    finish = choice.get("finish_reason")
    if finish == "length":
        raise TeacherError("length", "the answer was cut off; raise max_tokens", answer=text)
    if finish == "content_filter":
        raise TeacherError("content-filter", "the endpoint withheld the answer", answer=text)
    if message.get("refusal") and not text:
        raise TeacherError("refused", "the model declined", answer=str(message["refusal"]))
    if not text.strip():
        raise TeacherError("empty-answer", "the answer has no text", answer=text, retry=True)
    usage = body.get("usage") if isinstance(body, dict) else None
    return text, choice, usage if isinstance(usage, dict) else {}
