"""The settings of a recipe that are filial's own, each declared once; a stage's plugin declares those of the stage.

These models are the source of the recipe's check, the editor schema, flags such as those of ``filial evolve``, the
engine's settings and the tables of docs/recipe.md. All other keys of a component are its options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_args

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from filial.contracts.errors import PluginError
from filial.contracts.fields import Keys
from filial.contracts.kinds import check_file
from filial.contracts.sources import SourceSpec
from filial.plugins.discovery import HOOKS, STAGES
from filial.plugins.yaml import Address

if TYPE_CHECKING:
    from filial.plugins.manager import Manager

HELDOUT = "heldout"
"""The word for the held-out records, as a judge's data."""


class Settings(Keys):
    """Keys of a recipe.

    Attributes:
        owner: whose keys they are, in messages.
        kind: if set, the keys belong to a component of this kind and stand beside its options.
        by_inputs: keys that a command takes as arguments.
    """

    owner: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    by_inputs: ClassVar[tuple[str, ...]] = ()

    def plain_values(self) -> dict[str, Any]:
        """Return the keys that have a value, without those that name components."""
        return self.model_dump(mode="json", exclude_none=True)

    def named_sources(self) -> list[SourceSpec]:
        """Return the sources in the values of the keys."""
        values = [getattr(self, name) for name in type(self).model_fields]
        nested = [value.values() if isinstance(value, dict) else [value] for value in values]
        return [value for some in nested for value in some if isinstance(value, SourceSpec)]

    def key_parts(self) -> list[Any]:
        """Return the parts of a stage key for these keys, if they stand beside the options of a component."""
        return [self.plain_values() or None]


def _field(default: Any, description: str, schema: dict[str, Any] | None = None, **rules: Any) -> Any:
    if schema is not None:
        rules["json_schema_extra"] = schema
    return Field(default, description=description, **rules)


class Part(NamedTuple):
    """Marks a key that names components: their kind, and the recipe's own keys beside their options.

    A stage has at most one such list of each kind. The components are not checked by pydantic but by
    `filial.recipe.checking`, which knows their addresses.
    """

    kind: str
    beside: type[Settings] = Settings

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"x-part": self.kind}


def parts(model: type[Settings]) -> dict[str, Part]:
    """Return the keys whose value is a component, or a list of components of one kind."""
    return {
        name: part
        for name, field in model.model_fields.items()
        for inner in (field, *get_args(field.annotation))
        for part in getattr(inner, "metadata", getattr(inner, "__metadata__", ()))
        if isinstance(part, Part)
    }


def _check_distinct(items: list[Any]) -> list[Any]:
    if any(item in items[:place] for place, item in enumerate(items)):
        raise PydanticCustomError("not_distinct", "the list names something twice")
    return items


UNIQUE = {"uniqueItems": True}
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Word = Annotated[str, Field(min_length=1)]


class Budget(Settings):
    """Limits of what a run may use."""

    owner = "budget"
    requests: int | None = _field(None, "Maximum number of requests to the teacher.", ge=1)
    tokens: int | None = _field(None, "Maximum number of tokens, prompts and answers together.", ge=1)
    usd: float | None = _field(None, "Maximum cost in US dollars.", gt=0)


class StageSettings(Settings):
    """Keys of a stage, and what the recipe must know about it. `filial.stages.Stage` adds its code.

    Attributes:
        alone: a key whose list, or only item, may be written instead of a mapping with this key.
        bounded: the stage makes or reads records itself, so `limit_records` limits it.
    """

    alone: ClassVar[str] = ""
    bounded: ClassVar[bool] = False

    @classmethod
    def starts(cls, given: dict[str, Any]) -> bool:
        """Return whether it can be the first stage with these keys (as written): it needs no records before it."""
        return False

    @classmethod
    def asks(cls, given: dict[str, Any]) -> bool:
        """Return whether the stage itself asks a teacher; its components are counted separately."""
        return False

    @classmethod
    def check(
        cls, given: dict[str, Any], component: Any, first: bool, fault: Callable[[str, str], None]
    ) -> dict[str, Any]:
        """Report with ``fault(message, key)`` what is wrong beyond the keys themselves; key "" means the whole stage.
        Return the keys whose default depends on the position of the stage.

        Args:
            component: the component beside whose options the keys stand, if it has no fault.
            first: no record enters the stage.
        """
        return {}

    @classmethod
    def nested(cls, given: dict[str, Any]) -> Iterable[tuple[Address, Any, Part]]:
        """Return the components that are nested in the values of keys: address, value as written, part. They follow
        the others in `StageSpec.components`, each with its address."""
        return ()

    def key_parts(self) -> list[Any]:
        """Return nothing: a stage's own keys are part of its key anyway."""
        return [None]

    def seed_files(self) -> list[SourceSpec]:
        """Return the sources of seed records, which `Context.seeds` reads from this stage on."""
        return []

    def limit_records(self, n: int) -> Self:
        """Return the keys for a run with ``n`` records."""
        return self


def stage_class(manager: Manager, verb: str) -> type[StageSettings]:
    """Import and return the class of a stage's verb, ``name`` or ``dist:name``.

    Raises:
        PluginError: no package has it, two have it, or it is broken.
    """
    found = manager.entry_class(STAGES, verb, StageSettings)
    kinds = [part.kind for part in parts(found).values()]
    if len(set(kinds)) < len(kinds) or (found.alone and found.alone not in parts(found)):
        why = "its keys list components of each kind once at most, and 'alone' is such a key"
        raise PluginError(f"stage {verb!r} cannot be used: {why}")
    return found


class Train(Settings):
    """Training at the end of a run."""

    kind = "trainers"
    model: Word = _field(..., "The model to train: a folder, pkg:PACKAGE/FOLDER or a name on the hub.")

    @field_validator("model")
    @classmethod
    def _check_folder(cls, name: str, info: ValidationInfo) -> str:
        """Check that a path exists; any other name may be a model on the hub."""
        return check_file(name, info) if name.startswith(("pkg:", ".", "/", "~")) else name


class Rival(Settings):
    """A teacher whose answers are judged beside the model's."""

    kind = "teachers"
    name: Name | None = _field(None, "Name in the figures. Default: the name of the teacher.")


class Judge(Settings):
    """A judge at the end of a run."""

    kind = "judges"
    data: Annotated[Literal["heldout"] | SourceSpec, Field(union_mode="left_to_right")] = _field(
        ..., "Records with right answers: a file, pkg:PACKAGE/FILE, hf:NAME, a source, or the word heldout."
    )
    name: Name | None = _field(None, "Name of the figures. Default: the name of the judge.")
    against: Annotated[
        list[Literal["base"] | Annotated[Any, Part("teachers", Rival)]], AfterValidator(_check_distinct)
    ] = _field([], "Also judged: base (the model before training) or teachers, as NAME or {use: NAME, …}.", UNIQUE)
    only: Literal["seed-level", "evolved"] | None = _field(
        None, "With data: heldout, only the records no strategy has changed, or only the others."
    )
    limit: int | None = _field(None, "Maximum number of records.", ge=1)
    max_new_tokens: int = _field(256, "Maximum number of tokens of an answer.", ge=1)

    @field_validator("only")
    @classmethod
    def _check_only(cls, only: str | None, info: ValidationInfo) -> str | None:
        if only is not None and info.data.get("data", HELDOUT) != HELDOUT:
            raise PydanticCustomError("not_heldout", "this goes with 'data: heldout' only; remove it")
        return only


class Root(Settings):
    """A recipe."""

    owner = "the recipe"
    seed: int = _field(42, "Seed of all random choices of the run.", ge=0, le=2**63 - 1)
    data: SourceSpec | None = _field(
        None, "Records to start from instead of a generate stage: a file, pkg:PACKAGE/FILE, hf:NAME or a source."
    )
    heldout: int = _field(0, "Number of records kept for judging, not trained on (judge: data: heldout).", ge=0)
    budget: Budget | None = _field(None, "Limits of the run, also if it is resumed. It stops before it exceeds one.")
    hooks: list[Annotated[Any, Part(HOOKS)]] = _field(
        [], "Installed hook plugins (entry points filial.hooks), with their options.", UNIQUE
    )
    teacher: Annotated[Any, Part("teachers")] = _field(
        None, "The model that answers requests. Needed if a stage or a judge asks one."
    )
    stages: list[Any] = _field([], "The stages, in the order in which they run.", {"items": {"type": "object"}})
    template: Annotated[Any, Part("templates")] = _field(None, "The template that renders records for training.")
    train: Annotated[Any, Part("trainers", Train)] = _field(None, "The trainer and the model that it trains.")
    judge: Annotated[Any, Part("judges", Judge)] = _field(None, "Judges of the trained model; one or a list.")
