"""The token counts of an answer, from endpoints that count in different ways."""

from __future__ import annotations

from typing import Any, NamedTuple

MOST = 10**8
"""Above this a number of tokens is none."""


class Usage(NamedTuple):
    """Tokens of an answer; 0 where the endpoint does not say.

    ``cached`` are part of the prompt's, ``reasoning`` part of the completion's. ``odd``: how the endpoint counts
    otherwise, in words for people.
    """

    prompt: int
    completion: int
    cached: int
    reasoning: int
    odd: str = ""

    @property
    def billed(self) -> tuple[int, int] | None:
        """Tokens that an answer is charged for, whatever it is worth; None where that is not said."""
        return (self.prompt, self.completion) if self.prompt or self.completion else None


def usage_of(body: dict[str, Any]) -> Usage:
    """What the body of an answer says about its tokens, never less than any reading of it.

    OpenAI counts what came from a cache as part of the prompt, thoughts as part of the completion, and both sum up to
    the total. Gateways to Anthropic's models count cached tokens beside the prompt; xAI's and some gateways to Gemini
    count thoughts beside the completion, where at times only the total tells of them.
    """
    usage = _dict(body.get("usage"))
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    total = _count(usage.get("total_tokens"))
    cached = _count(_dict(usage.get("prompt_tokens_details")).get("cached_tokens"))
    reasoning = _count(_dict(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    odd = []
    if not prompt and completion:
        prompt = max(0, total - completion)
    if cached > prompt > 0:
        odd.append("cached tokens beside those of the prompt")
        if total >= prompt + cached + completion:
            total -= cached
    if reasoning > completion > 0:
        odd.append("thoughts beside the tokens of the answer")
        completion += reasoning
    if prompt + completion < total:
        odd.append("more tokens in all than those of prompt and answer")
        completion = max(total - prompt, reasoning)
    if cached > prompt > 0:
        prompt += cached
    return Usage(prompt, completion, cached, reasoning, " and ".join(odd))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        return 0
    return int(value)
