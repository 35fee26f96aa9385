"""Keep answers that satisfy the instruction's checkable constraints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from filial import Constraint, Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.constraints.catalogue import check_constraint
from filial_plugins.constraints.verdicts import find_violation, holds
from filial_plugins.texts import excerpt, get_answer


class Constraints(Filter):
    """Drop records whose answer breaks one of their constraints; records without constraints pass.

    The constraints are those of the record (``constraints``), as `add-constraints` with ``checkable: true`` writes
    them. Strict: the answer must satisfy them as it is. Loose: it may also satisfy them without its first line, its
    last, or both, without asterisks, or without quotation marks around it (IFEval, Zhou et al., 2023, plus the
    quotation marks). The default is strict, because a model would learn the flaw of an answer that is only loosely
    correct.

    Every record gets scores: ``constraints_strict`` and ``constraints_loose`` say whether all of its constraints are
    satisfied (1 or 0), ``constraints_strict_share`` and ``constraints_loose_share`` give the share of those that are.
    Their means are IFEval's accuracies by prompt and (if all records have equally many constraints) by instruction. A
    record with a constraint that the catalogue does not contain is dropped (``constraint-unknown``).
    """

    accept: Literal["strict", "loose"] = Field("strict", description="Check strictly or loosely.")

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        if not record.constraints:
            return Keep()
        if drop := _drop_unknown(record):
            return drop
        text = get_answer(record)
        strict = [holds(text, one.type, one.args) for one in record.constraints]
        # A constraint that holds strictly holds loosely, so only the others are checked again.
        loose = [
            kept or holds(text, one.type, one.args, loosely=True)
            for kept, one in zip(strict, record.constraints, strict=True)
        ]
        scores = {**_compute_scores("strict", strict), **_compute_scores("loose", loose)}
        decided = strict if self.accept == "strict" else loose
        if not text.strip():
            return Drop("no-answer", "there is no answer to check; answer the records first", scores=scores)
        if all(decided):
            return Keep(scores=scores)
        broken = [one for kept, one in zip(decided, record.constraints, strict=True) if not kept]
        return Drop("constraint-broken", "; ".join(_describe_fault(text, one) for one in broken), text, scores=scores)

    def question_rules(self) -> Filter:
        return KnownConstraints(**self.model_dump())


class KnownConstraints(Constraints):
    """What `Constraints` says of a record without its answer."""

    def check(self, record: Record, ctx: Context) -> Keep | Drop:
        return _drop_unknown(record) or Keep()


def _drop_unknown(record: Record) -> Drop | None:
    for constraint in record.constraints:
        if wrong := check_constraint(constraint.type, constraint.args):
            return Drop("constraint-unknown", wrong)
    return None


def _compute_scores(name: str, kept: list[bool]) -> dict[str, float]:
    return {f"constraints_{name}": float(all(kept)), f"constraints_{name}_share": sum(kept) / len(kept)}


def _describe_fault(text: str, constraint: Constraint) -> str:
    return f"{constraint.type}: {excerpt(find_violation(text, constraint.type, constraint.args), 120)}"


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("constraints", Constraints)
