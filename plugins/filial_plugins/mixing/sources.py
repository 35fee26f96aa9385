"""The sources of a mix: records by the name of their task, and mixtures of such sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import BeforeValidator, ConfigDict, Discriminator, Tag
from pydantic_core import PydanticCustomError

from filial import Field
from filial.formats import SourceSpec
from filial.stages import Part, Settings

DEEPEST = 3
"""Mixtures within mixtures within a mix."""
SOURCE, MIXTURE = "<source>", "<mixture>"
Inner = TypeVar("Inner")
Place = tuple[str, ...]
"""Where a mixture stands: the names of the mixtures around it, then its own."""


def _tell_apart(value: Any) -> str:
    return MIXTURE if isinstance(value, Submixture) or _is_mixture(value) else SOURCE


def _is_mixture(value: Any) -> bool:
    return isinstance(value, dict) and not value.keys().isdisjoint(("use", "sources"))


class Submixture(Settings, Generic[Inner]):
    """A mixture within a mix: a mixer with its options, and what it mixes."""

    model_config = ConfigDict(extra="allow")  # the options of the mixer, which are checked as its own
    owner: ClassVar[str] = "the mixture"
    use: Any = Field(None, description="The mixer.")
    sources: dict[str, Inner] = Field(description="What it mixes, by name.", min_length=1)


def _refuse_mixture(value: Any) -> Any:
    if _is_mixture(value):
        raise PydanticCustomError("too_deep", f"mixtures stand within mixtures {DEEPEST} deep at most")
    return value


Source = Annotated[SourceSpec, Tag(SOURCE)]
Innermost = Submixture[Annotated[SourceSpec, BeforeValidator(_refuse_mixture)]]
Member1 = Annotated[Source | Annotated[Innermost, Tag(MIXTURE)], Discriminator(_tell_apart)]
Member2 = Annotated[Source | Annotated[Submixture[Member1], Tag(MIXTURE)], Discriminator(_tell_apart)]
Member = Annotated[Source | Annotated[Submixture[Member2], Tag(MIXTURE)], Discriminator(_tell_apart)]
"""A source, or a mixture of sources and mixtures, `DEEPEST` levels deep at most."""


class MixerKeys(Settings):
    """The keys beside the options of a mixer within a mix."""

    sources: Any = None

    def key_parts(self) -> list[Any]:
        """Return nothing: the keys of the stage hold them."""
        return [None]


def find_mixtures(given: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Yield each mixture among sources as they are written, with its place, as deep as they may stand."""
    for name, value in given.items() if isinstance(given, dict) else ():
        if _is_mixture(value) and len(place) < DEEPEST:
            yield (*place, name), value
            yield from find_mixtures(value.get("sources"), (*place, name))


def read_mixtures(given: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any, Part]]:
    """Yield address, value and part of each mixture in the keys of a mix."""
    for place, value in find_mixtures(given.get("sources")):
        yield tuple(step for name in place for step in ("sources", name)), value, Part("mixers", MixerKeys)


def flatten_sources(sources: Mapping[str, Any]) -> dict[str, SourceSpec]:
    """Return the sources of all tasks, those within mixtures too.

    Raises:
        PydanticCustomError: a task has two different sources.
    """
    found: dict[str, SourceSpec] = {}
    for name, value in sources.items():
        inner = flatten_sources(value.sources) if isinstance(value, Submixture) else {name: value}
        for task, source in inner.items():
            if found.setdefault(task, source) != source:
                why = "the task {task} has two sources, {one} and {other}; give the second another name"
                facts = {"task": repr(task), "one": str(found[task]), "other": str(source)}
                raise PydanticCustomError("two_sources", why, facts)
    return found
