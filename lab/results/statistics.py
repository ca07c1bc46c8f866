"""Numbers about pairs: the paired t, its interval, and what is printed beside it. Knows no look, no run, no file, no verdict.

`level` is the two-sided error at one look: alpha itself under one look, less under several (lab/results/sequential.py).
scipy.special has all that is needed here; importing scipy.stats would cost every report half a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

FEWEST_FLIPS = 6  # below, the smallest two-sided p of a sign-flip test, 2 / 2^n, is above 0.05
MOST_EXACT_FLIPS = 28  # above, all 2^n sign patterns are too many even by halves
RANDOM_FLIPS = 20_000
FLIPS_AT_ONCE = 1_000
FLIP_SEED = 20_240_229

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
    n, rounding = len(d), rounding_of(a, b)
    if n < 2 or float(np.abs(d - d.mean()).max()) <= rounding:
        return Paired(n, float(d.mean()), None, None, None, None, None, None)
    mean, spread, p = (float(number) for number in differences(d))
    half = half_width(n, spread, level)
    a, b = a - a.mean(), b - b.mean()
    # sums of products rather than @, whose last bit is the linear algebra library's choice
    squares = float((a * a).sum()), float((b * b).sum())
    varies = min(squares) > (n - 1) * rounding**2
    correlation = max(-1.0, min(1.0, float((a * b).sum()) / math.sqrt(squares[0] * squares[1]))) if varies else None
    return Paired(n, mean, spread, mean - half, mean + half, p, correlation, sum(squares) / (n - 1) / spread**2)


def rounding_of(a: Floats, b: Floats) -> float:
    """What float64 alone may do to the differences of such values."""
    return 8 * float(np.finfo(float).eps) * float(max(np.abs(a).max(), np.abs(b).max()))


def differences(d: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean, standard deviation and two-sided t test p of differences of shape (..., n); p is NaN where nothing varies."""
    n = d.shape[-1]
    assert n >= 2, "one pair has no spread"
    mean, spread = d.mean(axis=-1), d.std(axis=-1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(spread > 0, np.abs(mean) * math.sqrt(n) / spread, np.nan)
    return mean, spread, 2 * special.stdtr(n - 1, -t)


def critical_t(n: int, level: float) -> float:
    return float(special.stdtrit(n - 1, 1 - level / 2))


def half_width(n: int, spread: float, level: float) -> float:
    """Half of the paired interval at n pairs whose differences have this standard deviation."""
    return critical_t(n, level) * spread / math.sqrt(n)


def leave_one_out(d: Sequence[float], level: float) -> list[tuple[float, float, float]]:
    """Mean and interval (mean, low, high) without each difference in turn, in their order; none below three differences.

    The critical value stays that of all n: else the lost degree of freedom alone overturns many a good result at small n.
    """
    values = np.asarray(d, float)
    n = len(values)
    if n < 3:
        return []
    others = values[np.array([[j for j in range(n) if j != i] for i in range(n)])]
    mean, spread, _ = differences(others)
    half = critical_t(n, level) * spread / math.sqrt(n - 1)
    return [(float(m), float(m - h), float(m + h)) for m, h in zip(mean, half, strict=True)]


def variance_change(arm: Sequence[float], baseline: Sequence[float]) -> tuple[float, float] | None:
    """The ratio s_arm / s_baseline and its two-sided p for paired values (Pitman 1939, Morgan 1939).

    Equal variances mean that sums and differences are uncorrelated. None below three pairs, or where something doesn't vary.
    """
    a, b = np.asarray(arm, float), np.asarray(baseline, float)
    n = len(a)
    if n < 3:
        return None
    rounding = rounding_of(a, b)
    if any(float(np.ptp(values)) <= rounding for values in (a, b, a - b, a + b)):
        return None
    r = float(np.clip(np.corrcoef(a + b, a - b)[0, 1], -1, 1))
    t = abs(r) * math.sqrt((n - 2) / (1 - r * r)) if abs(r) < 1 else math.inf
    return float(a.std(ddof=1) / b.std(ddof=1)), float(2 * special.stdtr(n - 2, -t))


def sign_flip(d: Sequence[float]) -> float | None:
    """Two-sided p of the mean against all 2^n ways to flip the differences' signs; None below six differences.

    Exact up to 28 differences: the sums of one half's patterns are looked up among the sorted ones of the other half, so that
    time and memory grow with 2^(n/2). Above, 20,000 flips drawn under a fixed seed, the observed one counted among them.
    """
    values = np.asarray(d, float)
    n = len(values)
    if n < FEWEST_FLIPS:
        return None
    scale = float(np.abs(values).sum())
    reached = abs(float(values.sum())) - 1e-12 * scale  # a tie counts, however its sum was rounded
    if reached <= 0:
        return 1.0
    if n > MOST_EXACT_FLIPS:
        random = np.random.default_rng(FLIP_SEED)
        signs = (random.integers(0, 2, (FLIPS_AT_ONCE, n)) * 2 - 1 for _ in range(RANDOM_FLIPS // FLIPS_AT_ONCE))
        hits = sum(int((np.abs(each @ values) >= reached).sum()) for each in signs)
        return (hits + 1) / (RANDOM_FLIPS + 1)
    left, right = (np.sort(flipped_sums(half)) for half in (values[: n // 2], values[n // 2 :]))
    above = len(right) * len(left) - int(np.searchsorted(right, reached - left, side="left").sum())
    return min(1.0, 2 * above / 2.0**n)  # flipping all signs mirrors the sums


def flipped_sums(values: Floats) -> Floats:
    """The sums of these values under every pattern of signs."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def mcnemar(only_arm: int, only_baseline: int) -> float:
    """Exact two-sided p that one of them diverges more often, from the seeds on which just one did."""
    discordant = only_arm + only_baseline
    return min(1.0, 2 * float(special.bdtr(min(only_arm, only_baseline), discordant, 0.5))) if discordant else 1.0


def document_error(arm_nats: Floats, baseline_nats: Floats, bytes_per_document: Floats) -> float | None:
    """Standard error, over the documents, of the difference in bits per byte averaged over seeds: another text of this kind, not
    other seeds.

    Nats have shape (seeds, documents), bytes (documents,). Bits per byte is a ratio of sums, so its error is linearised: each document
    counts by how far its bits are from what the whole difference gives its bytes (Cochran 1977, chapter 6). None with one document.
    """
    arm, base = np.asarray(arm_nats, float), np.asarray(baseline_nats, float)
    sizes = np.asarray(bytes_per_document, float)
    documents, total = len(sizes), float(sizes.sum())
    assert arm.ndim == 2 and arm.shape[1] == documents == base.shape[-1] and base.ndim == 2, "nats are per seed and document"
    if documents < 2 or total <= 0:
        return None
    bits: Floats = (arm.mean(axis=0) - base.mean(axis=0)) / math.log(2)
    residual = bits - float(bits.sum()) / total * sizes
    return math.sqrt(documents / (documents - 1) * float((residual**2).sum())) / total
