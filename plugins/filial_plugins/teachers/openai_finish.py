"""What the word with which an endpoint ends an answer says about it: whole, cut, refused or failed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

Ending = Literal["whole", "cut", "refused", "failed", "unknown"]

_WORDS: dict[Ending, str] = {
    "whole": "stop stopped eos eos_token end_of_text endoftext end_turn stop_sequence stop_string complete completed "
    "normal finished",
    "cut": "length max_length max_tokens max_output_tokens max_completion_tokens max_new_tokens token_limit limit "
    "model_length context_length context_length_exceeded model_context_window_exceeded error_limit",
    "refused": "content_filter content_filtered safety image_safety recitation language blocklist prohibited_content "
    "spii refusal refused sensitive guardrail_intervened model_armor error_toxic moderation blocked",
    "failed": "error failed network_error insufficient_system_resource abort aborted cancel cancelled canceled "
    "user_cancel timeout repetition load unload pause_turn compaction other finish_reason_unspecified "
    "malformed_model_output malformed_response malformed_tool_use malformed_function_call unexpected_tool_call "
    "too_many_tool_calls tool_call tool_calls tool_use function_call",
}
ENDINGS: dict[str, Ending] = {word: ending for ending, words in _WORDS.items() for word in words.split()}
"""The words of OpenAI and of endpoints that pass on those of Anthropic, Bedrock, Cohere, DeepSeek, Gemini, Mistral,
Ollama, OpenRouter, SGLang, TGI, vLLM and Zhipu; in lower case, with ``_`` between words. Nothing was asked here that a
tool could answer, so a call of one is a failure."""


class Endings:
    """Judges how the answers of one endpoint end. ``warn`` tells the user once per subject.

    A word that is not in the table is "unknown", never "whole". Where there is none, the answer is taken for whole only
    as long as the endpoint has not named any, and not if it has as many tokens as it may have: then it was cut.
    """

    def __init__(self, model: str, warn: Callable[[str, str], None]) -> None:
        self._model, self._warn = model, warn
        self._named = False

    def judge(self, word: str, full: bool) -> Ending:
        """What the end of an answer means; ``word`` is empty where the endpoint names none, ``full``: the answer has
        reached its token limit."""
        if word:
            self._named = True
            known = ENDINGS.get(re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_"), "unknown")
            if known == "unknown":
                self._warn(
                    "finish",
                    f"an answer of {self._model!r} ended with the finish_reason {word[:100]!r}, which filial does not "
                    "know; such answers are not taken for whole: they are asked for again, then dropped",
                )
            return known
        if full:
            return "cut"
        if self._named:
            return "unknown"
        self._warn(
            "no finish",
            f"the endpoint of {self._model!r} does not say whether an answer is whole (it names no finish_reason); its "
            "answers are kept as they are",
        )
        return "whole"
