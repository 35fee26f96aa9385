"""The contracts: one base class per kind of plugin, one method each.

A component is a frozen pydantic model. Its fields are its options, declared once; from them come the
JSON Schema, recipe validation, click flags, ``--help`` and the reference docs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import msgspec
import pluggy
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError

from filial.contracts.checks import SLUG, copy_for_plugin, describe_change, fault_of_scores, format_value, is_number
from filial.contracts.errors import UsageError
from filial.contracts.fields import Field as Field
from filial.contracts.messages import Bound, Destination, Price, Reply, Request
from filial.contracts.paths import explain_missing
from filial.contracts.plugin_errors import breach
from filial.contracts.records import Record

if TYPE_CHECKING:
    from filial.contracts.context import Candidate, Context, TrainContext
    from filial.contracts.errors import TeacherError


def check_file(path: str, info: ValidationInfo) -> str:
    """Refuse a file that is not there, where the check knows the folder from which paths start (``base``)."""
    if info.context and (why := explain_missing(path, info.context["base"])):
        raise PydanticCustomError("no_file", "{why}", {"why": why})
    return path


InputFile = Annotated[str, Field(min_length=1, json_schema_extra={"format": "file"}), AfterValidator(check_file)]
"""The type of an option that names a file to read: a path, ``pkg:PACKAGE/FILE`` or ``hf:NAME``.

A relative path is taken from the recipe's folder (on the command line, the current one) before the component runs; a
recipe whose file is missing is refused; and a changed file is noticed as a changed option is.
"""


hookimpl = pluggy.HookimplMarker("filial")

ANSWER_LIMIT = 4096
"""Tokens of an answer at most, where nobody says otherwise."""
MESSAGE_TOKENS = 16
"""More than any chat format puts round a message."""
BATCH = 256
"""Records that `Filter.check_batch` is given at once, at most."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A record that does not go on, and why. A value, never an exception.

    ``reason`` is a slug that is counted ("too-similar"); ``detail`` is for people;
    ``answer`` is the raw teacher answer behind the decision, where there is one; ``scores`` are what a filter
    measured, as in `Keep`.
    """

    reason: str
    detail: str = ""
    answer: str | None = None
    record: Record | None = None
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_error(cls, error: TeacherError, record: Record | None = None) -> Drop:
        """The drop of a row whose teacher call failed for good. Its reason starts with ``teacher-``, so the run
        counts the row as lost rather than decided against."""
        return cls(f"teacher-{error.reason}", error.detail, error.answer, record)

    def fault(self) -> str:
        """What is wrong with it, where a plugin gave nonsense; empty if nothing is."""
        if not isinstance(self.reason, str) or not SLUG.fullmatch(self.reason):
            return f"Drop.reason is {format_value(self.reason)}, no slug such as 'too-short'"
        if not isinstance(self.detail, str):
            return f"Drop.detail is {format_value(self.detail)}, not a text"
        if not isinstance(self.answer, str | None):
            return f"Drop.answer is {format_value(self.answer)}, not a text"
        if not isinstance(self.record, Record | None):
            return f"Drop.record is {format_value(self.record)}, not a Record"
        return fault_of_scores("Drop", self.scores)


@dataclass(frozen=True, slots=True)
class Keep:
    """A record that goes on; scores and tags are added to it.

    ``record`` is the record as the filter mended it, where it did. With another text it is a new record: the stage
    gives it an id, and the record that came is its parent.
    """

    scores: dict[str, float] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    record: Record | None = None

    def fault(self) -> str:
        """What is wrong with it, where a plugin gave nonsense; empty if nothing is."""
        if not isinstance(self.record, Record | None):
            return f"Keep.record is {format_value(self.record)}, not a Record"
        if not isinstance(self.tags, tuple | list) or not all(isinstance(tag, str) for tag in self.tags):
            return f"Keep.tags is {format_value(self.tags)}, not a tuple of texts"
        return fault_of_scores("Keep", self.scores)


class Span(msgspec.Struct, frozen=True, gc=False):
    """A piece of rendered text.

    ``train``: its tokens carry loss. ``special``: the text is control text, so a special token's string in it
    becomes that token, and ``{bos}`` / ``{eos}`` stand for the tokenizer's own. In a span that is not special
    (a user's data) such strings stay plain text.
    """

    text: str
    train: bool = False
    special: bool = False


BEGIN = Span("{bos}", special=True)
END = Span("{eos}", train=True, special=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's word on one record: a score (larger is better) and, where it makes sense, right or wrong."""

    score: float
    passed: bool | None = None
    detail: str = ""

    def fault(self) -> str:
        """What is wrong with it, where a plugin gave nonsense; empty if nothing is."""
        if not is_number(self.score):
            return f"Verdict.score is {format_value(self.score)}, not a finite number"
        if not isinstance(self.passed, bool | None):
            return f"Verdict.passed is {format_value(self.passed)}, not True, False or None"
        return "" if isinstance(self.detail, str) else f"Verdict.detail is {format_value(self.detail)}, not a text"


class Component(BaseModel, ABC):
    """A named, configurable unit. Annotated fields are its options.

    ``requires`` names the import packages it needs beyond the core, ``extra`` the extra that brings them;
    both are checked before any work. ``asks`` says that it calls ``ctx.ask``, so that a recipe without a teacher is
    refused before it runs; generators and strategies do unless they say otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=False)
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    asks: ClassVar[bool] = False

    def calls(self, records: int) -> float:
        """Teacher requests this is expected to make for so many records; what `plan` goes by."""
        return records if self.asks else 0

    def locate(self, base: Path) -> Self:
        """This component for a recipe in the folder ``base``.

        The files that options name by `InputFile` are found before; override this where another option may name a
        path.
        """
        return self


class Generator(Component):
    """Makes new records from seeds.

    One that says what becomes of each record it is given sets ``consumes = True``: of these go on the ones that it
    yields as they are; a `Drop` whose ``record`` is one of them says why that one does not.

    One that can start from nothing sets ``needs_seeds = False``: a recipe may begin with it, and a command needs no
    input file. Where there are no seeds, it is given an empty sequence.
    """

    asks: ClassVar[bool] = True
    consumes: ClassVar[bool] = False
    needs_seeds: ClassVar[bool] = True

    @abstractmethod
    def generate(self, seeds: Sequence[Record], ctx: Context) -> AsyncIterator[Record | Drop]:
        """Yield accepted records and drops, in an order that depends only on seeds, options and answers."""


class Strategy(Component):
    """Evolves one record into a harder or different one."""

    asks: ClassVar[bool] = True
    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"

    @abstractmethod
    async def evolve(self, record: Record, ctx: Context) -> Record | Drop:
        """The child (``record.evolved(...)``) or why there is none."""


class Filter(Component):
    """Decides which records go on: by `check`, record by record, or by `check_batch`, many at once.

    Written with ``def``, either is called in a worker thread, the same for the whole stage, and may take its time;
    written with ``async def``, it runs on the event loop and must not compute or wait for long without ``await``.

    A filter whose decision depends on earlier records sets ``remembers = True``: it is then called in canonical
    order, one record or batch at a time, and keeps what it needs in ``ctx.memory``. One whose decision depends on all
    records sets ``whole_set = True`` and has `check_batch`, which then gets them all at once.
    """

    remembers: ClassVar[bool] = False
    whole_set: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.check_batch is Filter.check_batch and (cls.check is Filter.check or cls.whole_set):
            cls.__abstractmethods__ |= {"check_batch" if cls.whole_set else "check"}

    def check(self, record: Record, ctx: Context) -> Keep | Drop | Awaitable[Keep | Drop]:
        """Keep or drop. ``ctx.parent`` is the record this one was evolved from, where known."""
        raise NotImplementedError("this filter checks batches")

    def check_batch(
        self, records: Sequence[Record], ctx: Context
    ) -> Sequence[Keep | Drop] | Awaitable[Sequence[Keep | Drop]]:
        """Keep or drop, one word per record in their order; where it is given, `check` is not called.

        A batch is `BATCH` consecutive records of a stage, fewer at its end, and one in evolve, whatever goes on at
        once; a verdict must not depend on that. ``ctx.rng`` is the batch's: ``ctx.derive(record.id).rng`` is a
        record's. A teacher call that fails for good drops the whole batch, unless it is caught.
        """
        raise NotImplementedError("this filter checks record by record")

    def question_rules(self) -> Filter | None:
        """The part of this filter that goes by the question alone; None: it judges answers only.

        Evolve with ``answer: false`` takes it for children without an answer, which nobody has asked for. A filter
        that drops records for want of an answer overrides this; the default is the whole filter.
        """
        return self


class Mixer(Component):
    """Says how much of each task goes into the mix. Pure."""

    @abstractmethod
    def rates(self, sizes: dict[str, int]) -> dict[str, float]:
        """Rate per task, not necessarily normalised, from the number of records per task."""


class Template(Component):
    """Turns a record into the text a model is trained on. Pure.

    Whoever calls `render` is given spans or an error that names the template and the record: what is no list of `Span`,
    or of spans of something else than texts, is refused.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "render" in vars(cls):
            cls.render = _check_spans(cls.render)  # type: ignore[method-assign, assignment]

    @abstractmethod
    def render(self, record: Record) -> list[Span]:
        """The whole text as spans. A record without an answer renders as the prompt for one."""

    def bind(self, tokenizer: Any) -> Template:
        """This template for one tokenizer; the default needs none."""
        return self

    def chat_template(self) -> str | None:
        """The same prompts as a Jinja chat template, by which other programs ask the model; None: there is none.

        It is written as transformers reads it (``messages``, ``eos_token``) and saved with the model's tokenizer. A
        text that does not name ``bos_token`` gets it in front where the tokenizer begins texts with it.
        """
        return None


def _fault_of_spans(spans: object) -> str:
    if not isinstance(spans, list):
        return f"render gives {format_value(spans)}, not a list of Span"
    for place, span in enumerate(spans, 1):
        if not isinstance(span, Span):
            return f"render gives {format_value(span)} in place {place}, not a Span"
        if not isinstance(span.text, str) or not isinstance(span.train, bool) or not isinstance(span.special, bool):
            return f"render gives {format_value(span)} in place {place}, which is no text with two switches"
    return ""


def _check_spans(render: Callable[[Any, Record], list[Span]]) -> Callable[[Any, Record], list[Span]]:
    """`Template.render` as its author wrote it, with what it gives looked at."""

    @wraps(render)
    def checked(self: Template, record: Record) -> list[Span]:
        copy = copy_for_plugin(record)
        spans = render(self, copy)
        if fault := describe_change(copy, record) or _fault_of_spans(spans):
            raise breach(f"{type(self).__module__}:{type(self).__qualname__}", "template", fault, record)
        return spans

    return checked


class Trainer(Component):
    """Tunes a model. A thin door to one readable file."""

    @abstractmethod
    def train(self, data: Path, model: str, template: Template, out: Path, ctx: TrainContext) -> dict[str, Any]:
        """Train on ``data/train.jsonl`` (``data/heldout.jsonl`` is never trained on), save to ``out``.

        Returns figures for the run's summary (steps, seconds, tokens, losses).
        """

    def check_model(self, model: str) -> None:
        """Refuse a model that this trainer cannot train, as far as a look at its folder tells; the default takes all.

        ``model`` is a folder, or else the id of a model on the hub. `filial check`, `filial plan` and a run that begins
        call this before anything is spent, so it takes no time and imports nothing heavy.

        Raises:
            UsageError: it cannot train this one; the message says what would.
        """

    def teacher(self, out: Path) -> Teacher:
        """How a model that was saved to ``out`` is asked, or one in the same form that was not trained yet.

        It opens nothing: a run wants to know before it trains. A trainer without this trains, but nobody can judge
        what comes of it.
        """
        raise UsageError(f"{type(self).__name__} does not say how its models are asked (Trainer.teacher)")


class Teacher(Component):
    """Answers requests. The only door to a model.

    The fields here are limits of the door, the same for every teacher, and no part of an answer's identity.
    """

    max_concurrency: int = Field(default=64, ge=1, le=4096, description="Requests in flight at most.")
    timeout: float = Field(default=120.0, gt=0, description="Seconds one request may take in all.")
    max_retries: int = Field(default=6, ge=0, description="How often a failed request is sent again.")
    requests_per_minute: int | None = Field(default=None, ge=1, description="Requests sent per minute at most.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Tokens per minute at most, of prompts and answers together."
    )

    @abstractmethod
    async def reply(self, request: Request) -> Reply:
        """One answer.

        Raises:
            TeacherError: the call failed; the error says whether it may be tried again and whether it is charged.
        """

    def identity(self) -> dict[str, Any]:
        """What an answer depends on beside the request; part of its ledger key. Never a key or a header."""
        return self.model_dump(mode="json", exclude=set(Teacher.model_fields))

    def price(self) -> Price | None:
        """What its answers cost; None where that is not known, so that a cap on money is refused."""
        return None

    def bound(self, request: Request) -> Bound:
        """The most tokens this request can cost; what a cap sets aside before it is sent.

        The default counts a token per byte of the prompt, which no byte-level tokenizer passes, and takes an answer
        without ``max_tokens`` to end at `ANSWER_LIMIT`.
        """
        texts = (text for message in request.messages for text in message.texts())
        sent = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        return Bound(sent + MESSAGE_TOKENS * (len(request.messages) + 1), request.max_tokens or ANSWER_LIMIT)

    def destination(self) -> Destination | None:
        """Where requests go and which key goes along, for `check` and `plan`; None when they leave no machine."""
        return None

    def for_dataset(self, folder: Path) -> Teacher:
        """This teacher as a candidate of a run whose data set (``train.jsonl``) lies in ``folder``."""
        return self

    def for_template(self, template: Template) -> Teacher:
        """This teacher for a model that was trained on texts of ``template``; the default has words of its own.

        Whoever asks through it has to tell its answers apart by the template; `identity` need not.
        """
        return self

    async def close(self) -> None:
        """Let go of connections. Called once, in the loop that used the teacher."""


class Judge(Component):
    """Asks candidates what a record asks, and compares their answers with its own or with each other.

    ``compares`` is how many candidates one verdict is about: 1, or 2 for a judge of pairs, whose score is the first's.
    """

    compares: ClassVar[int] = 1

    @abstractmethod
    async def judge(self, record: Record, candidates: Sequence[Candidate], ctx: Context) -> Verdict:
        """A verdict on ``candidates``; each is asked with ``await candidate.ask(...)``, as often as need be.

        A `TeacherError` of a call that failed may pass: the record is then not judged, and counted as such.
        """


Item = Record | dict[str, Any] | ValueError
"""What a format finds in a file: a record, a row whose own format is then found, or what is wrong with one."""


class Format(Component):
    """Reads and writes the records of a file.

    Where each record is a JSON object or a row of a table, subclass `filial.formats.RowFormat`, which finds such rows
    in any file. This class is for files of another kind: one called ``data.NAME`` is of the format that is registered
    as ``NAME``, and a source ``NAME:…`` is loaded by it. ``binary``: its files are no text, so none goes to standard
    output.
    """

    binary: ClassVar[bool] = False

    @abstractmethod
    def read(self, stream: IO[bytes]) -> Iterator[Item]:
        """What a file holds, in its order; for a bad row a `filial.formats.Fault`, yielded, so that others follow.

        Raises:
            UsageError: the file is damaged. The caller puts its name in front.
        """

    def load(self, source: str, split: str) -> Iterator[Item]:
        """The same for a source that is no file: ``NAME:…``, as it was written, or a folder."""
        raise UsageError("this format reads files only")

    def loads(self) -> bool:
        """Whether it reads sources that are no files."""
        return type(self).load is not Format.load

    def write(self, records: Iterable[Record], stream: IO[bytes]) -> None:
        """Write all records, each of which is valid.

        Raises:
            UsageError: the format cannot hold a record (`filial.formats.Unfit`), or is only read.
        """
        raise UsageError("this format is only read")

    def writes(self) -> bool:
        """Whether it can be written at all."""
        return type(self).write is not Format.write


class HookPlugin(Component):
    """Joins in what a run does: its methods marked with `hookimpl` are hooks, its fields their options.

    An entry of the group ``filial.hooks`` names such a class as ``module:Class``. An object of it is made for the
    recipe that names it; what it remembers stands in private attributes (``_seen: int = 0``).
    """

    __eq__ = object.__eq__  # two with the same options have memories of their own
    __hash__ = object.__hash__


KINDS: dict[str, type[Component]] = {
    "generators": Generator,
    "strategies": Strategy,
    "filters": Filter,
    "mixers": Mixer,
    "templates": Template,
    "trainers": Trainer,
    "teachers": Teacher,
    "judges": Judge,
    "formats": Format,
}
