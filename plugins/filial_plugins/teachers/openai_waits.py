"""Read how long an endpoint asks to wait, in all the forms in which endpoints say it."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

PLAUSIBLE_WAIT = 366 * 86400.0
"""Seconds. A longer wait is a mistake of the endpoint and is ignored. The gateway has a limit of its own."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"(\d+(?:\.\d+)?)\s*(ms|millisecond|s|m|h|d)[a-z]*"
_DURATION = re.compile(rf"(?:{_PART}[\s,]*)+", re.IGNORECASE)
_SAID = re.compile(
    rf"(?:again|retry|retrying|wait|resets?)\s+(?:in|after|for)?:?\s*((?:{_PART}[\s,]*)+)", re.IGNORECASE
)


def read_wait(headers: Mapping[str, str], body: Any = None) -> float | None:
    """Return the seconds that an endpoint asks to wait; None if it does not, or if the time is not plausible.

    ``Retry-After`` goes before a header that says when a limit is reset, that before a delay in the body, and that
    before the words of the message.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        if (seconds := _plausible(_read_time(headers.get(name, ""), unit))) is not None:
            return seconds
    for found in (_read_resets(headers), *_read_body(body)):
        if found:
            return found
    return None


def _read_resets(headers: Mapping[str, str]) -> float | None:
    """Return the wait until limits are reset: of those that are used up, or of all if it is not said which."""
    waits, used = list[float](), list[float]()
    for name, value in headers.items():
        lower = name.lower()
        if "ratelimit" in lower and "reset" in lower and (wait := _plausible(_read_time(str(value), 1.0))):
            waits.append(wait)
            left = headers.get(lower.replace("reset", "remaining"), headers.get(name.replace("Reset", "Remaining"), ""))
            used += [wait] if str(left).strip() in ("0", "0.0") else []
    return max(used or waits, default=None)


def _read_body(body: Any) -> list[float | None]:
    """Return the waits in a body: in fields of any depth, and in the words of its message."""
    fields, words = list[float | None](), list[float | None]()
    stack: list[Any] = [body]
    while stack and len(fields) < 100:
        value = stack.pop()
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            if isinstance(inner := value.get("headers"), dict):  # OpenRouter
                fields.append(_read_resets(inner))
            for name, entry in value.items():
                plain = str(name).lower().replace("_", "").replace("-", "")
                if plain in ("retrydelay", "retryafter", "retryafterseconds", "retryafterms"):
                    fields.append(_plausible(_read_time(str(entry), 0.001 if plain.endswith("ms") else 1.0)))
                elif isinstance(entry, dict | list | str):
                    stack.append(entry)
        elif isinstance(value, str) and (said := _SAID.search(value)):
            words.append(_plausible(_read_duration(said[1])))
    return [max(filter(None, found), default=None) for found in (fields, words)]


def _read_time(text: str, unit: float) -> float | None:
    """Return the seconds until a time: a number of units or an epoch, a duration, or a date."""
    text = text.strip()
    if _DURATION.fullmatch(text):
        return _read_duration(text)
    try:
        number = float(text)
    except ValueError:
        return _read_date(text)
    if unit == 1.0 and 1e9 < number < 1e14:  # seconds or milliseconds of the epoch
        return max(0.0, (number if number < 1e11 else number / 1000) - time.time())
    return number * unit


def _read_duration(text: str) -> float:
    """Return the seconds of a duration such as 1m43.2s, 76ms or 2 minutes."""
    parts = re.findall(_PART, text.lower())
    return sum(float(number) * _UNITS["ms" if unit.startswith("mil") else unit] for number, unit in parts)


def _read_date(text: str) -> float | None:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(text)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            return max(0.0, date.timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):  # not in this form
            continue
    return None


def _plausible(seconds: float | None) -> float | None:
    return max(0.0, seconds) if seconds is not None and math.isfinite(seconds) and seconds <= PLAUSIBLE_WAIT else None
