"""Keep what is new: the ROUGE-L rule of Self-Instruct."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from filial import Context, Drop, Field, Filter, InputFile, Keep, Record, UsageError, hookimpl
from filial.formats import read
from filial_plugins.filters.novelty.index import RougeIndex
from filial_plugins.texts import excerpt, get_question


@dataclass(frozen=True, slots=True)
class _Pool:
    """The texts that a record must be new against: those known before the stage began, then those it accepted.

    ``before``: how many of the first kind; ``seeds``: the ids of those that are seeds.
    """

    index: RougeIndex
    before: int
    seeds: frozenset[str]


class Novelty(Filter):
    """Drop records whose instruction is too similar to one accepted earlier, to a seed, or to one in a file.

    The rule is that of Self-Instruct (Wang et al., 2023, section 2.2; bootstrap_instructions.py): a text is kept
    if its ROUGE-L F with every other one is at most the threshold, computed like ``rouge_score`` without stemmer,
    ties included. The decision is exact for any number of records. The index takes a few hundred bytes per record
    and is built again when an interrupted stage is repeated.

    ``against`` says what a record must be new against: the ``pool`` (the records this stage has accepted) and the
    recipe's ``seeds``; ``files`` adds records of files in any readable format. With ``against: [files]`` only the
    files count. A seed itself passes. A drop names the closest record of the pool, the seeds and the files.

    Self-Instruct judges instructions, not examples: a record whose instruction is equal to one in the pool is a
    further example of that task and is kept. Instructions of seeds and files are not new.

    Different from the original: ``rouge_score`` knows only a-z and 0-9, so it calls every Chinese text new, any two
    Chinese texts that mention "Python" equal, and "Tả con bò" (a cow) and "Tả con bơ" (an avocado) too. Here texts are
    compared by their own words, or by characters where scripts write no blanks; accents, however they are encoded,
    belong to letters, and full-width forms and characters that nobody sees make no difference. ``scripts: latin``
    compares as the original does.
    """

    remembers = True
    threshold: float = Field(0.7, gt=0, le=1, description="ROUGE-L F above which a text is too similar.")
    rule: Literal["<=", "<"] = Field(
        "<=",
        description="Keep up to and including the threshold (Self-Instruct's code), or below it (its paper).",
    )
    against: tuple[Literal["pool", "seeds", "files"], ...] = Field(
        ("pool",),
        description="What a record must be new against: earlier records, the recipe's seeds, or `files` alone.",
    )
    files: tuple[InputFile, ...] = Field((), description="Files of records it must be new against, too.")
    compare: Literal["instruction", "question"] = Field(
        "instruction", description="What must be new: the instruction, or the instruction with its input."
    )
    instances: Literal["keep", "drop"] = Field(
        "keep",
        description="What becomes of further examples of an accepted instruction (compare: instruction).",
    )
    scripts: Literal["all", "latin"] = Field(
        "all",
        description="Compare by the words of all scripts, or by a-z and 0-9 only, so that texts without are always "
        "new.",
    )

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if not self.files and not {"pool", "seeds"} & {*self.against}:
            raise ValueError("there is nothing to compare with; add pool or seeds to against, or name files")
        return self

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        known = self._get_pool(ctx)
        if record.id in known.seeds:
            return Keep()
        text = self._get_text(record)
        found = known.index.find_nearest(text)
        if found is None:
            if "pool" in self.against:
                known.index.add(text, record.id)
            return Keep()
        further = self.compare == "instruction" and self.instances == "keep" and found.place >= known.before
        if further and found.text == text:
            return Keep()
        name = f"{found.name}: " if found.name else ""
        return Drop("too-similar", f"ROUGE-L {found.score:.3f} with {name}{excerpt(found.text)}")

    def _get_pool(self, ctx: Context) -> _Pool:
        name = f"novelty {self!r}"  # two novelty filters of one stage have a pool each
        if name not in ctx.memory:
            ctx.memory[name] = self._build_pool(ctx)
        known: _Pool = ctx.memory[name]
        return known

    def _build_pool(self, ctx: Context) -> _Pool:
        index, seeds = RougeIndex(self.threshold, self.rule, self.scripts), set[str]()
        if "seeds" in self.against:
            for seed in ctx.seeds():
                index.add(self._get_text(seed), f"seed {seed.id}")
                seeds.add(seed.id)
            if not seeds:
                raise UsageError(
                    "novelty compares with the seeds, but this recipe has none; name a file of seeds in files"
                )
        for name, record in self._read_files():
            index.add(self._get_text(record), name)
        return _Pool(index, len(index), frozenset(seeds))

    def _read_files(self) -> Iterator[tuple[str, Record]]:
        for file in self.files:
            name = file if file.startswith("hf:") else Path(file).name  # results must not contain paths of this machine
            for number, record in enumerate(read(file), 1):
                yield f"record {number} of {name}", record

    def _get_text(self, record: Record) -> str:
        return (record.question() if self.compare == "question" else "") or get_question(record)


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("novelty", Novelty)
