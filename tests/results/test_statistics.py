"""The figures of the protocol, and the error rates that they promise, on simulated seeds."""

import math

import numpy as np
import pytest
from scipy import special, stats

from lab.results.statistics import (
    cautious_factor,
    detectable_effect,
    half_width,
    holm,
    level_in_force,
    look_that_settles,
    mcnemar,
    null_minimum,
    paired,
    power,
    sequential_p,
)

FIVE_LOOKS = (3, 5, 8, 12, 20)
FOUR_LOOKS = (5, 8, 12, 20)


def test_the_level_of_one_look_is_alpha_itself():
    assert level_in_force(0.05, (8,)) == 0.05


def test_several_looks_lower_the_level_of_each():
    assert level_in_force(0.05, FIVE_LOOKS) == pytest.approx(0.0128, abs=0.0002)
    assert level_in_force(0.05, FOUR_LOOKS) == pytest.approx(0.0164, abs=0.0002)


@pytest.mark.parametrize(("n", "effect"), [(3, 3.26), (5, 1.68), (8, 1.16), (10, 1.00)])
def test_the_detectable_effect_at_the_plain_level(n, effect):
    assert detectable_effect(n, 0.05) == pytest.approx(effect, abs=0.005)


@pytest.mark.parametrize(("n", "effect"), [(3, 6.5), (5, 2.5), (8, 1.5)])
def test_the_detectable_effect_under_five_looks(n, effect):
    assert detectable_effect(n, level_in_force(0.05, FIVE_LOOKS)) == pytest.approx(effect, abs=0.07)


def test_power_agrees_with_simulated_experiments():
    random = np.random.default_rng(1)
    d = random.normal(1.2, 1.0, (40_000, 6))
    found = stats.ttest_1samp(d, 0.0, axis=1).pvalue < 0.05
    assert power(1.2, 6, 0.05) == pytest.approx(found.mean(), abs=0.01)


@pytest.mark.parametrize(("n", "factor"), [(3, 2.12), (5, 1.56), (8, 1.35)])
def test_caution_widens_the_spread_by_its_upper_bound(n, factor):
    assert cautious_factor(n) == pytest.approx(factor, abs=0.005)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_the_interval_covers_the_truth_as_often_as_it_says(n):
    random = np.random.default_rng(n)
    d = random.normal(0.3, 2.0, (40_000, n))
    half = half_width(n, 1.0, 0.05) * d.std(axis=1, ddof=1)
    assert 0.943 <= (np.abs(d.mean(axis=1) - 0.3) <= half).mean() <= 0.957


def test_the_paired_test_is_scipys():
    random = np.random.default_rng(2)
    arm, base = random.normal(size=6), random.normal(size=6)
    found = paired(list(arm), list(base), 0.05)
    truth = stats.ttest_rel(arm, base)
    low, high = truth.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx((truth.pvalue, low, high))


def test_pairing_shows_what_it_bought():
    found = paired([2.11, 2.22, 2.30], [2.10, 2.20, 2.30], 0.05)
    assert found.correlation == pytest.approx(1.0, abs=0.01)
    assert found.gain == pytest.approx((stats.tvar([2.11, 2.22, 2.30]) + 0.01) / stats.tvar([0.01, 0.02, 0.0]))


@pytest.mark.parametrize("shift", [0.0, 0.01, 1e-9])
def test_differences_without_spread_have_no_p_rather_than_an_infinite_t(shift):
    base = [2.1, 2.2, 2.3, 2.7]
    found = paired([value + shift for value in base], base, 0.05)
    assert found.mean == pytest.approx(shift)
    assert (found.p, found.low, found.spread) == (None, None, None)


def test_one_pair_has_an_estimate_and_no_interval():
    assert paired([2.0], [2.5], 0.05).mean == -0.5
    assert paired([2.0], [2.5], 0.05).low is None


def test_the_sequential_p_of_one_look_is_the_plain_p():
    assert sequential_p([0.031], (8,)) == 0.031


def test_the_sequential_p_lies_between_the_plain_one_and_bonferronis():
    for p in (1e-12, 1e-6, 1e-3, 0.02, 0.4, 1.0):
        assert p <= sequential_p([0.9999999 if p < 1 else 1.0, p], FOUR_LOOKS) <= min(1.0, 4 * p)


def test_the_level_and_the_sequential_p_agree():
    level = level_in_force(0.05, FOUR_LOOKS)
    assert sequential_p([level * 0.9999], FOUR_LOOKS) < 0.05 <= sequential_p([level * 1.01], FOUR_LOOKS)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03], 3) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9], 2) == pytest.approx([1.0, 1.0])
    assert holm([], 4) == []


def test_arms_without_data_count_in_holms_family():
    assert holm([0.01], 5) == pytest.approx([0.05])


def test_holm_keeps_eight_null_arms_from_a_false_claim():
    random = np.random.default_rng(3)
    d = random.standard_normal((4_000, 8, 5)) - random.standard_normal((4_000, 1, 5))  # one baseline, shared by all arms
    p = stats.ttest_1samp(d, 0.0, axis=2).pvalue
    uncorrected = (p.min(axis=1) < 0.05).mean()
    corrected = np.mean([min(holm(list(row), 8)) < 0.05 for row in p])
    assert 0.2 < uncorrected < 0.35
    assert corrected < 0.055


def test_looking_four_times_errs_as_seldom_as_promised_and_naive_peeking_does_not():
    random = np.random.default_rng(4)
    d = random.standard_normal((20_000, 20))
    totals, squares = d.cumsum(axis=1), (d * d).cumsum(axis=1)

    def nominal(n: int) -> np.ndarray:
        variance = (squares[:, n - 1] - totals[:, n - 1] ** 2 / n) / (n - 1)
        return 2 * special.stdtr(n - 1, -np.abs(totals[:, n - 1]) / np.sqrt(n * variance))

    smallest = np.min([nominal(n) for n in FOUR_LOOKS], axis=0)
    crossed = (smallest < level_in_force(0.05, FOUR_LOOKS)).mean()
    naive = (np.min([nominal(n) for n in range(3, 21)], axis=0) < 0.05).mean()
    assert crossed == pytest.approx(0.05, abs=0.006)
    assert naive > 0.2


def test_the_null_is_the_same_on_every_call():
    first = null_minimum(FOUR_LOOKS)[:5].copy()
    null_minimum.cache_clear()
    assert (null_minimum(FOUR_LOOKS)[:5] == first).all()


def test_the_look_that_settles_is_the_first_with_a_half_width_of_half_d():
    settles = look_that_settles((5, 8, 12, 20), 0.004, 0.05, 0.005)
    assert settles == next(n for n in (5, 8, 12, 20) if stats.t.ppf(0.975, n - 1) * 0.004 / math.sqrt(n) <= 0.0025)
    assert look_that_settles((5, 8), 1.0, 0.05, 0.005) is None


def test_mcnemar_is_exact():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(0, 6) == pytest.approx(2 / 2**6)
