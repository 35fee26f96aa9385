"""Which records a mix takes, and in which order."""

import asyncio
import errno
import re
from collections import Counter
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filial import FilialError, Record
from filial_plugins.mixing import drawing
from filial_plugins.mixing.drawing import Pool


def drawn(records, wanted, seed=1):
    """The ids that are drawn, in order, and those left, of records of tasks."""
    left = []

    async def draw():
        with closing(Pool(seed, "mix")) as pool:
            for record in records:
                pool.add((record.task, False), record)
            want = {(task, False): count for task, count in wanted.items()}
            return [record.id async for record in pool.draw(want, lambda group, record: left.append(record.id))]

    return asyncio.run(draw()), left


def records(**sizes):
    return [Record(id=f"{t}{i}", instruction=f"{t} {i}", task=t) for t, n in sizes.items() for i in range(n)]


def test_what_is_drawn_and_what_is_left_are_all_records():
    kept, left = drawn(records(a=30, b=20), {"a": 10, "b": 20})
    assert Counter(name[0] for name in kept) == {"a": 10, "b": 20}
    assert sorted(kept + left) == sorted(record.id for record in records(a=30, b=20))


@given(st.integers(0, 40), st.integers(0, 20), st.randoms(use_true_random=False))
def test_another_task_and_another_order_change_nothing(count, others, random):
    plain, _ = drawn(records(a=20), {"a": count})
    some = records(b=others, a=20, c=3)
    random.shuffle(some)
    mixed, _ = drawn(some, {"a": count, "b": others, "c": 1})
    assert [name for name in mixed if name[0] == "a"] == plain


@given(st.integers(0, 20))
def test_a_larger_draw_holds_the_smaller(count):
    small, large = (set(drawn(records(a=20), {"a": n})[0]) for n in (count, min(20, count + 1)))
    assert small <= large


@given(st.integers(1, 3), st.integers(0, 9))
def test_records_come_again_as_often_as_any_other_or_once_more(times, rest):
    kept, left = drawn(records(a=10), {"a": 10 * times + rest})
    assert left == []
    assert sorted(Counter(kept).values()) == [times] * (10 - rest) + [times + 1] * rest


def test_records_of_one_id_and_one_content_are_told_apart_by_number_alone():
    same = [Record(id="x", instruction="x", task="a")] * 5
    kept, left = drawn(same, {"a": 2})
    assert (len(kept), len(left)) == (2, 3)


def test_the_seed_changes_draw_and_order():
    one, two = (drawn(records(a=50), {"a": 25}, seed)[0] for seed in (1, 2))
    assert set(one) != set(two)
    whole = [drawn(records(a=50), {"a": 50}, seed)[0] for seed in (1, 2)]
    assert whole[0] != whole[1]
    assert set(whole[0]) == set(whole[1])


@pytest.mark.parametrize("bytes_of_a_bucket", [1, 100, 1 << 24])
def test_the_order_does_not_depend_on_how_much_is_sorted_at_once(monkeypatch, bytes_of_a_bucket):
    expected = drawn(records(a=300, b=50), {"a": 700, "b": 30})
    monkeypatch.setattr(drawing, "BUCKET", bytes_of_a_bucket)
    assert drawn(records(a=300, b=50), {"a": 700, "b": 30}) == expected


def test_texts_survive():
    said = Record(id="é", instruction="日本\n", output="\u2028", task="t", tags=("x",), extra={"n": [1, None]})
    kept = []

    async def draw():
        with closing(Pool(1, "mix")) as pool:
            pool.add(("t", True), said)
            kept.extend([record async for record in pool.draw({("t", True): 1}, lambda *_: None)])

    asyncio.run(draw())
    assert kept == [said]


@pytest.mark.parametrize("call", ["write", "seek"])
def test_a_full_folder_of_temporary_files_is_named(monkeypatch, call):
    class Full:
        """A file on a full disk: `write` fails at once, or what was held back at `seek`."""

        def write(self, data):
            if call == "write":
                raise OSError(errno.ENOSPC, "No space left on device")

        def seek(self, at):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(drawing, "TemporaryFile", lambda buffering: Full())
    with pytest.raises(FilialError, match=f"{re.escape(drawing.gettempdir())}: .*no space left.*TMPDIR"):
        drawn(records(a=3), {"a": 1})
