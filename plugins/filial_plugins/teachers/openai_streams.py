"""Join the events of a streamed answer to the body of a plain one.

Some endpoints only stream, and some stream though nobody asked. Their events are lines ``data: {…}``; other servers
send the whole body and then ``data: [DONE]``, or JSON lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""How a line of an event begins. Other lines are parts of a JSON body."""


def is_stream(raw: bytes) -> bool:
    """Return whether a body consists of events."""
    return raw.lstrip().startswith(FIELDS)


def join_stream(raw: bytes) -> dict[str, Any]:
    """Return the events of a stream as one chat completion. Without a reason why it ended, it is incomplete.

    Raises:
        ValueError: an event is not JSON, or there is none.
    """
    body: dict[str, Any] = {}
    pieces: dict[str, list[Any]] = {}
    whole: dict[str, Any] = {}
    finish, events, usage = "", 0, None
    for event in _read_events(raw):
        events += 1
        if not isinstance(event, dict):
            raise ValueError("an event is not an object")
        body |= {name: value for name, value in event.items() if value is not None and name not in ("choices", "usage")}
        usage = _merge(usage, event.get("usage"))
        for choice in event.get("choices") or ():
            if choice.get("index"):
                continue  # an answer that nobody asked for
            body |= {"error": choice["error"]} if choice.get("error") else {}
            usage = _merge(usage, choice.get("usage"))  # Moonshot
            word = choice.get("finish_reason")
            finish = word if word and word != "null" else finish
            whole = choice.get("message") or whole
            for name, value in {"content": choice.get("text"), **(choice.get("delta") or {})}.items():
                if value is not None:
                    pieces.setdefault(name, []).append(value)
    if not events:
        raise ValueError("the stream has no event")
    message = {name: _join(values) for name, values in pieces.items()} | {k: v for k, v in whole.items() if v}
    choice = {"message": message, "finish_reason": finish}
    return {**body, "choices": [choice], "usage": usage, "streamed": True}


def _merge(before: Any, after: Any) -> Any:
    """Return the larger of two counts, and all counts of two objects: chunks tell them again, or in parts."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before | {name: _merge(before.get(name), value) for name, value in after.items()}
    numbers = isinstance(before, int | float) and isinstance(after, int | float)
    return max(before, after) if numbers else before if after is None else after


def _join(values: list[Any]) -> Any:
    """Return one value of several chunks: texts are joined, lists are chained, of others the last is taken."""
    if all(isinstance(value, str) for value in values):
        return "".join(values)
    if any(isinstance(value, list) for value in values):
        return [part for value in values for part in (value if isinstance(value, list) else [value]) if part]
    return values[-1]


def _read_events(raw: bytes) -> Iterator[Any]:
    """Yield the values of all events.

    Raises:
        ValueError: one is not JSON.
    """
    kind, parts = b"", list[bytes]()
    for line in [*raw.splitlines(), b""]:
        name, _, value = line.partition(b":") if line.startswith(FIELDS) else (b"", b"", line)
        value = value.strip()
        if name == b"event":
            kind = value
        elif line.startswith(b":") or value == b"[DONE]":
            continue
        elif name == b"data" and not parts and (event := _decode(value)) is not None:
            yield {"error": event} if kind == b"error" and "error" not in event else event
        elif name in (b"data", b"") and value:
            parts.append(value)
        elif not line.strip():
            if parts:
                yield from _decode_lines(parts)
            kind, parts = b"", []


def _decode(value: bytes) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _decode_lines(parts: list[bytes]) -> Iterator[Any]:
    """Yield the value of several lines, or of each."""
    if (whole := _decode(b"\n".join(parts))) is not None:
        yield whole
        return
    for part in parts:
        if (event := _decode(part)) is None:
            raise ValueError("an event is not JSON")
        yield event
