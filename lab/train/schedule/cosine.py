"""Half a cosine (Loshchilov and Hutter 2017, section 3, without restarts)."""

from __future__ import annotations

import math

from lab.train.schedule.fall import fallen


class Cosine:
    """Rises linearly over the share `warmup` of the budget, then falls along half a cosine to the share `final` of the peak."""

    def __init__(self, *, warmup: float, final: float) -> None:
        self.warmup = warmup
        self.final = final

    def rate(self, step: int, steps: int) -> float:
        rising = self.warmup * steps
        if step + 1 <= rising:
            return (step + 1) / rising
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * fallen(step, rising, steps))) / 2
