"""Numbers about pairs, held against scipy.stats, against brute force and against the bootstrap."""

import itertools
import json
import math
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lab.results.statistics import (
    MOST_EXACT_FLIPS,
    RANDOM_FLIPS,
    differences,
    document_error,
    half_width,
    leave_one_out,
    mcnemar,
    paired,
    sign_flip,
    variance_change,
)


def test_the_paired_test_is_scipys():
    random = np.random.default_rng(2)
    arm, base = random.normal(size=6), random.normal(size=6)
    found = paired(list(arm), list(base), 0.05)
    truth = stats.ttest_rel(arm, base)
    low, high = truth.confidence_interval(0.95)
    assert (found.p, found.low, found.high) == pytest.approx((truth.pvalue, low, high))


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_many_comparisons_at_once_are_scipys_one_by_one(n):
    random = np.random.default_rng(n)
    d = random.normal(0.4, 2.0, (7, 3, n))
    mean, spread, p = differences(d)
    assert p == pytest.approx(stats.ttest_1samp(d, 0.0, axis=-1).pvalue, rel=1e-9)
    assert mean == pytest.approx(d.mean(axis=-1))
    assert spread == pytest.approx(stats.tstd(d, axis=-1))


def test_a_tiny_p_is_not_lost_to_rounding():
    d = np.array([1.0, 1.001, 0.999, 1.0005, 0.9995, 1.0002, 1.0003, 0.9999])
    assert differences(d)[2] == pytest.approx(stats.ttest_1samp(d, 0.0).pvalue, rel=1e-6)


def test_no_report_waits_for_scipy_stats_to_be_imported():
    """It takes longer than all that a report computes."""
    modules = "lab.results.statistics, lab.results.sequential, lab.results.planning, lab.results.verdict"
    asked = f"import sys, json, {modules}; print(json.dumps([name for name in sys.modules if name.startswith('scipy')]))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert "scipy.special" in loaded
    assert not {"scipy.stats", "scipy.optimize"} & set(loaded)


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


def test_each_seed_is_left_out_in_its_place_with_the_critical_value_of_them_all():
    d = [0.01, 0.02, 0.03, 0.10]
    found = leave_one_out(d, 0.05)
    for left, (mean, low, high) in enumerate(found):
        rest = np.delete(d, left)
        half = stats.t.ppf(0.975, len(d) - 1) * rest.std(ddof=1) / math.sqrt(len(rest))
        assert (mean, low, high) == pytest.approx((rest.mean(), rest.mean() - half, rest.mean() + half))
    assert len(found) == 4
    assert found[3][2] < found[0][2]  # without the large one


@pytest.mark.parametrize("n", [1, 2])
def test_nothing_is_left_out_of_two_pairs(n):
    assert leave_one_out([0.1, 0.2][:n], 0.05) == []


def test_the_critical_value_of_fewer_seeds_would_overturn_many_a_good_result():
    random = np.random.default_rng(7)
    good = [d for d in random.normal(1.68, 1.0, (600, 5)) if differences(d)[2] < 0.05]
    left = [leave_one_out(list(d), 0.05) for d in good]
    narrowed = half_width(4, 1.0, 0.05) / (half_width(5, 1.0, 0.05) * math.sqrt(5 / 4))  # how much wider the naive interval is
    ours = np.mean([any(low <= 0 <= high for _, low, high in rows) for rows in left])
    naive = np.mean([any(abs(mean) <= (high - mean) * narrowed for mean, _, high in rows) for rows in left])
    assert ours < 0.35 < naive


def test_another_variance_is_found_at_the_rate_that_its_p_promises():
    random = np.random.default_rng(5)
    base = random.standard_normal((4_000, 8))
    alike = 0.8 * base + 0.6 * random.standard_normal((4_000, 8))  # correlated, of equal variance
    p = [found[1] for a, b in zip(alike, base, strict=True) if (found := variance_change(list(a), list(b)))]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.011)
    wild = [found[1] for a, b in zip(alike, base, strict=True) if (found := variance_change(list(4 * a), list(b)))]
    assert np.mean(np.array(wild) < 0.05) > 0.9


def test_the_change_of_variance_by_hand():
    arm, base = [2.0, 2.4, 1.7, 2.9, 2.2], [2.1, 2.2, 2.0, 2.3, 2.15]
    ratio, p = variance_change(arm, base) or (0.0, 0.0)
    assert ratio == pytest.approx(stats.tstd(arm) / stats.tstd(base))
    assert p == pytest.approx(stats.pearsonr(np.add(arm, base), np.subtract(arm, base)).pvalue)


@pytest.mark.parametrize(
    ("arm", "base"),
    [([1.0, 2.0], [1.5, 2.5]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]), ([1.0, 2.0, 3.0], [1.1, 2.1, 3.1])],
)
def test_a_change_of_variance_needs_three_pairs_that_vary(arm, base):
    assert variance_change(arm, base) is None


@pytest.mark.parametrize("n", [6, 7, 10])
def test_the_sign_flip_p_counts_every_pattern(n):
    d = np.random.default_rng(n).normal(0.5, 1.0, n)
    sums = [abs(np.dot(signs, d)) for signs in itertools.product((-1, 1), repeat=n)]
    assert sign_flip(list(d)) == pytest.approx(np.mean(np.array(sums) >= abs(d.sum()) - 1e-12))


def test_the_page_tells_up_to_how_many_seeds_the_sign_flip_is_exact_and_how_many_patterns_are_drawn_above():
    page = " ".join((Path(__file__).parents[2] / "docs/the-statistics.md").read_text().split())
    assert f"All patterns up to {MOST_EXACT_FLIPS} seeds; above, {RANDOM_FLIPS:,} of them under a fixed seed." in page


def test_ties_count_and_the_smallest_sign_flip_p_is_two_patterns_of_all():
    assert sign_flip([0.1] * 6) == 2 / 2**6
    assert sign_flip([0.1, 0.1, 0.1, 0.1, 0.1, -0.1]) == 14 / 2**6
    assert sign_flip([0.0] * 6) == 1.0
    assert sign_flip([0.1] * 5) is None


def test_twenty_seeds_are_flipped_exactly_and_at_once():
    d = list(np.random.default_rng(3).normal(0.4, 1.0, 20))
    tracemalloc.start()
    begun = time.perf_counter()
    found = sign_flip(d)
    seconds, (_, most) = time.perf_counter() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == pytest.approx(stats.ttest_1samp(d, 0.0).pvalue, abs=0.02)
    assert seconds < 0.2
    assert most < 1_000_000


def test_beyond_forty_seeds_the_flips_are_drawn_and_always_the_same():
    d = list(np.random.default_rng(4).normal(0.3, 1.0, 44))
    assert sign_flip(d) == sign_flip(d)
    assert sign_flip(d) == pytest.approx(stats.ttest_1samp(d, 0.0).pvalue, abs=0.01)
    assert sign_flip(d[:40]) == pytest.approx(stats.ttest_1samp(d[:40], 0.0).pvalue, abs=0.01)


@pytest.mark.parametrize(("arm", "base"), [(0, 0), (5, 0), (0, 6), (2, 2), (1, 4), (9, 3)])
def test_mcnemar_is_exact(arm, base):
    truth = stats.binomtest(arm, arm + base, 0.5).pvalue if arm + base else 1.0
    assert mcnemar(arm, base) == pytest.approx(truth)


def test_the_error_over_documents_is_what_resampling_documents_gives():
    random = np.random.default_rng(8)
    seeds, documents = 4, 120
    sizes = random.integers(200, 4_000, documents).astype(float)
    base = sizes * random.normal(1.0, 0.2, documents) + random.normal(0, 5, (seeds, documents))
    arm = base - sizes * random.normal(0.01, 0.05, documents) + random.normal(0, 5, (seeds, documents))
    bits = (arm - base).mean(axis=0) / math.log(2)
    drawn = random.integers(0, documents, (4_000, documents))
    resampled = bits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    assert document_error(arm, base, sizes) == pytest.approx(resampled.std(), rel=0.06)


def test_documents_that_all_change_by_the_same_bits_per_byte_leave_no_error():
    sizes = np.array([100.0, 300.0, 50.0])
    base = np.array([[70.0, 190.0, 40.0]])
    assert document_error(base + 0.01 * sizes, base, sizes) == pytest.approx(0.0, abs=1e-12)


def test_one_document_tells_nothing_of_other_documents():
    assert document_error(np.array([[1.0], [2.0]]), np.array([[1.5], [2.5]]), np.array([10.0])) is None
