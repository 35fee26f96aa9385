"""Score 1 if the answer is the expected text, else 0."""

from __future__ import annotations

from collections.abc import Sequence

from filial import Candidate, Context, Field, Judge, Record, UsageError, Verdict, hookimpl


class ExactMatch(Judge):
    """Score 1 if the answer equals the expected text, else 0; blanks at both ends are ignored."""

    case_sensitive: bool = Field(True, description="Whether upper and lower case differ.")
    normalize_whitespace: bool = Field(False, description="Whether every run of blanks counts as one space.")

    async def judge(self, record: Record, candidates: Sequence[Candidate], ctx: Context) -> Verdict:
        """Ask the last question of the record, with all earlier turns, and compare the answer.

        Raises:
            UsageError: the record has no expected answer or no question.
        """
        asked, wanted = record.prompt(), record.answer()
        if not asked or not wanted:
            raise UsageError(f"record {record.id or wanted[:40]!r} has no expected answer to compare with")
        reply = await candidates[0].ask(asked)
        right = self._plain(reply.text) == self._plain(wanted)
        return Verdict(float(right), passed=right)

    def _plain(self, text: str) -> str:
        text = " ".join(text.split()) if self.normalize_whitespace else text.strip()
        return text if self.case_sensitive else text.casefold()


@hookimpl
def register_judges(register):  # type: ignore[no-untyped-def]
    register("exact-match", ExactMatch)
