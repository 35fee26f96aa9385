"""The pool of a `self-instruct` run: seeds, accepted tasks, and what is known of the yield."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from filial import Record, UsageError
from filial_plugins.filters.novelty.index import RougeIndex
from filial_plugins.generators.self_instruct.examples import CLASSIFICATION
from filial_plugins.generators.self_instruct.instruction_screen import Screen
from filial_plugins.generators.self_instruct.options import Options
from filial_plugins.generators.self_instruct.proposals import ProposalWriter
from filial_plugins.generators.self_instruct.yield_stats import YieldStats
from filial_plugins.texts import collapse_whitespace, excerpt


@dataclass(slots=True)
class Pool:
    """What a new task is measured by, and what was accepted so far.

    ``dry``: rounds in a row that brought no task; ``barren``: tasks in a row whose examples brought no record.
    """

    proposing: ProposalWriter
    index: RougeIndex
    screen: Screen
    tally: YieldStats
    accepted: list[Record] = field(default_factory=list)
    rounds: int = 0
    dry: int = 0
    barren: int = 0

    def find_fault(self, instruction: str) -> tuple[str, str] | None:
        """Return why an instruction cannot be accepted, as reason and detail; None if it can."""
        if fault := self.screen.find_fault(instruction):
            return fault
        found = self.index.find_nearest(instruction)
        return ("too-similar", f"ROUGE-L {found.score:.3f} with {found.name}") if found else None

    def accept(self, task: Record) -> None:
        """Add a task to the pool; later tasks must be new against it."""
        self.accepted.append(task)
        self.tally.accepted += 1
        self.index.add(task.instruction, f"accepted task {self.tally.accepted}: {excerpt(task.instruction)}")


def make_pool(options: Options, seeds: Sequence[Record]) -> Pool:
    """Return the pool as it is before the first round. Of seeds with one instruction the first one is taken.

    Raises:
        UsageError: there is no seed.
    """
    chosen = options.chosen
    known: dict[str, Record] = {}
    for seed in seeds:
        text = collapse_whitespace(seed.instruction)
        if text and not (options.only_classification and CLASSIFICATION not in seed.tags):
            known.setdefault(text, seed)
    if not known:
        what = f"seed tagged {CLASSIFICATION}" if options.only_classification else "seed with an instruction"
        raise UsageError(f"self-instruct got no {what}; give it a file of seed tasks")
    index = RougeIndex(options.threshold, options.rule, chosen.scripts)
    for text, seed in known.items():
        index.add(text, f"seed {seed.id}: {excerpt(text)}")
    screen = Screen(
        options.min_words, options.max_words, chosen.blocked, chosen.blocked_openings,
        chosen.match_openings, chosen.count_words, chosen.first_character,
    )  # fmt: skip
    proposing = ProposalWriter(chosen, options.prompt_texts.propose, list(known.values()))
    instances = 1 if chosen.joint else chosen.instances
    return Pool(
        proposing, index, screen, YieldStats(options.count, instances, chosen.per_request, requests_per_task(options))
    )


def requests_per_task(options: Options) -> int:
    """Return how many requests the examples of a task cost."""
    if options.chosen.joint:
        return 0
    return 2 if options.chosen.classification == "ask" else 1
