"""Several looks and several arms: the null of the smallest p over the pinned looks, the level of each look, Holm. Knows no arm.

One look needs none of it: its level is alpha, its p the plain one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lab.results.statistics import Floats

PATHS = 400_000  # of the simulated null; the standard error of F at 0.05 is then 0.0003, of the level in force about 0.0001
SIMULATION_SEED = 20_240_240  # its levels are within 0.00003 of those of 16 million paths (0.01282 for 3, 5, 8, 12, 20; 0.01643 for 5, ...)
FEWEST_PATHS = 400  # below a level: fewer tell it too roughly, and Bonferroni's stands in
KNOTS = 4_096  # of t's distribution; between them p is interpolated, to 1e-6 of itself or better wherever it decides anything


@lru_cache(maxsize=8)
def null_minimum(looks: tuple[int, ...]) -> Floats:
    """The smallest nominal p over the looks, sorted, on simulated paths without any effect."""
    random = np.random.default_rng(SIMULATION_SEED)
    total, squares = np.zeros(PATHS, np.float32), np.zeros(PATHS, np.float32)
    smallest, seen = np.ones(PATHS, np.float32), 0
    for n in sorted(looks):
        # `more` draws at once: their sum is sqrt(more) z, their sum of squares z^2 plus a chi-square of more - 1
        more, z = n - seen, random.standard_normal(PATHS, dtype=np.float32)
        total += np.float32(math.sqrt(more)) * z
        squares += z * z
        if more > 1:
            squares += 2 * random.standard_gamma((more - 1) / 2, PATHS, dtype=np.float32)
        np.minimum(smallest, tail(np.abs(total) / np.sqrt(np.float32(n) * squares), n), out=smallest)
        seen = n
    smallest.sort()
    return smallest.astype(np.float64)


def tail(share: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """The two-sided p of n draws whose |sum| is this share of the largest that their sum of squares allows: t / sqrt(n - 1 + t^2)."""
    knots = np.linspace(0, 1, KNOTS + 1)
    with np.errstate(divide="ignore"):
        t = math.sqrt(n - 1) * knots / np.sqrt(1 - knots * knots)
    values: NDArray[np.float32] = (2 * special.stdtr(n - 1, -t)).astype(np.float32)
    place = share * np.float32(KNOTS)
    cell = np.minimum(place.astype(np.int32), KNOTS - 1)
    below = values[cell]
    p: NDArray[np.float32] = below + (values[cell + 1] - below) * (place - cell.astype(np.float32))
    return p


def sequential_p(nominal: Sequence[float], looks: tuple[int, ...]) -> float:
    """The p of having looked several times: F(smallest nominal p so far), F its null distribution over all pinned looks."""
    return float(p_of_smallest(np.asarray(min(nominal)), looks))


def p_of_smallest(smallest: Floats, looks: tuple[int, ...]) -> Floats:
    """F at these smallest nominal p values, of any shape."""
    if len(looks) == 1:
        return smallest
    null = null_minimum(looks)
    simulated = (np.searchsorted(null, smallest, side="right") + 1) / (len(null) + 1)
    # Bonferroni bounds F where the simulation has no paths left, the plain p bounds it from below
    return np.asarray(np.maximum(smallest, np.minimum(simulated, np.minimum(1.0, len(looks) * smallest))))


def level_in_force(alpha: float, looks: tuple[int, ...]) -> float:
    """The nominal p below which one look suffices, such that all looks together err with probability alpha."""
    if len(looks) == 1:
        return alpha
    if alpha * PATHS < FEWEST_PATHS:
        return alpha / len(looks)
    null = null_minimum(looks)
    return float(null[math.ceil(alpha * (len(null) + 1)) - 2])


def holm(p: Sequence[float], family: int) -> list[float]:
    """Holm-adjusted p values, in the order given. Members of the family without a p count as 1."""
    return [float(value) for value in holm_adjusted(np.asarray(p, float), family)]


def holm_adjusted(p: Floats, family: int) -> Floats:
    """Holm over the last axis of p."""
    members = p.shape[-1]
    assert family >= members, "a family has at least the members that have a p"
    order = np.argsort(p, axis=-1, kind="stable")
    steps = (family - np.arange(members)) * np.take_along_axis(p, order, axis=-1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.minimum(1.0, np.maximum.accumulate(steps, axis=-1)), axis=-1)
    return adjusted
