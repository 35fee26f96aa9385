"""Seeded sampling for the rows of a batch, each with its own settings and random numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CANDIDATES = 1024
"""Number of likeliest tokens that nearly always include all that ``top_k`` and ``top_p`` keep."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a row's tokens are drawn. ``top_k`` and ``top_p`` of None keep every token.

    ``seed`` makes the draw repeatable. ``drawn`` tokens were drawn earlier; the next random numbers follow theirs.
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
    """A logits processor that draws the next token of rows with sampling and leaves the others to greedy search.

    Each probability is divided by an exponentially distributed random number, and the largest quotient is drawn. This
    is exact sampling (the Gumbel-max trick), and unlike with cumulative sums, rounding hardly ever changes the result.
    The vocabulary is split into parts of equal size; one draw chooses the part and another the token in it, so that few
    random numbers are needed. A row's numbers depend on its seed only, not on its neighbours or the device.
    """

    def __init__(self, torch: Any, rows: Sequence[Sampling | None]) -> None:
        self._torch = torch
        self._places = [i for i, row in enumerate(rows) if row is not None]
        self._rows = [row for row in rows if row is not None]
        self._steps = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return scores in which the drawn token is the only one possible."""
        if not self._rows:
            return scores
        logits = scores[self._places].float()
        chances = self._truncate(
            (logits / self._make_column([row.temperature for row in self._rows], logits)).softmax(-1)
        )
        count, size = chances.shape
        width = math.isqrt(size - 1) + 1
        parts = self._torch.nn.functional.pad(chances, (0, -size % width)).view(count, -1, width)
        numbers = [random.Random(f"{row.seed}/{row.drawn + self._steps}") for row in self._rows]
        self._steps += 1
        part = self._draw(parts.sum(-1), numbers)
        token = part * width + self._draw(parts[self._torch.arange(count), part.to(parts.device)], numbers)
        out = scores.clone()
        out[self._places] = -self._torch.inf
        out[self._places, token.to(scores.device)] = 0.0
        return out

    def _truncate(self, chances: Any) -> Any:
        """Set probabilities to 0 beyond the ``top_k`` likeliest tokens, then beyond ``top_p`` of their sum."""
        which = [i for i, row in enumerate(self._rows) if row.limited]
        if not which:
            return chances
        limited, size = chances[which], chances.shape[-1]
        most = self._make_column([self._rows[i].top_k or size for i in which], limited)
        share = self._make_column([self._rows[i].top_p or 2.0 for i in which], limited)
        # Sorting the whole vocabulary is slow: try the likeliest candidates first, and all tokens only if the last
        # candidate is still needed, so that a token beyond it may be needed as well.
        for candidates in (min(CANDIDATES, size), size):
            likeliest = limited.topk(candidates).values
            among = self._torch.arange(candidates, device=likeliest.device) < most
            upto = (likeliest * among).cumsum(-1)
            whole = self._torch.where(most < size, upto[:, -1:], 1.0)
            # A token is kept while the tokens before it have less than `top_p` of the sum that `top_k` has left.
            needed = among & (upto - likeliest < share * whole)
            if not needed[:, -1].any():
                break
        least = likeliest.gather(-1, needed.sum(-1, keepdim=True) - 1)
        chances[which] = limited * (limited >= least)
        return chances

    def _draw(self, weights: Any, numbers: Sequence[random.Random]) -> Any:
        """Return the index drawn in each row."""
        import numpy

        raw = [each.randbytes(8 * weights.shape[-1]) for each in numbers]
        bits = numpy.frombuffer(b"".join(raw), "<u8").reshape(weights.shape) >> 12
        noise = -numpy.log((bits + 0.5) * 2.0**-52)  # 52 bits plus one half are exact in float64, and never 0 or 1
        return (weights.cpu().double() / self._torch.from_numpy(noise)).argmax(-1)

    def _make_column(self, values: Sequence[float], like: Any) -> Any:
        return self._torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
