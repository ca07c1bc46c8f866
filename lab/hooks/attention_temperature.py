"""Divides attention scores by a temperature, in training and evaluation (as in YaRN, Peng et al. 2023)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim import Optimizer

from lab.model.site import find_sites


class AttentionTemperature:
    """`softmax(scores / temperature)`: below 1 attention is sharper, above 1 flatter, at 1 no bit moves."""

    observes = False

    def __init__(self, *, temperature: float, site: str) -> None:
        self.temperature = temperature
        self.site = site

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        for site in find_sites(model, self.site).values():
            site.on_forward(self.divided, in_evaluation=True)

    def divided(self, scores_BNTS: Tensor) -> Tensor:
        return scores_BNTS / self.temperature
