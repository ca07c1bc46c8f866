"""Writes down how spread attention is, block by block: a collapse of its entropy comes before instability (Zhai et al. 2023)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lab.errors import ConfigError
from lab.hooks.part import fetched
from lab.model.site import find_sites
from lab.train.state import TrainingState

# B batch  N heads  T position  S the position that is looked at


class AttentionEntropy:
    """The entropy of the attention weights, in nats, over positions and batch (its first part, where it is trained in parts):
    the mean of the heads, and the `lowest` head's.

    Looks in a pass of its own, at the weights before the update. At position t it lies between 0 and log(t + 1).
    """

    observes = True

    def __init__(self, *, every: int, site: str) -> None:
        self.every = every
        self.site = site
        self.paths: list[str] = []
        self.values: dict[str, Tensor] = {}

    def attach(self, model: nn.Module, optimizer: Optimizer) -> None:
        self.paths = list(find_sites(model, self.site))
        foreign = [path for path in self.paths if not path.endswith(".attention.weights")]
        if foreign:
            raise ConfigError(
                f"hooks.attention_entropy.site={self.site} matches {foreign[0]}, which holds no attention weights\n"
                "give blocks.*.attention.weights"
            )

    def gradients(self, state: TrainingState) -> None:
        if state.due(self.every):
            state.look_at({path: partial(self.measure, path) for path in self.paths})
            state.record(fetched(self.values))
            self.values = {}

    def measure(self, path: str, weights_BNTS: Tensor) -> None:
        entropy_N = torch.special.entr(weights_BNTS.float()).sum(-1).mean((0, 2))
        block = path.removesuffix(".attention.weights")
        self.values |= {block: entropy_N.mean(), f"{block}.lowest": entropy_N.min()}
