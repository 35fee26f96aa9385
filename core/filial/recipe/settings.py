"""Every setting of a recipe that is filial's own, declared once.

From these models come the check of a recipe, the editor schema, the flags of ``filial evolve`` and its like, what the
engine runs by, and the tables of docs/recipe.md. Whatever else stands in a component's braces is an option of it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from filial.contracts.kinds import InputFile as RecordFile
from filial.contracts.kinds import check_file
from filial.plugins.discovery import HOOKS

HELDOUT = "heldout"
"""The word that stands for the records kept back, where a judge's data is named."""


class Settings(BaseModel):
    """Keys of a recipe.

    ``owner`` is whose keys they are, in messages. ``kind``: they stand in the braces of a component of that kind,
    beside its options. ``by_inputs`` are keys that a command line says by its arguments.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    owner: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    by_inputs: ClassVar[tuple[str, ...]] = ()

    @field_validator("*", mode="before")
    @classmethod
    def _given(cls, value: Any, info: ValidationInfo) -> Any:
        """A key that is there has a value, so that a cap left empty is no missing cap."""
        field = cls.model_fields[str(info.field_name)]
        if value is None and field.default is None and field.annotation is not Any:
            raise PydanticCustomError("value_missing", "the value is missing; write one, or remove the key")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core_schema))
        for name, field in schema.get("properties", {}).items():
            members = [member for member in field.pop("anyOf", ()) if member != {"type": "null"}]
            union = {} if not members else members[0] if len(members) == 1 else {"anyOf": members}
            beside = {key: value for key, value in field.items() if (key, value) != ("default", None)}
            schema["properties"][name] = union | beside
        return schema

    def own(self) -> dict[str, Any]:
        """The keys that have a value, without those that name components."""
        return self.model_dump(mode="json", exclude_none=True)


def _key(default: Any, description: str, schema: dict[str, Any] | None = None, **rules: Any) -> Any:
    if schema is not None:
        rules["json_schema_extra"] = schema
    return Field(default, description=description, **rules)


class Part(NamedTuple):
    """Marks a key that names components: of which kind, and the recipe's own keys in their braces.

    What stands there is checked where its address is known, not by pydantic.
    """

    kind: str
    beside: type[Settings] = Settings

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"x-part": self.kind}


def parts(model: type[Settings]) -> dict[str, Part]:
    """The keys whose value is a component, or a list of components of one kind."""
    return {
        name: part
        for name, field in model.model_fields.items()
        for inner in (field, *get_args(field.annotation))
        for part in getattr(inner, "metadata", getattr(inner, "__metadata__", ()))
        if isinstance(part, Part)
    }


def _distinct(items: list[Any]) -> list[Any]:
    if any(item in items[:place] for place, item in enumerate(items)):
        raise PydanticCustomError("not_distinct", "the list names something twice")
    return items


UNIQUE = {"uniqueItems": True}
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Word = Annotated[str, Field(min_length=1)]


class Budget(Settings):
    """Caps of what a run may take."""

    owner = "budget"
    requests: int | None = _key(None, "Teacher requests at most.", ge=1)
    tokens: int | None = _key(None, "Tokens of prompts and answers together at most.", ge=1)
    usd: float | None = _key(None, "US dollars at most.", gt=0)


class Strategy(Settings):
    """A strategy of an evolve stage."""

    kind = "strategies"
    weight: float = _key(1.0, "How often this strategy is drawn, relative to the others.", gt=0)
    name: Name | None = _key(None, "What the survival table calls it; its plugin's name unless given.")
    family: Literal["in-depth", "in-breadth"] | None = _key(
        None, "What the survival table says of it; what its plugin says unless given."
    )


class Generate(Settings):
    """A generate stage."""

    kind, by_inputs = "generators", ("seeds", "seeds_format", "keep_inputs")
    seeds: RecordFile | None = _key(
        None, "Seed tasks: a file, pkg:PACKAGE/FILE or hf:NAME. Most generators need it in the first stage."
    )
    seeds_format: Word | None = _key(None, "The seeds' format, if not clear.")
    keep_inputs: bool | None = _key(
        None,
        "Pass on the records of the stage before; for a generate stage that is not the first, and whose generator does "
        "not say itself what becomes of them.",
        {"default": True},
    )


class Evolve(Settings):
    """An evolve stage."""

    owner, by_inputs = "the evolve stage", ("strategies",)
    rounds: int = _key(1, "Evolutions of each record.", ge=1)
    strategies: list[Annotated[Any, Part("strategies", Strategy)]] = _key(
        ..., "What evolves records; one is drawn per try.", min_length=1, exclude=True
    )
    eliminate: list[Annotated[Any, Part("filters")]] = _key(
        ["evolved"], "Filters that decide whether an evolution has failed.", exclude=True
    )
    keep: Literal["all", "last"] = _key("all", "Keep parents and every generation, or the newest of each line.")
    branch: int = _key(1, "Children of each record per round: 1 makes chains, more make trees.", ge=1, le=100)
    order: Literal["random", "fixed"] = _key("random", "Draw strategies by weight, or take them in turn.")
    answer: bool = _key(
        True, "Ask the teacher for the answer to each evolved instruction; if not, rules on answers are left out."
    )


class Filter(Settings):
    """A filter stage. A recipe writes the list itself, or its one item, in place of a mapping with this key."""

    owner, by_inputs = "the filter stage", ("filters",)
    filters: list[Annotated[Any, Part("filters")]] = _key(
        ..., "What decides which records go on, one after the other.", min_length=1, exclude=True
    )


class Mix(Settings):
    """A mix stage."""

    kind, by_inputs = "mixers", ("sources",)
    total: int | None = _key(None, "Records in the mix. Default: as many as fit.", ge=1)
    by: Literal["task", "plugin", "round"] = _key(
        "task", "What rates go by: the task, the plugin a record comes from, or its evolution round."
    )
    repeat: bool = _key(False, "Repeat the records of a task that is too small for its share.")
    sources: dict[str, Annotated[RecordFile, Field(description="Records of this task.")]] | None = _key(
        None, "Files to add to the mix, by the name of their task.", min_length=1
    )


VERBS: dict[str, type[Settings]] = {"generate": Generate, "evolve": Evolve, "filter": Filter, "mix": Mix}


class Train(Settings):
    """Training at the end of a run."""

    kind = "trainers"
    model: Word = _key(..., "The model to tune: a folder, pkg:PACKAGE/FOLDER or a name on the hub.")

    @field_validator("model")
    @classmethod
    def _check_folder(cls, name: str, info: ValidationInfo) -> str:
        """Look for a model that is plainly a path; any other name may be one on the hub."""
        return check_file(name, info) if name.startswith(("pkg:", ".", "/", "~")) else name


class Rival(Settings):
    """A teacher whose answers are judged beside the model's."""

    kind = "teachers"
    name: Name | None = _key(None, "What the figures call it; its teacher's name unless given.")


class Judge(Settings):
    """A judge at the end of a run."""

    kind = "judges"
    data: RecordFile = _key(..., "Records with right answers: a file, pkg:PACKAGE/FILE, hf:NAME, or the word heldout.")
    name: Name | None = _key(None, "What the figures are called.")
    against: Annotated[list[Literal["base"] | Annotated[Any, Part("teachers", Rival)]], AfterValidator(_distinct)] = (
        _key([], "Judged beside the model: base (the untrained one) or teachers, NAME or {use: NAME, …}.", UNIQUE)
    )
    only: Literal["seed-level", "evolved"] | None = _key(
        None, "With data: heldout, only the records no strategy has changed, or only the others."
    )
    limit: int | None = _key(None, "Records at most.", ge=1)
    max_new_tokens: int = _key(256, "Tokens per answer at most.", ge=1)

    @field_validator("data", mode="wrap")
    @classmethod
    def _check_data(cls, name: Any, check_file: Any) -> Any:
        return name if name == HELDOUT else check_file(name)

    @field_validator("only")
    @classmethod
    def _check_only(cls, only: str | None, info: ValidationInfo) -> str | None:
        if only is not None and info.data.get("data", HELDOUT) != HELDOUT:
            raise PydanticCustomError("not_heldout", "this goes with 'data: heldout' only; remove it")
        return only


class Root(Settings):
    """A recipe."""

    owner = "the recipe"
    seed: int = _key(42, "Every random choice of the run follows from it.", ge=0, le=2**63 - 1)
    data: RecordFile | None = _key(
        None, "Records to start from instead of a generate stage: a file, pkg:PACKAGE/FILE or hf:NAME."
    )
    heldout: int = _key(0, "How many records are kept back from training, for judging (judge: data: heldout).", ge=0)
    budget: Budget | None = _key(None, "The run stops before it would pass one of these, however often it is resumed.")
    hooks: list[Annotated[Any, Part(HOOKS)]] = _key(
        [], "Installed plugins that only watch or wrap (entry points filial.hooks), with their options.", UNIQUE
    )
    teacher: Annotated[Any, Part("teachers")] = _key(None, "The model that is asked. Needed by every stage that asks.")
    stages: list[Any] = _key([], "What happens to the records, in this order.", {"items": {"type": "object"}})
    template: Annotated[Any, Part("templates")] = _key(None, "How a record becomes the text that is trained on.")
    train: Annotated[Any, Part("trainers", Train)] = _key(None, "Which trainer tunes which model.")
    judge: Annotated[Any, Part("judges", Judge)] = _key(None, "How the trained model is measured; one judge or a list.")
