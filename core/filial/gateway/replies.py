"""Check what a teacher returns: a usable answer, or an error.

The ``finish_reason`` of an answer says whether it is complete, cut, withheld or failed.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec.structs import replace

from filial.contracts.checks import fault_of_error, fault_of_reply
from filial.contracts.errors import FilialError, TeacherError
from filial.contracts.kinds import Teacher
from filial.contracts.messages import Reply, Request
from filial.contracts.plugin_errors import describe_surrogate, failure, is_fault
from filial.gateway.deadlines import Deadlines

_LINES = Path(__file__).with_name("endings.txt").read_text(encoding="utf-8").splitlines()
ENDINGS = {word: line.split()[0] for line in _LINES if line and line[0] != "#" for word in line.split()[1:]}
"""What the values of ``finish_reason`` mean, for every teacher."""


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


def _ending(word: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word).lower()).strip("_")
    return ENDINGS.get(re.sub(r"^(finish_|stop_)?reason_", "", plain), "unknown")


def write_failure(error: TeacherError) -> Reply:
    """Return the form in which a ledger holds a final failure; ``finish_reason`` is empty if no answer came."""
    answer = (error.answer or "").encode("utf-8", "replace").decode()
    return Reply(text=answer, finish_reason="" if error.answer is None else "stop", failure=str(error), key=error.key)


def read_failure(reply: Reply) -> TeacherError:
    """Return the error that `write_failure` wrote."""
    reason, _, detail = reply.failure.partition(": ")
    error = TeacherError(reason, detail, answer=reply.text if reply.finish_reason else None)
    error.key = reply.key
    return error


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
