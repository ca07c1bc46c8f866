"""The learning rate's share of its peak at each step. Shares of the budget, not steps: another batch size has the same shape."""

from __future__ import annotations

import math
from typing import Protocol


class Schedule(Protocol):
    """The contract."""

    def rate(self, step: int, steps: int) -> float:
        """The share of the peak in the update from `step` to `step + 1`, of `steps` in all."""
        ...


class Cosine:
    """Rises linearly over the share `warmup` of the budget, then falls along half a cosine to the share `final` of the peak."""

    def __init__(self, *, warmup: float, final: float) -> None:
        self.warmup = warmup
        self.final = final

    def rate(self, step: int, steps: int) -> float:
        rising = self.warmup * steps
        if step + 1 <= rising:
            return (step + 1) / rising
        falling = (step - rising) / max(steps - 1 - rising, 1)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * min(max(falling, 0.0), 1.0))) / 2
