"""Classify what can go wrong in one attempt, between the client and an endpoint.

Over aiohttp the client reports a refused or reset connection as a timeout; the underlying exception tells which it was.
An error says what it costs: nothing if the endpoint rejected the request, ``billed=None`` if an answer may be lost.
"""

from __future__ import annotations

import json
import math
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime

from filial import TeacherError

QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_credits")
TIMEOUTS = (408, 499, 504, 524, 598, 599)
"""Statuses of something between filial and a model that may have worked, and is charged for, all the same."""
BROKEN_GATEWAYS = (502, 520, 521, 522, 523)
"""The same, unless the endpoint itself explains the error."""
PLAUSIBLE_WAIT = 366 * 86400.0
"""Seconds. A longer wait is a mistake of the endpoint and is ignored. The gateway has a limit of its own."""
FILTER_CODES = ("content_filter", "content_policy_violation", "moderation")


class TooLargeError(Exception):
    """The body of an answer is larger than its limit of tokens allows."""


def make_connection_error(error: BaseException, clean: Callable[[str], str] = str) -> TeacherError:
    """Convert an exception of the connection: there was no complete answer. ``clean`` removes secrets from its text."""
    import aiohttp

    chain = list(_list_causes(error))
    if large := next((e for e in chain if isinstance(e, TooLargeError)), None):
        return TeacherError("too-long", str(large), billed=None)
    detail = clean(str(chain[-1])) or type(chain[-1]).__name__
    if any(isinstance(e, ConnectionRefusedError) for e in chain):
        return TeacherError("connection-refused", detail, retry=True, down=True)
    if any(isinstance(e, ssl.SSLError | ssl.CertificateError) for e in chain):
        return TeacherError("tls-failed", detail, down=True)
    if any(isinstance(e, aiohttp.ClientConnectorError) for e in chain):
        return TeacherError("cannot-connect", detail, retry=True, down=True)
    if any(isinstance(e, TimeoutError) for e in chain):
        return TeacherError("timeout", detail, retry=True, billed=None)
    return TeacherError("connection-reset", detail, retry=True, billed=None)


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and its causes, the root last."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        # aiohttp keeps the error of the operating system here, not as a cause.
        link = link.__cause__ or link.__context__ or getattr(link, "os_error", None)


def make_status_error(status: int, raw: bytes, headers: Mapping[str, str]) -> TeacherError:
    """Convert an HTTP status and the body that came with it."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = raw.decode("utf-8", "replace").strip()
    told = isinstance(body, dict) and isinstance(body.get("error"), dict)
    fault = _make_error(
        status, body.get("error") or body if isinstance(body, dict) else body, _read_retry_after(headers)
    )
    if status in TIMEOUTS or (status in BROKEN_GATEWAYS and not told):
        fault.billed = None
    return fault


def make_answer_error(error: object, billed: tuple[int, int] | None) -> TeacherError:
    """Convert an ``error`` in an answer with status 200, as some routers send it."""
    code = error.get("code") if isinstance(error, dict) else None
    words, detail = _read_error(error)
    if isinstance(code, int) and 400 <= code < 600:
        fault = _make_error(code, error, None)
    elif any(word in words for word in QUOTA_CODES):
        fault = _make_error(402, error, None)
    else:
        fault = TeacherError("error-in-answer", detail, retry=True)
    fault.billed = billed or (0, 0)
    return fault


def _make_error(status: int, error: object, wait: float | None) -> TeacherError:
    code, detail = _read_error(error)
    if status == 402 or (status < 500 and any(word in code for word in QUOTA_CODES)):
        return TeacherError("insufficient-quota", detail or "the account has no quota left", down=True)
    if status in (400, 403) and any(word in code for word in FILTER_CODES):
        return TeacherError("content-filter", detail)
    if status == 429 and "too large" in detail:
        return TeacherError("request-too-large", detail)
    if status == 429:
        return TeacherError("rate-limited", detail, retry=True, retry_after=wait)
    if status in (401, 403):
        reason = "unauthorized" if status == 401 else "forbidden"
        return TeacherError(reason, detail or "the endpoint rejects the key", down=True)
    if status == 404:
        detail = detail or "the endpoint has no such model or path; check model and base_url"
        return TeacherError("http-404", detail, down=True)
    if 300 <= status < 400:
        return TeacherError("redirected", "the endpoint redirects; set base_url to its new address", down=True)
    if status in (408, 409, 425) or status >= 500:
        if status in (504, 524):
            detail += "; if answers take long, set stream: always"
        return TeacherError(f"http-{status}", detail, retry=True, retry_after=wait)
    if status == 400 and "context length" in detail:
        detail += "; if the prompt is not that long, set a lower max_tokens"
    return TeacherError(f"http-{status}", detail)


def _read_error(error: object) -> tuple[str, str]:
    """Return code, type and flags of an error as one string, and its message."""
    if isinstance(error, dict):
        meta = error.get("metadata")
        flagged = "moderation" if isinstance(meta, dict) and meta.keys() & {"flagged_input", "reasons"} else ""
        message = error.get("message")
        return f"{error.get('code')} {error.get('type')} {flagged}", str(message or json.dumps(error))[:500]
    return "", str(error or "")[:500]


def _read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an endpoint asks to wait; None if it does not, or if the time is not plausible.

    Endpoints give milliseconds, seconds or a date.
    """
    for name, scale in (("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name, "")
        try:
            seconds = (float(value) if scale > 1 or _is_number(value) else _read_date(value)) / scale
        except (ValueError, TypeError, OverflowError):
            continue  # neither a number nor a date: as if the endpoint had not asked
        if math.isfinite(seconds) and seconds <= PLAUSIBLE_WAIT:
            return max(0.0, seconds)
    return None


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdigit()


def _read_date(date: str) -> float:
    return parsedate_to_datetime(date).timestamp() - time.time()
