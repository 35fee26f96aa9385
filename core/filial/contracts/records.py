"""Records: what all stages read and write.

A record is either single-turn (``instruction``, ``input``, ``output``) or a conversation (``messages``), never both. It
is immutable; a change makes a new record that knows its parents.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack

import msgspec

from filial.contracts.messages import Message

if TYPE_CHECKING:
    from filial.contracts.messages import Reply


def _help(text: str) -> msgspec.Meta:
    """Return a field's description for the schema."""
    return msgspec.Meta(description=text)


class Constraint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A requirement on a record's answer that a function can check.

    ``type`` names the check, ``args`` are its arguments, ``text`` is its exact wording in the instruction.
    """

    type: str
    args: dict[str, Any]
    text: str


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Where a record comes from: enough to trace any record back to its seed.

    ``plugin`` is ``dist:name==version``; ``parents`` are record ids; ``round`` counts evolutions; ``answers`` are
    ledger keys of the teacher answers the record was made from.
    """

    stage: str = ""
    plugin: str = ""
    parents: tuple[str, ...] = ()
    round: Annotated[int, msgspec.Meta(ge=0)] = 0
    answers: tuple[str, ...] = ()

    def __reduce__(self) -> Any:
        return "NO_ORIGIN" if self is NO_ORIGIN else super().__reduce__()  # a default is left out of a line by identity


NO_ORIGIN = Origin()


class Evolution(TypedDict, total=False):
    """The fields that a child may set (`Record.evolved`)."""

    instruction: str
    input: str
    output: str
    system: str
    reasoning: str
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...]
    rejected: tuple[Message, ...]
    label: bool | None
    task: str
    tags: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    extra: dict[str, Any]


class Changes(Evolution, total=False):
    """All fields of a record (`Record.replaced`)."""

    id: str
    scores: dict[str, float]
    origin: Origin


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One training example with its lineage: single-turn (instruction, input, output) or a conversation (messages).

    ``system`` and ``reasoning`` belong to the single-turn form; a conversation has both in its messages. All other
    fields fit either form. ``id`` is a hash of parents, stage, ordinal and content (`record_id`): same inputs, same id.

    Raises:
        ValueError: neither an instruction nor messages, or both.
    """

    id: Annotated[str, _help("Unique; made from the content if missing.")] = ""
    instruction: Annotated[str, _help("The question or task.")] = ""
    input: Annotated[str, _help("The text that the instruction is about, if any.")] = ""
    output: Annotated[str, _help("The answer.")] = ""
    system: Annotated[str, _help("The system text of a single-turn record.")] = ""
    reasoning: Annotated[str, _help("The reasoning before the answer of a single-turn record.")] = ""
    messages: Annotated[tuple[Message, ...], _help("The turns of a conversation.")] = ()
    tools: Annotated[tuple[dict[str, Any], ...], _help("Descriptions of the tools that may be called.")] = ()
    rejected: Annotated[tuple[Message, ...], _help("The worse answer of a preference pair.")] = ()
    label: Annotated[bool | None, _help("Whether the answer is desirable (KTO).")] = None
    task: Annotated[str, _help("The group of the record in a mix.")] = ""
    scores: Annotated[dict[str, float], _help("Numbers that filters and judges add.")] = {}
    tags: Annotated[tuple[str, ...], _help("Words that filters and generators add.")] = ()
    constraints: Annotated[tuple[Constraint, ...], _help("Requirements in the instruction, checked by functions.")] = ()
    extra: Annotated[dict[str, Any], _help("All other columns: any JSON values.")] = {}
    origin: Origin = NO_ORIGIN

    def __post_init__(self) -> None:
        if self.messages:
            if self.instruction or self.input or self.output or self.system or self.reasoning:
                raise ValueError(
                    "a record is single-turn or a conversation, not both; "
                    "with messages, instruction, input, output, system and reasoning are empty"
                )
        elif not self.instruction:
            raise ValueError("a record needs an instruction or messages")

    def replaced(self, **changes: Unpack[Changes]) -> Record:
        """Return a copy with some fields changed; id and origin stay unless given.

        Raises:
            TypeError: there is no such field.
        """
        return msgspec.structs.replace(self, **changes)

    def evolved(self, **changes: Unpack[Evolution]) -> Record:
        """Return a child of this record: this record is its parent, its round is one higher.

        The child does not inherit the answer: ``output``, ``reasoning``, ``rejected`` and ``label`` are empty unless
        given. It inherits the constraints whose text is still in its instruction. The stage gives the child its id.

        Raises:
            TypeError: there is no such field, or a child cannot set it.
        """
        said = changes.get("instruction", self.instruction)
        inherited: Evolution = {
            "output": "", "reasoning": "", "rejected": (), "label": None,
            "constraints": tuple(c for c in self.constraints if c.text in said), **changes,
        }  # fmt: skip
        origin = Origin(parents=(self.id,) if self.id else (), round=self.origin.round + 1)
        return msgspec.structs.replace(self, id="", scores={}, origin=origin, **inherited)

    def citing(self, *replies: Reply) -> Record:
        """Return a copy that names the teacher answers it was made from."""
        keys = (*self.origin.answers, *(r.key for r in replies if r.key and r.key not in self.origin.answers))
        return msgspec.structs.replace(self, origin=msgspec.structs.replace(self.origin, answers=keys))

    def question(self) -> str:
        """Return what a user would type: the instruction, and the input after a blank line."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction

    def prompt(self) -> tuple[Message, ...]:
        """Return what a model is asked: the system text, if there is one, and all turns before the answer.

        The answer is the assistant turn at the end. If a conversation ends with another turn, this is the whole
        conversation. ``train`` marks are left out.
        """
        turns = self.turns()
        asked = turns[:-1] if turns[-1].role == "assistant" else turns
        return tuple(m if m.train is None else msgspec.structs.replace(m, train=None) for m in asked)

    def answer(self) -> str:
        """Return the text of the answer, the assistant turn at the end; "" if there is none."""
        if not self.messages:
            return self.output
        last = self.messages[-1]
        return last.content if last.role == "assistant" else ""

    def with_answer(self, text: str, reasoning: str = "") -> Record:
        """Return a copy with this answer instead of the present one, or at the end of an unanswered conversation.

        ``rejected`` and ``label`` belong to the old answer and are left out; `prompt` does not change.
        """
        if not self.messages:
            return self.replaced(output=text, reasoning=reasoning, rejected=(), label=None)
        answered = self.messages[-1].role == "assistant"
        asked = self.messages[:-1] if answered else self.messages
        turn = Message(role="assistant", content=text, reasoning=reasoning)
        return self.replaced(messages=(*asked, turn), rejected=(), label=None)

    def without_answer(self) -> Record:
        """Return a copy without its answer.

        An empty turn replaces the answer if otherwise the record were empty, or would end with another assistant turn.
        """
        record = self.with_answer("")
        asked = record.messages[:-1]
        return record.replaced(messages=asked) if asked and asked[-1].role != "assistant" else record

    def single(self) -> Record:
        """Return this record as instruction and output, if it is a conversation of one question, with or without an
        answer, and has nothing that only a conversation can represent; otherwise return it unchanged."""
        if not self.messages:
            return self
        roles = tuple(m.role for m in self.messages)
        if roles not in (("user",), ("user", "assistant")) or not self.messages[0].content:
            return self
        plain = self.replaced(
            instruction=self.messages[0].content, output=self.answer(), reasoning=self.messages[-1].reasoning,
            messages=(),
        )  # fmt: skip
        return plain if (*plain.turns(), _NO_ANSWER)[: len(roles)] == self.messages else self

    def turns(self) -> tuple[Message, ...]:
        """Return the record as a conversation, in either form. An empty output gives no answer turn."""
        if self.messages:
            return self.messages
        system = (Message(role="system", content=self.system),) if self.system else ()
        asked = Message(role="user", content=self.question())
        answer = Message(role="assistant", content=self.output, reasoning=self.reasoning)
        return (*system, asked, answer) if self.output else (*system, asked)

    def content(self) -> tuple[str, ...]:
        """Return what makes two records the same text: question, answer, turns, and every other text.

        Marks (``label``, ``tags``, ``train`` of a turn and so on) are not text.
        """
        if self.messages:
            said = list[str]()
            for message in self.messages:
                said += _turn_texts(message)
        else:
            said = [self.instruction, self.input, self.output]
        if not (self.system or self.reasoning or self.tools or self.rejected):  # fast path: every id needs it
            return tuple(said)
        more = {"system": self.system, "reasoning": self.reasoning, "tools": self.tools, "rejected": self.rejected}
        return (*said, *(part for name, value in more.items() if value for part in (name, _text(value))))


_NO_ANSWER = Message(role="assistant", content="")

MEANING = ("messages", "system", "reasoning", "tool_calls", "tools", "rejected", "label", "train")
"""What changes the meaning of a record: a format without a place for it refuses a record that has it."""
BESIDE = ("id", "input", "task", "scores", "tags", "constraints", "extra", "origin", "name", "call ids")
"""What does not: a format without a place for it leaves it out, and the user is told."""


def meaning(record: Record) -> list[str]:
    """Return which of `MEANING` a record has: ``label`` if its answer is unwanted, ``train`` if other turns are to be
    trained than the answers."""
    turns = (*record.messages, *record.rejected)
    found = {
        "label": record.label is False, "rejected": record.rejected, "tools": record.tools, "messages": record.messages,
        "reasoning": record.reasoning or any(turn.reasoning for turn in turns),
        "tool_calls": any(turn.tool_calls for turn in turns),
        "train": any(turn.train is (turn.role not in ("assistant", "tool_call")) for turn in turns),
        "system": record.system or any(turn.role == "system" for turn in turns),
    }  # fmt: skip
    return [name for name, value in found.items() if value]


def _turn_texts(message: Message) -> tuple[str, ...]:
    """Return role and content of a turn; all other texts, if any, as one JSON text."""
    if not (message.reasoning or message.tool_calls or message.tool_call_id or message.name):
        return (message.role, message.content)
    more = msgspec.to_builtins(msgspec.structs.replace(message, content="", train=None))
    return (message.role, message.content, _text(more))


def _text(value: Any) -> str:
    """Return a text as it is, any other value as JSON; lone surrogates are kept."""
    if isinstance(value, str):
        return value
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False, sort_keys=True)


def record_id(content: tuple[str, ...], *, parents: tuple[str, ...] = (), stage: str = "", ordinal: int = 0) -> str:
    """Return the id of a record: 16 hex digits of BLAKE2b over (parents, stage, ordinal, content).

    ``ordinal`` distinguishes equal siblings (0 for the first). Lone surrogates are hashed as they are.
    """
    framed = _frame_lineage(parents, stage, ordinal) + _frame(content)
    return hashlib.blake2b(framed, digest_size=8).hexdigest()


def _frame(texts: tuple[str, ...]) -> bytes:
    """Texts one after the other, each with its length in front."""
    framed: list[bytes] = []
    for text in texts:
        try:
            part = text.encode()
        except UnicodeEncodeError:
            part = text.encode("utf-8", "surrogatepass")
        framed.append(_pack_length(len(part)))
        framed.append(part)
    return b"".join(framed)


@lru_cache(1024)  # reading a file asks for the same one with every record
def _frame_lineage(parents: tuple[str, ...], stage: str, ordinal: int) -> bytes:
    return _frame(("\x1e".join(parents), stage, str(ordinal)))


_pack_length = struct.Struct("<Q").pack


class IdSet:
    """Ids of the kind that `record_id` gives, in about ten bytes each; no other name is ever in it."""

    def __init__(self) -> None:
        self._parts = defaultdict[int, bytearray](bytearray)  # 16,384 at most: to search some hundred bytes is quick

    def add(self, name: str) -> bool:
        """Add an id. Returns whether it was not there."""
        try:
            raw = bytes.fromhex(name)
        except ValueError:
            return True
        if len(raw) != 8:
            return True
        part = self._parts[raw[0] << 6 | raw[1] >> 2]
        if raw in part:
            at = part.find(raw)
            while at % 8 and at > 0:  # it was found across two neighbours
                at = part.find(raw, at + 1)
            if at >= 0:
                return False
        part += raw
        return True


def to_json(record: Record) -> bytes:
    """Return one canonical JSON line without its newline: field order of the class, defaults left out, UTF-8."""
    return _encoder.encode(record)


_encoder = msgspec.json.Encoder(order="deterministic")


Question = tuple[str, ...]
"""The question of a record, for comparison (`question_key`)."""


def question_key(record: Record) -> Question:
    """Return a record's question for comparison: everything before its last answer.

    A single-turn record and a conversation with the same text have the same question. Unlike in `Record.prompt`, turns
    after the last answer do not count, because no answer to them is taught.
    """
    turns = record.turns()
    last = max((i for i, m in enumerate(turns) if m.role == "assistant"), default=len(turns))
    return tuple(m.content for m in turns[:last])
