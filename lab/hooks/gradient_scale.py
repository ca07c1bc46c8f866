"""Multiplies the gradient that flows back through a site (embedding shrink: Zeng et al. 2022, GLM-130B, section 3)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import Optimizer

from lab.model.site import find_sites


class GradientScale:
    """What lies before the site learns from `scale` times its gradient; what lies after it is untouched."""

    observes = False

    def __init__(self, *, scale: float, site: str) -> None:
        self.scale = scale
        self.site = site

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        for site in find_sites(model, self.site).values():
            site.on_backward(self.scaled)

    def scaled(self, gradient: Tensor) -> Tensor:
        return gradient * self.scale
