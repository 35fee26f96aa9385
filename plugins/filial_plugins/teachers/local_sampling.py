"""Seeded sampling for rows of a batch, each with its own settings and its own random numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CANDIDATES = 1024
"""So many of the likeliest tokens nearly always hold what ``top_k`` and ``top_p`` keep; sorting all takes longer."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a row's tokens are drawn. ``top_k`` and ``top_p`` of None keep every token.

    ``seed`` makes it repeatable; ``drawn`` tokens were drawn before, and the next one's numbers follow theirs.
    """

    temperature: float
    top_k: int | None
    top_p: float | None
    seed: str
    drawn: int = 0

    @property
    def limited(self) -> bool:
        return self.top_k is not None or self.top_p is not None


class Sampler:
    """A logits processor that draws the next token of the rows that want it and leaves the others to greedy search.

    A draw is a race: each probability is divided by an exponentially distributed number of its own, and the largest
    quotient wins. That is exact sampling (the Gumbel-max trick), and rounding hardly ever changes the winner, which
    cannot be said of drawing by cumulative sums. One race finds the part of the vocabulary, another the token in it,
    so that few numbers are needed. A row's numbers depend on its seed alone: not on its neighbours or the device.
    """

    def __init__(self, torch: Any, rows: Sequence[Sampling | None]) -> None:
        self._torch = torch
        self._places = [i for i, row in enumerate(rows) if row is not None]
        self._rows = [row for row in rows if row is not None]
        self._steps = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores in which a drawn token is the only one possible."""
        if not self._rows:
            return scores
        logits = scores[self._places].float()
        chances = self._kept((logits / self._column([row.temperature for row in self._rows], logits)).softmax(-1))
        count, size = chances.shape
        width = math.isqrt(size - 1) + 1
        parts = self._torch.nn.functional.pad(chances, (0, -size % width)).view(count, -1, width)
        numbers = [random.Random(f"{row.seed}/{row.drawn + self._steps}") for row in self._rows]
        self._steps += 1
        part = self._winners(parts.sum(-1), numbers)
        token = part * width + self._winners(parts[self._torch.arange(count), part.to(parts.device)], numbers)
        out = scores.clone()
        out[self._places] = -self._torch.inf
        out[self._places, token.to(scores.device)] = 0.0
        return out

    def _kept(self, chances: Any) -> Any:
        """The probabilities with 0 beyond the ``top_k`` likeliest tokens, and then beyond ``top_p`` of their mass."""
        which = [i for i, row in enumerate(self._rows) if row.limited]
        if not which:
            return chances
        limited, size = chances[which], chances.shape[-1]
        most = self._column([self._rows[i].top_k or size for i in which], limited)
        share = self._column([self._rows[i].top_p or 2.0 for i in which], limited)
        for candidates in (min(CANDIDATES, size), size):
            likeliest = limited.topk(candidates).values
            among = self._torch.arange(candidates, device=likeliest.device) < most
            upto = (likeliest * among).cumsum(-1)
            whole = self._torch.where(most < size, upto[:, -1:], 1.0)
            needed = among & (upto - likeliest < share * whole)
            if not needed[:, -1].any():
                break
        least = likeliest.gather(-1, needed.sum(-1, keepdim=True) - 1)
        chances[which] = limited * (limited >= least)
        return chances

    def _winners(self, weights: Any, numbers: Sequence[random.Random]) -> Any:
        """The winner of each row's race."""
        import numpy

        raw = [each.randbytes(8 * weights.shape[-1]) for each in numbers]
        bits = numpy.frombuffer(b"".join(raw), "<u8").reshape(weights.shape) >> 12
        noise = -numpy.log((bits + 0.5) * 2.0**-52)  # 52 bits and a half are exact in double precision
        return (weights.cpu().double() / self._torch.from_numpy(noise)).argmax(-1)

    def _column(self, values: Sequence[float], like: Any) -> Any:
        return self._torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
