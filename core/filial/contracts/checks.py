"""Check what plugins return. Each function describes a fault in words; its caller names the plugin."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec
from msgspec.structs import replace

from filial.contracts.errors import TeacherError
from filial.contracts.messages import Message, Reply, Request
from filial.contracts.records import Record

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
"""The form of plugin names and drop reasons: ``too-similar``."""
MOST_TOKENS = 10**9
"""A larger number of tokens is an error: no model reads or writes so many at once."""
_COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
_TEXTS = ("text", "reasoning", "finish_reason", "model", "key")


def copy_for_plugin(record: Record) -> Record:
    """Return a copy to give to a plugin. `describe_change` finds changes in it; the record itself cannot change."""
    constraints = record.constraints and tuple(replace(c, args=_copy_json(c.args)) for c in record.constraints)
    tools, extra = record.tools and _copy_json(record.tools), _copy_json(record.extra) if record.extra else {}
    return replace(record, scores=dict(record.scores), extra=extra, tools=tools, constraints=constraints)


def describe_change(copy: Record, record: Record, called: str = "the record it was given") -> str:
    """Say how a plugin changed the copy it was given; empty if it did not."""
    if copy == record:
        return ""
    name = next(name for name in record.__struct_fields__ if getattr(copy, name) != getattr(record, name))
    return f"it changes the {name} of {called}; return new ones"


def _copy_json(value: Any) -> Any:
    """Copy JSON-like data; takes a third of the time of `copy.deepcopy`, or less."""
    if isinstance(value, dict):
        return {key: _copy_json(item) for key, item in value.items()}
    return type(value)(map(_copy_json, value)) if type(value) in (list, tuple) else value


def fault_of_scores(owner: str, scores: object) -> str:
    """Say what is wrong with a filter's scores; empty if nothing is."""
    if not isinstance(scores, dict):
        return f"{owner}.scores is {format_value(scores)}, not a dict of names and numbers"
    for name, score in scores.items():
        if not isinstance(name, str):
            return f"{owner}.scores has the name {format_value(name)}, not a text"
        if not is_number(score):
            return f"{owner}.scores[{name!r}] is {format_value(score)}, not a finite number"
    return ""


def fault_of_request(request: Request) -> str:
    """Say what is wrong with a plugin's request; empty if nothing is."""
    for message in request.messages:
        if not isinstance(message, Message) or not isinstance(message.content, str):
            return f"{format_value(message)} in the prompt is not a Message with a text"
    if not _is_count(request.draw):
        return f"draw is {format_value(request.draw)}, not a whole number from 0"
    if request.max_tokens is not None and not (_is_count(request.max_tokens) and request.max_tokens):
        return f"max_tokens is {format_value(request.max_tokens)}, not a number of tokens from 1"
    if request.temperature is not None and not (is_number(request.temperature) and request.temperature >= 0):
        return f"temperature is {format_value(request.temperature)}, not a number from 0"
    if request.top_p is not None and not (is_number(request.top_p) and 0 <= request.top_p <= 1):
        return f"top_p is {format_value(request.top_p)}, not a number from 0 to 1"
    if not isinstance(request.stop, tuple | list) or not all(isinstance(text, str) for text in request.stop):
        return f"stop is {format_value(request.stop)}, not a tuple of texts"
    return "" if isinstance(request.schema, dict | None) else f"schema is {format_value(request.schema)}, not a dict"


def fault_of_reply(reply: object) -> str:
    """Say what is wrong with the reply of a teacher or an ``ask`` hook; empty if nothing is."""
    if not isinstance(reply, Reply):
        return f"it gives {format_value(reply)}, not a Reply"
    for name in _TEXTS:
        if not isinstance(text := getattr(reply, name), str):
            return f"Reply.{name} is {format_value(text)}, not a text"
    for name in _COUNTS:
        if not _is_count(count := getattr(reply, name)):
            return f"Reply.{name} is {format_value(count)}, not a number of tokens (0 if it is not known)"
    return "Reply.failure is set; raise a TeacherError" if reply.failure else ""


def fault_of_error(error: TeacherError) -> str:
    """Say what is wrong with the error of a teacher call; empty if nothing is."""
    if not isinstance(error.reason, str) or not SLUG.fullmatch(error.reason):
        return f"TeacherError.reason is {format_value(error.reason)}, not a slug such as 'timeout'"
    if not isinstance(error.detail, str):
        return f"TeacherError.detail is {format_value(error.detail)}, not a text"
    if not isinstance(error.answer, str | None):
        return f"TeacherError.answer is {format_value(error.answer)}, not a text"
    if error.retry_after is not None and not (is_number(error.retry_after) and error.retry_after >= 0):
        return f"TeacherError.retry_after is {format_value(error.retry_after)}, not a number of seconds"
    billed = error.billed
    if billed is not None and not (isinstance(billed, tuple) and len(billed) == 2 and all(map(_is_count, billed))):
        return f"TeacherError.billed is {format_value(billed)}, not two numbers of tokens"
    return ""


def json_figures(figures: dict[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the figures as JSON represents them, without those it cannot hold, and what is wrong with the latter."""
    held, faults = dict[str, Any](), []
    for name, value in figures.items():
        try:
            json.dumps(value, allow_nan=False, default=lambda other: None)  # msgspec would encode NaN as null
            held |= msgspec.json.decode(msgspec.json.encode({name: value}))
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            faults.append(f"the figure {format_value(name)} is {format_value(value)}, which is not JSON")
    return held, faults


def is_number(value: object) -> bool:
    """Return whether a plugin's figure is a number: finite, not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS


def format_value(value: object) -> str:
    """Format a wrong value for a message."""
    if value is None:
        return "nothing (None)"
    text = repr(value) if isinstance(value, str | int | float | list | tuple | dict) else ""
    return text if 0 < len(text) <= 60 else f"a value of type {type(value).__name__}"
