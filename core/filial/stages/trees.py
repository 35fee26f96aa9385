"""What grows from one record of an evolve stage: a chain, or a tree where records have several children per round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from filial.components import Drop, Strategy
from filial.context import seeded
from filial.records import Record
from filial.stages.filtering import Sieve
from filial.stages.stage import Surroundings

SIBLING = "same-as-sibling"


@dataclass(frozen=True, slots=True)
class Choice:
    """One strategy of the recipe: its name there, its provenance, how often it is drawn relative to the others."""

    name: str
    plugin: str
    strategy: Strategy
    weight: float = 1.0
    family: str = "in-depth"


@dataclass(frozen=True, slots=True)
class Evolution:
    """How the stage evolves: the recipe's ``evolve`` block with its plugins in place.

    ``branch``: children per record and round; 1 makes chains, more make trees. ``keep``: "all" keeps parents and every
    generation, "last" what no child has replaced. ``answer``: ask the teacher for the evolved instruction's answer;
    where it is not asked for, ``on_questions`` are the rules of ``eliminate`` for children without one, by place.
    """

    choices: list[Choice]
    eliminate: list[Sieve]
    rounds: int = 1
    branch: int = 1
    order: Literal["random", "fixed"] = "random"
    keep: Literal["all", "last"] = "all"
    answer: bool = True
    on_questions: list[Sieve | None] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "on_questions", [sieve if self.answer else sieve.on_questions() for sieve in self.eliminate]
        )

    def rule(self, place: int, child: Record) -> Sieve | None:
        """The rule at a place as it goes for a child; None where it only judges answers and none was asked for."""
        answered = child.turns()[-1].role == "assistant"
        return self.eliminate[place] if answered else self.on_questions[place]

    def left_out(self) -> str:
        """What the rules do not judge because no answer was asked for, in words; empty if they judge all."""
        both = list(zip(self.eliminate, self.on_questions, strict=True))
        part = [rule.name for rule, left in both if left is not None and left.filter is not rule.filter]
        whole = [rule.name for rule, left in both if left is None]
        said = [f"{' and '.join(part)} by the instruction alone"] if part else []
        said += [f"{' and '.join(whole)} not at all"] if whole else []
        return f"no answer is asked for; evolved records without one are judged {', '.join(said)}" if said else ""

    def drawn(self, env: Surroundings, turn: int, place: int, record: Record, n: int) -> list[Choice]:
        """``n`` strategies for this record in this round, by seeded weights or in the recipe's order; all different
        where there are enough."""
        if self.order == "fixed":
            return [self.choices[(place + turn - 1 + slot) % len(self.choices)] for slot in range(n)]
        rng, left, out = seeded(env.seed, env.stage, "draw", turn, record.id), list(self.choices), list[Choice]()
        while len(out) < n:
            left = left or list(self.choices)
            out += (choice := rng.choices(left, [c.weight for c in left])[0],)
            left.remove(choice)
        return out


@dataclass(frozen=True, slots=True)
class Attempt:
    """One record about to be evolved: the round, the strategy drawn, which attempt on this record it is (from 0)."""

    turn: int
    choice: Choice
    nth: int
    slot: int
    parent: Record


@dataclass(slots=True)
class Tip:
    """A record that is evolved in the next round: how many children it is due, and how often that was tried."""

    record: Record
    due: int
    tried: int = 0
    children: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class Tree:
    """One record of the stage and what came of it.

    ``place`` is the record's among all, ``rank`` among those with the same id: 0 unless a record comes again.
    ``conversations`` counts the tips that were passed on as they are.
    """

    place: int
    rank: int
    branch: int
    grown: list[Tip]
    tips: list[Tip]
    conversations: int = 0

    @classmethod
    def planted(cls, place: int, rank: int, record: Record, branch: int) -> Tree:
        """The tree of a record that has not been evolved yet."""
        root = Tip(record, branch)
        return cls(place, rank, branch, [root], [root])

    def attempts(self, turn: int, plan: Evolution, env: Surroundings) -> Iterator[tuple[Tip, list[Attempt]]]:
        """What every tip tries in a round. A conversation of more than a question and its answer is counted, once, and
        tries nothing."""
        for tip in self.tips:
            parent = tip.record.single()
            if parent.messages:
                self.conversations += 1
            else:
                drawn = plan.drawn(env, turn, self.place, parent, tip.due)
                yield tip, [Attempt(turn, c, tip.tried + i, i, parent) for i, c in enumerate(drawn)]

    def enter(self, rounds: list[tuple[Tip, list[Record | Drop]]]) -> None:
        """What a round came to: children are tips of the next one, and so is a record with attempts that failed."""
        tips: list[Tip] = []
        for tip, results in rounds:
            born = [Tip(result, self.branch) for result in results if isinstance(result, Record)]
            tip.due, tip.tried = len(results) - len(born), tip.tried + len(results)
            tip.children += [child.record for child in born]
            tips += [tip] if tip.due else []
            tips += born
            self.grown += born
        self.tips = tips

    def let_go(self, plan: Evolution, keep: Callable[[Record], None], drop: Callable[[Drop, Record], None]) -> None:
        """Write what goes on. With ``keep: last`` every record that has a child is a drop."""
        for tip in self.grown:
            if plan.keep == "last" and tip.children:
                into = ", ".join(child.id for child in tip.children)
                drop(Drop("superseded", f"evolved into {into}"), tip.record)
            else:
                keep(tip.record)


def unlike(result: Record | Drop, siblings: list[Record]) -> Record | Drop:
    """A child, or the drop of one that says what a sibling says."""
    if isinstance(result, Record):
        for sibling in siblings:
            if sibling.content() == result.content():
                return Drop(SIBLING, f"it is word for word {sibling.id}", record=result)
    return result
