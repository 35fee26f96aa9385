"""A plot of the training loss as SVG, readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 56, 48
MAX_POINTS = 400  # of a line at most; more would be lost in the width
MAX_DOTS = 60

Point = tuple[float, float]

STYLE = """\
  text { font: 12px system-ui, sans-serif; fill: #555 }
  .title { font-size: 15px; font-weight: 600; fill: #222 }
  .page { fill: #fff }
  .grid { stroke: #e4e4e4 }
  .axis { stroke: #999 }
  .raw { stroke: #4c78a8; stroke-opacity: .28; fill: none }
  .train { stroke: #2f5d8c; stroke-width: 2; fill: none; stroke-linejoin: round }
  .heldout { stroke: #d1642b; stroke-width: 2; fill: none; stroke-linejoin: round }
  .dot { fill: #d1642b }
  @media (prefers-color-scheme: dark) {
    text { fill: #aaa } .title { fill: #eee } .page { fill: #16181c } .grid { stroke: #2c2f36 } .axis { stroke: #666 }
    .train { stroke: #7fb0e0 } .raw { stroke: #7fb0e0 } .heldout { stroke: #f08c5a } .dot { fill: #f08c5a }
  }
"""


def draw_loss_plot(log: Sequence[dict[str, Any]], title: str) -> str:
    """Draw the lines of training.jsonl: the loss of single steps, its moving average, and the held-out loss."""
    loss, smooth = (
        [(line["step"], line[name]) for line in log if math.isfinite(line.get(name, math.nan))]
        for name in ("loss", "recent_loss")
    )
    heldout = _thin_out([(line["step"], line["heldout_loss"]) for line in log if "heldout_loss" in line], MAX_DOTS)
    frame = _Frame([*smooth, *heldout, *_thin_out(loss)])
    body = [
        *frame.draw_axes(), _draw_line(frame, _thin_out(loss), "raw"), _draw_line(frame, _thin_out(smooth), "train"),
        _draw_line(frame, heldout, "heldout"),
        *(f'<circle class="dot" cx="{x}" cy="{y}" r="3.5"/>' for x, y in map(frame.to_pixels, heldout)),
        *_draw_legend(bool(heldout)),
    ]  # fmt: skip
    inside = "\n".join(part for part in body if part)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img">\n<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n'
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}" rx="6"/>\n'
        f'<text class="title" x="{LEFT}" y="28">{escape(title)}</text>\n{inside}\n</svg>\n'
    )


class _Frame:
    """The axes: converts steps and losses to pixels."""

    def __init__(self, points: Sequence[Point]) -> None:
        values = sorted(y for _, y in points) or [0.0, 1.0]
        self.last = max((x for x, _ in points), default=1.0)
        self.ticks = _choose_ticks(min(0.0, values[0]) if values[0] < 1 else values[0], values[-1])
        self.low, self.high = self.ticks[0], self.ticks[-1]

    def to_pixels(self, point: Point) -> Point:
        x, y = point
        across = (x - 1) / max(self.last - 1, 1)
        up = (y - self.low) / (self.high - self.low)
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
        )

    def draw_axes(self) -> list[str]:
        """Draw grid lines, numbers and names of the axes."""
        out = []
        for value in self.ticks:
            y = self.to_pixels((1, value))[1]
            kind = "axis" if value == self.low else "grid"
            out.append(f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
            out.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>')
        for value in _choose_ticks(1, self.last):
            if 1 <= value <= self.last and value == int(value):
                x = self.to_pixels((value, self.low))[0]
                out.append(f'<text x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{int(value):,}</text>')
        out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">step</text>')
        middle = (TOP + HEIGHT - BOTTOM) / 2
        turned = f'transform="rotate(-90 16 {middle})"'
        out.append(f'<text x="16" y="{middle}" text-anchor="middle" {turned}>loss per trained token</text>')
        return out


def _choose_ticks(low: float, high: float) -> list[float]:
    """Choose four to eight round numbers, from below ``low`` to above ``high``."""
    span = max(high - low, 1e-9 * max(abs(high), 1), 1e-12)
    rough = span / 5
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(s * size for s in (1, 2, 2.5, 5, 10) if s * size >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(k * step, 12) for k in range(first, max(last, first + 1) + 1)]


def _thin_out(points: Sequence[Point], most: int = MAX_POINTS) -> Sequence[Point]:
    every = -(-len(points) // most) or 1
    return [*points[::every], *points[-1:]] if every > 1 else points


def _draw_line(frame: _Frame, points: Sequence[Point], kind: str) -> str:
    places = " ".join(f"{x},{y}" for x, y in map(frame.to_pixels, points))
    return f'<polyline class="{kind}" points="{places}"/>' if len(points) > 1 else ""


def _draw_legend(heldout: bool) -> list[str]:
    """Draw the names of the lines, above the plot on the right."""
    names = [("train", "training, moving average"), *([("heldout", "held out")] if heldout else [])]
    out, x = [], WIDTH - RIGHT - 175 - 95 * heldout
    for kind, name in names:
        out.append(f'<line class="{kind}" x1="{x}" x2="{x + 22}" y1="24" y2="24"/>')
        out.append(f'<text x="{x + 28}" y="28">{name}</text>')
        x += 190
    return out
