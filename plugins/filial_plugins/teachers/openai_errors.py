"""Classify what can go wrong in one attempt, between the client and an endpoint.

Over aiohttp the client reports a refused or reset connection as a timeout; the underlying exception tells which it was.
An error says what it costs: nothing if the endpoint rejected the request, ``billed=None`` if an answer may be lost.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator, Mapping

from filial import TeacherError
from filial_plugins.teachers.openai_addresses import Address
from filial_plugins.teachers.openai_waits import read_wait

_NO_MONEY = re.compile(  # not what OpenAI adds to any limit: "add a payment method at …/account/billing"
    r"insufficient[_ -]?(quota|credit|balance|funds)|check your plan and billing|credit balance|arrear|overdue|余额不足"
    r"|欠费|exceeded_current_quota|budget_?\s?exceeded|exceeded_?\s?budget|spending limit|out of credits"
    r"|no credits left|used all available credits|account .{0,40}suspended|billing.hard.limit",
    re.IGNORECASE,
)
"""How endpoints say that nothing more is answered until somebody pays, in the code or in the message."""
QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached", "insufficient_credits")
TIMEOUTS = (408, 499, 504, 524, 598, 599)
"""Statuses of something between filial and a model that may have worked, and is charged for, all the same."""
BROKEN_GATEWAYS = (502, 520, 521, 522, 523)
"""The same, unless the endpoint itself explains the error."""
REFUSALS = ("unauthorized", "insufficient-quota", "http-404", "redirected")
"""Reasons that concern the address or the key, not the prompt."""
FILTER_CODES = ("content_filter", "content_policy_violation", "moderation")


class TooLargeError(Exception):
    """The body of an answer is larger than its limit of tokens allows."""


def make_connection_error(
    error: BaseException, address: Address, clean: Callable[[str], str] = str
) -> TeacherError:  # fmt: skip
    """Convert an exception of the connection: there was no complete answer. ``clean`` removes secrets from its text."""
    import aiohttp

    chain = list(_list_causes(error))
    if large := next((e for e in chain if isinstance(e, TooLargeError)), None):
        return TeacherError("too-long", str(large), billed=None)
    detail = clean(str(chain[-1])) or type(chain[-1]).__name__
    if any(isinstance(e, ConnectionRefusedError) for e in chain):
        return TeacherError("connection-refused", address.explain_connection(chain, detail), retry=True, down=True)
    if any(isinstance(e, ssl.SSLError | ssl.CertificateError) for e in chain):
        return TeacherError("tls-failed", address.explain_connection(chain, detail), down=True)
    if any(isinstance(e, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError) for e in chain):
        return TeacherError("cannot-connect", address.explain_connection(chain, detail), retry=True, down=True)
    if any(isinstance(e, TimeoutError) for e in chain):
        return TeacherError("timeout", f"{address}: {detail}", retry=True, billed=None)
    return TeacherError("connection-reset", f"{address}: {detail}", retry=True, billed=None)


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and its causes, the root last."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        # aiohttp keeps the error of the operating system here, not as a cause.
        link = link.__cause__ or link.__context__ or getattr(link, "os_error", None)


def make_status_error(
    status: int, raw: bytes, headers: Mapping[str, str], address: Address | None = None
) -> TeacherError:  # fmt: skip
    """Convert an HTTP status and the body that came with it."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        body = raw.decode("utf-8", "replace").strip()
    told = isinstance(body, dict) and isinstance(body.get("error"), dict)
    fault = _make_error(status, body.get("error") or body if isinstance(body, dict) else body, read_wait(headers, body))
    if status in TIMEOUTS or (status in BROKEN_GATEWAYS and not told):
        fault.billed = None
    if address is not None and fault.reason in REFUSALS:
        fault = TeacherError(fault.reason, address.explain_refusal(fault.reason, fault.detail), down=fault.down)
    return fault


def make_answer_error(error: object, billed: tuple[int, int] | None) -> TeacherError:
    """Convert an ``error`` in an answer with status 200, as some routers send it."""
    code = error.get("code") if isinstance(error, dict) else None
    words, detail = _read_error(error)
    if isinstance(code, int) and 400 <= code < 600:
        fault = _make_error(code, error, read_wait({}, error))
    elif any(word in words for word in QUOTA_CODES):
        fault = _make_error(402, error, None)
    else:
        fault = TeacherError("error-in-answer", detail, retry=True)
    fault.billed = billed or (0, 0)
    return fault


def _make_error(status: int, error: object, wait: float | None) -> TeacherError:
    code, detail = _read_error(error)
    if (
        status == 402
        or (status < 500 and any(word in code for word in QUOTA_CODES))
        or _has_no_money(status, code, detail, wait)
    ):
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
        hint = "the endpoint has no such model or path; check model and base_url, which often ends in /v1"
        return TeacherError("http-404", f"{hint} ({detail})" if detail else hint, down=True)
    if 300 <= status < 400:
        return TeacherError("redirected", "the endpoint redirects; set base_url to its new address", down=True)
    if status in (408, 409, 425) or status >= 500:
        if status in (504, 524):
            detail += "; if answers take long, set stream: always"
        return TeacherError(f"http-{status}", detail, retry=True, retry_after=wait)
    if status == 400 and "context length" in detail:
        detail += "; if the prompt is not that long, set a lower max_tokens"
    return TeacherError(f"http-{status}", detail)


def _has_no_money(status: int, code: str, detail: str, wait: float | None) -> bool:
    """Return whether the account is empty. Gemini says the same of a quota per minute, but with a wait."""
    return status in (400, 403, 412, 429) and wait is None and _NO_MONEY.search(f"{code} {detail}") is not None


def _read_error(error: object) -> tuple[str, str]:
    """Return code, type and flags of an error as one string, and its message."""
    if isinstance(error, dict):
        meta = error.get("metadata")
        flagged = "moderation" if isinstance(meta, dict) and meta.keys() & {"flagged_input", "reasons"} else ""
        message = error.get("message")
        return f"{error.get('code')} {error.get('type')} {flagged}", str(message or json.dumps(error))[:500]
    return "", str(error or "")[:500]
