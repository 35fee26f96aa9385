"""What an answer used, in tokens, where its teacher's counts may be wrong: never less than they say."""

from __future__ import annotations

from typing import NamedTuple

from filial.contracts.messages import Bound

MOST = 10**8
"""Above this a number of tokens is none: no model reads or writes so much at once."""


class Counted(NamedTuple):
    """Tokens of a prompt (those from a cache among them) and an answer; ``estimated``: some are upper bounds."""

    prompt: int
    completion: int
    cached: int
    estimated: bool


def counted(bound: Bound, prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> Counted:
    """The tokens to count for an answer, whole or not.

    A count that is missing, negative or beyond `MOST` is replaced by the most its request allows: what came of an
    answer does not say how much of it was thoughts that nobody sees. A part that is more than its whole was
    counted beside it and is added: cached tokens to the prompt, those of thoughts to the answer.
    """
    prompt, completion, cached, reasoning = (n if 0 < n <= MOST else 0 for n in (prompt, completion, cached, reasoning))
    no_prompt, no_completion = not prompt, not completion
    if no_prompt:
        prompt = bound.prompt
    if cached > prompt:
        prompt += cached
    if no_completion:
        completion = bound.completion
    if reasoning > completion:
        completion += reasoning
    return Counted(prompt, completion, cached, no_prompt or no_completion)
