"""What a design can find, held against simulated experiments and the protocol's figures."""

import math

import numpy as np
import pytest
from scipy import stats

from lab.results.planning import cautious_factor, chance_of_decision, detectable_effect, look_that_settles, power
from lab.results.sequential import level_in_force
from lab.results.statistics import critical_t, differences

FIVE_LOOKS = (3, 5, 8, 12, 20)


@pytest.mark.parametrize(("n", "effect"), [(3, 3.26), (5, 1.68), (8, 1.16), (10, 1.00)])
def test_the_detectable_effect_at_the_plain_level(n, effect):
    assert detectable_effect(n, 0.05) == pytest.approx(effect, abs=0.005)


@pytest.mark.parametrize(("n", "effect"), [(3, 6.5), (5, 2.5), (8, 1.5)])
def test_the_detectable_effect_under_five_looks(n, effect):
    assert detectable_effect(n, level_in_force(0.05, FIVE_LOOKS)) == pytest.approx(effect, abs=0.07)


def test_power_agrees_with_simulated_experiments():
    d = np.random.default_rng(1).normal(1.2, 1.0, (40_000, 6))
    assert power(1.2, 6, 0.05) == pytest.approx((differences(d)[2] < 0.05).mean(), abs=0.01)


@pytest.mark.parametrize(("n", "factor"), [(3, 2.12), (5, 1.56), (8, 1.35)])
def test_caution_widens_the_spread_by_its_upper_bound(n, factor):
    assert cautious_factor(n) == pytest.approx(factor, abs=0.005)
    assert cautious_factor(n) == pytest.approx(math.sqrt((n - 1) / stats.chi2.ppf(0.2, n - 1)))


def test_the_look_that_settles_is_the_first_with_a_half_width_of_half_d():
    settles = look_that_settles((5, 8, 12, 20), 0.004, 0.05, 0.005)
    assert settles == next(n for n in (5, 8, 12, 20) if stats.t.ppf(0.975, n - 1) * 0.004 / math.sqrt(n) <= 0.0025)
    assert look_that_settles((5, 8), 1.0, 0.05, 0.005) is None


def simulated_chance(n: int, mean: float, spread: float, last: int, level: float, d: float) -> float:
    """The same chance, from pairs drawn one by one."""
    random = np.random.default_rng(10)
    so_far = random.standard_normal(n)
    so_far = mean + spread * (so_far - so_far.mean()) / so_far.std(ddof=1)
    chances = []
    for effect in (-d, 0.0, d, mean):
        coming = random.normal(effect, spread, (40_000, last - n))
        found, width, _ = differences(np.concatenate([np.broadcast_to(so_far, (len(coming), n)), coming], axis=1))
        half = critical_t(last, level) * width / math.sqrt(last)
        chances.append(((np.abs(found) > half) | (np.abs(found) + half < d)).mean())
    return float(max(chances))


@pytest.mark.parametrize(
    ("n", "mean", "spread", "last", "d"),
    [
        (5, 0.0, 1.0, 8, 1.0),
        (5, 0.8, 1.0, 20, 0.7),
        (12, -0.1, 1.0, 20, 0.4),
        (7, 0.3, 1.0, 8, 1.1),
        (3, 2.0, 0.5, 5, 0.1),
        (8, 0.5, 2.0, 20, 0.05),
    ],
)
def test_the_chance_of_a_decision_is_that_of_simulated_seeds(n, mean, spread, last, d):
    level = level_in_force(0.05, FIVE_LOOKS)
    assert chance_of_decision(n, mean, spread, last, level, d) == pytest.approx(
        simulated_chance(n, mean, spread, last, level, d), abs=0.012
    )


def test_a_hopeless_arm_is_told_from_one_that_can_still_be_settled():
    """The spread is what decides: twenty noisy seeds settle nothing against a small D."""
    noisy, quiet = (chance_of_decision(12, 0.0, spread, 20, 0.0164, 0.004) for spread in (0.04, 0.002))
    assert noisy is not None and noisy < 0.1
    assert quiet is not None and quiet > 0.9


def test_an_arm_that_is_far_off_is_not_hopeless_because_its_first_seeds_are_few():
    """Two seeds settle nothing that a third, if it falls where they did, couldn't."""
    chance = chance_of_decision(2, 0.35, 0.086, 3, 0.03, 0.005)
    assert chance is not None and chance > 0.5


def test_the_chance_looks_both_ways_alike():
    assert chance_of_decision(5, 0.3, 1.0, 12, 0.02, 0.8) == pytest.approx(chance_of_decision(5, -0.3, 1.0, 12, 0.02, 0.8))


def test_without_d_no_chance_is_given():
    assert chance_of_decision(5, 0.3, 1.0, 12, 0.02, None) is None
