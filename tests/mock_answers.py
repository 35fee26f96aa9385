"""What the mock teacher says: a function of the request, in the form the request asks for."""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any

WORDS = re.findall(
    "[a-z]+",
    "amber basin carve delta ember flint grove haven inlet jolly kneel latch mirth noble ocean plume "
    "quiet ridge slope thorn umber valid wheat xenon yield zesty acorn birch cedar dunes eager fjord "
    "gleam hazel ivory jewel kayak lunar maple north onion pearl quilt raven stone tiger urban vapor "
    "willow yarrow zinc arbor blaze crest dwell evoke forge glide hinge index joint karma lemon mango",
)
_NEXT = re.compile(r"\n(\d+)\.\s*$")


def prose(digest: bytes, count: int, part: int = 0) -> str:
    """``count`` words that depend on the digest and the part alone."""
    drawn = b"".join(blake2b(digest, key=b"%d.%d" % (part, i)).digest() for i in range(count // 64 + 1))
    return f"Reply {drawn[:4].hex()}: {' '.join(WORDS[byte % len(WORDS)] for byte in drawn[:count])}."


def fitting(schema: Any, text: str, root: Any, depth: int = 0) -> Any:
    """A value that satisfies a plain JSON Schema, made of ``text``."""
    if depth > 8 or not isinstance(schema, dict):
        return text
    if "$ref" in schema:
        return fitting(root.get("$defs", {}).get(schema["$ref"].rsplit("/", 1)[-1]), text, root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return fitting(schema[key][0], text, root, depth + 1)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    kind = "object" if "properties" in schema else schema.get("type")
    if kind == "object":
        return {k: fitting(v, text, root, depth + 1) for k, v in schema.get("properties", {}).items()}
    if kind == "array":
        return [fitting(schema.get("items"), text, root, depth + 1)] * max(1, schema.get("minItems", 2))
    least = schema.get("minimum", 3)
    return {"integer": int(least), "number": float(least), "boolean": True, "null": None}.get(kind, text)


def text_for(digest: bytes, request: dict[str, Any], words: int, choice: int) -> str:
    """The answer to a request, in the form it asks for."""
    asked = str(request["messages"][-1]["content"])
    form = request.get("response_format") or {}
    text = prose(digest, words, choice)
    if form.get("type") == "json_schema":
        schema = form["json_schema"]["schema"]
        return json.dumps(fitting(schema, text, schema))
    if form.get("type") == "json_object":
        return json.dumps({"text": text})
    if found := _NEXT.search(asked):
        first = int(found[1])
        return "\n".join(f"{first + i}. {prose(digest, max(6, words // 4), 100 + i)}" for i in range(8))
    if "\nOutput:" in asked:
        return f"Example 1\nInput: {prose(digest, 6, 200)}\nOutput: {text}"
    return text


def completion(
    digest: bytes, request: dict[str, Any], fault: str, options: dict[str, Any], authorization: str
) -> tuple[dict[str, Any], dict[str, int]]:
    """The body of an answer, and the tokens it is billed for, whether the body says so or not."""
    choices, used = [], 0
    most = request.get("max_tokens") or request.get("max_completion_tokens") or 1 << 30
    for i in range(request.get("n") or 1):
        text = "" if fault == "pempty" else text_for(digest, request, options["words"], i)
        if options["echo_headers"] and text:
            text += f" [{authorization}]"
        whole = len(text) // 4 <= most and fault != "plength"
        text = text if whole else text[: min(4 * most, len(text) // 2)]
        used += len(text) // 4
        message = {"role": "assistant", "content": text}
        choices.append({"index": i, "message": message, "finish_reason": "stop" if whole else "length"})
    prompt = sum(len(str(m.get("content"))) for m in request["messages"]) // 4 + 4
    billed = {"prompt_tokens": prompt, "completion_tokens": used}
    usage = {} if options["usage"] == "none" else {"usage": {**billed, "total_tokens": prompt + used}}
    head = {"id": f"chatcmpl-{digest.hex()[:24]}", "object": "chat.completion", "model": request.get("model", "")}
    return {**head, "choices": choices, **usage}, billed
