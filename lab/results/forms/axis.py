"""An axis of a drawing: where a value stands on it, in per cent, and which round values are named. Draws nothing, knows no report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`; the places of values are shares of it, written in per cent so that a drawing fits any width."""

    low: float
    high: float

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def clipped(self, value: float) -> float:
        """The nearest value that the axis shows."""
        return min(self.high, max(self.low, value))

    def place(self, value: float) -> str:
        return f"{100 * self.share(value):.2f}%"

    def ticks(self, about: int = 6) -> list[tuple[float, str]]:
        """Round values inside the axis, `about` so many, with their text: all with the same decimals, and zero without a sign."""
        step = round_step((self.high - self.low) / about)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        values = [index * step for index in range(first, last + 1)]
        return [(value, text) for value, text in zip(values, tick_texts(values, step), strict=True)]


def around(values: Sequence[float], margin: float = 0.05) -> Axis:
    """An axis that shows all of some values with a margin; some width even where they are all equal."""
    low, high = min(values), max(values)
    width = (high - low) or abs(high) * 0.1 or 1.0
    return Axis(low - margin * width, high + margin * width)


def power_of_thousand(largest: float) -> int:
    """The exponent of ten, a multiple of three, in whose units a number is between 1 and 1000."""
    return 3 * math.floor(math.log10(largest) / 3) if largest > 0 else 0


def round_step(least: float) -> float:
    """The least round number (1, 2, 2.5 or 5 by a power of ten) that isn't below `least`."""
    scale = 10.0 ** math.floor(math.log10(least))
    return next(factor * scale for factor in ROUND if factor * scale >= least * (1 - 1e-9))


def tick_texts(values: Sequence[float], step: float) -> list[str]:
    """Values of an axis as text, with the decimals that its step needs; zero bare."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(step * 10**decimals - round(step * 10**decimals)) > 1e-6:  # 2.5 needs one more
        decimals += 1
    return [f"{value:.{decimals}f}" if abs(value) > step / 2 else "0" for value in values]
