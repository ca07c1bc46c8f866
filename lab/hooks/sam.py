"""Steps by the gradient at the worst weights nearby: sharpness-aware minimisation (Foret et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from lab.train.state import TrainingState


class SAM:
    """The gradient of the same batch at `w + rho * g / |g|` takes the place of g. The weights are put back as copies, to the bit.

    Speaks before noise and clipping, which then work on the gradient that the step takes.
    """

    observes = False
    order = -10

    def __init__(self, *, rho: float) -> None:
        self.rho = rho

    def gradients(self, state: TrainingState) -> None:
        norm = state.norm_now()
        if norm == 0:
            return  # no direction is uphill
        parameters: list[Tensor] = [parameter for parameter in state.model.parameters() if parameter.grad is not None]
        weights = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            torch._foreach_add_(parameters, state.gradients, alpha=self.rho / norm)
        try:
            state.loss_and_gradients()
        finally:
            with torch.no_grad():
                torch._foreach_copy_(parameters, weights)
