"""One answer of a teacher, if it can be used: in time, of the right type, in whole characters, not cut off."""

from __future__ import annotations

import asyncio

from filial.components import Teacher
from filial.errors import FilialError, TeacherError
from filial.stages.blame import failure, half_character
from filial.teaching import Reply, Request


async def heard(use: str, teacher: Teacher, request: Request) -> Reply:
    """What the teacher says, if it can be used.

    Raises:
        TeacherError: it cannot, or there is none.
    """
    who = f"the teacher {use!r}"
    try:
        async with asyncio.timeout(teacher.timeout):
            reply = await teacher.reply(request)
    except TimeoutError:
        late = f"no answer within {teacher.timeout:g} s"
        raise TeacherError("timeout", late, retry=True, billed=None) from None
    except FilialError as err:
        if (cut := _cut(err, request)) is None:
            raise
        reply = cut
    except (Exception, SystemExit) as err:
        raise failure(f"{who} fails", err) from err
    if not isinstance(reply, Reply) or not isinstance(reply.text, str) or not isinstance(reply.reasoning, str):
        raise FilialError(f"{who} breaks its contract: reply gave {type(reply).__name__}, not a Reply with a text")
    told = (reply.prompt_tokens, reply.completion_tokens)
    billed = told if any(told) else None
    try:
        reply.text.encode()
        reply.reasoning.encode()
    except UnicodeEncodeError as err:
        why = f"the answer {half_character(err)}"
        raise TeacherError("not-unicode", why, answer=reply.text, billed=billed) from err
    if reply.finish_reason == "length" and not request.partial:
        raise TeacherError("length", "the answer was cut at the token limit", answer=reply.text, billed=billed)
    return reply


def _cut(error: FilialError, request: Request) -> Reply | None:
    """The reply in the failure of a call that was cut off, where a part of an answer is welcome."""
    if not (request.partial and isinstance(error, TeacherError) and error.reason == "length"):
        return None
    if error.answer is None:
        return None
    prompt, completion = error.billed or (0, 0)
    return Reply(
        text=error.answer, finish_reason="length", prompt_tokens=prompt, completion_tokens=completion
    )  # fmt: skip
