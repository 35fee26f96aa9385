"""Turns of a conversation in every form that public data have: objects, pairs, texts; with calls, reasoning, marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from filial import Message, Role, ToolCall
from filial.formats import Fault, json_type
from filial_plugins.formats import fields, names
from filial_plugins.formats.fields import EMPTY, fold
from filial_plugins.formats.flags import tell_flag

_PARTS = {
    **dict.fromkeys(names.SPEAKER, "role"),
    **dict.fromkeys(names.TEXT, "content"),
    **dict.fromkeys(names.REFUSAL, "content"),
    **dict.fromkeys((*names.REASONING, *names.THOUGHTS), "reasoning"),
    **dict.fromkeys(names.CALLS, "calls"),
    **dict.fromkeys(names.CALL_ID, "call_id"),
    **dict.fromkeys(names.TRAINED, "train"),
    **dict.fromkeys(names.UNCLEAR, "unclear"),
    **dict.fromkeys(names.TOOLS, "tools"),
    **dict.fromkeys(names.MEDIA, "media"),
    "name": "name",
}
"""What a key of a turn says."""
_TALKERS: dict[str, Role] = {name: role for name, role in names.ROLES.items() if role != "tool_call"}
"""Who says what is text and nothing else."""
_SPEAKERS: dict[str, Role] = {
    **{name: role for name, role in names.ROLES.items() if name not in _PARTS},
    **dict.fromkeys(("question", "query", "prompt", "instruction", "input"), "user"),
    **dict.fromkeys(("answer", "response", "completion", "output"), "assistant"),
}
"""Who says what stands under a key, in objects that hold a question and its answer."""
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_REASONING_PARTS = ("thinking", "reasoning", "reasoning.text", "reasoning.summary")
_SEALED_PARTS = ("redacted_thinking", "reasoning.encrypted")
"""Reasoning that only its model's endpoint can read."""
_CALL_PARTS = ("tool_use", "tool_call", "function_call")
_RESULT_PARTS = ("tool_result", "tool_response")
_UNTYPED = {
    "functionCall": "tool_call", "function_call": "tool_call", "functionResponse": "tool_response",
    "function_response": "tool_response", "inlineData": "image", "inline_data": "image", "fileData": "file",
    "file_data": "file", **dict.fromkeys(names.MEDIA, "image"),
}  # fmt: skip
"""What a part is that has no ``type``, by its key (Gemini, Qwen)."""
_TEXT_OF_PART = ("text", "content", "value", "thinking", "reasoning", "refusal", "summary")
_ARGUMENTS = ("arguments", "parameters", "args", "input")
_CALL_KEYS = {"id", "type", "index", "function", "name", *_ARGUMENTS}
_MARKERS: dict[str, Role] = {"\n\nHuman:": "user", "\n\nAssistant:": "assistant"}
_MARKER = re.compile("(" + "|".join(_MARKERS) + ")")
_SWITCH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
Said = dict[str, tuple[str, Any]]
"""Of each part of a turn the key under which it stands, and the value."""


@dataclass(slots=True)
class Talk:
    """A conversation as it was read.

    ``others`` holds, for each item of the source, what it says that a turn has no place for; ``tools`` are definitions
    that stand in turns.
    """

    turns: list[Message] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    others: list[dict[str, Any]] = field(default_factory=list)


def read_plain_talk(value: object) -> list[Message]:
    """Return the conversation in a list of objects that have a speaker and a text each, and nothing else, as most are;
    empty: it is none of these, and `read_talk` reads it."""
    turns: list[Message] = []
    for turn in value if type(value) is list else ():
        if type(turn) is not dict or len(turn) != 2:
            return []
        speaker, text = (turn["role"], turn.get("content")) if "role" in turn else (turn.get("from"), turn.get("value"))
        role = _TALKERS.get(speaker) if type(speaker) is str else None
        if role is None or type(text) is not str:
            return []
        turns.append(Message(role, text))
    return turns


def read_talk(value: object, column: str) -> Talk:
    """Return the conversation in a column: a list of turns, of pairs or of alternating texts, or JSON text of one.

    Raises:
        Fault: it is none, it is empty, or it has a turn that a record cannot hold.
    """
    talk = Talk()
    try:
        items = list_items(value)
    except Fault as fault:
        raise Fault(f"/{column}", fault.message) from None
    fields.each(items, column, lambda item: _read_item(item, talk))
    if not talk.turns:
        raise Fault(f"/{column}", "is empty")
    return talk


def list_items(value: object) -> list[Any]:
    """Return the items of a list, of JSON text of one, or of a table that holds a list for each key of a turn.

    Raises:
        Fault: it is none of these, or it is empty.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        value = fields.parse_json(value)
    if isinstance(value, dict) and _is_table(value):
        value = [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
    if not isinstance(value, list):
        raise Fault("", f"must be an array, not {json_type(value)}")
    if not value:
        raise Fault("", "is empty")
    return value


def _is_table(value: dict[str, Any]) -> bool:
    """Return whether an object holds a list, of one length, for each key of a turn."""
    lengths = {len(cells) if isinstance(cells, list) else -1 for cells in value.values()}
    parts = {_PARTS.get(fold(key)) for key in value}
    return len(lengths) == 1 and -1 not in lengths and {"role", "content"} <= parts


def is_talk(value: object) -> bool:
    """Return whether a value looks like a conversation: turns, objects of questions and answers, pairs, or several
    texts in turn."""
    try:
        items = list_items(value)
    except Fault:
        return False
    first = items[0]
    if isinstance(first, dict):
        return any(_PARTS.get(fold(key)) == "role" or fold(key) in _SPEAKERS for key in first)
    if isinstance(first, list):
        return all(isinstance(item, list) and len(item) == 2 for item in items)
    return isinstance(first, str) and len(items) > 1


def holds_rows(value: object) -> bool:
    """Return whether a list looks like one of rows with questions and answers, as no speaker is named in it."""
    first = value[0] if isinstance(value, list) and value else None
    if not isinstance(first, dict):
        return False
    keys = {fold(key) for key in first}
    return keys.isdisjoint(names.SPEAKER) and keys.isdisjoint(names.ROLES)


def split_dialogue(text: str) -> tuple[Message, ...]:
    """Return the turns of a text in which each begins with its speaker, as in HH-RLHF; an answer that is still to come
    is none."""
    pieces = _MARKER.split(text)
    said = [(_MARKERS[marker], piece.strip()) for marker, piece in zip(pieces[1::2], pieces[2::2], strict=True)]
    return tuple(Message(role, piece) for role, piece in (said if not said or said[-1][1] else said[:-1]))


def is_dialogue(text: str) -> bool:
    """Return whether a text is one that `split_dialogue` takes apart."""
    return text.startswith(tuple(_MARKERS))


def _read_item(item: Any, talk: Talk) -> None:
    """Add to a conversation what one item of its source says."""
    others: dict[str, Any] = {}
    if isinstance(item, dict):
        talk.turns += _read_object(item, others, talk.tools)
        for key, value in others.items():
            if changes_meaning(fold(key), value):
                why = "changes what a turn means, and has no place in a record; leave it out of the turns"
                raise Fault(f"/{key}", why)
    elif isinstance(item, list) and len(item) == 2 and not any(isinstance(text, int | float) for text in item):
        asker: tuple[Role, Role] = ("user", "assistant")
        said = [(i, text) for i, text in enumerate(item) if text not in (None, "")]
        talk.turns += [Message(asker[i], _expect_text(text, f"/{i}")) for i, text in said]
    elif isinstance(item, str):
        talk.turns.append(Message("assistant" if len(talk.turns) % 2 else "user", item))
    else:
        raise Fault("", f"must be an object or a pair of texts, not {json_type(item)}")
    talk.others.append(others)


def _read_object(turn: dict[str, Any], others: dict[str, Any], tools: list[dict[str, Any]]) -> list[Message]:
    """Return what one object says, most often one turn; what has no place in turns is put into ``others``."""
    said: Said = {}
    for key, value in turn.items():
        part = _PARTS.get(key) or _PARTS.get(fold(key), "")
        if not part and tell_flag(key) is not None and (is_switch(value) or isinstance(value, int | float | list)):
            part = "train"
        if part == "train" and value is not None:
            flag = read_flag(key, value)
            said[part] = (key, _join_flags(said.get(part), key, flag))
        elif part == "media" and is_media(value):
            raise Fault(f"/{key}", "images, audio and video have no place in a record; leave such conversations out")
        elif part == "unclear" and value not in EMPTY:
            raise Fault(
                f"/{key}", "masks and parts of a turn have no place in a record; say train: true or false of it"
            )
        elif part and part != "media" and _is_unsaid(said.get(part, _UNSAID)[1], value):
            said[part] = (key, value)
        elif value not in EMPTY and value != said.get(part, _UNSAID)[1]:
            if part == "reasoning" and isinstance(value, str) and isinstance(said[part][1], str):
                raise Fault(f"/{key}", f"differs from {said[part][0]}; leave one of them out of the turns")
            others[key] = value
    said = {part: cell for part, cell in said.items() if cell[1] is not None or part == "content"}
    if "role" not in said:
        return _read_exchange(turn, said, others)
    tools += read_tools(*said["tools"]) if "tools" in said else ()
    return _make_turns(said, others)


_UNSAID = ("", None)


def _is_unsaid(known: object, value: object) -> bool:
    """Return whether what a part of a turn is known to say is nothing, or less than this value says."""
    return known is None or (known in EMPTY and value not in EMPTY)


def changes_meaning(key: str, value: object) -> bool:
    """Return whether what a turn says under a key that no record has a place for changes what the turn means."""
    if key in names.LABEL:
        return isinstance(value, bool)
    if key == "channel":  # harmony: reasoning in a turn of its own
        return value != "final"
    return key in names.UNHELD and (value is True or not isinstance(value, bool | int | float))


def is_media(value: object) -> bool:
    """Return whether a cell that is called after media holds some, and not their number or whether there are any."""
    return value not in EMPTY and not isinstance(value, bool | int | float)


def _read_exchange(turn: dict[str, Any], said: Said, others: dict[str, Any]) -> list[Message]:
    """Return the turns of an object that names no speaker: each stands under the name of who says it."""
    speakers = {key: _SPEAKERS[fold(key)] for key in turn if fold(key) in _SPEAKERS and turn[key] not in EMPTY}
    if not speakers:
        raise Fault("", "lacks role")
    answered = "assistant" in speakers.values()
    reasoning = said.pop("reasoning", _UNSAID) if answered else _UNSAID
    train = said.pop("train", _UNSAID)[1] if answered else None
    turns = []
    for key, role in speakers.items():
        others.pop(key, None)
        text = _expect_text(turn[key], f"/{key}")
        if role == "assistant":
            turns.append(Message(role, text, _expect_text(reasoning[1] or "", f"/{reasoning[0]}"), train=train))
        else:
            turns.append(Message(role, text))
    others.update((key, value) for key, value in said.values() if value not in EMPTY)
    return turns


def _make_turns(said: Said, others: dict[str, Any]) -> list[Message]:
    """Return the turn of an object that names its speaker, after the results of tools that stand in its content."""
    key, speaker = said["role"]
    role = names.ROLES.get(_expect_text(speaker, f"/{key}").strip().lower())
    if role is None:
        raise Fault(f"/{key}", f"unknown role {speaker[:40]!r}; known are {', '.join(names.ROLES)}")
    if "content" not in said and "calls" not in said:
        raise Fault("", f"lacks {'value' if key == 'from' else 'content'}")
    content = _Content()
    content.read_turn(role, said, others)
    text = "".join(content.texts)
    if role == "tool_call" and not content.calls and (found := find_calls(text)):
        text, content.calls = "", list(found)
    if content.results and not (text or content.calls):
        others.update(said[part] for part in ("name", "call_id", "reasoning", "train") if part in said)
        return content.results
    turn = Message(
        "assistant" if role == "tool_call" and content.calls else role,
        text,
        reasoning="".join(content.reasoning),
        tool_calls=tuple(content.calls),
        tool_call_id=_read_label(said, "call_id"),
        name=_read_label(said, "name"),
        train=said.get("train", _UNSAID)[1],
    )
    return [*content.results, turn]


def _read_label(said: Said, part: str) -> str:
    key, value = said.get(part, ("", ""))
    return _expect_text(value, f"/{key}")


def _holds_parts(value: object) -> bool:
    parts = value if isinstance(value, list) else [value]
    return bool(parts) and all(isinstance(part, str) or (isinstance(part, dict) and "type" in part) for part in parts)


@dataclass(slots=True)
class _Content:
    """The parts of a turn's content, sorted by what they are; ``lost`` where one says more than its text."""

    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: list[Message] = field(default_factory=list)
    lost: bool = False

    def read_turn(self, role: Role, said: Said, others: dict[str, Any]) -> None:
        """Read what a turn says: its reasoning, its calls of tools and its content."""
        key, value = said.get("reasoning", _UNSAID)
        if isinstance(value, list):
            thoughts = _Content()
            thoughts.read(value, key)
            self.reasoning += thoughts.reasoning + thoughts.texts
            others.update({key: value} if thoughts.lost else {})
        elif "reasoning" in said:
            self.reasoning.append(_read_label(said, "reasoning"))
        if said.get("calls", _UNSAID)[1]:
            calls, more = read_calls(*said["calls"])
            self.calls += calls
            others.update([said["calls"]] if more else [])
        key, value = said.get("content", _UNSAID)
        if isinstance(value, dict | list) and role == "tool" and not _holds_parts(value):
            self.texts.append(fields.to_json_text(value))
        elif isinstance(value, dict | list):
            self.read(value, key)
            others.update({key: value} if self.lost else {})
        elif value is not None or not (self.calls or any(self.reasoning)):
            self.texts.append(_expect_text(value, f"/{key}"))

    def read(self, value: object, key: str) -> None:
        """Read a list of parts, or one part."""
        if isinstance(value, list):
            fields.each(value, key, self._read_part)
        elif isinstance(value, dict) and "type" in value:
            self._read_part(value)
        else:
            raise Fault(f"/{key}", f"must be a string, not {json_type(value)}")

    def _read_part(self, part: object) -> None:
        if isinstance(part, str):
            self.texts.append(part)
            return
        if not isinstance(part, dict):
            raise Fault("", f"must be a text part, not {json_type(part)}")
        kind = "thinking" if part.get("thought") is True else part.get("type") or _tell_part(part)
        key = next((key for key in (*_TEXT_OF_PART, *_UNTYPED) if part.get(key) is not None), "text")
        read = {"type", key, "thought"}
        if kind in _TEXT_PARTS:
            self.texts.append(fields.read_text(part, key))
        elif kind in _REASONING_PARTS:
            self.reasoning.append(fields.read_text(part, key))
        elif kind in _CALL_PARTS:
            calls, more = read_calls(key, part.get(key, part) if "name" not in part else part)
            self.calls += calls
            self.lost = self.lost or more
            read |= _CALL_KEYS
        elif kind in _RESULT_PARTS:
            result = _Content()
            value = part.get(key, "")
            if isinstance(value, dict) and "response" in value:  # Gemini
                result.texts.append(fields.to_json_text(value["response"]))
            elif isinstance(value, str):
                result.texts.append(value)
            else:
                result.read(value, key)
            of = next((str(part[name]) for name in names.CALL_ID if part.get(name)), "")
            self.results.append(Message("tool", "".join(result.texts), tool_call_id=of))
            read |= set(names.CALL_ID)
        elif kind not in _SEALED_PARTS:
            what = "/type" if "type" in part else f"/{key}"
            raise Fault(what, f"only text parts are supported, not {str(kind)[:40]!r}")
        self.lost = self.lost or any(part[name] not in EMPTY for name in part.keys() - read)


def _tell_part(part: dict[str, Any]) -> str:
    """Return the type of a part that does not name it."""
    return next((kind for key, kind in _UNTYPED.items() if part.get(key) not in EMPTY), "text")


def read_parts(value: object, key: str) -> str:
    """Return the text of a cell that may be a list of parts, as Anthropic and Gemini have their system texts.

    Raises:
        Fault: it is neither a text nor parts of text.
    """
    if isinstance(value, str):
        return value
    content = _Content()
    parts = value.get("parts", value) if isinstance(value, dict) else value
    if isinstance(parts, list):  # how long an endpoint should keep a part says nothing about the text
        parts = [{k: v for k, v in p.items() if k != "cache_control"} if isinstance(p, dict) else p for p in parts]
    content.read(parts, key)
    if content.lost or content.reasoning or content.calls or content.results:
        raise Fault(f"/{key}", "must be a text")
    return "".join(content.texts)


def read_flag(key: str, value: object) -> bool:
    """Return whether a turn is trained, by a flag of any name.

    Raises:
        Fault: the flag is neither true nor false, nor 0 nor 1.
    """
    flag = _SWITCH.get(str(value).lower())
    if flag is None:
        raise Fault(f"/{key}", f"must be true or false, 1 or 0, not {str(value)[:40]}; a turn is trained or it is not")
    return flag is (tell_flag(key) is not False)


def is_switch(value: object) -> bool:
    """Return whether a value is true or false, or a number or word for that."""
    return str(value).lower() in _SWITCH


def _join_flags(earlier: tuple[str, Any] | None, key: str, flag: bool) -> bool:
    if earlier is not None and earlier[1] is not None and earlier[1] != flag:
        raise Fault(f"/{key}", f"contradicts {earlier[0]}")
    return flag


def read_calls(key: str, value: object) -> tuple[tuple[ToolCall, ...], bool]:
    """Return calls of tools (one or a list, bare or in OpenAI's wrapping, or JSON text of them), and whether they say
    more than a record holds.

    Raises:
        Fault: a call has no name, or it is none.
    """
    if isinstance(value, str):
        value = fields.parse_json(value)
    several = isinstance(value, list)
    calls: Sequence[object] = value if isinstance(value, list) else [value]
    found, more = [], False
    for i, call in enumerate(calls):
        inner = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
            raise Fault(f"/{key}/{i}" if several else f"/{key}", "must be a call of a tool, with name and arguments")
        argument = next((name for name in _ARGUMENTS if inner.get(name) is not None), "")
        given: Any = inner.get(argument, {})
        text = given if isinstance(given, str) else fields.to_json_text(given)
        found.append(ToolCall(id=str(call.get("id") or ""), name=inner["name"], arguments=text))
        held = {"id", "type", "index", "function", "name", argument}
        more = more or any(part[name] not in EMPTY for part in (call, inner) for name in part.keys() - held)
    return tuple(found), more


def find_calls(text: str) -> tuple[ToolCall, ...]:
    """Return the calls that a text says as JSON, and nothing else; none where it says something else."""
    if text.lstrip()[:1] not in ("{", "["):
        return ()
    try:
        calls = fields.parse_json(text)
        for call in calls if isinstance(calls, list) else [calls]:
            inner = call.get("function", call)
            if not call.keys() <= _CALL_KEYS or not inner.keys() & set(_ARGUMENTS):
                return ()
        return read_calls("value", calls)[0]
    except (Fault, AttributeError):
        return ()


def read_tools(key: str, value: object) -> list[dict[str, Any]]:
    """Return definitions of tools, each in OpenAI's wrapping, from a list of them, bare or not, or JSON text.

    Raises:
        Fault: it is no list of objects.
    """
    if value in EMPTY:
        return []
    if isinstance(value, str):
        value = fields.parse_json(value)
    if isinstance(value, dict | None):
        value = [value] if value else []
    if not isinstance(value, list):
        raise Fault(f"/{key}", f"must be an array of tools, not {json_type(value)}")
    return fields.each(value, key, _read_tool)


def _read_tool(tool: object) -> dict[str, Any]:
    if isinstance(tool, str):
        tool = fields.parse_json(tool)
    if not isinstance(tool, dict):
        raise Fault("", f"must be a definition of a tool, not {json_type(tool)}")
    bare = "name" in tool and "function" not in tool and tool.get("type", "function") == "function"
    definition = {k: v for k, v in tool.items() if k != "type"} if bare else tool
    wrapped: dict[str, Any] = fields.to_json({"type": "function", "function": definition} if bare else definition)
    return wrapped


def _expect_text(value: object, pointer: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return fields.to_json_text(value)
    raise Fault(pointer, f"must be a string, not {json_type(value)}")
