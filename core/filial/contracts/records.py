"""Records: the one kind of thing that flows through every stage.

A record is either single-turn (``instruction``, ``input``, ``output``) or a conversation
(``messages``), never both. It is immutable; a change is a new record that knows its parents.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack

import msgspec

from filial.contracts.messages import Message

if TYPE_CHECKING:
    from filial.contracts.messages import Reply


def _help(text: str) -> msgspec.Meta:
    """Return a field's description for the schema."""
    return msgspec.Meta(description=text)


class Constraint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A demand on a record's answer that a function can check.

    ``type`` names the check, ``args`` are its arguments, ``text`` is how the instruction puts it, word for word.
    """

    type: str
    args: dict[str, Any]
    text: str


class Origin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Where a record comes from: enough to walk any record back to its seed.

    ``plugin`` is ``dist:name==version``; ``parents`` are record ids; ``round`` counts evolutions;
    ``answers`` are ledger keys of the teacher answers the record was made from.
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
    """One training example, with its lineage: single-turn (instruction, input, output) or a conversation (messages).

    ``system`` and ``reasoning`` belong to the single-turn form; a conversation has both in its messages. All other
    fields go with either. ``id`` is a hash of parents, stage, ordinal and content (`record_id`): same inputs, same id.

    Raises:
        ValueError: neither an instruction nor messages, or both.
    """

    id: Annotated[str, _help("Unique; made from the content where it is missing.")] = ""
    instruction: Annotated[str, _help("What is asked.")] = ""
    input: Annotated[str, _help("What the instruction is about, where it needs something.")] = ""
    output: Annotated[str, _help("The answer.")] = ""
    system: Annotated[str, _help("The system text of a single-turn record.")] = ""
    reasoning: Annotated[str, _help("What was thought before the answer of a single-turn record.")] = ""
    messages: Annotated[tuple[Message, ...], _help("The turns of a conversation.")] = ()
    tools: Annotated[tuple[dict[str, Any], ...], _help("Descriptions of the tools that may be called.")] = ()
    rejected: Annotated[tuple[Message, ...], _help("The worse answer of a preference pair.")] = ()
    label: Annotated[bool | None, _help("Whether the answer is wanted, as KTO has it.")] = None
    task: Annotated[str, _help("What mixing groups by.")] = ""
    scores: Annotated[dict[str, float], _help("Figures that filters and judges add.")] = {}
    tags: Annotated[tuple[str, ...], _help("Words that filters and generators add.")] = ()
    constraints: Annotated[tuple[Constraint, ...], _help("Demands in the instruction that a function can check.")] = ()
    extra: Annotated[dict[str, Any], _help("Every other column: any JSON values.")] = {}
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

        A child whose question changed does not inherit the answer and what is said of it: ``output``, ``reasoning``,
        ``rejected`` and ``label`` are empty unless given. It inherits the constraints whose text still stands in its
        instruction. The stage gives the child its id.

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
        """Return what a model is asked with: the system text, if there is one, and all turns before the answer.

        The answer is the assistant's turn that ends the record, so ``prompt()`` of a conversation that ends with
        another turn is the whole of it. Marks for training are left out.
        """
        turns = self.turns()
        asked = turns[:-1] if turns[-1].role == "assistant" else turns
        return tuple(m if m.train is None else msgspec.structs.replace(m, train=None) for m in asked)

    def answer(self) -> str:
        """Return the text of the answer, the assistant's turn that ends the record; "" where there is none."""
        if not self.messages:
            return self.output
        last = self.messages[-1]
        return last.content if last.role == "assistant" else ""

    def with_answer(self, text: str, reasoning: str = "") -> Record:
        """Return a copy with this answer in place of the one there is, or at the end of an unanswered conversation.

        What was said of the old answer (``rejected``, ``label``) is left out; `prompt` stays as it is.
        """
        if not self.messages:
            return self.replaced(output=text, reasoning=reasoning, rejected=(), label=None)
        answered = self.messages[-1].role == "assistant"
        asked = self.messages[:-1] if answered else self.messages
        turn = Message(role="assistant", content=text, reasoning=reasoning)
        return self.replaced(messages=(*asked, turn), rejected=(), label=None)

    def without_answer(self) -> Record:
        """Return a copy that is yet to be answered.

        An empty turn stays in place of the answer where nothing or another turn of the assistant would end the record.
        """
        record = self.with_answer("")
        asked = record.messages[:-1]
        return record.replaced(messages=asked) if asked and asked[-1].role != "assistant" else record

    def single(self) -> Record:
        """Return this record as instruction and output, where it is a conversation of one question and its answer, or
        a question alone, and says nothing that only a conversation can hold; any other record as it is."""
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
        """Return the record as a conversation, whichever form it has. An empty output gives no answer turn."""
        if self.messages:
            return self.messages
        system = (Message(role="system", content=self.system),) if self.system else ()
        asked = Message(role="user", content=self.question())
        answer = Message(role="assistant", content=self.output, reasoning=self.reasoning)
        return (*system, asked, answer) if self.output else (*system, asked)

    def content(self) -> tuple[str, ...]:
        """Return what makes two records the same text: question, answer, turns, and what else is said in them.

        Marks (``label``, ``tags``, ``train`` of a turn and so on) are no text.
        """
        if self.messages:
            said = [part for message in self.messages for part in _turn_texts(message)]
        else:
            said = [self.instruction, self.input, self.output]
        if not (self.system or self.reasoning or self.tools or self.rejected):  # most records: every id is made of it
            return tuple(said)
        more = {"system": self.system, "reasoning": self.reasoning, "tools": self.tools, "rejected": self.rejected}
        return (*said, *(part for name, value in more.items() if value for part in (name, _text(value))))


_NO_ANSWER = Message(role="assistant", content="")


def _turn_texts(message: Message) -> tuple[str, ...]:
    """Role and content of a turn; what else it says, if anything, as one JSON text."""
    if not (message.reasoning or message.tool_calls or message.tool_call_id or message.name):
        return (message.role, message.content)
    more = msgspec.to_builtins(msgspec.structs.replace(message, content="", train=None))
    return (message.role, message.content, _text(more))


def _text(value: Any) -> str:
    """A text as it stands, any other value as JSON; lone surrogates stay as they are."""
    if isinstance(value, str):
        return value
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False, sort_keys=True)


def record_id(content: tuple[str, ...], *, parents: tuple[str, ...] = (), stage: str = "", ordinal: int = 0) -> str:
    """Return the id of a record: 16 hex digits of BLAKE2b over (parents, stage, ordinal, content).

    ``ordinal`` tells equal siblings apart (0 for the first). Lone surrogates hash as themselves.
    """
    texts = ("\x1e".join(parents), stage, str(ordinal), *content)
    parts = [text.encode("utf-8", "surrogatepass") for text in texts]
    framed = b"".join([len(part).to_bytes(8, "little") + part for part in parts])
    return hashlib.blake2b(framed, digest_size=8).hexdigest()


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
"""What a record asks, for comparison (`question_key`)."""


def question_key(record: Record) -> Question:
    """Return a record's question for comparison: all that is said before its last answer, wherever that stands.

    A single-turn record and a conversation of the same text ask the same question. Unlike `Record.prompt`, a turn that
    nobody answered does not count, for nobody was taught an answer to it.
    """
    turns = record.turns()
    last = max((i for i, m in enumerate(turns) if m.role == "assistant"), default=len(turns))
    return tuple(m.content for m in turns[:last])
