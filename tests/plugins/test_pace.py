"""Training uses a second thread while that helps, and drops it when the machine gets busy."""

import pytest

from filial_plugins.trainers.devices import threads
from filial_plugins.trainers.devices.threads import ThreadChooser


class Machine:
    """A clock and a torch: ``costs`` says how long a step takes with each number of threads."""

    def __init__(self, monkeypatch, costs):
        self.now, self.costs, self.threads, self.steps = 0.0, costs, 0, []
        monkeypatch.setattr(threads.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.now)

    def set_num_threads(self, n):
        self.threads = n

    def get_num_threads(self):
        return self.threads

    def work(self, chooser, steps):
        """Some steps; the number of threads of each."""
        used = []
        for _ in range(steps):
            with chooser.time_step(1000):
                used.append(self.threads)
                self.now += self.costs[self.threads]
        return used


def test_the_faster_number_is_found_and_kept(monkeypatch):
    machine = Machine(monkeypatch, {1: 0.08, 2: 0.05})
    used = machine.work(ThreadChooser(machine, "auto", (1, 2)), 1000)
    assert used.count(2) > 950


def test_one_thread_where_a_second_does_not_help(monkeypatch):
    machine = Machine(monkeypatch, {1: 0.08, 2: 0.4})
    used = machine.work(ThreadChooser(machine, "auto", (1, 2)), 1000)
    assert used.count(1) > 970


def test_a_machine_that_gets_busy_costs_moments_not_minutes(monkeypatch):
    machine = Machine(monkeypatch, {1: 0.08, 2: 0.05})
    chooser = ThreadChooser(machine, "auto", (1, 2))
    machine.work(chooser, 500)
    assert chooser.threads == 2
    machine.costs = {1: 0.09, 2: 0.9}
    before = machine.now
    machine.work(chooser, 500)
    assert chooser.threads == 1
    assert machine.now - before < 1.35 * 500 * 0.09


def test_a_machine_that_gets_idle_again_is_used_again(monkeypatch):
    machine = Machine(monkeypatch, {1: 0.08, 2: 0.9})
    chooser = ThreadChooser(machine, "auto", (1, 2))
    machine.work(chooser, 500)
    machine.costs = {1: 0.08, 2: 0.05}
    machine.work(chooser, 1500)
    assert chooser.threads == 2


@pytest.mark.parametrize("wish", [1, 3])
def test_a_number_that_is_asked_for_is_kept(monkeypatch, wish):
    machine = Machine(monkeypatch, {1: 0.08, 3: 0.9})
    assert set(machine.work(ThreadChooser(machine, wish), 200)) == {wish}
