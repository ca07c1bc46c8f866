"""Pure numbers: paired t, intervals, looks, Holm, detectable effects. Knows no run, no file, no verdict.

`level` is the two-sided error at one look: alpha itself under one look, less under several (`level_in_force`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.optimize import brentq

PATHS = 400_000  # of the simulated null; the standard error of F at 0.05 is then 0.0003
SIMULATION_SEED = 20_240_229
POWER = 0.8
CAUTION = 0.8  # the spread is replaced by its upper bound at this confidence
CHI_SQUARE_POINTS = 4_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """The paired differences arm - baseline: their mean, spread (None where there is none), interval and nominal p."""

    n: int
    mean: float
    spread: float | None
    low: float | None
    high: float | None
    p: float | None
    correlation: float | None  # between the arm's and the baseline's values
    gain: float | None  # (s_arm^2 + s_base^2) / s_d^2: what pairing bought

    @property
    def half_width(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def paired(arm: Sequence[float], baseline: Sequence[float], level: float) -> Paired:
    """Paired t test and interval. Differences that don't vary beyond rounding have no interval and no p."""
    assert len(arm) == len(baseline) > 0, "pairs come in twos"
    a, b = np.asarray(arm, float), np.asarray(baseline, float)
    d = a - b
    n, mean = len(d), float(d.mean())
    rounding = 8 * np.finfo(float).eps * float(max(np.abs(a).max(), np.abs(b).max()))
    if n < 2 or float(np.abs(d - mean).max()) <= rounding:
        return Paired(n, mean, None, None, None, None, None, None)
    spread = float(d.std(ddof=1))
    half = half_width(n, spread, level)
    p = float(stats.ttest_rel(a, b).pvalue)
    spreads = float(a.std(ddof=1)), float(b.std(ddof=1))
    correlation = float(np.corrcoef(a, b)[0, 1]) if min(spreads) > rounding else None
    return Paired(n, mean, spread, mean - half, mean + half, p, correlation, (spreads[0] ** 2 + spreads[1] ** 2) / spread**2)


def critical_t(n: int, level: float) -> float:
    return float(special.stdtrit(n - 1, 1 - level / 2))


def half_width(n: int, spread: float, level: float) -> float:
    """Half of the paired interval at n pairs whose differences have this standard deviation."""
    return critical_t(n, level) * spread / math.sqrt(n)


@lru_cache(maxsize=8)
def null_minimum(looks: tuple[int, ...]) -> Floats:
    """The smallest nominal p over the looks, sorted, on simulated paths without any effect."""
    random = np.random.default_rng(SIMULATION_SEED)
    total, squares, smallest = np.zeros(PATHS), np.zeros(PATHS), np.ones(PATHS)
    for n in range(1, max(looks) + 1):
        draw = random.standard_normal(PATHS)
        total += draw
        squares += draw * draw
        if n in looks:
            variance = (squares - total * total / n) / (n - 1)
            t = np.abs(total) / np.sqrt(n * variance)
            np.minimum(smallest, 2 * special.stdtr(n - 1, -t), out=smallest)
    smallest.sort()
    return smallest


def sequential_p(nominal: Sequence[float], looks: tuple[int, ...]) -> float:
    """The p of having looked several times: F(smallest nominal p so far), F its null distribution over all pinned looks."""
    smallest = min(nominal)
    if len(looks) == 1:
        return smallest
    null = null_minimum(looks)
    simulated = (np.searchsorted(null, smallest, side="right") + 1) / (len(null) + 1)
    return float(min(1.0, simulated, len(looks) * smallest))  # Bonferroni bounds F where the simulation has no paths left


def level_in_force(alpha: float, looks: tuple[int, ...]) -> float:
    """The nominal p below which one look suffices, such that all looks together err with probability alpha."""
    if len(looks) == 1:
        return alpha
    null = null_minimum(looks)
    return float(null[max(0, math.ceil(alpha * (len(null) + 1)) - 2)])


def holm(p: Sequence[float], family: int) -> list[float]:
    """Holm-adjusted p values, in the order given. Members of the family without a p count as 1."""
    assert family >= len(p), "a family has at least the members that have a p"
    order = sorted(range(len(p)), key=lambda index: p[index])
    adjusted, worst = [0.0] * len(p), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (family - rank) * p[index]))
        adjusted[index] = worst
    return adjusted


@lru_cache(maxsize=32)
def _chi_scales(freedom: int) -> Floats:
    """Equally likely values of s / sigma."""
    middle = (np.arange(CHI_SQUARE_POINTS) + 0.5) / CHI_SQUARE_POINTS
    scales: Floats = np.sqrt(2 * special.gammaincinv(freedom / 2, middle) / freedom)
    return scales


def power(effect: float, n: int, level: float) -> float:
    """Chance that a two-sided paired t test at `level` finds an effect given in units of s_d."""
    # integrated over the chi-square: scipy.stats.nct returns NaN at small n
    limit, shift = critical_t(n, level) * _chi_scales(n - 1), effect * math.sqrt(n)
    return float(np.mean(special.ndtr(shift - limit) + special.ndtr(-shift - limit)))


@lru_cache(maxsize=128)
def detectable_effect(n: int, level: float) -> float:
    """The effect, in units of s_d, that n pairs find with 80 % power at this level."""
    return float(brentq(lambda effect: power(effect, n, level) - POWER, 0.0, 1e4))


def cautious_factor(n: int) -> float:
    """How much larger than measured the spread may be: its 80 % upper bound from n pairs, by the chi-square."""
    return math.sqrt((n - 1) / float(stats.chi2.ppf(1 - CAUTION, n - 1)))


def look_that_settles(looks: Sequence[int], spread: float, level: float, smallest_effect: float) -> int | None:
    """The first of these looks whose interval is narrow enough to settle D: half-width at most D/2. None: none of them."""
    return next((n for n in looks if half_width(n, spread, level) <= smallest_effect / 2), None)


def mcnemar(only_arm: int, only_baseline: int) -> float:
    """Exact two-sided p that one of them diverges more often, from the seeds on which just one did."""
    discordant = only_arm + only_baseline
    return float(stats.binomtest(only_arm, discordant, 0.5).pvalue) if discordant else 1.0
