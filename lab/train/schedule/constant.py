"""The peak, held to the end: what the other schedules' fall is measured against."""

from __future__ import annotations


class Constant:
    """Rises linearly over the share `warmup` of the budget, then stays at the peak."""

    def __init__(self, *, warmup: float) -> None:
        self.warmup = warmup

    def rate(self, step: int, steps: int) -> float:
        rising = self.warmup * steps
        return (step + 1) / rising if step + 1 <= rising else 1.0
