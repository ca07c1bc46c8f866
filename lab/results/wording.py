"""Numbers and names as the report writes them: signed with as many decimals as they deserve, counted, listed. Judges nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

from lab.results.pin import Pin
from lab.results.statistics import Paired


def level_name(pin: Pin) -> str:
    """With every digit of the level: 99.99999 %, and never 100 %."""
    looks = f" (adjusted for {len(pin.looks)} looks)" if len(pin.looks) > 1 else ""
    return f"{(100 - 100 * Decimal(str(pin.alpha))).normalize():f} % interval{looks}"


def difference(estimate: Paired | None, pin: Pin) -> str:
    return f"{signed(estimate.mean, estimate)} {pin.unit}" if estimate else "unknown"


def interval(estimate: Paired) -> str:
    assert estimate.low is not None
    assert estimate.high is not None
    return interval_of(estimate.low, estimate.high, estimate)


def interval_of(low: float, high: float, estimate: Paired) -> str:
    """Any interval, with the decimals that this estimate deserves."""
    return f"{signed(low, estimate)} to {signed(high, estimate)}"


def signed(value: float, estimate: Paired) -> str:
    """With as many decimals as give the half-width two digits: more would be noise."""
    return f"{value:+.{decimals_of(estimate)}f}"


def decimals_of(estimate: Paired) -> int:
    return decimals(estimate.half_width or abs(estimate.mean))


def decimals(scale: float) -> int:
    return min(8, max(0, 1 - math.floor(math.log10(scale)))) if scale > 0 else 4


def size(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2g}"


def contains_zero(estimate: Paired) -> bool:
    return estimate.low is None or estimate.high is None or estimate.low <= 0 <= estimate.high


def p_value(p: float | None, missing: str) -> str:
    return missing if p is None else "< 0.001" if p < 0.001 else f"= {p:.3f}"


def duration(seconds: float) -> str:
    if seconds < 90:
        return counted(round(seconds), "second")
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def percent(share: float) -> str:
    """A share in whole per cent; below ten with one decimal, and never as none at all."""
    value = 100 * share
    if value >= 9.95:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 0.05 else "less than 0.1 %"


def look_name(look: int | None) -> str:
    return "more than the last look" if look is None else str(look)


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def seed_list(seeds: Iterable[int]) -> str:
    listed = [str(seed) for seed in seeds]
    return f"{'seed' if len(listed) == 1 else 'seeds'} {', '.join(listed)}"


def shown(label: str) -> str:
    """A label with its groups written by dots, as in model.norm=rmsnorm; what stands after '=' is left alone."""
    words = [word.partition("=") for word in label.split(" ")]
    return " ".join(path.replace("/", ".") + sign + value for path, sign, value in words)
