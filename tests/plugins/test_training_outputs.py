"""What a training leaves behind: log, curve, card, and figures sent elsewhere."""

import json
import math
import sys
import types
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from training_kit import write

from filial import Record, TrainContext, UsageError
from filial_plugins.templates.chat import Chat
from filial_plugins.trainers.results.loss_plot import HEIGHT, WIDTH, draw_loss_plot
from filial_plugins.trainers.results.model_card import ModelCard, render_card
from filial_plugins.trainers.sft import SFT

pytestmark = pytest.mark.train

SVG = "{http://www.w3.org/2000/svg}"


def log(steps: int, every: int = 1) -> list[dict[str, Any]]:
    lines = []
    for step in range(1, steps + 1):
        line = {"step": step, "loss": 0.4 + 3 * math.exp(-step / 40) + 0.2 * math.sin(step)}
        line["recent_loss"] = 0.4 + 3 * math.exp(-step / 40)
        lines.append(line | ({"heldout_loss": line["loss"] + 0.1} if step % (every * 25) == 0 else {}))
    return lines


def points(svg: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    (line,) = [p for p in svg.iter(f"{SVG}polyline") if p.get("class") == kind]
    return [tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()]  # type: ignore[misc]


@pytest.mark.parametrize("steps", [2, 3, 150, 20_000])
def test_the_curve_is_a_picture_with_all_points_inside(steps: int) -> None:
    text = draw_loss_plot(log(steps), "a <model> & its loss")
    svg = ElementTree.fromstring(text)
    for kind in ("raw", "train"):
        places = points(svg, kind)
        assert places == sorted(places)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert len(text) < 60_000
    assert "a <model> & its loss" in [t.text for t in svg.iter(f"{SVG}text")]


def test_a_falling_loss_falls_in_the_picture_and_held_out_points_are_dots() -> None:
    svg = ElementTree.fromstring(draw_loss_plot(log(150), "loss"))
    heights = [y for _, y in points(svg, "train")]
    assert heights[-1] > heights[0] + 100  # down is larger
    assert len(list(svg.iter(f"{SVG}circle"))) == 6
    ticks = [float(t.text) for t in svg.iter(f"{SVG}text") if t.get("text-anchor") == "end"]  # type: ignore[arg-type]
    assert 4 <= len(ticks) <= 9
    assert ticks[0] <= 0.4
    assert ticks[-1] >= 3.3


@pytest.mark.parametrize("lines", [[], [{"step": 1, "loss": 2.0}], [{"step": s, "loss": 2.0} for s in (1, 2)]])
def test_a_curve_of_hardly_anything_is_still_one(lines: list[dict[str, Any]]) -> None:
    ElementTree.fromstring(draw_loss_plot(lines, "short"))


def test_the_card_names_base_data_template_options_and_figures(base: Path, data: Path, tmp_path: Path) -> None:
    options = SFT(max_steps=20, batch_size=16, lr=1e-2, threads=1)
    figures = options.train(data, str(base), Chat(), tmp_path / "m", TrainContext(7))
    text = (tmp_path / "m" / "README.md").read_text()
    assert f"base_model: {base.name}\n" in text, "a path is of one machine only"
    assert "| `lr` | `0.01` |" in text
    assert "`weight_decay`" not in text  # what is not set has its default
    assert "Seed 7." in text
    assert "`Chat`" in text
    assert f"{figures['heldout_loss']:.4g}" in text
    assert "![Loss](loss.svg)" in text
    ElementTree.fromstring((tmp_path / "m" / "loss.svg").read_text())
    assert (tmp_path / "m" / "training.jsonl").is_file()


def test_the_cards_data_hash_is_that_of_the_training_file(base: Path, data: Path, tmp_path: Path) -> None:
    import hashlib

    SFT(max_steps=1, threads=1).train(data, str(base), Chat(), tmp_path / "m", TrainContext(7))
    assert hashlib.sha256((data / "train.jsonl").read_bytes()).hexdigest() in (tmp_path / "m" / "README.md").read_text()


def test_nothing_that_a_model_says_becomes_markup_of_its_card() -> None:
    said = {"question": "a\n# b", "answer": "<script>![x](y) `|`\n\n# Big", "ended": True}
    text = render_card("m", ModelCard("sft", "b", "0", Chat(), {}, 1, "Training"), {"samples": [said], "rows": 1})
    assert "<script>" not in text.replace("\\<", "")
    assert "\n# Big" not in text
    assert "![x]" not in text


class Place(types.ModuleType):
    """wandb, trackio: a module that is called for every line."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.told: list[tuple[int, dict[str, float]]] = []
        self.began: dict[str, Any] = {}
        self.ended = False

    def init(self, **settings: Any) -> None:
        self.began = settings

    def log(self, figures: dict[str, float], step: int) -> None:
        self.told.append((step, figures))

    def finish(self) -> None:
        self.ended = True


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_figures_are_sent_where_they_are_wished(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place = Place(name)
    monkeypatch.setitem(sys.modules, name, place)
    options = SFT(max_steps=6, log_every=2, eval_every=3, threads=1, report_to=(name,))
    options.train(data, str(base), Chat(), tmp_path / "m", TrainContext(7))
    lines = [json.loads(line) for line in (tmp_path / "m" / "training.jsonl").read_text().splitlines()]
    assert [step for step, _ in place.told] == [line["step"] for line in lines] == [1, 2, 3, 4, 6]
    assert place.told[2][1]["heldout_loss"] == lines[2]["heldout_loss"]
    assert place.began["name"] == "m"
    assert place.began["config"]["max_steps"] == 6
    assert place.ended


def test_a_place_that_is_not_installed_is_told_before_anything_is_trained(
    base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(UsageError, match="report_to names trackio, which is not installed: pip install trackio"):
        SFT(max_steps=1, report_to=("trackio",)).train(data, str(base), Chat(), tmp_path / "m", TrainContext(7))


def test_without_held_out_records_training_questions_are_asked(base: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", [Record(instruction=f"say {w}", output=w) for w in ("one", "two", "six", "ten")])
    figures = SFT(max_steps=2, threads=1, samples=2).train(tmp_path, str(base), Chat(), tmp_path / "m", TrainContext(7))
    assert [s["question"] for s in figures["samples"]] == ["say one", "say two"]
    assert "heldout_loss" not in figures
