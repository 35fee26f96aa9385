"""Records: the one kind of thing that flows through every stage.

A record is either single-turn (``instruction``, ``input``, ``output``) or a conversation
(``messages``), never both. It is immutable; a change is a new record that knows its parents.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from filial.contracts.messages import Message

if TYPE_CHECKING:
    from filial.contracts.messages import Reply


class Constraint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A demand on a record's answer that a function can check.

    ``type`` names the check, ``args`` are its arguments, ``text`` is how the instruction puts it, word for word.
    """

    type: str
    args: dict[str, Any]
    text: str


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a record comes from: enough to walk any record back to its seed.

    ``plugin`` is ``dist:name==version``; ``parents`` are record ids; ``round`` counts evolutions;
    ``answers`` are ledger keys of the teacher answers the record was made from.
    """

    stage: str = ""
    plugin: str = ""
    parents: tuple[str, ...] = ()
    round: Annotated[int, msgspec.Meta(ge=0)] = 0
    answers: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One training example, with its lineage.

    ``task`` is what mixing groups by. ``scores`` and ``tags`` are what filters and judges add.
    ``constraints`` are demands in the instruction that a function can check. ``id`` is a hash of parents, stage,
    ordinal and content (`record_id`): same inputs, same id.

    Raises:
        ValueError: neither an instruction nor messages, or both.
    """

    id: str = ""
    instruction: str = ""
    input: str = ""
    output: str = ""
    messages: tuple[Message, ...] = ()
    task: str = ""
    scores: dict[str, float] = {}
    tags: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    origin: Origin = Origin()

    def __post_init__(self) -> None:
        if self.messages:
            if self.instruction or self.input or self.output:
                raise ValueError("a record is single-turn or a conversation, not both")
        elif not self.instruction:
            raise ValueError("a record needs an instruction or messages")

    def replaced(self, **changes: Any) -> Record:
        """A copy with some fields changed; id and origin stay."""
        return msgspec.structs.replace(self, **changes)

    def evolved(self, **changes: Any) -> Record:
        """A child of this record: this record is its parent, its round is one higher.

        A child whose question changed does not inherit the answer: ``output`` is empty unless given. It inherits
        the constraints whose text still stands in its instruction. The stage gives the child its id.
        """
        if "output" not in changes and not self.messages:
            changes["output"] = ""
        if self.constraints and "constraints" not in changes:
            said = changes.get("instruction", self.instruction)
            changes["constraints"] = tuple(c for c in self.constraints if c.text in said)
        origin = Origin(parents=(self.id,) if self.id else (), round=self.origin.round + 1)
        return msgspec.structs.replace(self, id="", scores={}, origin=origin, **changes)

    def citing(self, *replies: Reply) -> Record:
        """A copy that names the teacher answers it was made from."""
        keys = (*self.origin.answers, *(r.key for r in replies if r.key and r.key not in self.origin.answers))
        return msgspec.structs.replace(self, origin=msgspec.structs.replace(self.origin, answers=keys))

    def question(self) -> str:
        """What a user would type: the instruction, and the input after a blank line."""
        return f"{self.instruction}\n\n{self.input}" if self.input else self.instruction

    def single(self) -> Record:
        """This record as instruction and output, where it is a conversation of one question and its answer (or a
        question alone); any other record as it is."""
        roles = tuple(m.role for m in self.messages)
        if roles not in (("user",), ("user", "assistant")) or not self.messages[0].content:
            return self
        output = self.messages[1].content if len(roles) > 1 else ""
        return self.replaced(instruction=self.messages[0].content, output=output, messages=())

    def turns(self) -> tuple[Message, ...]:
        """The record as a conversation, whichever form it has. An empty output gives no answer turn."""
        if self.messages:
            return self.messages
        asked = Message(role="user", content=self.question())
        return (asked, Message(role="assistant", content=self.output)) if self.output else (asked,)

    def content(self) -> tuple[str, ...]:
        """What makes two records the same text: the fields of the question, answer and turns."""
        if self.messages:
            return tuple(part for m in self.messages for part in (m.role, m.content))
        return (self.instruction, self.input, self.output)


def record_id(content: tuple[str, ...], *, parents: tuple[str, ...] = (), stage: str = "", ordinal: int = 0) -> str:
    """The id of a record: 16 hex digits of BLAKE2b over (parents, stage, ordinal, content).

    ``ordinal`` tells equal siblings apart (0 for the first). Lone surrogates hash as themselves.
    """
    texts = ("\x1e".join(parents), stage, str(ordinal), *content)
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    framed = b"".join([len(part).to_bytes(8, "little") + part for part in parts])
    return hashlib.blake2b(framed, digest_size=8).hexdigest()


def to_json(record: Record) -> bytes:
    """One canonical JSON line without its newline: field order of the class, defaults left out, UTF-8."""
    return _encoder.encode(record)


_encoder = msgspec.json.Encoder(order="deterministic")


def asked(record: Record) -> Question:
    """A record's question, for comparison: all that is said before its last answer.

    A single-turn record and a conversation of the same text ask the same question.
    """
    turns = record.turns()
    last = max((i for i, m in enumerate(turns) if m.role == "assistant"), default=len(turns))
    return tuple(m.content for m in turns[:last])


Question = tuple[str, ...]
"""What a record asks, for comparison (`asked`)."""


def _answer(record: Record) -> str:
    """What a record answers to its question: its output, or the last turn of the assistant."""
    turns = [m.content for m in record.turns() if m.role == "assistant"]
    return turns[-1] if turns else ""
