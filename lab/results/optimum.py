"""Where a curve has its best: a parabola fitted to each seed, and the t interval over the seeds' own optima. Knows no run and no file.

The parabola is in log(value) where all values are positive and span more than a factor 3, else in the value. No seed is dropped for
how its parabola bends: where one bends the wrong way there is no optimum to tell. Nothing is resampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lab.results.statistics import Floats, critical_t

FEWEST_VALUES, FEWEST_SEEDS = 4, 3
SPAN = 3.0  # a factor above which a value is thought of by its logarithm


@dataclass(frozen=True)
class Optimum:
    """The place of the best, and its interval, in the values' own unit; None where too many parabolas have no best."""

    place: float | None
    low: float | None
    high: float | None
    bent: int  # parabolas that have a best
    log: bool


def is_log(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) > SPAN * min(values)


def curvature_and_optimum(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Of each row of y, shape (..., values), over x: the parabola's second coefficient, and where it is level. By least squares."""
    middle, width = x.mean(), float(np.ptp(x)) / 2
    z = (x - middle) / width  # of size 1, so that the squares don't lose digits
    design = np.stack([np.ones_like(z), z, z * z], axis=1)
    coefficients = y @ np.linalg.pinv(design).T
    bend = coefficients[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        level = middle + width * -coefficients[..., 1] / (2 * bend)
    return bend, level


def find_optimum(values: Sequence[float], metric: Floats, direction: str, alpha: float) -> Optimum:
    """The optimum of curves of shape (seeds, values), all finite, over at least FEWEST_VALUES values and FEWEST_SEEDS seeds."""
    assert len(values) >= FEWEST_VALUES and len(metric) >= FEWEST_SEEDS, "the caller counts"
    log = is_log(values)
    x = np.log(np.asarray(values, float)) if log else np.asarray(values, float)
    bend, places = curvature_and_optimum(x, np.asarray(metric, float))
    bent = int(((bend > 0) if direction == "lower" else (bend < 0)).sum())
    if bent < len(places) or not np.isfinite(places).all():
        return Optimum(None, None, None, bent, log)
    middle = float(places.mean())
    half = critical_t(len(places), alpha) * float(places.std(ddof=1)) / math.sqrt(len(places))
    place, low, high = (back(each, log) for each in (middle, middle - half, middle + half))
    return Optimum(place, low, high, bent, log)


def back(x: float, log: bool) -> float:
    """From the parabola's axis to the value; far outside of the grid it stops at what a float can hold."""
    return math.exp(min(700.0, max(-700.0, x))) if log else x
