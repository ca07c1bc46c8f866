"""Warm-up, plateau, decay (Hu et al. 2024, MiniCPM, section 4; its decay is exponential, this one linear as in Hägele et al. 2024)."""

from __future__ import annotations

from lab.train.schedule.fall import fallen


class WarmupStableDecay:
    """Rises over the share `warmup` of the budget, stays at the peak, falls over the last share `decay` to the share `final` of the peak.

    All three parts are linear. `warmup` and `decay` together are at most the whole budget, else a ValueError.
    """

    def __init__(self, *, warmup: float, decay: float, final: float) -> None:
        if warmup + decay > 1:
            raise ValueError(f"warmup and decay are shares of one budget, but {warmup:g} + {decay:g} is more than 1: lower one of them")
        self.warmup = warmup
        self.decay = decay
        self.final = final

    def rate(self, step: int, steps: int) -> float:
        rising = self.warmup * steps
        if step + 1 <= rising:
            return (step + 1) / rising
        return 1 - (1 - self.final) * fallen(step, (1 - self.decay) * steps, steps)
