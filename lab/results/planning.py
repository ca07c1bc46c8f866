"""What a design can find and how many seeds it takes: power, detectable effects, the look that settles, when to stop.

The observed effect is never taken for the true one here: planning from it would be post-hoc power.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import special

from lab.results.statistics import Floats, critical_t, half_width

POWER = 0.8
CAUTION = 0.8  # the spread is replaced by its upper bound at this confidence
CHI_SQUARE_POINTS = 4_000
MEAN_POINTS = 500
HALVINGS = 50


@lru_cache(maxsize=32)
def _chi_scales(freedom: int) -> Floats:
    """Equally likely values of s / sigma."""
    middle = (np.arange(CHI_SQUARE_POINTS) + 0.5) / CHI_SQUARE_POINTS
    scales: Floats = np.sqrt(2 * special.gammaincinv(freedom / 2, middle) / freedom)
    return scales


@lru_cache(maxsize=1)
def _normal_points() -> Floats:
    """Equally likely values of a standard normal."""
    points: Floats = special.ndtri((np.arange(MEAN_POINTS) + 0.5) / MEAN_POINTS)
    return points


def power(effect: float, n: int, level: float) -> float:
    """Chance that a two-sided paired t test at `level` finds an effect given in units of s_d."""
    # integrated over the chi-square: scipy.stats.nct returns NaN at small n
    limit, shift = critical_t(n, level) * _chi_scales(n - 1), effect * math.sqrt(n)
    return float(np.mean(special.ndtr(shift - limit) + special.ndtr(-shift - limit)))


@lru_cache(maxsize=128)
def detectable_effect(n: int, level: float) -> float:
    """The effect, in units of s_d, that n pairs find with 80 % power at this level."""
    low, high = 0.0, 1.0
    while power(high, n, level) < POWER:
        low, high = high, 2 * high
    for _ in range(HALVINGS):  # power rises with the effect; scipy.optimize would cost more to import than this to run
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, n, level) < POWER else (low, middle)
    return high


def cautious_factor(n: int) -> float:
    """How much larger than measured the spread may be: its 80 % upper bound from n pairs, by the chi-square."""
    return math.sqrt((n - 1) / float(special.chdtri(n - 1, CAUTION)))


def look_that_settles(looks: Sequence[int], spread: float, level: float, smallest_effect: float) -> int | None:
    """The first of these looks whose interval is narrow enough to settle D: half-width at most D/2. None: none of them."""
    return next((n for n in looks if half_width(n, spread, level) <= smallest_effect / 2), None)


def chance_of_decision(n: int, mean: float, spread: float, last: int, level: float, smallest_effect: float | None) -> float | None:
    """Conditional power: the chance that at look `last` the interval excludes 0 or lies inside (-D, D), given the n pairs so far.

    The largest over true effects of -D, 0, +D and the mean so far; None without D. The pairs to come are normal with the spread so far.
    Holm's correction isn't foreseen, so the chance is, if anything, too large: it errs on the side of going on.
    """
    if smallest_effect is None:
        return None
    assert last > n >= 2 and spread > 0, "the chance of a look that is still to come, from pairs that vary"
    effects = (-smallest_effect, 0.0, smallest_effect, mean)
    return max(chance_under(effect, n, mean, spread, last, level, smallest_effect) for effect in effects)


def chance_under(effect: float, n: int, mean: float, spread: float, last: int, level: float, smallest_effect: float) -> float:
    """The same chance under one true effect: a sum over the mean of the pairs to come, exact in their spread."""
    more = last - n
    coming = effect + _normal_points() * spread / math.sqrt(more)
    final = (n * mean + more * coming) / last
    # excluding 0 needs a half-width below |final|, lying inside (-D, D) one below D - |final|: both bound the final sum of squares
    widest = np.maximum(np.abs(final), smallest_effect - np.abs(final))
    allowed = (last - 1) * last * (widest / critical_t(last, level)) ** 2
    known = (n - 1) * spread**2 + n * more / last * (mean - coming) ** 2
    room = (allowed - known) / spread**2  # for the coming pairs' own sum of squares, a chi-square of more - 1
    chances = special.gammainc((more - 1) / 2, np.maximum(room, 0) / 2) if more > 1 else room > 0
    return float(np.mean(np.where(room > 0, chances, 0.0)))
