"""Tables for people: aligned, within the width, nothing lost, nothing that steers a terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial.commands import figure, grid
from filial_plugins.commands.tables import funnel_table, judge_table, score_table

REASONS = st.dictionaries(st.from_regex(r"[a-z]{1,12}(-[a-z]{1,8}){0,2}", fullmatch=True), st.integers(1, 99_999))


def summary(reasons):
    stage = {"name": "01-generate", "entered": 0, "made": 12_345, "dropped": sum(reasons.values()), "out": 7}
    return {"stages": [{**stage, "reasons": reasons}]}


@given(REASONS)
def test_the_funnel_tells_every_reason_within_80_columns_the_largest_first(reasons):
    text = funnel_table(summary(reasons))
    assert max(map(len, text.splitlines())) <= 80
    told = re.findall(r"([a-z-]+) ([\d,]*\d)(?:,|$)", text.split("─  ─")[-1], re.M)
    assert {name: int(n.replace(",", "")) for name, n in told} == reasons, "a reason and its number share a line"
    assert [int(n.replace(",", "")) for _, n in told] == sorted(reasons.values(), reverse=True)


@pytest.mark.parametrize(("columns", "width"), [("60", 80), ("90", 90), ("200", 100)])
def test_the_width_is_the_terminals_between_80_and_100(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    lines = grid(["a", "text"], [["1", "word " * 100]], prose=True).splitlines()
    assert width - 5 <= max(map(len, lines)) <= width


def test_columns_are_aligned_to_their_side():
    assert grid(["name", "n"], [["a", "1"], ["bcdef", "100"]]).splitlines() == [
        "name     n", "─────  ───", "a        1", "bcdef  100",
    ]  # fmt: skip


def test_columns_are_aligned_by_their_width_on_a_terminal_and_brackets_are_text():
    assert grid(["name", "n"], [["한국어", "1"], ["[red]x", "22"]]).splitlines() == [
        "name     n", "──────  ──", "한국어   1", "[red]x  22",
    ]  # fmt: skip


WORDS = st.text("abcdefgh-", min_size=1, max_size=60)
NUMBERS = st.integers(0, 10**12).map("{:,}".format)


@given(st.integers(1, 3), st.lists(st.tuples(*[WORDS] * 3, *[NUMBERS] * 6), min_size=1, max_size=4))
def test_a_wide_table_goes_on_below_within_80_columns_and_loses_nothing(left, rows):
    names = [f"name{i}" for i in range(left)]
    head = [*names, *(f"n{i}" for i in range(6))]
    cells = [[*row[:left], *row[3:]] for row in rows]
    text = grid(head, cells, left)
    assert max(map(len, text.splitlines())) <= 80
    blocks = [block.splitlines() for block in text.split("\n\n")]
    assert [name for block in blocks for name in block[0].split()[left:]] == head[left:]
    assert all(block[0].split()[:left] == names for block in blocks)
    told = re.findall(r"(?<!\S)[\d,]+(?!\S)", "\n".join(line for block in blocks for line in block[2:]))
    assert sorted(told) == sorted(cell for row in cells for cell in row[left:])
    for block in blocks:
        widths = [len(rule) for rule in block[1].split()]
        for i in range(left):
            start = sum(widths[:i]) + 2 * i
            folded = "".join(line[start : start + widths[i]].strip() for line in block[2:])
            assert folded == "".join(row[i] for row in cells), "a long name is folded, not cut"


def test_a_table_that_fits_a_wider_terminal_is_one_table(monkeypatch):
    head, row = ["name", *"abcdefgh"], ["x", *["123,456,789"] * 8]
    assert grid(head, [row]).count("name") == 2
    monkeypatch.setenv("COLUMNS", "120")
    assert grid(head, [row]).count("name") == 1


def test_control_characters_in_a_reason_show_as_text():
    assert "\x1b" not in funnel_table(summary({"\x1b[31mred": 1}))


def test_what_filters_measured():
    scored = {"name": "02-filter", "scores": {"share": {"n": 1200, "mean": 0.81249}}}
    assert re.search(r"02-filter +share +1,200 +0.812", score_table({"stages": [{"name": "01-generate"}, scored]}))
    assert score_table({"stages": [{"name": "01-generate"}]}) == ""


def test_judged_shows_only_who_was_asked():
    result = {"judged": 10, "passed": 0.5, "mean": 0.5}
    text = judge_table({"judge": {"seen": {"model": result, "nearest": {**result, "passed": 0.25}}}})
    assert "before" not in text
    assert re.search(r"seen +10 +25.0 % +50.0 %", text)
    assert judge_table({"stages": []}) == ""


@pytest.mark.parametrize(("judged", "points"), [(5, 44), (25, 20), (99, 10)])
def test_figures_of_few_records_tell_how_uncertain_they_are(judged, points):
    exam = {"model": {"judged": judged, "passed": 0.5, "mean": 0.5}}
    many = {"model": {"judged": 4000, "passed": 0.5, "mean": 0.5}}
    text = judge_table({"judge": {"few": exam, "many": many}})
    assert text.endswith(f"With {judged} records, a share is uncertain by up to ±{points} points (95 %).")
    assert "uncertain" not in judge_table({"judge": {"many": many}})


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "–"), ({"passed": 0.123, "mean": 1.0}, "12.3 %"), ({"passed": None, "mean": 7.256}, "7.26"),
        ({"passed": None, "mean": None}, "–"),
    ],
)  # fmt: skip
def test_a_figure(result, text):
    assert figure(result) == text
