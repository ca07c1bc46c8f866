"""Where a step's time goes, on a clock that the test moves."""

from __future__ import annotations

import pytest

from lab.train.stopwatch import WARM_UP_STEPS, Stopwatch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def steps(watch: Stopwatch, clock: Clock, count: int) -> None:
    """Steps of 10 s: 1 data, 2 forward with 1 more in a hook, 3 backward, 2 optimizer, 1 that nobody names."""
    for _ in range(count):
        watch.start_step()
        clock.now += 1
        watch.lap("data")
        clock.now += 2
        with watch.hook("ema"):
            clock.now += 1
            with watch.hook("another, called by it"):
                watch.lap("forward")
        watch.lap("forward")
        clock.now += 3
        watch.lap("backward")
        clock.now += 2
        watch.lap("optimizer")
        clock.now += 1
        assert watch.end_step(50) == pytest.approx(10)


def test_the_split_sums_to_one_and_a_hooks_time_is_not_its_phases_too() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    steps(watch, clock, WARM_UP_STEPS)
    assert (watch.tokens_per_second, watch.split, watch.prices) == (None, {}, {}), "a sitting's first steps warm up"
    steps(watch, clock, 5)
    assert watch.split == pytest.approx({"data": 0.1, "forward": 0.2, "backward": 0.3, "optimizer": 0.2, "hooks": 0.1, "rest": 0.1})
    assert watch.prices == pytest.approx({"ema": 0.1})
    assert watch.tokens_per_second == pytest.approx(5.0)


def test_what_is_between_the_steps_is_no_training() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    steps(watch, clock, WARM_UP_STEPS + 1)
    clock.now += 1000  # an evaluation
    steps(watch, clock, 1)
    assert watch.timed_seconds == pytest.approx(20) and watch.seconds == pytest.approx(1050)


def test_a_resumed_stopwatch_counts_both_sittings() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    steps(watch, clock, WARM_UP_STEPS + 2)
    again = Stopwatch(clock)
    again.load_state_dict(watch.state_dict())
    steps(again, clock, WARM_UP_STEPS + 3)
    assert again.timed_seconds == pytest.approx(50) and again.prices == pytest.approx({"ema": 0.1})
    assert again.seconds == pytest.approx(10 * (2 * WARM_UP_STEPS + 5))


def test_a_hook_at_a_site_is_not_billed_for_evaluations() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    steps(watch, clock, WARM_UP_STEPS + 1)
    with watch.hook("temperature"):
        clock.now += 50
    assert sum(watch.split.values()) == pytest.approx(1) and watch.prices.keys() == {"ema"}
