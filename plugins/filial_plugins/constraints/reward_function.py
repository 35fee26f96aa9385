"""The reward function of a reward file. `filial rewards` copies this file behind those that it imports from."""

from __future__ import annotations

import json
from typing import Any

from filial_plugins.constraints.verdicts import holds


def reward(prompts: Any = None, completions: Any = (), constraints: Any = (), **columns: Any) -> list[float]:
    """Return for each completion the share of its constraints that hold strictly.

    The signature is that of reward functions for TRL's ``GRPOTrainer``: it gets the columns of the data set by name.
    A completion is a text or a list of messages, of which the last one counts; its constraints are a list of
    ``{"type": …, "args": …}`` or that list as JSON. Without constraints the reward is 1.

    Raises:
        ValueError: a type of constraint is not known.
    """
    return [_compute_share(text, wanted, False) for text, wanted in zip(completions, constraints, strict=True)]


def loose_reward(prompts: Any = None, completions: Any = (), constraints: Any = (), **columns: Any) -> list[float]:
    """Return for each completion the share of its constraints that hold in any variant of the text.

    Variants leave out quotation marks, asterisks, the first and the last line. Arguments and errors are those of
    `reward`.
    """
    return [_compute_share(text, wanted, True) for text, wanted in zip(completions, constraints, strict=True)]


def _compute_share(completion: Any, constraints: Any, loosely: bool) -> float:
    text = _get_text(completion)
    asked = json.loads(constraints) if isinstance(constraints, str) else constraints or []
    kept = [_constraint_holds(text, constraint, loosely) for constraint in asked]
    return sum(kept) / len(kept) if kept else 1.0


def _constraint_holds(text: str, constraint: Any, loosely: bool) -> bool:
    # Data sets with typed columns fill the arguments that other types have with None.
    args = {name: value for name, value in constraint["args"].items() if value is not None}
    try:
        return holds(text, constraint["type"], args, loosely)
    except KeyError as err:
        raise ValueError(f"no check for the constraint {constraint['type']!r} with {args}") from err


def _get_text(completion: Any) -> str:
    """Return the text of a completion: itself, or the content of its last message."""
    if isinstance(completion, str):
        return completion
    content = completion[-1].get("content") or "" if completion else ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
