"""Keep answers that the teacher repeats: self-consistency."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from filial import Context, Drop, Field, Filter, Keep, Record, hookimpl
from filial_plugins.texts import collapse_whitespace, excerpt


class Agreement(Filter):
    """Ask the question again and drop records whose answer is not repeated.

    The idea is self-consistency (Wang et al., 2023, "Self-Consistency Improves Chain of Thought
    Reasoning"): an answer that a model repeats is more often right. It suits tasks with one short answer and
    costs ``draws`` requests per record; free text hardly ever agrees. Answers agree if they are
    equal in lower case, without outer punctuation and extra blanks. The share that agrees becomes the
    score ``agreement``.
    """

    asks = True

    draws: int = Field(3, ge=1, description="How often the question is asked again.")
    agree: float = Field(0.5, gt=0, le=1, description="Minimum share of new answers that are the same.")

    def calls(self, records: int) -> float:
        return self.draws * records

    async def check(self, record: Record, ctx: Context) -> Keep | Drop:
        question, answer = record.prompt(), record.answer()
        if not answer:
            return Drop("no-answer", "there is no answer to compare with; answer the records first")
        replies = await asyncio.gather(*(ctx.ask(question, draw=draw) for draw in range(1, self.draws + 1)))
        wanted = _normalize(answer)
        same = sum(_normalize(reply.text) == wanted for reply in replies)
        share = same / self.draws
        if share < self.agree:
            other = next((r.text for r in replies if _normalize(r.text) != wanted), "")
            found = f"{same} of {self.draws} new answers are {excerpt(answer, 40)!r}"
            return Drop("disagreement", f"{found}; one is {excerpt(other, 40)!r}", answer=other)
        return Keep(scores={"agreement": share})

    def question_rules(self) -> None:
        return None


def _normalize(text: str) -> str:
    return collapse_whitespace(text).casefold().strip(" .!?:;,\"'`*")


@hookimpl
def register_filters(register: Callable[[str, type[Filter]], None]) -> None:
    register("agreement", Agreement)
