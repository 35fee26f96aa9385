"""Keep what is new: the ROUGE-L rule of Self-Instruct."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from filial import Context, Drop, Field, Filter, InputFile, Keep, Record, UsageError, hookimpl
from filial.formats import read
from filial_plugins.filters.copies import digest_question, digest_record
from filial_plugins.filters.novelty.index import Neighbour, RougeIndex
from filial_plugins.texts import excerpt, get_question, normalize_text


@dataclass(frozen=True, slots=True)
class _Pool:
    """What a record must be new against: the texts known before the stage began, then those it accepted.

    ``before``: how many texts of the first kind; ``seeds``: the ids of those that are seeds; ``questions``: digests of
    the questions that were accepted; ``parents``: of each evolved record that came, those it was evolved from.
    """

    index: RougeIndex
    before: int
    seeds: frozenset[str]
    questions: set[int]
    parents: dict[str, tuple[str, ...]]

    def list_ancestors(self, name: str) -> set[str]:
        """Return the ids of the records that one was evolved from, as far back as the records that came say."""
        found, left = set[str](), [name]
        while left:
            news = set(self.parents.get(left.pop(), ())) - found
            found |= news
            left += news
        return found


class Novelty(Filter):
    """Drop records whose instruction is too similar to one accepted earlier, to a seed, or to one in a file.

    The rule is that of Self-Instruct (Wang et al., 2023, section 2.2; bootstrap_instructions.py): a text is kept if its
    ROUGE-L F with every other one is at most the threshold, computed like ``rouge_score`` without stemmer, ties
    included. The decision is exact for any number of records. The index takes a few hundred bytes per record and is
    built again when an interrupted stage is repeated.

    ``against`` says what a record must be new against: the ``pool`` (the records this stage has accepted) and the
    recipe's ``seeds``; ``files`` adds records of files in any readable format. With ``against: [files]`` only the files
    count. A seed itself passes. A drop names the closest record of the pool, the seeds and the files.

    Self-Instruct judges instructions, not examples. A record with the instruction of an accepted one and another input
    (in a conversation: another system text or other later turns) is a further example of that task, and is kept. A
    question that was accepted before is a copy, even with another answer, and is dropped, unless the records are
    preferences (``label``, ``rejected``), which differ by the answer. ``instances: keep`` keeps copies, too; ``drop``
    drops all further examples. Instructions of seeds and files are not new.

    An evolved record resembles its parent, often more than the threshold allows: "Sort these words by length." becomes
    "Sort these words by length, longest first." So it is not compared with its ancestors, unless the words are the
    same, but it is compared with its siblings. ``ancestors: compare`` compares it with ancestors, too. Ancestors are
    known from the records (``origin.parents`` of records with a round above 0). If an earlier filter dropped or changed
    a record in between, the ancestors before it count like all other records; so put `novelty` first. Texts of
    ``files`` are always compared.

    Different from the original: ``rouge_score`` knows only a-z and 0-9. It calls every Chinese text new, and it calls
    two Chinese texts equal if both mention "Python", and also "Tả con bò" (a cow) and "Tả con bơ" (an avocado). Here
    texts are compared by their own words, or by characters in scripts without blanks. Accents belong to letters in any
    encoding; full-width forms and invisible characters make no difference. ``scripts: latin`` compares as the original
    does.
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
    files: tuple[InputFile, ...] = Field((), description="Files of records that it must also be new against.")
    compare: Literal["instruction", "question"] = Field(
        "instruction", description="What must be new: the instruction, or the instruction with its input."
    )
    instances: Literal["new", "keep", "drop"] = Field(
        "new",
        description="Further examples of an accepted instruction (compare: instruction): keep those with another "
        "input, keep all with copies, or drop all.",
    )
    ancestors: Literal["skip", "compare"] = Field(
        "skip",
        description="Compare an evolved record with its ancestors: for copies only (skip), or like all others.",
    )
    scripts: Literal["all", "latin"] = Field(
        "all",
        description="Compare by the words of all scripts, or by a-z and 0-9 only: texts without these are always new.",
    )

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if not self.files and not {"pool", "seeds"} & {*self.against}:
            raise ValueError("there is nothing to compare with; add pool or seeds to against, or name files")
        return self

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        known, text = self._get_pool(ctx), self._get_text(record)
        if self.ancestors == "skip" and record.origin.round:
            known.parents[record.id] = record.origin.parents
        digest = self._digest(record, text)
        copied, seed = digest in known.questions, record.id in known.seeds
        found = None if seed else known.index.find_nearest(text, self._make_skip(record, known))
        if not self._passes(text, copied, found, known):
            if found is None:
                return Drop("too-similar", "a copy of a record that was accepted before")
            name = f"{found.name}: " if found.name else ""
            return Drop("too-similar", f"ROUGE-L {found.score:.3f} with {name}{excerpt(found.text)}")
        if "pool" in self.against:
            known.questions.add(digest)
            if found is None and not seed:
                known.index.add(text, record.id)
        return Keep()

    def _passes(self, text: str, copied: bool, found: Neighbour | None, known: _Pool) -> bool:
        if found is None:  # a copy is mostly found, but not where nothing can be (threshold: 1, no words)
            return not copied or self.instances == "keep" or self.scripts == "latin"
        further = self.compare == "instruction" and found.place >= known.before
        if not further or normalize_text(found.text) != normalize_text(text):
            return False
        return {"new": not copied, "keep": True, "drop": False}[self.instances]

    def _digest(self, record: Record, text: str) -> int:
        preference = record.rejected or record.label is not None
        return digest_record(record) if preference or not text else digest_question(record)

    def _make_skip(self, record: Record, known: _Pool) -> Callable[[Neighbour], bool] | None:
        """Return what tells ancestors and descendants of a record, but for copies, from all others."""
        if not known.parents:
            return None

        def skip(near: Neighbour) -> bool:
            other = near.name.removeprefix("seed ") if near.place < known.before else near.name
            return near.score < 1 and (
                other in known.list_ancestors(record.id) or record.id in known.list_ancestors(other)
            )

        return skip

    def _get_pool(self, ctx: Context) -> _Pool:
        if self._memory_key not in ctx.memory:
            ctx.memory[self._memory_key] = self._build_pool(ctx)
        known: _Pool = ctx.memory[self._memory_key]
        return known

    @cached_property
    def _memory_key(self) -> str:
        return f"novelty {self!r}"  # two novelty filters of one stage have a pool each

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
        return _Pool(index, len(index), frozenset(seeds), set(), {})

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
