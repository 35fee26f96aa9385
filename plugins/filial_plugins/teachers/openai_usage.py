"""Read the token counts of an answer, from endpoints that count in different ways."""

from __future__ import annotations

from typing import Any, NamedTuple

MAX_COUNT = 10**8
"""Above this a number of tokens is none."""


class TokenUsage(NamedTuple):
    """Tokens of an answer; 0 if the endpoint does not say.

    ``cached`` are part of ``prompt``, ``reasoning`` part of ``completion``. ``deviation``: how the endpoint counts
    differently, in words.
    """

    prompt: int
    completion: int
    cached: int
    reasoning: int
    deviation: str = ""

    @property
    def billed(self) -> tuple[int, int] | None:
        """Tokens that an answer is charged for, even if it is useless; None if the endpoint does not say."""
        return (self.prompt, self.completion) if self.prompt or self.completion else None


def read_usage(body: dict[str, Any]) -> TokenUsage:
    """Return the token counts of an answer, never less than any reading of them.

    OpenAI counts cached tokens as part of the prompt and reasoning as part of the completion, and both sum up to the
    total. Gateways to Anthropic's models count cached tokens beside the prompt. xAI and some gateways to Gemini count
    reasoning beside the completion, where sometimes only the total includes it.
    """
    usage = _get_dict(body.get("usage"))
    prompt, completion = _read_count(usage.get("prompt_tokens")), _read_count(usage.get("completion_tokens"))
    total = _read_count(usage.get("total_tokens"))
    cached = _read_count(_get_dict(usage.get("prompt_tokens_details")).get("cached_tokens"))
    reasoning = _read_count(_get_dict(usage.get("completion_tokens_details")).get("reasoning_tokens"))
    odd = []
    if not prompt and completion:
        prompt = max(0, total - completion)
    if cached > prompt > 0:
        odd.append("cached tokens beside the prompt")
        if total >= prompt + cached + completion:
            total -= cached
    if reasoning > completion > 0:
        odd.append("reasoning beside the answer")
        completion += reasoning
    if prompt + completion < total:
        odd.append("more tokens in total than prompt and answer")
        completion = max(total - prompt, reasoning)
    if cached > prompt > 0:
        prompt += cached
    return TokenUsage(prompt, completion, cached, reasoning, " and ".join(odd))


def _get_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_count(value: object) -> int:
    """Return a number of tokens; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return 0
    return int(value)
