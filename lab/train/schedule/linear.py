"""A straight line down (Defazio et al. 2023: when linear decay is all you need)."""

from __future__ import annotations

from lab.train.schedule.fall import fallen


class Linear:
    """Rises linearly over the share `warmup` of the budget, then falls linearly to the share `final` of the peak."""

    def __init__(self, *, warmup: float, final: float) -> None:
        self.warmup = warmup
        self.final = final

    def rate(self, step: int, steps: int) -> float:
        rising = self.warmup * steps
        if step + 1 <= rising:
            return (step + 1) / rising
        return 1 - (1 - self.final) * fallen(step, rising, steps)
