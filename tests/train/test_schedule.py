"""Every schedule: where it starts and ends, that it rises and falls in between, and that it goes by shares of the budget."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import yaml

from lab.build import factory
from lab.config.options import without_ranges
from lab.errors import ConfigError
from lab.train.schedule.constant import Constant
from lab.train.schedule.cosine import Cosine
from lab.train.schedule.linear import Linear
from lab.train.schedule.warmup_stable_decay import WarmupStableDecay
from tests.conftest import CHECKOUT

OPTIONS = {path.stem: without_ranges(yaml.safe_load(path.read_text())) for path in (CHECKOUT / "conf/trainer/schedule").glob("*.yaml")}
every = pytest.mark.parametrize("option", sorted(OPTIONS))


def made(option, **values):
    """The schedule of an option file, with some of its values changed."""
    return factory(OPTIONS[option] | values, [])()


def rates(schedule, steps):
    return [schedule.rate(step, steps) for step in range(steps)]


@every
def test_it_rises_in_equal_steps_to_the_peak_and_never_again(option):
    seen = rates(made(option, warmup=0.1), 100)
    assert seen[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert seen[9:] == sorted(seen[9:], reverse=True)


@pytest.mark.parametrize("option", sorted({*OPTIONS} - {"constant"}))
@pytest.mark.parametrize("final", [0.0, 0.2, 1.0])
def test_its_last_update_is_at_the_final_share_of_the_peak(option, final):
    assert rates(made(option, warmup=0.1, final=final), 100)[-1] == pytest.approx(final)


@every
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.33, 0.8])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_a_rate_is_a_share_of_the_peak_at_every_budget(option, warmup, steps):
    assert all(0 < rate <= 1 for rate in rates(made(option, warmup=warmup), steps))


@every
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_the_same_share_of_another_budget_has_about_the_same_rate(option, share):
    schedule = made(option)
    assert schedule.rate(int(share * 1000), 1000) == pytest.approx(schedule.rate(int(share * 20000), 20000), abs=0.025)


@every
def test_no_warmup_starts_at_the_peak(option):
    assert made(option, warmup=0.0).rate(0, 100) == 1.0


@every
def test_a_warmup_of_the_whole_budget_only_rises(option):
    changes = {"decay": 0.0} if option == "warmup_stable_decay" else {}
    seen = rates(made(option, warmup=1.0, **changes), 20)
    assert seen == sorted(seen) and seen[-1] == 1.0


@pytest.mark.parametrize("steps", [7, 300, 1000])
def test_cosine_gives_the_numbers_of_its_first_release_to_the_bit(steps):
    """They are in finished runs: another rounding is another baseline."""

    def released(step):
        rising = 0.05 * steps
        if step + 1 <= rising:
            return (step + 1) / rising
        falling = (step - rising) / max(steps - 1 - rising, 1)
        return 0.1 + (1 - 0.1) * (1 + math.cos(math.pi * min(max(falling, 0.0), 1.0))) / 2

    assert rates(Cosine(warmup=0.05, final=0.1), steps) == [released(step) for step in range(steps)]


def test_linear_falls_in_equal_steps():
    seen = rates(Linear(warmup=0.0, final=0.0), 101)
    assert seen == pytest.approx([1 - step / 100 for step in range(101)])


def test_constant_stays_at_the_peak():
    assert set(rates(Constant(warmup=0.1), 100)[9:]) == {1.0}


def test_the_plateau_lasts_until_the_last_share_of_the_budget():
    seen = rates(WarmupStableDecay(warmup=0.1, decay=0.2, final=0.5), 100)
    assert set(seen[9:81]) == {1.0} and seen[81] < 1
    assert [a - b for a, b in pairwise(seen[81:])] == pytest.approx([0.5 / 19] * 18)


def test_without_a_decay_the_plateau_lasts_to_the_end():
    assert rates(WarmupStableDecay(warmup=0.1, decay=0.0, final=0.1), 50) == rates(Constant(warmup=0.1), 50)


def test_warmup_and_decay_that_fill_the_budget_leave_no_plateau():
    seen = rates(WarmupStableDecay(warmup=0.3, decay=0.7, final=0.1), 100)
    assert seen[29] == 1.0 and seen[31] < 1


def test_warmup_and_decay_of_more_than_the_budget_are_refused():
    with pytest.raises(ValueError, match=r"0.5 \+ 0.6 is more than 1"):
        WarmupStableDecay(warmup=0.5, decay=0.6, final=0.1)
    with pytest.raises(ConfigError, match="lower one of them"):
        made("warmup_stable_decay", warmup=0.9)
