"""Check what a teacher returns: a usable answer, or an error.

The ``finish_reason`` of an answer says whether it is complete, cut, withheld or failed.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec.structs import replace

from filial.contracts.checks import fault_of_error, fault_of_reply
from filial.contracts.errors import FilialError, TeacherError
from filial.contracts.kinds import Teacher
from filial.contracts.messages import Reply, Request
from filial.contracts.plugin_errors import describe_surrogate, failure, is_fault
from filial.gateway.deadlines import Deadlines

Ending = Literal["whole", "cut", "withheld", "failed", "unknown"]

_WORDS: dict[Ending, str] = {
    "whole": "stop stopped eos eos_token eos_found end_of_text endoftext end_turn end_of_turn stop_sequence "
    "stop_sequence_reached stop_string stop_string_found complete completed normal finish finished",
    "cut": "length limit max_length max_len max_tokens maximum_tokens max_output_tokens max_completion_tokens "
    "max_new_tokens max_predicted_tokens_reached token_limit model_length context_length context_length_reached "
    "context_length_exceeded max_context model_context_window_exceeded context error_limit incomplete truncated",
    "withheld": "content_filter content_filtered safety image_safety image_prohibited_content image_recitation spii "
    "recitation language blocklist prohibited_content escalation refusal refused sensitive input_sensitive blocked "
    "output_sensitive guardrail_intervened model_armor error_toxic moderation data_inspection_failed",
    "failed": "error failed network_error insufficient_system_resource abort aborted cancel cancelled canceled timeout "
    "user_cancel user_stopped time_limit repetition load unload model_unloaded preempt pause_turn compaction other "
    "image_other no_image unknown unspecified not_finished missing_thought_signature malformed_model_output "
    "malformed_response malformed_tool_use malformed_function_call unexpected_tool_call too_many_tool_calls tool_call "
    "tool_calls tool_use function_call",
}
ENDINGS: dict[str, Ending] = {word: ending for ending, words in _WORDS.items() for word in words.split()}
"""The words of OpenAI and of endpoints that pass on those of Anthropic, Bedrock, Cohere, DeepSeek, Gemini, LM Studio,
Mistral, Ollama, OpenRouter, SGLang, TGI, vLLM, watsonx, xAI, Zhipu and others; in lower case, with ``_`` between words,
without the name of the field. filial offers no tools in requests, so a tool call is a failure."""


def fault_of_end(word: str, text: str, billed: tuple[int, int] | None, *, full: bool) -> TeacherError | None:
    """Return the error of an answer that ended with ``word``, or None if it is complete.

    An unknown word never counts as complete. An answer without a word is complete, unless it is ``full``: it has the
    maximum number of tokens, so it was cut. All errors are charged. If the same result is likely again, the error is
    not retried.
    """
    ending = _ending(word) if word else "cut" if full else "whole"
    said = f" ({word[:100]})" if word not in ("length", "content_filter", "") else ""
    if ending == "cut":
        detail = f"the answer was cut off{said}; raise max_tokens, or the context of the model"
        return TeacherError("length", detail, answer=text, billed=billed)
    if ending == "withheld":
        return TeacherError("content-filter", f"the endpoint withheld the answer{said}", answer=text, billed=billed)
    if ending == "failed":
        return TeacherError("interrupted", f"the answer broke off{said}", answer=text, retry=True, billed=billed)
    if ending == "unknown":
        detail = f"the answer ended with the finish_reason {word[:100]!r}, which filial does not know"
        return TeacherError("unknown-finish", detail, answer=text, retry=True, billed=billed)
    return None


def _ending(word: str) -> Ending:
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower()).strip("_")
    return ENDINGS.get(re.sub(r"^(finish_|stop_)?reason_", "", plain), "unknown")


async def receive(use: str, teacher: Teacher, request: Request, deadlines: Deadlines) -> Reply:
    """Return the teacher's answer if it is usable, complete and in time.

    Raises:
        TeacherError: it is not, or there is none.
        FilialError: the teacher's own code failed or broke its contract.
    """
    try:
        reply = await deadlines.run(teacher.reply(request))
    except TimeoutError:
        late = f"no answer within {teacher.timeout:g} s"
        raise TeacherError("timeout", late, retry=True, billed=None) from None
    except TeacherError as err:
        if fault := fault_of_error(err):
            raise FilialError(f"the teacher {use!r} breaks its contract: {fault}") from err
        if not (request.partial and err.reason == "length" and err.answer is not None):
            raise
        prompt, completion = err.billed or (0, 0)
        reply = Reply(text=err.answer, finish_reason="length", prompt_tokens=prompt, completion_tokens=completion)
    except BaseException as err:
        if not is_fault(err):
            raise
        raise failure(f"the teacher {use!r} fails", err) from err
    if fault := fault_of_reply(reply):
        raise FilialError(f"the teacher {use!r} breaks its contract: {fault}")
    billed = (reply.prompt_tokens, reply.completion_tokens) if reply.prompt_tokens or reply.completion_tokens else None
    try:
        reply.text.encode()
        reply.reasoning.encode()
    except UnicodeEncodeError as err:
        why = f"the answer {describe_surrogate(err)}"
        raise TeacherError("not-unicode", why, answer=reply.text, billed=billed) from err
    full = not reply.finish_reason and reply.completion_tokens >= teacher.bound(request).completion > 0
    broken = fault_of_end(reply.finish_reason, reply.text, billed, full=full)
    if broken and not (broken.reason == "length" and request.partial):
        raise broken
    return replace(reply, finish_reason="length") if broken else reply
