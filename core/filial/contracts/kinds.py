"""The contracts: one base class per kind of plugin.

A component is a frozen pydantic model. Its fields are its options, declared once: the JSON Schema, recipe validation,
click flags, ``--help`` and the reference docs are made from them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Sequence
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
from filial.contracts.records import BESIDE, MEANING, NO_ORIGIN, Record

if TYPE_CHECKING:
    from filial.contracts.context import Candidate, Context, TrainContext
    from filial.contracts.errors import TeacherError


def check_file(path: str, info: ValidationInfo) -> str:
    """Refuse a missing file, if the validation context has the folder for relative paths (``base``)."""
    if info.context and (why := explain_missing(path, info.context["base"])):
        raise PydanticCustomError("no_file", "{why}", {"why": why})
    return path


InputFile = Annotated[str, Field(min_length=1, json_schema_extra={"format": "file"}), AfterValidator(check_file)]
"""The type of an option that names an input file: a path, ``pkg:PACKAGE/FILE`` or ``hf:NAME``.

A relative path starts at the recipe's folder (on the command line, at the current folder). A recipe with a missing file
is refused. A change of the file has the same effect as a change of the option.
"""


hookimpl = pluggy.HookimplMarker("filial")

ANSWER_LIMIT = 4096
"""Maximum tokens of an answer, unless the request says otherwise."""
MESSAGE_TOKENS = 16
"""Upper bound of the tokens that a chat format adds to a message."""
BATCH = 256
"""Maximum number of records per call of `Filter.check_batch`."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A record that is removed, and why. A value, never an exception.

    ``reason`` is a slug that is counted ("too-similar"); ``detail`` is for people; ``answer`` is the raw teacher answer
    behind the decision, if there is one; ``scores`` are measured by a filter, as in `Keep`.
    """

    reason: str
    detail: str = ""
    answer: str | None = None
    record: Record | None = None
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_error(cls, error: TeacherError, record: Record | None = None) -> Drop:
        """Make the drop of a record whose request failed for good. Its reason starts with ``teacher-``; the run counts
        the record as lost, not as rejected."""
        return cls(f"teacher-{error.reason}", error.detail, error.answer, record)

    def fault(self) -> str:
        """Say what is wrong with its fields; empty if nothing is."""
        if not isinstance(self.reason, str) or not SLUG.fullmatch(self.reason):
            return f"Drop.reason is {format_value(self.reason)}, not a slug such as 'too-short'"
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

    ``record`` is the record as the filter changed it, if it did. If its text is different, it is a new record: the
    stage gives it an id, and the original record is its parent.
    """

    scores: dict[str, float] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    record: Record | None = None

    def fault(self) -> str:
        """Say what is wrong with its fields; empty if nothing is."""
        if not isinstance(self.record, Record | None):
            return f"Keep.record is {format_value(self.record)}, not a Record"
        if not isinstance(self.tags, tuple | list) or not all(isinstance(tag, str) for tag in self.tags):
            return f"Keep.tags is {format_value(self.tags)}, not a tuple of texts"
        return fault_of_scores("Keep", self.scores)


class Span(msgspec.Struct, frozen=True, gc=False):
    """A piece of rendered text.

    ``train``: its tokens carry loss. ``special``: the text is control text, so a special token's string in it becomes
    that token, and ``{bos}`` / ``{eos}`` stand for the tokenizer's own. In a span that is not special (a user's data)
    such strings stay plain text.
    """

    text: str
    train: bool = False
    special: bool = False


BEGIN = Span("{bos}", special=True)
END = Span("{eos}", train=True, special=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's result for one record: a score (larger is better) and, if it applies, right or wrong."""

    score: float
    passed: bool | None = None
    detail: str = ""

    def fault(self) -> str:
        """Say what is wrong with its fields; empty if nothing is."""
        if not is_number(self.score):
            return f"Verdict.score is {format_value(self.score)}, not a finite number"
        if not isinstance(self.passed, bool | None):
            return f"Verdict.passed is {format_value(self.passed)}, not True, False or None"
        return "" if isinstance(self.detail, str) else f"Verdict.detail is {format_value(self.detail)}, not a text"


class Component(BaseModel, ABC):
    """A named, configurable unit. Annotated fields are its options.

    ``requires`` names the import packages it needs in addition to the core, ``extra`` the extra that installs them;
    both are checked before any work. ``asks`` says that it calls ``ctx.ask``, so that a recipe without a teacher is
    refused before it runs; the default is True for generators and strategies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=False)
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    asks: ClassVar[bool] = False

    def calls(self, records: int) -> float:
        """Estimate its teacher requests for this number of records; used by `plan`."""
        return records if self.asks else 0

    def locate(self, base: Path) -> Self:
        """Return this component for a recipe in the folder ``base``.

        Files of `InputFile` options are resolved before. Override this if another option can contain a path.
        """
        return self


class Generator(Component):
    """Makes new records from seeds.

    A generator that decides about each record it is given sets ``consumes = True``: it yields the records that go on
    unchanged, and a `Drop` with the ``record`` for each of the others.

    One that can start without seeds sets ``needs_seeds = False``: a recipe may begin with it, and a command needs no
    input file. It is then given an empty sequence. Seed files are read as ``seeds_format`` if the user names no format.
    """

    asks: ClassVar[bool] = True
    consumes: ClassVar[bool] = False
    needs_seeds: ClassVar[bool] = True
    seeds_format: ClassVar[str] = "auto"

    @abstractmethod
    def generate(self, seeds: Sequence[Record], ctx: Context) -> AsyncIterator[Record | Drop]:
        """Yield accepted records and drops, in an order that depends only on seeds, options and answers."""


class Strategy(Component):
    """Evolves one record into a harder or different one."""

    asks: ClassVar[bool] = True
    family: ClassVar[Literal["in-depth", "in-breadth"]] = "in-depth"

    @abstractmethod
    async def evolve(self, record: Record, ctx: Context) -> Record | Drop:
        """Return the child (``record.evolved(...)``), or a drop that says why there is none."""


class Filter(Component):
    """Decides which records go on: by `check`, one record at a time, or by `check_batch`, many at once.

    A method written with ``def`` is called in a worker thread, one for the whole stage, and may take its time. One
    written with ``async def`` runs on the event loop and must not compute or wait for long without ``await``.

    A filter whose decision depends on earlier records sets ``remembers = True``: it is then called in canonical order,
    one record or batch at a time, and keeps its state in ``ctx.memory``. One whose decision depends on all records sets
    ``whole_set = True`` and has `check_batch`, which then gets all of them at once.
    """

    remembers: ClassVar[bool] = False
    whole_set: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.check_batch is Filter.check_batch and (cls.check is Filter.check or cls.whole_set):
            cls.__abstractmethods__ |= {"check_batch" if cls.whole_set else "check"}

    def check(self, record: Record, ctx: Context) -> Keep | Drop | Awaitable[Keep | Drop]:
        """Keep or drop a record. ``ctx.parent`` is the record from which it was evolved, if known."""
        raise NotImplementedError("this filter checks batches")

    def check_batch(
        self, records: Sequence[Record], ctx: Context
    ) -> Sequence[Keep | Drop] | Awaitable[Sequence[Keep | Drop]]:
        """Keep or drop each record: return one result per record, in their order. If it is defined, `check` is not
        called.

        A batch is `BATCH` consecutive records of a stage, fewer at its end, and one record in evolve; a result must not
        depend on that. ``ctx.rng`` is the random generator of the batch, ``ctx.derive(record.id).rng`` that of a
        record. A request that fails for good drops the whole batch, unless the error is caught.
        """
        raise NotImplementedError("this filter checks record by record")

    def question_rules(self) -> Filter | None:
        """Return the part of this filter that judges the question only; None: it judges answers only.

        Evolve with ``answer: false`` uses it for children without an answer. Override this in a filter that drops
        records because they have no answer; the default is the whole filter.
        """
        return self


class Mixer(Component):
    """Decides how much of each task goes into the mix. Pure."""

    @abstractmethod
    def rates(self, sizes: dict[str, int]) -> dict[str, float]:
        """Return the rate of each task, not necessarily normalized. ``sizes`` is the number of records per task."""


class Template(Component):
    """Turns a record into the text a model is trained on. Pure.

    The result of `render` is checked: if it is not a list of `Span`, or a span does not contain text, an error names
    the template and the record.
    """

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "render" in vars(cls):
            cls.render = _check_spans(cls.render)  # type: ignore[method-assign, assignment]

    @abstractmethod
    def render(self, record: Record) -> list[Span]:
        """Return the whole text as spans. A record without an answer gives the prompt for one."""

    def bind(self, tokenizer: Any) -> Template:
        """Return this template for one tokenizer; the default does not depend on it."""
        return self

    def chat_template(self) -> str | None:
        """Return the same prompts as a Jinja chat template, for other programs that ask the model; None: there is none.

        It has the form that transformers reads (``messages``, ``eos_token``) and is saved with the model's tokenizer.
        If the text does not contain ``bos_token`` and the tokenizer starts texts with it, it is put in front.
        """
        return None


def _fault_of_spans(spans: object) -> str:
    if not isinstance(spans, list):
        return f"render gives {format_value(spans)}, not a list of Span"
    for place, span in enumerate(spans, 1):
        if not isinstance(span, Span):
            return f"render gives {format_value(span)} in place {place}, not a Span"
        if not isinstance(span.text, str) or not isinstance(span.train, bool) or not isinstance(span.special, bool):
            return f"render gives {format_value(span)} in place {place}: text is not str, or train or special not bool"
    return ""


def _check_spans(render: Callable[[Any, Record], list[Span]]) -> Callable[[Any, Record], list[Span]]:
    """Wrap `Template.render` in a check of its result."""

    @wraps(render)
    def render_checked(self: Template, record: Record) -> list[Span]:
        copy = copy_for_plugin(record)
        spans = render(self, copy)
        if fault := describe_change(copy, record) or _fault_of_spans(spans):
            raise breach(f"{type(self).__module__}:{type(self).__qualname__}", "template", fault, record)
        return spans

    return render_checked


class Trainer(Component):
    """Trains a model."""

    @abstractmethod
    def train(self, data: Path, model: str, template: Template, out: Path, ctx: TrainContext) -> dict[str, Any]:
        """Train on ``data/train.jsonl`` (never on ``data/heldout.jsonl``), and save to ``out``.

        Returns figures for the run's summary (steps, seconds, tokens, losses).
        """

    def check_model(self, model: str) -> None:
        """Refuse a model that this trainer cannot train, if its folder shows that; the default accepts all.

        ``model`` is a folder, or the id of a model on the hub. `filial check`, `filial plan` and the start of a run
        call this, so it is fast and imports nothing heavy.

        Raises:
            UsageError: it cannot train this model; the message says which ones it can.
        """

    def teacher(self, out: Path) -> Teacher:
        """Return a teacher that asks the model saved in ``out``, or one in the same form that is not trained yet.

        It does not open the model: a run calls this before the training. Without this method a trainer can train, but
        its models cannot be judged.
        """
        raise UsageError(f"{type(self).__name__} does not say how its models are asked (Trainer.teacher)")


class Teacher(Component):
    """Answers requests. All requests to a model go through a teacher.

    The fields here are limits, the same for every teacher. They do not change answers, so they are not part of
    `identity`.
    """

    max_concurrency: int = Field(default=64, ge=1, le=4096, description="Maximum number of requests in flight.")
    timeout: float = Field(default=120.0, gt=0, description="Maximum seconds per attempt.")
    max_retries: int = Field(default=6, ge=0, description="How often a failed request is sent again.")
    requests_per_minute: int | None = Field(default=None, ge=1, description="Maximum requests per minute.")
    tokens_per_minute: int | None = Field(
        default=None, ge=1, description="Maximum tokens per minute, of prompts and answers together."
    )

    @abstractmethod
    async def reply(self, request: Request) -> Reply:
        """Return one answer.

        Raises:
            TeacherError: the attempt failed; the error says whether another may be made and whether this is charged.
        """

    def identity(self) -> dict[str, Any]:
        """Return what an answer depends on besides the request; part of its ledger key. Never an API key or header."""
        return self.model_dump(mode="json", exclude=set(Teacher.model_fields))

    def price(self) -> Price | None:
        """Return the price of its answers; None if it is not known, so that a cap on money is refused."""
        return None

    def bound(self, request: Request) -> Bound:
        """Return the maximum number of tokens that this request can cost; a cap reserves them before it is sent.

        The default counts one token per byte of the prompt, the maximum of a byte-level tokenizer, and `ANSWER_LIMIT`
        for an answer without ``max_tokens``.
        """
        texts = (text for message in request.messages for text in message.texts())
        sent = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        return Bound(sent + MESSAGE_TOKENS * (len(request.messages) + 1), request.max_tokens or ANSWER_LIMIT)

    def destination(self) -> Destination | None:
        """Return where requests go and which API key is sent, for `plan`; None if they stay on this machine."""
        return None

    def for_dataset(self, folder: Path) -> Teacher:
        """Return this teacher as a candidate of a run whose data set (``train.jsonl``) is in ``folder``."""
        return self

    def for_template(self, template: Template) -> Teacher:
        """Return this teacher for a model that was trained on texts of ``template``; the default does not change.

        The caller has to distinguish the answers by the template; `identity` need not.
        """
        return self

    async def close(self) -> None:
        """Close connections. Called once, in the loop that used the teacher."""


class Judge(Component):
    """Asks candidates the question of a record, and compares their answers with the record's answer or with each other.

    ``compares`` is the number of candidates per verdict: 1, or 2 for a judge of pairs, whose score is that of the
    first.
    """

    compares: ClassVar[int] = 1

    @abstractmethod
    async def judge(self, record: Record, candidates: Sequence[Candidate], ctx: Context) -> Verdict:
        """Return a verdict on ``candidates``. Ask each of them with ``await candidate.ask(...)``, as often as needed.

        A `TeacherError` of a failed request need not be caught: the record then counts as not judged.
        """


Item = Record | dict[str, Any] | ValueError
"""What a format reads from a file: a record, a row of another format that is detected later, or an error."""


class Format(Component):
    """Reads and writes the records of a file.

    If each record is a JSON object or a row of a table, subclass `filial.formats.RowFormat`, which reads such rows from
    any file. This class is for other files: the format that is registered as ``NAME`` reads files ``data.NAME`` and
    sources ``NAME:…``. ``binary``: its files are not text, so they are not written to standard output.

    ``holds`` names what it writes besides question and answer. A record with something that changes its meaning and is
    not named is refused before `write` gets it: ``messages`` (conversations; one of a single question comes as
    instruction and output), ``system``, ``reasoning``, ``tool_calls``, ``tools``, ``rejected``, ``label``, ``train``.
    What is not named of the rest is left out, and the user is told: ``id``, ``input`` (apart from the instruction),
    ``task``, ``scores``, ``tags``, ``constraints``, ``extra``, ``origin``, ``name`` (of turns), ``call ids``.
    """

    binary: ClassVar[bool] = False
    holds: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if not isinstance(cls.holds, tuple):
            raise TypeError(f"{cls.__name__}.holds is {cls.holds!r}, not a tuple of texts")
        if unknown := [word for word in cls.holds if word not in MEANING + BESIDE]:
            words = ", ".join(MEANING + BESIDE)
            raise TypeError(f"{cls.__name__}.holds has {unknown[0]!r}, which a record does not have; words: {words}")

    @abstractmethod
    def read(self, stream: IO[bytes]) -> Iterator[Item | tuple[int, Item]]:
        """Yield the records of a file, in its order; yield a `filial.formats.Fault` for a bad row, so that the next
        rows are read.

        Where a row is not a line, yield ``(line, row)``.

        Raises:
            UsageError: the file is damaged. The caller adds the file name.
        """

    def load(self, source: str, split: str | None, revision: str | None) -> Iterator[Item]:
        """Yield the same for a source that is not a file: ``NAME:…`` as the user wrote it, or a folder.

        Args:
            split: the part of the source; None: ``train``, or the only one.
            revision: the version of the source; None: the newest.

        Raises:
            UsageError: there is no such source, split or revision. The caller adds the source's name.
        """
        raise UsageError("this format reads files only")

    def loads(self) -> bool:
        """Return whether it can read sources that are not files."""
        return type(self).load is not Format.load

    def write(self, records: Iterable[Record], stream: IO[bytes]) -> None:
        """Write all records, all of which are valid.

        Raises:
            UsageError: the format cannot represent a record (`filial.formats.Unfit`), or is read-only.
        """
        raise UsageError("this format is only read")

    def writes(self) -> bool:
        """Return whether it can write."""
        return type(self).write is not Format.write

    def settle(self, record: Record) -> Self:
        """Return this format with the options set that depend on the first record of a file."""
        return self

    def held(self) -> Collection[str]:
        """Return what it writes with these options; default: ``holds``."""
        return self.holds

    def losses(self, record: Record) -> list[str]:
        """Return which parts of a record that it can hold are not written; default: those not in `held`."""
        turns, held = record.messages, self.settle(record).held()
        fields = ("id", "input", "label", "task", "scores", "tags", "constraints", "extra")
        said = {name: getattr(record, name) for name in fields} | {
            "origin": record.origin != NO_ORIGIN,
            "train": any(turn.train is not None for turn in turns),
            "name": any(turn.name for turn in turns),
            "call ids": any(turn.tool_call_id or any(call.id for call in turn.tool_calls) for turn in turns),
        }
        return [name for name, value in said.items() if value and name not in held]

    def usage(self, file: Path, columns: Collection[str]) -> tuple[str, dict[str, Any]]:
        """Return how the format's program reads a file with these columns: as a sentence or a configuration, and as the
        entry for the program's JSON file of data sets. Both are empty by default."""
        return "", {}


class HookPlugin(Component):
    """Takes part in a run: its methods marked with `hookimpl` are hooks, its fields are their options.

    An entry point of the group ``filial.hooks`` names such a class as ``module:Class``. A recipe that names it gets an
    object of its own; state is kept in private attributes (``_seen: int = 0``).
    """

    __eq__ = object.__eq__  # two with the same options have separate states
    __hash__ = object.__hash__


KINDS: dict[str, type[Component]] = {
    "generators": Generator, "strategies": Strategy, "filters": Filter, "mixers": Mixer, "templates": Template,
    "trainers": Trainer, "teachers": Teacher, "judges": Judge, "formats": Format,
}  # fmt: skip
