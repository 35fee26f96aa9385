"""Exact match: the answer is right if it is the expected text."""

from __future__ import annotations

from collections.abc import Sequence

from filial import Context, Field, Judge, Record, UsageError, Verdict, hookimpl


class ExactMatch(Judge):
    """1 for an answer that equals the expected text, 0 otherwise; blanks at both ends never count."""

    case_sensitive: bool = Field(True, description="Whether upper and lower case differ.")
    normalize_whitespace: bool = Field(False, description="Whether every run of blanks counts as one space.")

    async def judge(self, record: Record, answers: Sequence[str], ctx: Context) -> Verdict:
        """The share of answers that match; passed if all do.

        Raises:
            UsageError: the record has no expected answer, or there is nothing to judge.
        """
        wanted = record.answer()
        if not wanted or not answers:
            missing = "answer to judge" if wanted else "expected answer to compare with"
            raise UsageError(f"record {record.id or record.question()[:40]!r} has no {missing}")
        hits = [self._plain(answer) == self._plain(wanted) for answer in answers]
        return Verdict(sum(hits) / len(hits), passed=all(hits))

    def _plain(self, text: str) -> str:
        text = " ".join(text.split()) if self.normalize_whitespace else text.strip()
        return text if self.case_sensitive else text.casefold()


@hookimpl
def register_judges(register):  # type: ignore[no-untyped-def]
    register("exact-match", ExactMatch)
