"""Read the token counts of an answer, from endpoints that count in different ways."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

MAX_COUNT = 10**7
"""A larger number of tokens is a mistake: no model reads or writes so many."""

NAMES = {
    "prompt": ("prompt_tokens", "input_tokens", "promptTokenCount"),
    "completion": ("completion_tokens", "output_tokens", "candidatesTokenCount"),
    "total": ("total_tokens", "totalTokenCount"),
    "cached": ("prompt_cache_hit_tokens", "cached_tokens", "cachedContentTokenCount"),
    "written": (),
    "reasoning": ("reasoning_tokens", "thoughtsTokenCount"),
    # Anthropic's names; its prompt_tokens do not include them.
    "read beside": ("cache_read_input_tokens", "cacheReadInputTokens"),
    "written beside": ("cache_creation_input_tokens", "cacheWriteInputTokens"),
}
"""The names of each count; if several are given, the largest counts."""
DETAILS = {
    "cached": ("cached_tokens", "cache_read_tokens"),
    "written": ("cache_write_tokens", "cache_creation_tokens", "cached_creation_tokens"),
    "reasoning": ("reasoning_tokens",),
}
"""The names of each count in ``prompt_tokens_details`` and ``completion_tokens_details``."""


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


def read_usage(body: dict[str, Any], write_ratio: float = 1.0) -> TokenUsage:
    """Return the token counts of an answer, never less than any reading of them.

    Tokens that the endpoint writes to its cache cost more than others, so each counts ``write_ratio`` times.

    OpenAI counts cached tokens as part of the prompt and reasoning as part of the completion, and both sum up to the
    total. Gateways to Anthropic's models count tokens of the cache beside the prompt, in the total or not. xAI and some
    gateways to Gemini count reasoning beside the completion, where sometimes only the total includes it.
    """
    found = _find_counts(body)
    prompt, completion, total = found["prompt"], found["completion"], found["total"]
    cached, written, reasoning = found["cached"], found["written"], found["reasoning"]
    odd = ["more tokens than any model has, which count as the most for the request"] if found["absurd"] else []
    apart = found["read beside"] + found["written beside"]
    if apart and cached + written:  # LiteLLM gives both names, and includes them
        cached, written = max(cached, found["read beside"]), max(written, found["written beside"])
        apart = 0
    elif apart:
        cached, written = found["read beside"], found["written beside"]
    if not prompt and completion:
        prompt = max(0, total - completion)
    if prompt and (apart or cached + written > prompt):
        odd.append("tokens of the cache beside the prompt")
        apart = cached + written
    if reasoning > completion > 0 or (reasoning and completion and not total):
        odd.append("reasoning beside the answer")
        completion += reasoning
    rest = total - prompt - completion
    if rest > 0 and rest != reasoning and rest in (apart, apart + reasoning):  # the total includes the cache
        rest -= apart
    if rest > 0:
        odd.append("more tokens in total than prompt and answer")
        completion = max(completion + rest, reasoning)
    more = math.ceil(written * (write_ratio - 1.0))
    if more:
        odd.append(f"tokens that it writes to its cache, which cost {write_ratio:g} times as much")
    prompt += apart + more if prompt else 0  # else the maximum is counted
    return TokenUsage(prompt, completion, cached, reasoning, " and ".join(odd))


def _find_counts(body: dict[str, Any]) -> dict[str, int]:
    """Return every count by its name in `NAMES`; ``absurd`` is the number of those that are too large to be true."""
    groq = _get_dict(body.get("x_groq"))
    usage = _get_dict(body.get("usage") or body.get("usageMetadata") or groq.get("usage"))
    found = {what: max((_read_count(usage.get(name)) for name in names), default=0) for what, names in NAMES.items()}
    for side in ("prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details"):
        details = _get_dict(usage.get(side))
        for what, names in DETAILS.items() if details else ():
            found[what] = max(found[what], *(_read_count(details.get(name)) for name in names))
    absurd = sum(count > MAX_COUNT for count in found.values())
    return {what: 0 if count > MAX_COUNT else count for what, count in found.items()} | {"absurd": absurd}


def _get_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_count(value: object) -> int:
    """Return a number of tokens, rounded up; 0 for anything else. Some gateways write numbers as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        return 0
    return math.ceil(value)
