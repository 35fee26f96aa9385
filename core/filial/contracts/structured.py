"""Answers that must satisfy a JSON Schema: checked, and requested once more if they do not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from filial.contracts.errors import TeacherError, UsageError
from filial.contracts.messages import Message, Reply, Request, read_json

RETRY = """That is not what was asked for: {fault}. Answer again, with the JSON alone. It must satisfy this JSON Schema:
{schema}"""


def fault_of_answer(text: str, schema: dict[str, Any]) -> str:
    """Say why an answer does not satisfy a schema; empty if it does."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    try:
        value = read_json(text)
    except ValueError as err:
        return str(err)
    error = best_match(Draft202012Validator(schema).iter_errors(value))
    if error is None:
        return ""
    place = "".join(f"/{part}" for part in error.absolute_path)
    return f"at {place or 'the top'}: {error.message}"[:500]


async def ask_with_schema(request: Request, ask: Callable[[Request], Awaitable[Reply]]) -> Reply:
    """Return the first answer that satisfies ``request.schema``; ask twice at most.

    Raises:
        UsageError: the schema is not a JSON Schema.
        TeacherError: ``schema-mismatch``, with the second answer; or what ``ask`` raises.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    schema = request.schema or {}
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as err:
        raise UsageError(f"the schema of a request is not a JSON Schema: {err.message}") from err
    reply = await ask(request)
    if wrong := fault_of_answer(reply.text, schema):
        told = RETRY.format(fault=wrong, schema=msgspec.json.encode(schema).decode())
        turns = (*request.messages, Message(role="assistant", content=reply.text), Message(role="user", content=told))
        reply = await ask(msgspec.structs.replace(request, messages=turns))
        wrong = fault_of_answer(reply.text, schema)
    if wrong:
        raise TeacherError("schema-mismatch", wrong, answer=reply.text)
    return reply
