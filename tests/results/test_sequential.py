"""Looks and families: the bracketed figures of the protocol, Holm by hand."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from lab.results.sequential import PATHS, holm, holm_adjusted, level_in_force, null_minimum, p_of_smallest, sequential_p, tail

FIVE_LOOKS = (3, 5, 8, 12, 20)
FOUR_LOOKS = (5, 8, 12, 20)


def test_the_level_of_one_look_is_alpha_itself():
    assert level_in_force(0.05, (8,)) == 0.05


def test_several_looks_lower_the_level_of_each():
    assert level_in_force(0.05, FIVE_LOOKS) == pytest.approx(0.0128, abs=0.0001)
    assert level_in_force(0.05, FOUR_LOOKS) == pytest.approx(0.0164, abs=0.0001)


def test_the_simulated_level_is_known_to_within_two_in_ten_thousand():
    """Between F's 0.05 less and more one standard error."""
    null, error = null_minimum(FOUR_LOOKS), math.sqrt(0.05 * 0.95 / PATHS)
    low, high = (float(np.quantile(null, 0.05 + sign * error)) for sign in (-1, 1))
    assert high - low < 0.0004
    assert low < level_in_force(0.05, FOUR_LOOKS) < high


@pytest.mark.parametrize("n", [2, 3, 5, 8, 20, 100])
def test_the_simulated_paths_are_given_the_p_of_students_t(n):
    t = np.array([0.0, 0.3, 1.0, 2.0, 2.5, 3.5, 5.0])
    share = (t / np.sqrt(n - 1 + t * t)).astype(np.float32)
    assert tail(share, n) == pytest.approx(2 * stats.t.sf(t, n - 1), rel=1e-3, abs=1e-6)


def test_the_smallest_p_of_the_looks_is_that_of_paths_drawn_one_by_one():
    d = np.random.default_rng(6).standard_normal((40_000, 20))
    smallest = np.min([stats.ttest_1samp(d[:, :n], 0.0, axis=1).pvalue for n in FOUR_LOOKS], axis=0)
    assert stats.ks_2samp(smallest, null_minimum(FOUR_LOOKS)[::10]).statistic < 0.012


def test_the_null_is_the_same_in_every_process():
    asked = f"from lab.results.sequential import level_in_force; print(repr(level_in_force(0.05, {FOUR_LOOKS})))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert float(done.stdout) == level_in_force(0.05, FOUR_LOOKS)


def test_the_null_costs_no_report_more_than_a_moment():
    """About 0.08 s; the bound leaves room for a busy machine."""
    asked = "import time; from lab.results.sequential import null_minimum; t = time.process_time(); "
    asked += f"null_minimum({FOUR_LOOKS}); print(time.process_time() - t)"
    spent = [float(subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout) for _ in range(2)]
    assert min(spent) < 0.2


def test_the_sequential_p_of_one_look_is_the_plain_p():
    assert sequential_p([0.031], (8,)) == 0.031


def test_the_sequential_p_lies_between_the_plain_one_and_bonferronis():
    for p in (1e-12, 1e-6, 1e-3, 0.02, 0.4, 1.0):
        assert p <= sequential_p([0.9999999 if p < 1 else 1.0, p], FOUR_LOOKS) <= min(1.0, 4 * p)


def test_many_sequential_p_at_once_are_those_one_by_one():
    smallest = np.array([[1e-7, 0.01], [0.0164, 0.7]])
    assert p_of_smallest(smallest, FOUR_LOOKS).tolist() == [[sequential_p([p], FOUR_LOOKS) for p in row] for row in smallest]


def test_the_level_and_the_sequential_p_agree():
    level = level_in_force(0.05, FOUR_LOOKS)
    assert sequential_p([level * 0.9999], FOUR_LOOKS) < 0.05 <= sequential_p([level * 1.01], FOUR_LOOKS)


@pytest.mark.parametrize("alpha", [1e-3 * 0.999, 1e-5, 1e-9])
def test_where_the_simulation_has_too_few_paths_the_level_is_bonferronis(alpha):
    assert level_in_force(alpha, FOUR_LOOKS) == alpha / 4
    assert sequential_p([level_in_force(alpha, FOUR_LOOKS)], FOUR_LOOKS) <= alpha
    assert level_in_force(0.002, FOUR_LOOKS) > 0.002 / 4


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03], 3) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9], 2) == pytest.approx([1.0, 1.0])
    assert holm([], 4) == []


def test_arms_without_data_count_in_holms_family():
    assert holm([0.01], 5) == pytest.approx([0.05])


def test_many_families_at_once_are_those_one_by_one():
    p = np.random.default_rng(9).uniform(0, 0.2, (50, 8))
    assert holm_adjusted(p, 9).tolist() == [holm(list(row), 9) for row in p]
