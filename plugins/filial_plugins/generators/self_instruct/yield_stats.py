"""The yield of a generator's requests: how many more are needed, and what the user is told."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from filial import Drop

SAMPLE = 16
"""Tasks whose examples are asked for first, to estimate the yield before examples of more tasks are asked for."""
REPORT_FACTOR = 4
"""The yield is reported after the first round and its examples, then each time the requests grew by this factor."""


@dataclass(slots=True)
class YieldStats:
    """Counts what the requests of `self-instruct` brought.

    ``count``, ``instances`` and ``per_request`` are the options of these names; ``per_task`` is the number of requests
    that the examples of a task cost, 0 if tasks come with their examples.
    """

    count: int
    instances: int
    per_request: int
    per_task: int
    proposals: int = 0  # requests for tasks
    proposed: int = 0
    accepted: int = 0
    examined: int = 0  # tasks whose examples were asked for, or came with them
    records: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    answer: str = ""  # the last one that was dropped
    _reported: int = 0

    @property
    def missing(self) -> int:
        return self.count - self.records

    @property
    def waiting(self) -> int:
        """Accepted tasks whose examples were not asked for yet."""
        return self.accepted - self.examined

    @property
    def requests(self) -> int:
        return self.proposals + self.per_task * self.examined

    @property
    def failing(self) -> bool:
        """Whether most of what was dropped was lost to failed calls."""
        return any(reason.startswith("teacher-") for reason, _ in self.reasons.most_common(1))

    def count_drop(self, drop: Drop) -> None:
        """Count a drop."""
        self.reasons[drop.reason] += 1
        self.answer = drop.answer or self.answer

    def tasks_needed(self) -> int:
        """Return of how many tasks to ask examples next.

        The estimate is lowered by its square root, about one standard deviation: missing records can still be asked
        for, surplus ones have been paid for.
        """
        fewest = math.ceil(self.missing / self.instances)
        if not self.records:
            return min(SAMPLE, fewest)
        likely = self._tasks_left()
        return max(fewest, int(likely - math.sqrt(likely)))

    def requests_needed(self, tasks: int) -> int:
        """Return how many requests bring ``tasks`` more tasks at the yield so far; 0 if no task was accepted yet."""
        if not self.proposals:
            return math.ceil(tasks / self.per_request)
        return math.ceil(tasks * self.proposals / self.accepted) if self.accepted else 0

    def _tasks_left(self) -> float:
        """Return of how many tasks the examples would bring the missing records.

        A small sample is smoothed: the estimate adds `SAMPLE` tasks that gave all their examples.
        """
        per_task = (self.records + SAMPLE * self.instances) / (self.examined + SAMPLE)
        return self.missing / per_task

    def next_report(self) -> str:
        """Return the forecast if it is time for one and much is left to do, else "".

        Reports come often at first, then rarely.
        """
        if not self.missing or not self.examined or self.requests < REPORT_FACTOR * self._reported:
            return ""
        self._reported = self.requests
        return self.forecast() if REPORT_FACTOR * self._requests_left() > self.requests else ""

    def forecast(self) -> str:
        """Return the yield so far, and the estimated number of requests in all."""
        return f"{self.summarize()}; about {self.requests + self._requests_left():,} requests are needed in all"

    def _requests_left(self) -> int:
        tasks = math.ceil(self._tasks_left())
        return self.per_task * tasks + self.requests_needed(max(0, tasks - self.waiting))

    def summarize(self) -> str:
        """Summarise records, requests, accepted tasks and drop reasons, the most frequent by name, in one line."""
        share = f" ({100 * self.accepted / self.proposed:.0f} %)" if self.proposed else ""
        text = f"{self.records:,} of {self.count:,} records after {self.requests:,} requests; "
        text += f"{self.proposed:,} tasks proposed, {self.accepted:,} accepted{share}"
        if self.per_task:
            text += f", examples of {self.examined:,} requested"
        most = self.reasons.most_common()
        if len(most) > 5:
            most = [*most[:4], ("others", sum(n for _, n in most[4:]))]
        top = ", ".join(f"{reason} {n:,}" for reason, n in most)
        return f"{text}; dropped: {top}" if top else text
